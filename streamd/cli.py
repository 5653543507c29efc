"""The ``streamd`` command.

CONTRACT.md, Commands. Whatever is wrong with what the user gave or has is one clear line on
stderr and an exit code, never a traceback.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from pydantic import BaseModel, TypeAdapter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamd import __version__
from streamd.admin_client import AdminApiError, AdminClient, AdminUnreachableError, KeyDesk, LocalKeys
from streamd.clock import SystemClock
from streamd.config import Config, config_text, find_config, load_config, secrets_of
from streamd.data_dir import RunningServer, admin_token, find_server, prepare_data_dir
from streamd.errors import (
    ConfigError,
    DataDirError,
    KeyNotFoundError,
    KeyRequestError,
    StreamdError,
    UserNotFoundError,
)
from streamd.keys.records import USER_NAME, UserState
from streamd.keys.request import PAGE_LIMIT_MAX
from streamd.keys.service import KeyOptions, KeyService
from streamd.keys.store import KeyStore
from streamd.keys.stream_key import StreamKey, is_key_id
from streamd.log import Redactor, configure_logging
from streamd.web.admin_models import NewKey

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_FOUND = 3

EXIT_CODES = """\
\b
Exit codes:
  0  done
  1  could not be done: no server, no key store, refused
  2  wrong usage or configuration, a port in use, an unusable data directory
  3  no such key, user or stream
"""

# How long a server may take from its lock to its listeners; then it is taken for one without an admin API.
START_WAIT_S = 3.0
START_POLL_S = 0.05

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

_Result = TypeVar("_Result")
_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Commands(click.Group):
    """Turns our errors into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ConfigError as exc:
            for fault in exc.faults:
                click.echo(f"streamd: {fault}", err=True)
            ctx.exit(EXIT_USAGE)
        except (DataDirError, KeyRequestError) as exc:
            _fail(exc, EXIT_USAGE)
        except (KeyNotFoundError, UserNotFoundError) as exc:
            _fail(exc, EXIT_NOT_FOUND)
        except AdminApiError as exc:
            _fail(exc, {404: EXIT_NOT_FOUND, 422: EXIT_USAGE}.get(exc.status, EXIT_FAILED))
        except StreamdError as exc:
            _fail(exc, EXIT_FAILED)


def _say(line: str) -> None:
    """One line on stderr."""
    click.echo(Redactor().redact(f"streamd: {line}"), err=True)


def _fail(exc: StreamdError, exit_code: int) -> NoReturn:
    _say(str(exc))
    click.get_current_context().exit(exit_code)


# -- types of arguments -------------------------------------------------------------------------


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        if not re.fullmatch(r"(\d{1,6}[smhdw])+", value):
            self.fail("write a number and a unit of s, m, h, d or w, for example 30d or 1h30m", param, ctx)
        pieces = re.findall(r"(\d+)([smhdw])", value)
        return timedelta(seconds=sum(int(number) * _UNIT_SECONDS[unit] for number, unit in pieces))


class _User(click.ParamType[str]):
    name = "user"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not USER_NAME.fullmatch(value):
            self.fail("2 to 64 small letters, digits, '-' and '_', beginning with a letter or digit", param, ctx)
        return str(value)


class _KeyId(click.ParamType[str]):
    name = "key_id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # Who has only the key itself means the key with its id.
        if (stream_key := StreamKey.parse(value)) is not None:
            return stream_key.key_id
        if not is_key_id(value):
            self.fail("not a key id; 'streamd keys list' shows them", param, ctx)
        return str(value)


def _config_options(command: _Command) -> _Command:
    """``--config`` and ``--data-dir``."""
    for option in (
        click.option(
            "--data-dir",
            type=click.Path(path_type=Path),
            metavar="DIRECTORY",
            help="Directory of the key database and the admin token; beats the configuration.",
        ),
        click.option(
            "--config",
            "config_file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Configuration file. Without: $STREAMD_CONFIG, ./streamd.toml or /etc/streamd/streamd.toml.",
        ),
    ):
        command = option(command)
    return command


_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def _load(config_file: Path | None, data_dir: Path | None) -> Config:
    return load_config(config_file or find_config(os.environ), environ=os.environ, data_dir=data_dir)


# -- the commands -------------------------------------------------------------------------------


@click.group(
    cls=_Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="streamd")
def main() -> None:
    """A live-streaming server: broadcasters send RTMP with a stream key, viewers watch in a browser.

    See it work: streamd demo. For real use: streamd serve, then streamd keys issue USER.
    """


@main.command()
@_config_options
def serve(config_file: Path | None, data_dir: Path | None) -> None:
    """Run the server in the foreground.

    SIGTERM or Ctrl-C lets viewers fetch the last seconds, then ends with exit code 0.
    """
    config = _load(config_file, data_dir)
    from streamd import server

    click.get_current_context().exit(server.run(config))


@main.command()
@click.option("--duration", type=click.FloatRange(min=1), metavar="S", help="Stop after S seconds.")
@click.option("--no-browser", is_flag=True, help="Do not open the watch page.")
def demo(duration: float | None, no_browser: bool) -> None:
    """Show all of it: a server, a key, and a test broadcast, to watch at once.

    Everything is kept in a temporary directory and gone afterwards.
    """
    from streamd.demo import run_demo

    click.get_current_context().exit(run_demo(duration, open_browser=not no_browser))


@main.group()
def keys() -> None:
    """Issue, list, rotate and revoke stream keys.

    Asks the server that runs on the data directory; where none runs, works on the key database.
    """


@keys.command("issue")
@click.argument("user", type=_User())
@click.option("--label", default="", help="What the key is for, in your words.")
@click.option("--expires", type=_Duration(), help="How long it works, for example 30d or 12h. Without: for ever.")
@_json_option
@_config_options
def issue_key(
    user: str, label: str, expires: timedelta | None, as_json: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    """Make a stream key for USER, and print it; it is never shown again.

    An unknown user is created, with the channel of that name.
    """
    expires_at = None if expires is None else SystemClock().now() + expires
    config = _load(config_file, data_dir)
    _print_new_key(_on_keys(config, lambda desk: desk.issue(user, label=label, expires_at=expires_at)), as_json)


@keys.command("list")
@click.option("--user", type=_User(), help="Only the keys of this user.")
@_json_option
@_config_options
def list_keys(user: str | None, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """List stream keys; their secrets are not kept anywhere."""
    found = _on_keys(_load(config_file, data_dir), lambda desk: desk.list_keys(user))
    if as_json:
        _print_json(found)
        return
    _print_table(
        ("id", "user", "label", "state", "created", "expires", "last used", "from"),
        [
            (
                key.id,
                key.user,
                key.label,
                key.state,
                _time(key.created_at),
                _time(key.expires_at, none="never"),
                _time(key.last_used_at, none="never"),
                key.last_used_address,
            )
            for key in found
        ],
        nothing="There are no keys. Make one: streamd keys issue USER",
    )


@keys.command("revoke")
@click.argument("key_id", type=_KeyId())
@click.option("--reason", default="", help="Why, for the audit log.")
@_json_option
@_config_options
def revoke_key(key_id: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Kill the key KEY_ID for good, and close the stream that runs on it.

    When the command returns, the stream is off the air. Revoking again changes nothing.
    """
    revocation = _on_keys(_load(config_file, data_dir), lambda desk: desk.revoke(key_id, reason=reason))
    if as_json:
        _print_json(revocation)
        return
    click.echo(f"Key {revocation.id} was revoked at {_time(revocation.revoked_at)}.")
    for name in revocation.closed:
        click.echo(f"Stream {name} was closed.")


@keys.command("rotate")
@click.argument("key_id", type=_KeyId())
@click.option("--overlap", type=_Duration(), help="How long the old key goes on working, for example 10m.")
@_json_option
@_config_options
def rotate_key(
    key_id: str, overlap: timedelta | None, as_json: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    """Replace the key KEY_ID by a new one, and print that.

    Without --overlap the old key dies at once, and the stream that runs on it is closed.
    """
    overlap_s = 0.0 if overlap is None else overlap.total_seconds()
    config = _load(config_file, data_dir)
    _print_new_key(_on_keys(config, lambda desk: desk.rotate(key_id, overlap_s=overlap_s)), as_json)


@main.group()
def users() -> None:
    """List, suspend and restore users.

    Asks the server that runs on the data directory; where none runs, works on the key database.
    """


@users.command("list")
@click.option("--state", type=click.Choice([state.value for state in UserState]), help="Only users in this state.")
@_json_option
@_config_options
def list_users(state: str | None, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """List users. Each has the channel of that name; issuing a key makes a user."""
    wanted = None if state is None else UserState(state)
    found = _on_keys(_load(config_file, data_dir), lambda desk: desk.list_users(wanted))
    if as_json:
        _print_json(found)
        return
    _print_table(
        ("name", "state", "created", "suspended", "reason"),
        [
            (user.name, user.state, _time(user.created_at), _time(user.suspended_at), user.suspend_reason)
            for user in found
        ],
        nothing="There are no such users. A key makes one: streamd keys issue USER",
    )


@users.command("suspend")
@click.argument("name", type=_User())
@click.option("--reason", default="", help="Why, for the audit log.")
@_json_option
@_config_options
def suspend_user(name: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Take the user NAME off the air until restored, with every key of theirs.

    When the command returns, their stream is closed and their channel is gone. Suspending again changes nothing.
    """
    config = _load(config_file, data_dir)
    user = _on_keys(config, lambda desk: desk.change_user(name, UserState.SUSPENDED, reason=reason))
    if as_json:
        _print_json(user)
        return
    click.echo(f"User {name} is suspended since {_time(user.suspended_at)}. To undo: streamd users restore {name}")


@users.command("restore")
@click.argument("name", type=_User())
@click.option("--reason", default="", help="Why, for the audit log.")
@_json_option
@_config_options
def restore_user(name: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """End the suspension of the user NAME. Their keys work again, but for those that were revoked or expired."""
    config = _load(config_file, data_dir)
    user = _on_keys(config, lambda desk: desk.change_user(name, UserState.ACTIVE, reason=reason))
    if as_json:
        _print_json(user)
        return
    click.echo(f"User {name} may broadcast.")


@main.command()
@click.option("--limit", type=click.IntRange(1, PAGE_LIMIT_MAX), default=50, show_default=True, help="Rows at most.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Go on after this number of the page before.")
@_json_option
@_config_options
def audit(limit: int, after: int, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Show who did what to which key, user or stream, and why; the latest first.

    Refused publishes that are alike are one row with a count, written a minute after the first.
    """
    page = _on_keys(_load(config_file, data_dir), lambda desk: desk.list_audit(after=after, limit=limit))
    if as_json:
        _print_json(page)
        return
    _print_table(
        ("number", "when", "who", "from", "what", "user", "key id", "stream", "times", "reason"),
        [
            (
                str(row.sequence),
                _time(row.at),
                row.actor,
                row.address,
                row.action,
                row.user or "",
                row.key_id or "",
                row.stream or "",
                str(row.count),
                row.reason,
            )
            for row in page.entries
        ],
        nothing="The audit log has no rows." if not after else f"There are no rows before number {after}.",
    )
    if page.next_after is not None:
        _say(f"there are older rows: streamd audit --after {page.next_after}")


@main.group()
def streams() -> None:
    """See who is live, and close a stream."""


@streams.command("list")
@_json_option
@_config_options
def list_streams(as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """List the streams that are live now."""
    found = _on_server(_load(config_file, data_dir), lambda client: client.list_streams())
    if as_json:
        _print_json(found)
        return
    _print_table(
        ("name", "live since", "picture", "fps", "kb/s", "keyframes", "codecs", "viewers", "publisher", "key id"),
        [
            (
                stream.name,
                _time(stream.live_since),
                f"{stream.width}x{stream.height}" if stream.width else "none",
                f"{stream.frame_rate:.4g}" if stream.frame_rate else "",
                f"{stream.bitrate_bps / 1000:.0f}",
                "" if stream.keyframe_interval_s is None else f"{stream.keyframe_interval_s:.3g} s",
                " ".join(stream.codecs),
                str(sum(stream.viewers.values())),
                stream.publisher_address,
                stream.key_id,
            )
            for stream in found
        ],
        nothing="Nobody is live.",
    )


@streams.command("kick")
@click.argument("name", type=_User())
@click.option("--reason", default="", help="Why, for the audit log.")
@_config_options
def kick_stream(name: str, reason: str, config_file: Path | None, data_dir: Path | None) -> None:
    """Close the live stream NAME. Its key stays good: the encoder may come back."""
    _on_server(_load(config_file, data_dir), lambda client: client.kick(name, reason=reason))
    click.echo(f"Stream {name} was closed. To keep it off, revoke its key: streamd keys revoke KEY_ID")


@main.group("config")
def config_group() -> None:
    """Check and show the configuration."""


@config_group.command("check")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def check_config(file: Path | None) -> None:
    """Find every fault of FILE and of the environment at once, with line and key."""
    path = file or find_config(os.environ)
    load_config(path, environ=os.environ)
    click.echo(f"{path}: no faults" if path else "no configuration file; the defaults and the environment: no faults")


@config_group.command("show")
@_config_options
def show_config(config_file: Path | None, data_dir: Path | None) -> None:
    """Show the configuration as it takes effect, with its secrets masked."""
    click.echo(config_text(_load(config_file, data_dir)), nl=False)


# -- asking the server or the store -------------------------------------------------------------


def _on_keys(config: Config, ask: Callable[[KeyDesk], Awaitable[_Result]]) -> _Result:
    """Ask whoever keeps the keys: the running server, else the store."""

    async def run() -> _Result:
        server = await _running_server(config)
        if server is not None and server.admin_host:
            try:
                async with _client(config, server) as client:
                    return await ask(client)
            except AdminUnreachableError as exc:
                _say(f"{exc}, though a server runs")
        # A stream that runs is closed by its server's next look at the store.
        _say(
            f"no server to ask: working on the key store itself; a server that uses it follows within "
            f"{KeyOptions().recheck_interval_s:g} s"
        )
        async with _local_keys(config) as desk:
            return await ask(desk)

    return asyncio.run(run())


def _on_server(config: Config, ask: Callable[[AdminClient], Awaitable[_Result]]) -> _Result:
    """Ask the running server what only it knows."""

    async def run() -> _Result:
        server = await _running_server(config)
        if server is None:
            raise StreamdError(f"no server runs on data directory {config.data_dir}")
        if not server.admin_host:
            raise StreamdError("the server runs without an admin API; set admin.listen")
        async with _client(config, server) as client:
            return await ask(client)

    return asyncio.run(run())


async def _running_server(config: Config) -> RunningServer | None:
    """The server on the data directory; one that is just starting is given the time to."""
    server = find_server(config.data_dir)
    for _ in range(int(START_WAIT_S / START_POLL_S)):
        if server is None or server.pid:
            break
        await asyncio.sleep(START_POLL_S)
        server = find_server(config.data_dir)
    return server


def _client(config: Config, server: RunningServer) -> AdminClient:
    token = config.admin.token.get_secret_value() or admin_token(config.data_dir)
    return AdminClient(server.admin_host, server.admin_port, token)


@contextlib.asynccontextmanager
async def _local_keys(config: Config) -> AsyncIterator[LocalKeys]:
    configure_logging("error", "console", secrets=secrets_of(config))
    prepare_data_dir(config.data_dir)
    store = KeyStore(config.database_url)
    try:
        await store.start()
        yield LocalKeys(KeyService(store, SystemClock()), config.rtmp_url)
    finally:
        await store.close()


# -- printing -----------------------------------------------------------------------------------


def _print_new_key(key: NewKey, as_json: bool) -> None:
    if as_json:
        _print_json(key)
        return
    expiry = "" if key.expires_at is None else f", until {_time(key.expires_at)}"
    click.echo(
        f"A stream key for {key.user}{expiry}. It is shown this once.\n"
        "\n"
        f"  Server      {key.rtmp_url}\n"
        f"  Stream key  {key.stream_key}\n"
        "\n"
        "In OBS: Settings, Stream, Service: Custom. To take it back: "
        f"streamd keys revoke {key.id}"
    )


def _print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    click.echo(TypeAdapter[object](Any).dump_json(value, indent=2))


def _print_table(columns: Iterable[str], rows: Sequence[Sequence[str]], *, nothing: str) -> None:
    if not rows:
        click.echo(nothing, err=True)
        return
    console = Console()
    if not console.is_terminal:
        # Whoever reads a pipe wants whole cells, however long the line.
        console.width = 10_000
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text: a label is what its author wrote, not rich's markup.
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _time(at: datetime | None, *, none: str = "") -> str:
    return none if at is None else at.strftime("%Y-%m-%d %H:%M:%SZ")

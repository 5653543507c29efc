"""``streamd targets``: other servers that broadcasts are passed on to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from streamd.process.cli.arguments import TargetId, User, config_options, json_option, load
from streamd.process.cli.ask import on_server
from streamd.process.cli.output import print_json, print_table
from streamd.process.remote_restream import RemoteRestream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamd.doors.web.models.restream import RestreamTarget
    from streamd.process.config import Config

_Result = TypeVar("_Result")


@click.group("targets")
def targets_group() -> None:
    """Pass a user's broadcasts on to YouTube, Twitch, Facebook or any other RTMP server.

    Asks the server that runs on the data directory.
    """


@targets_group.command("list")
@click.argument("user", type=User())
@json_option
@config_options
def list_targets(user: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """List the targets of USER, with what becomes of them now."""
    targets = _ask(load(config_file, data_dir), lambda client: client.list_targets(user))
    if as_json:
        print_json(targets)
        return
    print_table(
        ("id", "label", "url", "key", "state", "kb/s", "last error"),
        [
            (each.id, each.label, each.url, each.key_hint, each.state.value, str(each.kbps), each.last_error)
            for each in targets
        ],
        nothing=f"{user} has no targets. To add one: streamd targets add {user} rtmps://HOST/APP",
    )


@targets_group.command("add")
@click.argument("user", type=User())
@click.argument("url")
@click.option("--label", default="", help="What it is, for people.")
@click.option("--off", "is_off", is_flag=True, help="Add it, and pass nothing on yet.")
@json_option
@config_options
def add_target(
    user: str, url: str, label: str, is_off: bool, as_json: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    """Pass the broadcasts of USER on to URL, rtmp://HOST/APP or rtmps://HOST/APP.

    The stream key of the other service is asked for, or read from the standard input.
    """
    body = {"url": url, "stream_key": _read_stream_key(), "label": label, "enabled": not is_off}
    _show(_ask(load(config_file, data_dir), lambda client: client.add_target(user, body)), "is added", as_json)


@targets_group.command("change")
@click.argument("user", type=User())
@click.argument("target_id", type=TargetId())
@click.option("--url", help="Another place.")
@click.option("--label", help="Another label.")
@click.option("--new-key", is_flag=True, help="Another stream key, which is asked for.")
@click.option("--on/--off", "is_on", default=None, help="Whether broadcasts are passed on to it.")
@json_option
@config_options
def change_target(
    user: str,
    target_id: str,
    url: str | None,
    label: str | None,
    new_key: bool,
    is_on: bool | None,
    as_json: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Change a target of USER. A broadcast that runs goes by it at once."""
    body: dict[str, Any] = {"url": url, "label": label, "enabled": is_on}
    if new_key:
        body["stream_key"] = _read_stream_key()
    body = {name: value for name, value in body.items() if value is not None}
    if not body:
        raise click.UsageError("say what to change: --url, --label, --new-key, --on or --off")
    _show(
        _ask(load(config_file, data_dir), lambda client: client.change_target(user, target_id, body)),
        "is changed",
        as_json,
    )


@targets_group.command("remove")
@click.argument("user", type=User())
@click.argument("target_id", type=TargetId())
@config_options
def remove_target(user: str, target_id: str, config_file: Path | None, data_dir: Path | None) -> None:
    """Pass nothing of USER on to a target any more, and forget it and its stream key."""
    _ask(load(config_file, data_dir), lambda client: client.delete_target(user, target_id))
    click.echo(f"Target {target_id} is removed.")


@targets_group.command("start")
@click.argument("user", type=User())
@click.argument("target_id", type=TargetId())
@json_option
@config_options
def start_target(user: str, target_id: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Pass the broadcast of USER that runs on to a target, anew if it goes there already."""
    _switch(user, target_id, "start", as_json, load(config_file, data_dir))


@targets_group.command("stop")
@click.argument("user", type=User())
@click.argument("target_id", type=TargetId())
@json_option
@config_options
def stop_target(user: str, target_id: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Pass the broadcast of USER that runs on to a target no longer; the next one goes there again."""
    _switch(user, target_id, "stop", as_json, load(config_file, data_dir))


def _switch(user: str, target_id: str, act: str, as_json: bool, config: Config) -> None:
    target = _ask(config, lambda client: client.switch_target(user, target_id, act))
    _show(target, f"is {'started' if act == 'start' else 'stopped'}", as_json)


def _show(target: RestreamTarget, done: str, as_json: bool) -> None:
    if as_json:
        print_json(target)
    else:
        click.echo(f"Target {target.id} {done}: {target.url}, {target.state.value}.")


def _read_stream_key() -> str:
    """The key, never an argument: other users of the machine, and the shell's history, would see it."""
    if sys.stdin.isatty():
        text: str = click.prompt("Stream key of the other service", hide_input=True)
        return text.strip()
    return sys.stdin.readline().strip()


def _ask(config: Config, ask: Callable[[RemoteRestream], Awaitable[_Result]]) -> _Result:
    return on_server(config, lambda server: ask(RemoteRestream(server.call)))

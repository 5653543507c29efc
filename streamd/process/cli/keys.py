"""``streamd keys``: stream keys and their lives."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from streamd.clock import SystemClock
from streamd.doors.web.models.keys import Import, NewKey
from streamd.errors import ImportRefusedError
from streamd.process.cli.arguments import Duration, KeyId, User, config_options, json_option, load
from streamd.process.cli.ask import on_keys
from streamd.process.cli.key_file import FILE_BYTES_MAX, read_keys
from streamd.process.cli.need import Need
from streamd.process.cli.output import format_time, print_closed, print_json, print_table, say
from streamd.services.keys.foreign_key import KEYS_MAX, ForeignKey, ImportOutcome, find_faults
from streamd.services.keys.records import UserState
from streamd.services.keys.request import OVERLAP_S_MAX, checked_label, checked_reason

if TYPE_CHECKING:
    from streamd.process.key_desk import KeyDesk

# The clocks of the server and of the command line may differ by as much as a machine's that keeps its time badly.
CLOCKS_DIFFER = timedelta(seconds=5)
FILE_FORMS = """\
\b
FILE is CSV, or JSON lines:
  user,secret,label,expires
  alice,Xk29sQm4Tz81LdRw,studio,2027-01-31
  {"user": "bob", "secret_sha256": "9f86d0…", "expires": "2027-01-31T18:00:00Z"}
label and expires may be left out. In place of the secret stands its SHA-256 as
secret_sha256, or as sha256:HEX in the column of secrets.
"""


@click.group("keys")
def keys_group() -> None:
    """Issue, import, list, rotate, revoke and delete stream keys.

    Asks the server that runs on the data directory; where none runs, works on the key database.
    """


@keys_group.command("issue")
@click.argument("user", type=User())
@click.option("--label", default="", help="What the key is for, in your words.")
@click.option("--expires", type=Duration(), help="How long it works, for example 30d or 12h. Without: for ever.")
@json_option
@config_options
def issue_key(
    user: str, label: str, expires: timedelta | None, as_json: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    """Make a stream key for USER, and print it; it is never shown again.

    An unknown user is created, with the channel of that name.
    """
    expires_at = None if expires is None else _end_of(expires)
    label = checked_label(label)
    config = load(config_file, data_dir)
    _print_new_key(
        on_keys(config, Need.MAKE, lambda desk: desk.issue(user, label=label, expires_at=expires_at)), as_json
    )


@keys_group.command("import", epilog=FILE_FORMS)
@click.argument("file", type=click.File("rb"))
@click.option("--allow-weak", is_flag=True, help="Take secrets, too, that are short enough to be guessed.")
@click.option("--check", "only_checks", is_flag=True, help="Say what would be, and change nothing.")
@json_option
@config_options
def import_keys(
    file: BinaryIO,
    allow_weak: bool,
    only_checks: bool,
    as_json: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Take over the keys in FILE from another server; encoders keep the key they have. '-' is standard input.

    All keys are checked before any is written, and a fault names its line. Importing again changes nothing. Only
    hashes are stored, so keep FILE from others, or delete it.
    """
    config = load(config_file, data_dir)
    given = read_keys(file.read(FILE_BYTES_MAX + 1))
    done = on_keys(
        config,
        Need.READ if only_checks else Need.MAKE,
        lambda desk: _import(desk, given, allows_weak=allow_weak, only_checks=only_checks),
    )
    if as_json:
        print_json(done)
        return
    users = len({key.user for key in done.keys})
    would = "would be" if only_checks else "were" if done.imported != 1 else "was"
    click.echo(f"{_keys(done.imported)} {would} imported, for {users} user{'' if users == 1 else 's'} in the file.")
    if done.known:
        click.echo(f"{_keys(done.known)} here before, and unchanged.")
    if hashed := sum(key.secret is None for key in given):
        say(f"{_keys(hashed)} came as hashes: whether such secrets are long enough cannot be seen")


async def _import(desk: KeyDesk, given: list[ForeignKey], *, allows_weak: bool, only_checks: bool) -> Import:
    """Check all keys, then import them, ``KEYS_MAX`` at a time."""
    faults = list(find_faults(given, SystemClock().now(), allows_weak=allows_weak))
    slices = [given[start : start + KEYS_MAX] for start in range(0, len(given), KEYS_MAX)]
    checked = []
    # The faults that only the store knows, before anything is written.
    for part in slices if not faults else []:
        try:
            checked.append(await desk.import_keys(part, allows_weak=allows_weak, only_checks=True))
        except ImportRefusedError as exc:
            faults += exc.faults
    if faults:
        raise ImportRefusedError(faults)
    if only_checks:
        return _together(checked)
    done = []
    for part in slices:
        try:
            done.append(await desk.import_keys(part, allows_weak=allows_weak, only_checks=False))
        except Exception:
            if done:
                say(f"imported up to line {part[0].line - 1}; import the file again for the rest")
            raise
    return _together(done)


def _together(parts: list[Import]) -> Import:
    # One key on two lines may stand in two slices.
    keys = [key for part in parts for key in part.keys]
    new = {key.id for key in keys if key.outcome is ImportOutcome.IMPORTED}
    return Import(imported=len(new), known=len({key.id for key in keys} - new), keys=keys)


def _keys(count: int) -> str:
    return f"{count} key{'' if count == 1 else 's'}"


@keys_group.command("list")
@click.option("--user", type=User(), help="Only the keys of this user.")
@json_option
@config_options
def list_keys(user: str | None, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """List stream keys; their secrets are not kept anywhere."""
    found = on_keys(load(config_file, data_dir), Need.READ, lambda desk: desk.list_keys(user))
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "user", "label", "state", "created", "expires", "last used", "from"),
        [
            (
                key.id,
                key.user,
                key.label,
                key.state,
                format_time(key.created_at),
                format_time(key.expires_at, none="never"),
                format_time(key.last_used_at, none="never"),
                key.last_used_address,
            )
            for key in found
        ],
        nothing="There are no keys. Make one: streamd keys issue USER",
    )


@keys_group.command("revoke")
@click.argument("key_id", type=KeyId())
@click.option("--reason", default="", help="Why, for the audit log.")
@json_option
@config_options
def revoke_key(key_id: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Kill the key KEY_ID for good, and close the stream that runs on it.

    When the command returns, the stream is off the air. Revoking again changes nothing.
    """
    reason = checked_reason(reason)
    began_at = SystemClock().now()
    revocation = on_keys(load(config_file, data_dir), Need.CHANGE, lambda desk: desk.revoke(key_id, reason=reason))
    if revocation.unwritten:
        say(revocation.unwritten)
    if as_json:
        print_json(revocation)
        return
    # The server's clock may not be this one's.
    is_again = revocation.revoked_at < began_at - CLOCKS_DIFFER or revocation.reason != reason
    click.echo(
        f"Key {revocation.id} was revoked {'before, ' if is_again else ''}at {format_time(revocation.revoked_at)}."
    )
    if revocation.reason != reason:
        said = f'"{revocation.reason}"' if revocation.reason else "none"
        click.echo(f"The reason that was given then stays in the audit log: {said}.")
    print_closed(revocation.closed)


@keys_group.command("delete")
@click.argument("key_id", type=KeyId())
@click.option("--reason", default="", help="Why, for the audit log.")
@click.confirmation_option(prompt="Delete the key for good?", help="Do not ask.")
@json_option
@config_options
def delete_key(key_id: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Revoke the key KEY_ID, and delete what is kept of it: hash, label, last use, the addresses that tried it.

    The acts on it stay in the audit log, by its id.
    """
    deletion = on_keys(load(config_file, data_dir), Need.CHANGE, lambda desk: desk.delete_key(key_id, reason=reason))
    if as_json:
        print_json(deletion)
        return
    click.echo(f"Key {deletion.id} is deleted.")
    print_closed(deletion.closed)


@keys_group.command("rotate")
@click.argument("key_id", type=KeyId())
@click.option("--overlap", type=Duration(), help="How long the old key goes on working, for example 10m.")
@json_option
@config_options
def rotate_key(
    key_id: str, overlap: timedelta | None, as_json: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    """Replace the key KEY_ID by a new one, and print that.

    Without --overlap the old key dies at once, and the stream that runs on it is closed.
    """
    overlap_s = 0.0 if overlap is None else overlap.total_seconds()
    if overlap_s > OVERLAP_S_MAX:
        raise click.BadParameter(f"at most {OVERLAP_S_MAX // 86_400}d", param_hint="--overlap")
    config = load(config_file, data_dir)
    _print_new_key(on_keys(config, Need.CHANGE, lambda desk: desk.rotate(key_id, overlap_s=overlap_s)), as_json)


def _end_of(lifetime: timedelta) -> datetime:
    """The end of a key's life that begins now."""
    if not lifetime:
        raise click.BadParameter("a key that lives for no time is of no use; write 1h or more", param_hint="--expires")
    try:
        return SystemClock().now() + lifetime
    except OverflowError:
        raise click.BadParameter(
            "that is beyond the calendar; leave --expires out for a key that does not end", param_hint="--expires"
        ) from None


def _print_new_key(key: NewKey, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    expiry = "" if key.expires_at is None else f", until {format_time(key.expires_at)}"
    lines = [f"A stream key for {key.user}{expiry}. It is shown this once.", ""]
    for index, url in enumerate(key.rtmp_urls):
        lines.append(f"  {'or' if index else 'Server':<12}{url}")
    # The name that a server without a public_url gives itself.
    if "//localhost" in key.rtmp_url:
        lines.append("              (elsewhere: this machine's name for localhost; [http] public_url says it)")
    lines += [
        f"  Stream key  {key.stream_key}",
        "",
        f"In OBS: Settings, Stream, Service: Custom. To take it back: streamd keys revoke {key.id}",
    ]
    click.echo("\n".join(lines))
    if key.replaces is not None:
        end, now = key.replaced_works_until, SystemClock().now()
        if end is None or end > now:
            click.echo(f"The old key {key.replaces} works until {format_time(end, none='it is revoked')}.")
        else:
            click.echo(f"The old key {key.replaces} is dead.")
    print_closed(key.closed)
    if key.user_state is UserState.SUSPENDED:
        say(f"{key.user} is suspended: the key opens no stream until 'streamd users restore {key.user}'")

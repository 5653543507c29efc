"""``streamd keys``: stream keys and their lives."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import click

from streamd.clock import SystemClock
from streamd.doors.web.models.keys import NewKey
from streamd.process.cli.arguments import Duration, KeyId, User, config_options, json_option, load
from streamd.process.cli.ask import Need, on_keys
from streamd.process.cli.output import format_time, print_closed, print_json, print_table, say
from streamd.services.keys.records import UserState
from streamd.services.keys.request import OVERLAP_S_MAX, checked_label, checked_reason

# The clocks of the server and of the command line may differ by as much as a machine's that keeps its time badly.
CLOCKS_DIFFER = timedelta(seconds=5)


@click.group("keys")
def keys_group() -> None:
    """Issue, list, rotate and revoke stream keys.

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

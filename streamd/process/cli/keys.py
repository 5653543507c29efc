"""``streamd keys``: stream keys and their lives."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from streamd.clock import SystemClock
from streamd.doors.web.models.keys import NewKey
from streamd.process.cli.arguments import Duration, KeyId, User, config_options, json_option, load
from streamd.process.cli.ask import on_keys
from streamd.process.cli.output import format_time, print_json, print_table


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
    expires_at = None if expires is None else SystemClock().now() + expires
    config = load(config_file, data_dir)
    _print_new_key(on_keys(config, lambda desk: desk.issue(user, label=label, expires_at=expires_at)), as_json)


@keys_group.command("list")
@click.option("--user", type=User(), help="Only the keys of this user.")
@json_option
@config_options
def list_keys(user: str | None, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """List stream keys; their secrets are not kept anywhere."""
    found = on_keys(load(config_file, data_dir), lambda desk: desk.list_keys(user))
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
    revocation = on_keys(load(config_file, data_dir), lambda desk: desk.revoke(key_id, reason=reason))
    if as_json:
        print_json(revocation)
        return
    click.echo(f"Key {revocation.id} was revoked at {format_time(revocation.revoked_at)}.")
    for name in revocation.closed:
        click.echo(f"Stream {name} was closed.")


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
    config = load(config_file, data_dir)
    _print_new_key(on_keys(config, lambda desk: desk.rotate(key_id, overlap_s=overlap_s)), as_json)


def _print_new_key(key: NewKey, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    # What a server calls itself to which nobody has told its name.
    is_nameless = "//localhost" in key.rtmp_url
    elsewhere = "              (elsewhere: this machine's name for localhost; [http] public_url says it)\n"
    expiry = "" if key.expires_at is None else f", until {format_time(key.expires_at)}"
    click.echo(
        f"A stream key for {key.user}{expiry}. It is shown this once.\n"
        "\n"
        f"  Server      {key.rtmp_url}\n"
        f"{elsewhere if is_nameless else ''}"
        f"  Stream key  {key.stream_key}\n"
        "\n"
        "In OBS: Settings, Stream, Service: Custom. To take it back: "
        f"streamd keys revoke {key.id}"
    )

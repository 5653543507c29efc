"""``streamd playback``: who may watch."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from streamd.process.cli.arguments import Duration, Watched, config_options, json_option, load
from streamd.process.cli.ask import on_server
from streamd.process.cli.output import format_time, print_json, print_table, say
from streamd.process.remote_playback import RemotePlayback
from streamd.services.playback.verifying_key import Algorithm
from streamd.services.recording.recording_id import is_recording_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamd.doors.web.models.playback import NewPlaybackKeyAnswer
    from streamd.process.config import Config

_Result = TypeVar("_Result")
_FILE_BYTES_MAX = 4096


@click.group("playback")
def playback_group() -> None:
    """Lock channels, and give out and withdraw the tokens of their viewers.

    Asks the server that runs on the data directory.
    """


# -- channels -----------------------------------------------------------------------------------


@playback_group.command("lock")
@click.argument("channel", type=Watched())
@click.option("--signed", "policy", flag_value="signed", help="Watch with a token alone.")
@click.option("--password", "policy", flag_value="password", help="Watch with a password, which is asked for now.")
@click.option("--hook", "policy", flag_value="hook", help="Ask [playback] hook_url about each viewer.")
@click.option("--reason", default="", help="Why, for the audit log.")
@config_options
def lock_channel(
    channel: str, policy: str | None, reason: str, config_file: Path | None, data_dir: Path | None
) -> None:
    """Say what it needs to watch CHANNEL, or the recording of this id.

    Viewers without it are cut when the command returns. Recordings are as their channel, unless that is said of
    them.
    """
    if policy is None:
        raise click.UsageError("say --signed, --password or --hook")
    config = load(config_file, data_dir)
    asked: object = policy
    if policy == "password":
        # Never an argument: other users of the machine, and the shell's history, would see it.
        asked = {"policy": policy, "password": click.prompt("Password", hide_input=True, confirmation_prompt=True)}
    _ask(config, lambda client: client.decide_playback(channel, asked, reason=reason))
    is_recording = is_recording_id(channel)
    named = f"Recording {channel}" if is_recording else f"Channel {channel}"
    undo = f"{channel} --default" if is_recording else channel
    click.echo(f"{named} is locked ({policy}). To undo: streamd playback unlock {undo}")
    if policy == "signed":
        click.echo(f"A link for a viewer: streamd playback token {channel}")
    elif policy == "password":
        click.echo(f"Viewers type the password at {config.public_url}/watch/{'vod/' if is_recording else ''}{channel}")


@playback_group.command("unlock")
@click.argument("channel", type=Watched())
@click.option(
    "--default",
    "as_default",
    is_flag=True,
    help="As [playback] policy says, or a recording as its channel, instead of for everybody.",
)
@click.option("--reason", default="", help="Why, for the audit log.")
@config_options
def unlock_channel(
    channel: str, as_default: bool, reason: str, config_file: Path | None, data_dir: Path | None
) -> None:
    """Let everybody watch CHANNEL, or the recording of this id."""
    config = load(config_file, data_dir)
    asked = None if as_default else "public"
    _ask(config, lambda client: client.decide_playback(channel, asked, reason=reason))
    said = "as its channel" if is_recording_id(channel) else "as [playback] policy says"
    click.echo(f"{channel} is {said}." if as_default else f"Everybody may watch {channel}.")


# -- tokens -------------------------------------------------------------------------------------


@playback_group.command("token")
@click.argument("channel")
@click.option("--expires", type=Duration(), default="1h", show_default=True, help="How long it is good.")
@click.option("--uid", help="Who watches with it: limits count by it, and it can be withdrawn by it.")
@click.option("--jti", help="Its id; one is made without.")
@click.option("--max", "viewers_max", type=click.IntRange(1, 65_535), help="Viewers at once.")
@click.option("--ip", "networks", multiple=True, metavar="NETWORK", help="From here alone, such as 192.0.2.0/24.")
@click.option("--country", "countries", multiple=True, help="In this country alone, such as DE.")
@click.option("--referrer", "referrers", multiple=True, metavar="HOST", help="On pages of this host alone.")
@json_option
@config_options
def sign_token(
    channel: str,
    expires: timedelta,
    uid: str | None,
    jti: str | None,
    viewers_max: int | None,
    networks: tuple[str, ...],
    countries: tuple[str, ...],
    referrers: tuple[str, ...],
    as_json: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Print links to CHANNEL, or to the recording of this id, with a token that the server signs."""
    config = load(config_file, data_dir)
    given: dict[str, Any] = {"uid": uid, "jti": jti, "max": viewers_max}
    given |= {"ip": list(networks), "cc": list(countries), "ref": list(referrers)}
    body = {"channel": channel, "ttl_s": int(expires.total_seconds())} | {
        name: value for name, value in given.items() if value not in (None, [])
    }
    made = _ask(config, lambda client: client.sign_playback_token(body))
    if as_json:
        print_json(made)
        return
    click.echo(f"page      {config.public_url}{made.watch}")
    click.echo(f"playlist  {config.public_url}{made.playlist}")
    click.echo(f"good until {format_time(made.expires_at)}; to withdraw it: streamd playback revoke --jti {made.jti}")


@playback_group.command("revoke")
@click.option("--jti", help="A token.")
@click.option("--uid", help="Whatever this viewer was given until now.")
@click.option("--kid", help="A key, and all that was signed with it; pk_server: what the server has signed until now.")
@click.option(
    "--channel",
    type=Watched(),
    help="Whatever anybody was given for this channel and its recordings until now, or for one recording.",
)
@click.option("--reason", default="", help="Why, for the audit log.")
@json_option
@config_options
def revoke(
    jti: str | None,
    uid: str | None,
    kid: str | None,
    channel: str | None,
    reason: str,
    as_json: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Withdraw what viewers were given. When the command returns, nothing more is watched by it."""
    named = {"jti": jti, "uid": uid, "kid": kid, "channel": channel}
    body = {name: value for name, value in named.items() if value is not None}
    if len(body) != 1:
        raise click.UsageError("say --jti, --uid, --kid or --channel, and one of them")
    done = _ask(
        load(config_file, data_dir),
        lambda client: client.revoke_playback(body | {"reason": reason}),
    )
    if done.unwritten:
        say(done.unwritten)
    if as_json:
        print_json(done)
        return
    click.echo(f"Withdrawn; {done.ended} viewer{' was' if done.ended == 1 else 's were'} cut.")


# -- keys ---------------------------------------------------------------------------------------


@playback_group.group("keys")
def keys_group() -> None:
    """The keys that tokens are signed with by you."""


@keys_group.command("list")
@json_option
@config_options
def list_keys(as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """List them."""
    found = _ask(load(config_file, data_dir), lambda client: client.list_playback_keys())
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "algorithm", "created", "ends", "withdrawn", "label"),
        [
            (
                key.id,
                key.algorithm.value,
                format_time(key.created_at),
                format_time(key.ends_at),
                format_time(key.withdrawn_at),
                key.label,
            )
            for key in found
        ],
        nothing="There are no playback keys. To make one: streamd playback keys new",
    )


@keys_group.command("new")
@click.option(
    "--algorithm",
    type=click.Choice([each.value for each in Algorithm]),
    default=Algorithm.EDDSA.value,
    show_default=True,
    help="How tokens are signed with it.",
)
@click.option("--label", default="", help="What the key is for, in your words.")
@click.option("--public-key", type=click.File("rb"), help="PEM of the public key, where the private one is yours.")
@json_option
@config_options
def new_key(
    algorithm: str, label: str, public_key: Any, as_json: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    """Make a key, and print its private half, once."""
    pem = public_key.read(_FILE_BYTES_MAX).decode("ascii", "replace") if public_key is not None else ""
    body = {"algorithm": algorithm, "label": label, "public_key": pem}
    _print_key(
        _ask(load(config_file, data_dir), lambda client: client.add_playback_key(body)),
        as_json,
    )


@keys_group.command("rotate")
@click.argument("kid")
@click.option("--overlap", type=Duration(), default="0s", help="How long the old one is good for new tokens.")
@json_option
@config_options
def rotate_key(kid: str, overlap: timedelta, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Replace the key KID by a new one of the same algorithm. Viewers with a token of the old one watch on."""
    overlap_s = overlap.total_seconds()
    made = _ask(
        load(config_file, data_dir),
        lambda client: client.rotate_playback_key(kid, overlap_s=overlap_s),
    )
    _print_key(made, as_json)


@keys_group.command("delete")
@click.argument("kid")
@click.option("--reason", default="", help="Why, for the audit log.")
@config_options
def delete_key(kid: str, reason: str, config_file: Path | None, data_dir: Path | None) -> None:
    """Withdraw the key KID, cut whoever watches by it, and delete it."""
    _ask(load(config_file, data_dir), lambda client: client.delete_playback_key(kid, reason=reason))
    click.echo(f"Playback key {kid} is withdrawn and deleted.")


def _print_key(made: NewPlaybackKeyAnswer, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    click.echo(f"kid        {made.id}")
    click.echo(f"algorithm  {made.algorithm.value}")
    if made.private_key is None:
        click.echo("Its private half is yours alone.")
        return
    click.echo("private key, shown now and never again:")
    click.echo(made.private_key.strip())


def _ask(config: Config, ask: Callable[[RemotePlayback], Awaitable[_Result]]) -> _Result:
    return on_server(config, lambda server: ask(RemotePlayback(server.call)))

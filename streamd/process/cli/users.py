"""``streamd users``: who may broadcast at all."""

from __future__ import annotations

from pathlib import Path

import click

from streamd.doors.web.models.users import UnwrittenSuspension
from streamd.process.cli.arguments import User, config_options, json_option, load
from streamd.process.cli.ask import on_keys
from streamd.process.cli.need import Need
from streamd.process.cli.output import format_time, print_closed, print_json, print_table, say
from streamd.process.config import Config
from streamd.services.keys.records import UserState
from streamd.services.keys.request import checked_reason


@click.group("users")
def users_group() -> None:
    """List, suspend, restore, limit and delete users, and hide their channels.

    Asks the server that runs on the data directory; where none runs, works on the key database.
    """


@users_group.command("list")
@click.option("--state", type=click.Choice([state.value for state in UserState]), help="Only users in this state.")
@json_option
@config_options
def list_users(state: str | None, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """List users. Each has the channel of that name; issuing a key makes a user."""
    wanted = None if state is None else UserState(state)
    found = on_keys(load(config_file, data_dir), Need.READ, lambda desk: desk.list_users(wanted))
    if as_json:
        print_json(found)
        return
    print_table(
        ("name", "state", "listed", "created", "kb/s", "pixels", "suspended", "reason"),
        [
            (
                user.name,
                user.state,
                "" if user.listed else "no",
                format_time(user.created_at),
                str(user.limits.bitrate_kbps_max or ""),
                str(user.limits.picture_pixels_max or ""),
                format_time(user.suspended_at),
                user.suspend_reason,
            )
            for user in found
        ],
        nothing="There are no such users. A key makes one: streamd keys issue USER",
    )


@users_group.command("suspend")
@click.argument("name", type=User())
@click.option("--reason", default="", help="Why, for the audit log.")
@json_option
@config_options
def suspend_user(name: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Take the user NAME off the air until restored, with every key of theirs.

    When the command returns, their stream is closed and their channel is gone. Suspending again changes nothing.
    """
    config = load(config_file, data_dir)
    reason = checked_reason(reason)
    user = on_keys(config, Need.CHANGE, lambda desk: desk.suspend_user(name, reason=reason))
    if isinstance(user, UnwrittenSuspension):
        say(user.unwritten)
    if as_json:
        print_json(user)
        return
    click.echo(
        f"User {name} is suspended since {format_time(user.suspended_at)}. To undo: streamd users restore {name}"
    )
    if user.suspend_reason != reason:
        said = f'"{user.suspend_reason}"' if user.suspend_reason else "none"
        click.echo(f"They were suspended before; the reason that was given then stays: {said}.")
    print_closed(user.closed)


@users_group.command("restore")
@click.argument("name", type=User())
@click.option("--reason", default="", help="Why, for the audit log.")
@json_option
@config_options
def restore_user(name: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """End the suspension of the user NAME. Their keys work again, but for those that were revoked or expired."""
    config = load(config_file, data_dir)
    reason = checked_reason(reason)
    user = on_keys(config, Need.CHANGE, lambda desk: desk.restore_user(name, reason=reason))
    if as_json:
        print_json(user)
        return
    click.echo(f"User {name} may broadcast.")


@users_group.command("delete")
@click.argument("name", type=User())
@click.option("--reason", default="", help="Why, for the audit log.")
@click.confirmation_option(prompt="Delete the user and all of their keys for good?", help="Do not ask.")
@json_option
@config_options
def delete_user(name: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Close the streams of the user NAME, and delete the user with all of their keys and recordings.

    The acts on them stay in the audit log, by name. The name is free from then on: a new key for it opens the
    channel. To keep somebody off the air, suspend them.
    """
    deletion = on_keys(load(config_file, data_dir), Need.CHANGE, lambda desk: desk.delete_user(name, reason=reason))
    if as_json:
        print_json(deletion)
        return
    click.echo(f"User {name} is deleted, with {deletion.keys} key{'' if deletion.keys == 1 else 's'}.")
    print_closed(deletion.closed)


@users_group.command("unlist")
@click.argument("name", type=User())
@click.option("--reason", default="", help="Why, for the audit log.")
@json_option
@config_options
def unlist_user(name: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Take the channel NAME out of the public list, and keep search engines from its page.

    It still plays under its name. To undo: streamd users relist NAME
    """
    _list_channel(name, False, reason, as_json, load(config_file, data_dir))


@users_group.command("relist")
@click.argument("name", type=User())
@click.option("--reason", default="", help="Why, for the audit log.")
@json_option
@config_options
def relist_user(name: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Put the channel NAME into the public list again."""
    _list_channel(name, True, reason, as_json, load(config_file, data_dir))


def _list_channel(name: str, listed: bool, reason: str, as_json: bool, config: Config) -> None:
    user = on_keys(config, Need.CHANGE, lambda desk: desk.list_channel(name, listed=listed, reason=reason))
    if as_json:
        print_json(user)
    elif not listed:
        click.echo(f"Channel {name} is in no list. It still plays under its name.")
    elif config.http.list:
        click.echo(f"Channel {name} is listed while it is live.")
    else:
        click.echo(f"Channel {name} may be listed; this server has no list ([http] list = false).")


@users_group.command("limit")
@click.argument("name", type=User())
@click.option(
    "--bitrate-kbps-max",
    type=click.IntRange(min=0),
    metavar="N",
    help="Kilobits a second, audio and video, over five seconds; 0: as everybody. Allow a third more than the encoder "
    "is set to: one that catches up after a bad moment sends more.",
)
@click.option(
    "--picture-pixels-max",
    type=click.IntRange(min=0),
    metavar="N",
    help="Width times height of a picture (2088960 lets 1080p through, however it is padded); 0: as everybody.",
)
@click.option("--reason", default="", help="Why, for the audit log.")
@json_option
@config_options
def limit_user(
    name: str,
    bitrate_kbps_max: int | None,
    picture_pixels_max: int | None,
    reason: str,
    as_json: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Say what the user NAME may send, where it is not what [limits] of the configuration allows everybody.

    A limit that is not given stays. A stream that sends more ends and says why, also one that runs already; larger
    pictures are noticed when an encoder starts.
    """
    given = {"bitrate_kbps_max": bitrate_kbps_max, "picture_pixels_max": picture_pixels_max}
    change = {key: value or None for key, value in given.items() if value is not None}
    if not change:
        raise click.UsageError("say --bitrate-kbps-max, --picture-pixels-max, or both")
    reason = checked_reason(reason)
    user = on_keys(load(config_file, data_dir), Need.CHANGE, lambda desk: desk.limit_user(name, change, reason=reason))
    if as_json:
        print_json(user)
        return
    bitrate, pixels = user.limits.bitrate_kbps_max, user.limits.picture_pixels_max
    click.echo(
        f"User {name} may send {f'{bitrate} kb/s' if bitrate else 'as many kb/s as everybody'} and pictures of "
        f"{f'{pixels} pixels' if pixels else 'any size that everybody may'}."
    )

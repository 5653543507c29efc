"""``streamd users``: who may broadcast at all."""

from __future__ import annotations

from pathlib import Path

import click

from streamd.cli.arguments import User, config_options, json_option, load
from streamd.cli.ask import on_keys
from streamd.cli.output import format_time, print_json, print_table
from streamd.keys.records import UserState


@click.group("users")
def users_group() -> None:
    """List, suspend and restore users.

    Asks the server that runs on the data directory; where none runs, works on the key database.
    """


@users_group.command("list")
@click.option("--state", type=click.Choice([state.value for state in UserState]), help="Only users in this state.")
@json_option
@config_options
def list_users(state: str | None, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """List users. Each has the channel of that name; issuing a key makes a user."""
    wanted = None if state is None else UserState(state)
    found = on_keys(load(config_file, data_dir), lambda desk: desk.list_users(wanted))
    if as_json:
        print_json(found)
        return
    print_table(
        ("name", "state", "created", "suspended", "reason"),
        [
            (user.name, user.state, format_time(user.created_at), format_time(user.suspended_at), user.suspend_reason)
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
    user = on_keys(config, lambda desk: desk.change_user(name, UserState.SUSPENDED, reason=reason))
    if as_json:
        print_json(user)
        return
    click.echo(
        f"User {name} is suspended since {format_time(user.suspended_at)}. To undo: streamd users restore {name}"
    )


@users_group.command("restore")
@click.argument("name", type=User())
@click.option("--reason", default="", help="Why, for the audit log.")
@json_option
@config_options
def restore_user(name: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """End the suspension of the user NAME. Their keys work again, but for those that were revoked or expired."""
    config = load(config_file, data_dir)
    user = on_keys(config, lambda desk: desk.change_user(name, UserState.ACTIVE, reason=reason))
    if as_json:
        print_json(user)
        return
    click.echo(f"User {name} may broadcast.")

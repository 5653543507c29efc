"""``streamd operators``: the people who act through the admin API and the console, with names and roles."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from streamd.clock import SystemClock
from streamd.process.account import TOKEN_VARIABLE
from streamd.process.cli.arguments import Duration, config_options, json_option, load
from streamd.process.cli.ask import on_keys
from streamd.process.cli.need import Need
from streamd.process.cli.offering import offer_operators
from streamd.process.cli.output import format_time, print_json, print_table, say
from streamd.services.keys.request import checked_reason
from streamd.services.operators.records import OPERATOR_NAME
from streamd.services.operators.roles import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamd.doors.web.models.operators import NewOperator, Operator
    from streamd.process.operator_desk import OperatorDesk

_Result = TypeVar("_Result")

ROLES_HELP = """\
\b
Roles:
  admin      all, and the operators
  operator   keys, users and streams
  moderator  takes down what is shown: streams, recordings; no keys
  auditor    reads
"""


class OperatorName(click.ParamType[str]):
    """The name of an operator."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read it."""
        if not OPERATOR_NAME.fullmatch(value):
            self.fail("2 to 64 small letters, digits, '-' and '_', beginning with a letter or digit", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Offer the operators that there are."""
        del param
        return offer_operators(ctx, incomplete)


_ROLE = click.Choice([role.value for role in Role])
_reason_option = click.option("--reason", default="", help="Why, for the audit log.")


@click.group("operators")
def operators_group() -> None:
    """Add, list, change and revoke operators: people with names, roles and tokens of their own.

    The holder of the configuration's admin token is root and needs no entry here. Asks the server that runs on the
    data directory; where none runs, works on the key database.
    """


@operators_group.command("add", epilog=ROLES_HELP)
@click.argument("name", type=OperatorName())
@click.option("--role", type=_ROLE, required=True, help="What they may do.")
@click.option("--expires", type=Duration(), help="How long the token works, for example 90d. Without: for ever.")
@json_option
@config_options
def add_operator(
    name: str,
    role: str,
    expires: timedelta | None,
    as_json: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Add the operator NAME, and print their token; it is never shown again."""
    expires_at = None if expires is None else _end_of(expires)
    new = _ask(config_file, data_dir, Need.MAKE, lambda desk: desk.add(name, Role(role), expires_at=expires_at))
    _print_token(new, as_json)


@operators_group.command("list")
@json_option
@config_options
def list_operators(as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """List operators; their tokens are not kept anywhere."""
    found = _ask(config_file, data_dir, Need.READ, lambda desk: desk.everybody())
    if as_json:
        print_json(found)
        return
    print_table(
        ("name", "role", "state", "code", "added", "expires", "last used", "revoked", "reason"),
        [
            (
                each.name,
                each.role,
                each.state,
                "yes" if each.totp else "no",
                format_time(each.created_at),
                format_time(each.expires_at, none="never"),
                format_time(each.last_used_at, none="never"),
                format_time(each.revoked_at),
                each.revoke_reason,
            )
            for each in found
        ],
        nothing="There are no operators but root. Add one: streamd operators add NAME --role ROLE",
    )


@operators_group.command("rotate")
@click.argument("name", type=OperatorName())
@json_option
@config_options
def rotate_operator(name: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Give the operator NAME another token, and print it. The old one and its sessions are dead at once."""
    _print_token(_ask(config_file, data_dir, Need.CHANGE, lambda desk: desk.rotate(name)), as_json)


@operators_group.command("revoke")
@click.argument("name", type=OperatorName())
@_reason_option
@json_option
@config_options
def revoke_operator(name: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Kill the token of the operator NAME, and end their sessions.

    When the command returns, nothing of theirs is open. To take them back: streamd operators add NAME --role ROLE
    """
    reason = checked_reason(reason)
    revocation = _ask(config_file, data_dir, Need.CHANGE, lambda desk: desk.revoke(name, reason=reason))
    if revocation.unwritten:
        say(revocation.unwritten)
    if as_json:
        print_json(revocation)
        return
    click.echo(f"The token of {name} is revoked since {format_time(revocation.revoked_at)}.")


@operators_group.command("role", epilog=ROLES_HELP)
@click.argument("name", type=OperatorName())
@click.argument("role", type=_ROLE)
@_reason_option
@json_option
@config_options
def change_role(
    name: str, role: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    """Make the operator NAME a ROLE, from their next request on."""
    reason = checked_reason(reason)
    changed = _ask(config_file, data_dir, Need.CHANGE, lambda desk: desk.change_role(name, Role(role), reason=reason))
    _print_changed(changed, f"{name} is {role}.", as_json)


@operators_group.command("expire")
@click.argument("name", type=OperatorName())
@click.option("--in", "lifetime", type=Duration(), help="How long the token works from now on, for example 90d.")
@click.option("--never", is_flag=True, help="It works until it is revoked.")
@_reason_option
@json_option
@config_options
def change_end(
    name: str,
    lifetime: timedelta | None,
    never: bool,
    reason: str,
    as_json: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Say when the token of the operator NAME stops to work; one that has expired works again."""
    if (lifetime is None) is not never:
        raise click.UsageError("say --in or --never")
    reason, expires_at = checked_reason(reason), None if lifetime is None else _end_of(lifetime)
    changed = _ask(config_file, data_dir, Need.CHANGE, lambda desk: desk.change_end(name, expires_at, reason=reason))
    _print_changed(changed, f"The token of {name} expires: {format_time(changed.expires_at, none='never')}.", as_json)


@operators_group.command("reset-code")
@click.argument("name", type=OperatorName())
@_reason_option
@json_option
@config_options
def remove_totp(name: str, reason: str, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Ask the operator NAME for no more codes at sign-in, when their telephone is lost. They can set one up anew."""
    reason = checked_reason(reason)
    changed = _ask(config_file, data_dir, Need.CHANGE, lambda desk: desk.remove_totp(name, reason=reason))
    _print_changed(changed, f"{name} signs in by the token alone.", as_json)


@operators_group.command("delete")
@click.argument("name", type=OperatorName())
@_reason_option
@click.confirmation_option(prompt="Delete the operator for good?", help="Do not ask.")
@config_options
def delete_operator(name: str, reason: str, config_file: Path | None, data_dir: Path | None) -> None:
    """Revoke the token of the operator NAME, and delete what is kept of them. Their acts stay in the audit log."""
    reason = checked_reason(reason)
    _ask(config_file, data_dir, Need.CHANGE, lambda desk: desk.delete(name, reason=reason))
    click.echo(f"Operator {name} is deleted.")


def _ask(
    config_file: Path | None, data_dir: Path | None, need: Need, ask: Callable[[OperatorDesk], Awaitable[_Result]]
) -> _Result:
    return on_keys(load(config_file, data_dir), need, lambda desk: ask(desk.operators))


def _end_of(lifetime: timedelta) -> datetime:
    if not lifetime:
        raise click.BadParameter("a token that lives for no time is of no use; write 1h or more")
    try:
        return SystemClock().now() + lifetime
    except OverflowError:
        raise click.BadParameter("that is beyond the calendar; leave it out for a token that does not end") from None


def _print_token(new: NewOperator, as_json: bool) -> None:
    if as_json:
        print_json(new)
        return
    expiry = "" if new.expires_at is None else f", until {format_time(new.expires_at)}"
    click.echo(
        f"A token for {new.name}, {new.role}{expiry}. It is shown this once.\n\n"
        f"  {new.token}\n\n"
        f"They sign in to the console with it, and have commands act in their name with {TOKEN_VARIABLE} in the "
        f"environment. To take it back: streamd operators revoke {new.name}"
    )


def _print_changed(operator: Operator, said: str, as_json: bool) -> None:
    if as_json:
        print_json(operator)
    else:
        click.echo(said)

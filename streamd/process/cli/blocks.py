"""``streamd blocks``: blocks of publishing and of viewing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import click

from streamd.clock import SystemClock
from streamd.errors import StreamdError
from streamd.process.cli.arguments import Duration, config_options, json_option, load
from streamd.process.cli.ask import on_server
from streamd.process.cli.output import format_time, print_closed, print_json, print_table, say
from streamd.process.remote_moderation import RemoteModeration
from streamd.services.moderation.acts.block import BlockKind, BlockScope
from streamd.services.moderation.acts.block_import import LIST_BYTES_MAX

_KIND = click.Choice([each.value for each in BlockKind])
_SCOPE = click.Choice([each.value for each in BlockScope])


@click.group("blocks")
def blocks_group() -> None:
    """Block channels, users, keys, networks, countries and pictures.

    Asks the server that runs on the data directory.
    """


@blocks_group.command("add")
@click.argument("kind", type=_KIND)
@click.argument("value")
@click.option("--scope", type=_SCOPE, default="publish", show_default=True, help="What may not be done.")
@click.option("--country", "countries", multiple=True, help="Where a channel is not shown, such as DE.")
@click.option("--for", "lasts", type=Duration(), help="How long it holds; for good without.")
@click.option("--order", default="", help="The order that it follows.")
@click.option("--reason", default="", help="Why: for the audit log, and for the broadcaster of a channel.")
@click.option("--yes-all", is_flag=True, help="A network may be as wide as the world.")
@json_option
@config_options
def add_block(
    kind: str,
    value: str,
    scope: str,
    countries: tuple[str, ...],
    lasts: timedelta | None,
    order: str,
    reason: str,
    yes_all: bool,
    as_json: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Block VALUE, a KIND of thing. When the command returns, what is live of it is dark."""
    until = None if lasts is None else (SystemClock().now() + lasts).isoformat()
    body: dict[str, Any] = {"kind": kind, "value": value, "scope": scope, "countries": list(countries), "until": until}
    body |= {"order": order, "reason": reason, "yes_all": yes_all}
    done = on_server(load(config_file, data_dir), lambda server: RemoteModeration(server).add_block(body))
    if done.unwritten:
        say(done.unwritten)
    if as_json:
        print_json(done)
        return
    print_closed(done.closed)
    where = f" in {', '.join(done.countries)}" if done.countries else ""
    click.echo(f"{done.kind.value} {done.value} is blocked at {done.scope.value}{where} ({done.id}).")


@blocks_group.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--dry-run", is_flag=True, help="Say what would become of it, and take nothing.")
@click.option("--order", default="", help="The order that all lines follow that name none.")
@click.option("--reason", default="", help="Why, likewise.")
@click.option("--yes-all", is_flag=True, help="A network may be as wide as the world.")
@json_option
@config_options
def import_blocks(
    file: BinaryIO,
    dry_run: bool,
    order: str,
    reason: str,
    yes_all: bool,
    as_json: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Take the list FILE, all or none: names of channels, CSV or JSON lines.

    Columns are kind, value, scope, countries, until, order and reason. What is live among them is dark when the
    command returns.
    """
    data = file.read(LIST_BYTES_MAX + 1)
    if len(data) > LIST_BYTES_MAX:
        raise StreamdError(f"the list is longer than {LIST_BYTES_MAX:,} bytes: take it in parts")
    media_type = "application/x-ndjson" if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b'"') else "text/csv"
    done = on_server(
        load(config_file, data_dir),
        lambda server: RemoteModeration(server).import_blocks(
            data, media_type, dry_run=dry_run, yes_all=yes_all, order=order, reason=reason
        ),
    )
    for fault in done.faults:
        say(fault)
    if done.unwritten:
        say(done.unwritten)
    if as_json:
        print_json(done)
    elif dry_run:
        click.echo(f"{done.added} would be blocked, {done.known} are already; {len(done.live)} of them are live.")
    else:
        click.echo(f"{done.added} are blocked, {done.known} were already; {done.closed} streams were closed.")
    if done.faulty:
        raise StreamdError(f"{done.faulty} lines have a fault: with one, nothing is taken")


@blocks_group.command("list")
@click.option("--kind", type=_KIND, default=None, help="Only of this kind.")
@click.option("--scope", type=_SCOPE, default=None, help="Only with this scope.")
@click.option("--search", default="", help="Only those that have this in their value, order or reason.")
@json_option
@config_options
def list_blocks(
    kind: str | None,
    scope: str | None,
    search: str,
    as_json: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """List blocks that hold, the newest first."""
    found = on_server(
        load(config_file, data_dir),
        lambda server: RemoteModeration(server).list_blocks(kind=kind or "", scope=scope or "", search=search),
    )
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "kind", "value", "scope", "countries", "until", "order", "reason"),
        [
            (
                each.id,
                each.kind.value,
                each.value,
                each.scope.value,
                " ".join(each.countries),
                format_time(each.until),
                each.order,
                each.reason,
            )
            for each in found
        ],
        nothing="Nothing is blocked.",
    )


@blocks_group.command("remove")
@click.argument("block_id", metavar="ID")
@click.option("--reason", default="", help="Why, for the audit log.")
@config_options
def remove_block(block_id: str, reason: str, config_file: Path | None, data_dir: Path | None) -> None:
    """End the block of this id."""
    config = load(config_file, data_dir)
    done = on_server(config, lambda server: RemoteModeration(server).remove_block(block_id, reason=reason))
    click.echo(f"{done.kind.value} {done.value} is blocked at {done.scope.value} no more by {done.id}.")

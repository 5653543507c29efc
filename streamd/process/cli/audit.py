"""``streamd audit``: who did what, and whether the log of it is whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from streamd.process.cli.arguments import config_options, json_option, load
from streamd.process.cli.ask import on_keys
from streamd.process.cli.need import Need
from streamd.process.cli.output import format_time, print_json, print_table, say
from streamd.services.keys.request import PAGE_LIMIT_MAX


@click.group("audit", invoke_without_command=True)
@click.option("--limit", type=click.IntRange(1, PAGE_LIMIT_MAX), default=50, show_default=True, help="Rows at most.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Go on after this number of the page before.")
@json_option
@config_options
@click.pass_context
def audit_group(
    ctx: click.Context, limit: int, after: int, as_json: bool, config_file: Path | None, data_dir: Path | None
) -> None:
    """Show who did what to which key, user or stream, and why; the latest first.

    Refused publishes that are alike are one row with a count, written a minute after the first.
    """
    if ctx.invoked_subcommand is not None:
        return
    page = on_keys(load(config_file, data_dir), Need.READ, lambda desk: desk.list_audit(after=after, limit=limit))
    if as_json:
        print_json(page)
        return
    print_table(
        ("number", "when", "who", "from", "what", "user", "key id", "stream", "on", "times", "reason"),
        [
            (
                str(row.sequence),
                format_time(row.at),
                row.actor,
                row.address,
                row.action,
                row.user or "",
                row.key_id or "",
                row.stream or "",
                row.subject or "",
                str(row.count),
                row.reason,
            )
            for row in page.entries
        ],
        nothing="The audit log has no rows." if not after else f"There are no rows before number {after}.",
    )
    if page.next_after is not None:
        say(f"there are older rows: streamd audit --after {page.next_after}")


class Anchor(click.ParamType[tuple[int, bytes]]):
    """A place in the log's chain, as ``audit verify`` and ``audit.anchored`` in the server's log say it."""

    name = "number:hash"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, bytes]:
        """Read it."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", value)
        if match is None:
            self.fail("write the number of a row, a colon, and its hash in 64 hexadecimal digits", param, ctx)
        return int(match[1]), bytes.fromhex(match[2])


@audit_group.command("verify")
@click.option(
    "--anchor",
    "anchors",
    type=Anchor(),
    multiple=True,
    help="A row and its hash, as they were noted before: what was before it has to be as it was. May be repeated.",
)
@json_option
@config_options
@click.pass_context
def verify_audit(
    ctx: click.Context,
    anchors: tuple[tuple[int, bytes], ...],
    as_json: bool,
    config_file: Path | None,
    data_dir: Path | None,
) -> None:
    """Read the whole audit log, and say whether a byte of it was changed, or a row removed or added.

    Reads the database itself, also while a server runs. Rows that were cut off the end together with their trace in
    the database are found by what was noted elsewhere: the server's file in its data directory, which is looked at
    without being asked, its lines "audit.anchored" in the log, and what this command has printed. Exit code 1 where
    something is wrong.
    """
    config = load(config_file, data_dir)
    from streamd.process.cli.audit_verifying import VerdictModel, verify_with
    from streamd.process.cli.verdicts import tell

    verdict = verify_with(config, anchors)
    shown = VerdictModel.of(verdict) if as_json else None
    if tell(
        ctx, verdict, as_json=shown, accusation="the audit log is not as it was written", read=f"{verdict.rows} rows"
    ):
        old = f", {verdict.rows_before_chain} of them older than the chain" if verdict.rows_before_chain else ""
        click.echo(f"The audit log is whole: {verdict.rows} rows{old}.")
        click.echo(f"To prove it later: streamd audit verify --anchor {verdict.end.sequence}:{verdict.end.hash.hex()}")

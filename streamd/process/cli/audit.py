"""``streamd audit``: who did what."""

from __future__ import annotations

from pathlib import Path

import click

from streamd.process.cli.arguments import config_options, json_option, load
from streamd.process.cli.ask import Need, on_keys
from streamd.process.cli.output import format_time, print_json, print_table, say
from streamd.services.keys.request import PAGE_LIMIT_MAX


@click.command("audit")
@click.option("--limit", type=click.IntRange(1, PAGE_LIMIT_MAX), default=50, show_default=True, help="Rows at most.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Go on after this number of the page before.")
@json_option
@config_options
def list_audit(limit: int, after: int, as_json: bool, config_file: Path | None, data_dir: Path | None) -> None:
    """Show who did what to which key, user or stream, and why; the latest first.

    Refused publishes that are alike are one row with a count, written a minute after the first.
    """
    page = on_keys(load(config_file, data_dir), Need.READ, lambda desk: desk.list_audit(after=after, limit=limit))
    if as_json:
        print_json(page)
        return
    print_table(
        ("number", "when", "who", "from", "what", "user", "key id", "stream", "times", "reason"),
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
                str(row.count),
                row.reason,
            )
            for row in page.entries
        ],
        nothing="The audit log has no rows." if not after else f"There are no rows before number {after}.",
    )
    if page.next_after is not None:
        say(f"there are older rows: streamd audit --after {page.next_after}")

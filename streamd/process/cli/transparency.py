"""``streamd transparency``: what the public can count, from the audit log, as files."""

from __future__ import annotations

import asyncio
import json
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from streamd.process.cli.arguments import config_options, load
from streamd.process.config import secrets_of
from streamd.process.log import configure_logging
from streamd.services.moderation.counts.counts import CSV_HEAD, DayCounts
from streamd.services.moderation.counts.dsa_report import dsa_report
from streamd.services.moderation.counts.dsa_statements import dsa_bodies
from streamd.services.moderation.counts.public_counts import recount
from streamd.services.store.database import Database

if TYPE_CHECKING:
    from streamd.process.config import Config

_DAY: Final = click.DateTime(["%Y-%m-%d"])
_JSON, _CSV, _DSA, _REPORT = "json", "csv", "dsa", "report"


@click.command("transparency")
@click.option(
    "--from", "first", type=_DAY, help="The first day (UTC), such as 2026-11-01. Without: the first there is."
)
@click.option("--to", "last", type=_DAY, help="The last day. Without: the last there is.")
@click.option(
    "--format", "form", type=click.Choice([_JSON, _CSV, _DSA, _REPORT]), default=_JSON, show_default=True,
    help="Days as JSON or CSV. dsa: the statements of reasons for the Commission's database, each line the body of one "
    "call with 100 at the most. report: the numbers of the yearly report (Digital Services Act, articles 15 and 24) as "
    "CSV.",
)  # fmt: skip
@config_options
def transparency(
    first: datetime | None, last: datetime | None, form: str, config_file: Path | None, data_dir: Path | None
) -> None:
    """Count reports, takedowns, orders and appeals anew, from the audit log alone.

    Reads the database itself, also while a server runs. It is what the server shows at /transparency, of as many days
    as the log has.
    """
    if first is not None and last is not None and first > last:
        raise click.BadParameter("it comes before --from", param_hint="--to")
    days = None if first is None else first.date(), None if last is None else last.date()
    click.echo(asyncio.run(_count(load(config_file, data_dir), *days, form)), nl=False)


async def _count(config: Config, first: date | None, last: date | None, form: str) -> str:
    configure_logging("error", "console", secrets=secrets_of(config))
    database = Database(config.database_url, is_reading=True)
    try:
        await database.start()
        if form == _REPORT:
            return (await dsa_report(database, first, last)).text()
        if form == _DSA:
            return "".join([json.dumps(body) + "\n" async for body in dsa_bodies(database, first, last)])
        days = await recount(database, first, last)
    finally:
        await database.close()
    if form == _CSV:
        return CSV_HEAD + "".join(counts.csv_lines(day) for day, counts in days.items())
    total = DayCounts()
    for counts in days.values():
        total.merge(counts)
    shown = {
        "from": str(first) if first is not None else next(iter(days), None),
        "to": str(last) if last is not None else next(reversed(days), None),
        "total": total.shown(),
        "days": [{"date": day, **counts.shown()} for day, counts in days.items()],
    }
    return json.dumps(shown, indent=2) + "\n"

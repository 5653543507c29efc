"""What do the public counts cost a server whose audit log has a million rows, and do they hold up its loop?

Method: a log of rows that all count, spread over a year, in SQLite on the disk and in PostgreSQL on loopback. A clock
in the same loop looks every millisecond how late it is, and how much the loop has computed meanwhile. Told are the time
and the longest of both while the log is counted for the first time, while a server that has counted begins again, and
while the CSV of a month and of a year and the JSON of a day are asked for, each for the first time behind a change.

Left out: a server that serves media meanwhile.

    python -m bench.counts [--rows 1000000] [--postgresql]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import insert, update

from bench.figures import report
from streamd.clock import ManualClock
from streamd.doors.web.assets import StaticFiles
from streamd.doors.web.public.transparency import Contacts, TransparencyRoutes
from streamd.process.run import GC_THRESHOLDS
from streamd.services.keys.key_store import KeyStore
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.categories import Category
from streamd.services.moderation.counts.counts import ACTS
from streamd.services.moderation.counts.public_counts import PublicCounts
from streamd.services.store.schema import audit, audit_chain
from tests.support.postgresql import create_database, run_postgresql
from tests.support.stores import migrate, migrated_sqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAYS = 366
AT_ONCE = 20_000
TICK_S = 0.001


class Lag:
    """How late the loop was, and how much of that it computed: the rest is others' use of the machine."""

    def __init__(self) -> None:
        self.worst_s = self.worst_cpu_s = 0.0

    def forget(self) -> None:
        """Begin anew."""
        self.worst_s = self.worst_cpu_s = 0.0

    async def watch(self) -> None:
        """Look until it is cancelled."""
        while True:
            due, cpu_s = time.monotonic() + TICK_S, time.thread_time()
            await asyncio.sleep(TICK_S)
            self.worst_s = max(self.worst_s, time.monotonic() - due)
            self.worst_cpu_s = max(self.worst_cpu_s, time.thread_time() - cpu_s)


def main() -> None:
    """Measure on one database or both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--postgresql", action="store_true", help="that as well")
    arguments = parser.parse_args()
    # As the server has it.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure("SQLite", migrated_sqlite(Path(directory, "streamd.db")), arguments.rows))
    if arguments.postgresql:
        with run_postgresql() as server:
            asyncio.run(on_postgresql(server.url, arguments.rows))


async def on_postgresql(server: str, rows: int) -> None:
    """Measure on a database of its own there."""
    url = await create_database(server)
    await migrate(url)
    await measure("PostgreSQL", url, rows)


async def measure(name: str, url: str, rows: int) -> None:
    """Fill a log, count it, and ask."""
    store = KeyStore(url)
    await store.start()
    await fill(store, rows)
    lag = Lag()
    watching = asyncio.create_task(lag.watch())
    clock = ManualClock(NOW)

    @contextlib.asynccontextmanager
    async def told(what: str) -> AsyncIterator[None]:
        lag.forget()
        began = time.monotonic()
        yield
        took_s = time.monotonic() - began
        await asyncio.sleep(2 * TICK_S)
        load = round(os.getloadavg()[0], 1)
        held: dict[str, float] = {
            "loop_ms": round(lag.worst_s * 1000, 1),
            "loop_cpu_ms": round(lag.worst_cpu_s * 1000, 1),
        }
        report("counts", f"{name}: {what}", [took_s], "s", rows=rows, load=load, **held)

    counts = PublicCounts(store.database, clock)
    async with told("the first count"):
        await counts.catch_up()
    again = PublicCounts(store.database, clock)
    async with told("a server that begins again"):
        await again.catch_up()
    app = web.Application()
    TransparencyRoutes(StaticFiles(), Contacts, again).add_to(app)
    async with TestClient(TestServer(app)) as client:
        for what, path in (
            ("CSV of a month", "/transparency.csv?from=2026-11-01&to=2026-11-30"),
            ("the same again", "/transparency.csv?from=2026-11-01&to=2026-11-30"),
            ("JSON of a day", "/transparency/2026-11-29.json"),
            ("the page", "/transparency"),
            ("CSV of a year", "/transparency.csv?from=2025-12-01&to=2026-11-30"),
        ):
            async with told(what), client.get(path) as response:
                assert response.status == 200
                await response.read()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await store.close()


async def fill(store: KeyStore, rows: int) -> None:
    """Write rows that count, without the hashes of the chain, which no count reads."""
    actions, categories = itertools.cycle(ACTS), itertools.cycle(Category)
    countries = itertools.cycle(((), ("DE",), ("FR", "AT"), ()))
    for start in range(0, rows, AT_ONCE):
        values = [
            {
                "at": NOW - timedelta(days=DAYS * (1 - (start + number) / rows)),
                "actor": "mo",
                "address": "",
                "action": next(actions),
                "reason": ActDetails(
                    next(categories).value, "SOURCE_ARTICLE_16", next(countries), seconds=(start + number) % 90_000
                ).text("words"),
            }
            for number in range(min(AT_ONCE, rows - start))
        ]
        async with store.database.writing() as connection:
            await connection.execute(insert(audit), values)
    async with store.database.writing() as connection:
        await connection.execute(update(audit_chain).values(end_sequence=rows))


if __name__ == "__main__":
    main()

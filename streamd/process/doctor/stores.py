"""The key database, and the player that the pages need."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from streamd.process.config import masked_url
from streamd.process.doctor.check_result import CheckResult, failed, ok
from streamd.services.store.failures import explain

ANSWER_TIMEOUT_S = 5.0


def check_database(database_url: str) -> CheckResult:
    """Read from the database, without making or changing it."""
    check = "keys.database_url"
    url = make_url(database_url)
    where = url.database if url.get_backend_name() == "sqlite" else masked_url(database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return ok(check, f"{where} will be made at the first start")
    try:
        if url.get_backend_name() == "sqlite":
            _read_sqlite(url.database or "")
        else:
            asyncio.run(_ask(database_url))
    except Exception as exc:  # noqa: BLE001  # whatever a driver raises is the finding
        return failed(check, f"{where} {explain(exc)}", "see that it runs, that its address and password are right")
    return ok(check, f"{where} answers")


def _read_sqlite(path: str) -> None:
    with contextlib.closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True)) as connection:
        ((answer,),) = connection.execute("PRAGMA quick_check(1)")
    if answer != "ok":
        raise sqlite3.DatabaseError("malformed")


async def _ask(database_url: str) -> None:
    engine = create_async_engine(database_url, hide_parameters=True)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S), engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    finally:
        await engine.dispose()

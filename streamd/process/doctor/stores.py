"""The key database: can it be read, and by this version?"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

from sqlalchemy.engine import make_url

from streamd.errors import StoreUnavailableError
from streamd.process.config import masked_url
from streamd.process.doctor.check_result import CheckResult, failed, ok
from streamd.services.store.database import Database
from streamd.services.store.failures import explain
from streamd.services.store.migrations import SchemaStanding
from streamd.services.store.sqlite import blame, reading_uri

_SQLITE_ADVICE = "restore a backup of the file, or move it away to begin anew"
_POSTGRESQL_ADVICE = "see that it runs, that its address and password are right"


def check_database(database_url: str) -> CheckResult:
    """Read from the database, without making or changing it."""
    check, url = "keys.database_url", make_url(database_url)
    is_sqlite, path = url.get_backend_name() == "sqlite", Path(url.database or "")
    where = str(path) if is_sqlite else masked_url(database_url)
    advice = _SQLITE_ADVICE if is_sqlite else _POSTGRESQL_ADVICE
    try:
        if is_sqlite and not path.exists():
            return ok(check, f"{where} will be made at the first start")
        if is_sqlite:
            _read_sqlite(path)
        standing = asyncio.run(_look(database_url))
    except StoreUnavailableError as exc:
        if "newer" in str(exc):
            advice = "run that version, or restore a backup that was made before the upgrade"
        return failed(check, str(exc), advice)
    except Exception as exc:  # noqa: BLE001  # whatever a driver raises is the finding
        if is_sqlite and (blamed := blame(path)):
            return failed(check, f"{where} cannot be used", blamed)
        return failed(check, f"{where} {explain(exc)}", advice)
    match standing:
        case SchemaStanding.OLDER:
            return ok(check, f"{where} answers; its schema is an older one, which the next start brings up to date")
        case SchemaStanding.EMPTY:
            return ok(check, f"{where} answers; its tables will be made at the first start")
        case SchemaStanding.OURS:
            return ok(check, f"{where} answers")


def _read_sqlite(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(reading_uri(path), uri=True)) as connection:
        ((answer,),) = connection.execute("PRAGMA quick_check(1)")
    if answer != "ok":
        raise sqlite3.DatabaseError("malformed")


async def _look(database_url: str) -> SchemaStanding:
    database = Database(database_url, is_reading=True)
    try:
        return await database.look()
    finally:
        await database.close()

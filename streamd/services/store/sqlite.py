"""SQLite as the key store: durable, safe with a second process, and never blocking the loop.

Spec: https://sqlite.org/wal.html, https://sqlite.org/lang_transaction.html.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from streamd.services.whole_file import make_file

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

# How long a statement waits for another process (the command line, a backup) that holds the write lock. Ours hold it
# for one small transaction, so only a stuck process makes us wait five seconds.
BUSY_TIMEOUT_MS = 5_000
# The other's change of the journal mode takes some milliseconds.
WAL_RETRY_S = 0.005
WAL_TRIES_MAX = 200
# Reads run beside each other; each connection is a thread. Writes take turns (database.py), and have a connection of
# their own: a revocation must not wait for the look-ups of publishers.
READERS_MAX = 3
WRITERS_MAX = 1
# Execution option of a transaction that will write.
WRITES = "streamd_writes"


def create_sqlite_engine(url: URL, connections_max: int) -> AsyncEngine:
    """An engine on a database file, which is made when first connected to.

    Args:
        url: ``sqlite+aiosqlite:///path``.
        connections_max: Statements at once; the others wait, for ``BUSY_TIMEOUT_MS``.
    """
    engine = create_async_engine(
        url,
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=BUSY_TIMEOUT_MS / 1000,
        # The error of a value that cannot be stored must not quote the value.
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000},
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def create_reading_engine(url: URL, connections_max: int) -> AsyncEngine:
    """An engine on a database file that is there, through which nothing is written, made or left behind.

    Args:
        url: ``sqlite+aiosqlite:///path``.
        connections_max: Statements at once.
    """
    engine = create_async_engine(
        url.set(database=reading_uri(Path(url.database or "")), query={"uri": "true"}),
        pool_size=connections_max,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000},
    )
    event.listen(engine.sync_engine, "connect", _distrust)
    return engine


def reading_uri(path: Path) -> str:
    """The file as SQLite's URI, for a connection that leaves it as it is.

    A reader of a WAL database makes a -wal and a -shm file, and may not take them away. Where no other program has it
    open there is no -wal file, and it can be read as one that does not change (uri.html, "immutable").
    """
    wal = path.with_name(f"{path.name}-wal")
    return f"{path.absolute().as_uri()}?mode=ro" + ("" if wal.exists() else "&immutable=1")


def blame(path: Path) -> str | None:
    """Which file of a database this user may not use, and what to do; None where that is not the fault."""
    user = _user_name(os.geteuid())
    for file in (path.parent, path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
        try:
            if not file.exists() or os.access(file, os.R_OK | os.W_OK):
                continue
            if os.statvfs(file).f_flag & os.ST_RDONLY:
                return f"{file} is on a disk that is mounted read-only: mount it for writing, or take another data_dir"
            owner = _user_name(file.stat().st_uid)
        except PermissionError:
            return f"user {user} may not enter {path.parent}"
        return f"{file} belongs to {owner}, and user {user} may not write to it: chown {user} {file}"
    return None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def probe(url: URL) -> None:
    """Make the file a WAL database if it is new, once, without the driver's thread; blocks as long as the disk does.

    A connection that aiosqlite fails to open ends its thread only after it has raised the failure, which is too late
    where the program ends because of it.

    Raises:
        sqlite3.Error: It cannot be opened, or is not a database.
    """
    with contextlib.suppress(OSError):  # sqlite3.connect says it better
        # For nobody but us: addresses of publishers are in it. SQLite gives its -wal file the same mode and owner.
        make_file(Path(url.database or ""))
    with contextlib.closing(sqlite3.connect(url.database or "", timeout=BUSY_TIMEOUT_MS / 1000)) as connection:
        tries_left, pause = WAL_TRIES_MAX, threading.Event()
        while True:
            try:
                # The mode lasts: later connections find it in the file, and only read it.
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as exc:
                # Two processes that change a new file at once would wait for each other for ever, so SQLite refuses one
                # of them at once, without its timeout (sqlite3_busy_handler: "avoids a deadlock").
                tries_left -= 1
                if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or tries_left == 0:
                    raise
                pause.wait(WAL_RETRY_S)
            else:
                return


def _prepare(connection: Any, _record: object) -> None:
    # The driver's own way to begin transactions starts them late and never for DDL; ours is _begin.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode = WAL")
        # WAL, "Performance Considerations": with NORMAL "transactions are … not durable" across a power
        # loss. A revocation must be, so every commit is synced.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        # A database file may come from elsewhere: no trigger or view in it may call a function that could do harm.
        cursor.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        # This connection is in no pool yet, and its thread must end.
        connection.close()
        raise
    cursor.close()


def _distrust(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        connection.close()
        raise
    cursor.close()


def _begin(connection: Connection) -> None:
    # lang_transaction: a DEFERRED transaction that reads first and then writes may fail with
    # SQLITE_BUSY however long it is willing to wait; IMMEDIATE takes the write lock at the start.
    # A read is one statement and so its own snapshot: it needs no transaction around it.
    if connection.get_execution_options().get(WRITES, False):
        connection.exec_driver_sql("BEGIN IMMEDIATE")

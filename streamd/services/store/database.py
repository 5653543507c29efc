"""The database of the key store: SQLite or PostgreSQL, by URL.

It bounds reads and writes at once, hides the differences between the two, and names their failures: every failure of a
database is ``StoreUnavailableError``, in one line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Table
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.dml import Insert

from streamd.errors import StoreUnavailableError
from streamd.services.store import postgres, sqlite
from streamd.services.store.failures import FILE_FAULTS, explain
from streamd.services.store.migrations import SchemaStanding, migrate, schema_standing
from streamd.services.store.postgres import connect_errors, create_postgres_engine
from streamd.services.store.sqlite import WRITES, blame, create_reading_engine, create_sqlite_engine, probe

_Result = TypeVar("_Result")

# Reads under way, those of callers who have left included: about 10 kB each. Strangers have 256 at once (look_ups.py),
# which go on for a few seconds after their callers stop waiting; the rest is for keys that are known to be good.
READS_MAX = 2048


class Database:
    """Connections to one database, whose schema is ours.

    Args:
        url: ``sqlite+aiosqlite:///path`` or ``postgresql+asyncpg://…``.
        is_reading: Nothing is written or made, and the schema is left as it is.

    Raises:
        StoreUnavailableError: The URL names a database that we do not know, or whose driver is missing.
    """

    def __init__(self, url: str, *, is_reading: bool = False) -> None:
        try:
            self._url = make_url(url)
        except ArgumentError:
            # The URL may hold a password: it is not quoted.
            raise StoreUnavailableError("the key store's database_url is not a URL") from None
        self._turn: contextlib.AbstractAsyncContextManager[object]
        self._driver_errors: tuple[type[Exception], ...] = (DBAPIError, PoolTimeoutError, OSError, sqlite3.Error)
        self._is_reading = is_reading
        engine: AsyncEngine
        writer: AsyncEngine
        match self._url.drivername:
            case "sqlite+aiosqlite":
                # A URL with a query opens the file in a way of its own.
                reads = create_reading_engine if is_reading and not self._url.query else create_sqlite_engine
                engine = reads(self._url, sqlite.READERS_MAX)
                writer = create_sqlite_engine(self._url, sqlite.WRITERS_MAX)
                self._reader = engine
                # SQLite has one writer at a time. Waiting for our own turn here is fair and wakes at
                # once; waiting inside SQLite is polling, with pauses of up to 100 ms.
                self._turn = asyncio.Lock()
            case "postgresql+asyncpg":
                engine = create_postgres_engine(self._url, postgres.READERS_MAX)
                writer = create_postgres_engine(self._url, postgres.WRITERS_MAX)
                # One statement is its own transaction: saves BEGIN and ROLLBACK, two round trips.
                self._reader = engine.execution_options(isolation_level="AUTOCOMMIT")
                self._turn = contextlib.nullcontext()
                self._driver_errors += connect_errors()
            case other:
                raise StoreUnavailableError(
                    f"the key store cannot be kept in {other}: "
                    "write sqlite+aiosqlite:///path or postgresql+asyncpg://user:password@host/database"
                )
        self.writes = 0
        """Transactions of this process that have written, so far."""
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self._reads: set[asyncio.Task[Any]] = set()
        self._scanner = engine
        self._writer = writer.execution_options(**{WRITES: True})

    @property
    def location(self) -> str:
        """Its place, for people: a path, or a URL without its password and its query, which may hold a password."""
        if self.is_sqlite:
            return self._url.database or ":memory:"
        return self._url.set(query={}).render_as_string(hide_password=True)

    async def start(self, *, makes: bool = True) -> None:
        """Make the database if it is new, and bring its schema to this version's; to read, only look at that.

        Args:
            makes: A database that is not there or empty is made; without, it is an error.

        Raises:
            StoreUnavailableError: It cannot be reached, read or written, or is newer than we are.
        """
        if self._is_reading or not makes:
            await self._check_standing()
        if self._is_reading:
            return
        # A URL with a query opens the file in a way of its own, which probe does not know.
        if self.is_sqlite and not self._url.query:
            with self._translated():
                await asyncio.to_thread(probe, self._url)
        async with self.writing() as connection:
            await connection.run_sync(migrate)

    async def look(self) -> SchemaStanding:
        """Ask how its schema stands to this version's, and change nothing.

        Raises:
            StoreUnavailableError: It cannot be read, or is newer than we are.
        """
        with self._translated():
            async with self._scanner.connect() as connection:
                return await connection.run_sync(schema_standing)

    async def close(self) -> None:
        """Close every connection, after the reads under way."""
        if self._reads:
            await asyncio.wait(self._reads)
        await self._writer.dispose()
        await self._scanner.dispose()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one statement, which is its own snapshot.

        Raises:
            StoreUnavailableError: It failed.
        """
        with self._translated():
            async with self._reader.connect() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def scanning(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one statement whose rows are taken a slice at a time (``stream``); nothing is written.

        Raises:
            StoreUnavailableError: It failed.
        """
        with self._translated():
            # PostgreSQL keeps a cursor open within a transaction alone.
            async with self._scanner.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the block.

        Raises:
            StoreUnavailableError: It failed; a failed commit may nevertheless have been written.
        """
        with self._translated():
            async with self._turn, self._writer.begin() as connection:
                yield connection
            self.writes += 1

    async def abandonable(self, read: Coroutine[Any, Any, _Result]) -> _Result:
        """Read for a caller who may give up, and who then leaves at once.

        Cancelling a statement does not end it: a locked SQLite keeps its thread for ``BUSY_TIMEOUT_MS``, and SQLAlchemy
        waits for that before the cancellation is through. The read goes on without its caller, who needs an answer in
        time; time-outs bound how long it goes on.

        Raises:
            StoreUnavailableError: It failed, or too many go on already.
        """
        if len(self._reads) >= READS_MAX:
            read.close()
            raise StoreUnavailableError(f"the key store {self.location} has {READS_MAX} reads to answer already")
        task = asyncio.create_task(read)
        self._reads.add(task)
        task.add_done_callback(self._end_read)
        return await asyncio.shield(task)

    # -- where the dialects differ --------------------------------------------------------------

    def insert_new(self, table: Table) -> Insert:
        """An INSERT that leaves existing rows alone."""
        # Both dialects spell ON CONFLICT DO NOTHING alike, and SQLAlchemy has it once for each.
        if self.is_sqlite:
            return sqlite_insert(table).on_conflict_do_nothing()
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table).on_conflict_do_nothing()

    def in_byte_order(self, column: Column[str]) -> ColumnElement[str]:
        """A column of ASCII, to be compared as SQLite and Python do; PostgreSQL has an order for each language."""
        return column if self.is_sqlite else column.collate("C")

    # -- inside ---------------------------------------------------------------------------------

    async def _check_standing(self) -> None:
        """See that there is a database of ours, and one that can be read by this version where no more is wanted."""
        if self.is_sqlite and not self._url.query and not await asyncio.to_thread(os.path.exists, self.location):
            raise StoreUnavailableError(f"there is no key store {self.location}")
        standing = await self.look()
        if standing is SchemaStanding.EMPTY:
            raise StoreUnavailableError(f"the key store {self.location} is empty: no server has used it yet")
        if standing is SchemaStanding.OLDER and self._is_reading:
            raise StoreUnavailableError(
                f"the key store {self.location} was made by an older streamd; the start of a server, or a command that "
                "writes, brings it up to date: back it up first"
            )

    def _end_read(self, read: asyncio.Task[Any]) -> None:
        self._reads.discard(read)
        if not read.cancelled():
            # The error is read, or asyncio would log a traceback for each read whose caller has left: an encoder that
            # hangs up while the store is busy is no news, and thousands of them could fill the disk.
            read.exception()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._driver_errors as exc:
            why = explain(exc)
            if self.is_sqlite and why in FILE_FAULTS and (blamed := blame(Path(self._url.database or ""))):
                why = f"cannot be used: {blamed}"
            raise StoreUnavailableError(f"the key store {self.location} {why}") from exc

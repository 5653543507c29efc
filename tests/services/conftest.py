"""A key store on each database: SQLite always, PostgreSQL as a real server."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from streamd.services.keys.key_store import KeyStore
from tests.support.key_house import FragileStore, KeyHouse
from tests.support.postgresql import run_postgresql

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server: the one that is named, else one started for this session."""
    if named := os.environ.get("STREAMD_TEST_POSTGRESQL_URL"):
        yield named
        return
    with run_postgresql() as server:
        yield server.url


async def _create_database(server: str) -> str:
    name = f"streamd_{os.getpid()}_{next(_numbers)}"
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database that is empty."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'streamd.db'}"
    return asyncio.run(_create_database(request.getfixturevalue("postgresql_server")))


@pytest_asyncio.fixture
async def store(database_url: str) -> AsyncIterator[KeyStore]:
    """A started store on an empty database."""
    store = KeyStore(database_url)
    await store.start()
    yield store
    await store.close()


@pytest_asyncio.fixture
async def fragile(tmp_path: Path) -> AsyncIterator[FragileStore]:
    """A started store on SQLite that can be made to fail."""
    store = FragileStore(f"sqlite+aiosqlite:///{tmp_path / 'streamd.db'}")
    await store.start()
    yield store
    await store.close()


@pytest.fixture
def house(fragile: FragileStore) -> KeyHouse:
    """All that decides over keys, on the store ``fragile``."""
    return KeyHouse(fragile)

"""A key store on each database: SQLite always, PostgreSQL as a real server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import make_url

from streamd.services.keys.key_store import KeyStore
from tests.support.key_house import FragileStore, KeyHouse
from tests.support.postgresql import create_database, run_postgresql
from tests.support.stores import migrate, migrated_sqlite


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server: the one that is named, else one started for this session."""
    if named := os.environ.get("STREAMD_TEST_POSTGRESQL_URL"):
        yield named
        return
    with run_postgresql() as server:
        yield server.url


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    """Name of a database of the newest schema, with nothing in it."""
    url = asyncio.run(create_database(postgresql_server))
    asyncio.run(migrate(url))
    return str(make_url(url).database)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database with nothing in its tables, or under ``empty_database`` without any."""
    is_empty = request.node.get_closest_marker("empty_database") is not None
    if request.param == "sqlite":
        path = tmp_path / "streamd.db"
        return f"sqlite+aiosqlite:///{path}" if is_empty else migrated_sqlite(path)
    server = request.getfixturevalue("postgresql_server")
    if is_empty:
        return asyncio.run(create_database(server))
    return asyncio.run(create_database(server, request.getfixturevalue("postgresql_template")))


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
    store = FragileStore(migrated_sqlite(tmp_path / "streamd.db"))
    await store.start()
    yield store
    await store.close()


@pytest.fixture
def house(fragile: FragileStore) -> KeyHouse:
    """All that decides over keys, on the store ``fragile``."""
    return KeyHouse(fragile)

"""A key store on each database: SQLite always, PostgreSQL as a real server."""

from __future__ import annotations

import asyncio
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from streamd.keys.store import KeyStore

POSTGRESQL_START_TIMEOUT_S = 30
_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a PostgreSQL server: the one that is named, else one started for this session."""
    if named := os.environ.get("STREAMD_TEST_POSTGRESQL_URL"):
        yield named
        return
    programs = [Path(p) for p in (shutil.which("initdb"), *Path("/usr/lib/postgresql").glob("*/bin/initdb")) if p]
    if not programs:
        pytest.skip("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    bin_dir = programs[-1].parent
    # PostgreSQL refuses to run as root; Debian's package makes a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="streamd-pg-"))
    if user is not None:
        os.chown(directory, pwd.getpwnam(user).pw_uid, -1)
    data = directory / "data"
    subprocess.run(
        [str(bin_dir / "initdb"), "-D", str(data), "-A", "trust", "-U", "streamd", "--no-sync"],
        check=True, user=user, capture_output=True, cwd=directory, timeout=POSTGRESQL_START_TIMEOUT_S,
    )  # fmt: skip
    options = f"-c listen_addresses= -c unix_socket_directories={directory} -c fsync=off"
    start = [str(bin_dir / "pg_ctl"), "-D", str(data), "-w", "-l", str(directory / "log"), "-o", options, "start"]
    subprocess.run(
        start, check=True, user=user, stdout=subprocess.DEVNULL, cwd=directory, timeout=POSTGRESQL_START_TIMEOUT_S
    )
    try:
        yield f"postgresql+asyncpg://streamd@/postgres?host={directory}"
    finally:
        stop = [str(bin_dir / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"]
        subprocess.run(stop, check=True, user=user, capture_output=True, cwd=directory)
        shutil.rmtree(directory)


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

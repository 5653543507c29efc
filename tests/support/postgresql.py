"""A PostgreSQL server of a test's own, on a socket in a directory of its own, which can be stopped and started."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count()


class PostgresqlServer:
    """A PostgreSQL server on a data directory.

    Args:
        bin_dir: Where its programs are.
        directory: For its data, socket and log.
        user: Whom to run it as; None for ourselves.
    """

    def __init__(self, bin_dir: Path, directory: Path, user: str | None) -> None:
        self._bin_dir = bin_dir
        self.directory = directory
        self._user = user
        self.url = f"postgresql+asyncpg://streamd@/postgres?host={directory}"

    def make(self) -> None:
        """Make its data directory."""
        self._run("initdb", "-A", "trust", "-U", "streamd", "--no-sync")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.directory} -c fsync=off"
        self._run("pg_ctl", "-w", "-l", str(self.directory / "log"), "-o", options, "start")

    def keep_tables_on(self, disk: Path) -> None:
        """Have what tables are made from now on kept on a disk of their own; its journal stays where it is."""
        place = disk / "tables"
        place.mkdir()
        if self._user is not None:
            os.chown(place, pwd.getpwnam(self._user).pw_uid, -1)
        self.execute(f"CREATE TABLESPACE disk LOCATION '{place}'")
        self.execute("ALTER ROLE streamd SET default_tablespace = disk")

    def execute(self, sql: str) -> None:
        """Have another client say something to it."""
        self._psql(sql).check_returncode()

    @contextlib.contextmanager
    def busy_with(self, sql: str) -> Iterator[None]:
        """Have another client begin a transaction, say something, and sit there for the block."""
        arguments = self._psql_arguments(f"BEGIN; {sql}; SELECT pg_sleep(600)")
        with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
            try:
                yield
            finally:
                client.send_signal(signal.SIGINT)  # psql cancels the statement, and the locks are given back

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Take the processor away from it for the block: connections stay, and nothing is answered."""
        parent = int((self.directory / "data/postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        pids = [parent, *map(int, children)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def _psql(self, sql: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(self._psql_arguments(sql), stdout=subprocess.DEVNULL, timeout=PATIENCE_S, check=False)

    def _psql_arguments(self, sql: str) -> list[str]:
        place = ["-h", str(self.directory), "-U", "streamd", "-d", "postgres"]
        return [str(self._bin_dir / "psql"), *place, "-v", "ON_ERROR_STOP=1", "-c", sql]

    def stop(self) -> None:
        """Stop it as a crash does."""
        self._run("pg_ctl", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._bin_dir / program), "-D", str(self.directory / "data"), *arguments],
            check=True,
            user=self._user,
            stdout=subprocess.DEVNULL,
            cwd=self.directory,
            timeout=PATIENCE_S,
        )


@contextlib.contextmanager
def run_postgresql() -> Iterator[PostgresqlServer]:
    """A started server until the block is left; the test is skipped where PostgreSQL is not installed."""
    programs = [Path(p) for p in (shutil.which("initdb"), *Path("/usr/lib/postgresql").glob("*/bin/initdb")) if p]
    if not programs:
        pytest.skip("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    # PostgreSQL refuses to run as root; Debian's package makes a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    directory = Path(tempfile.mkdtemp(prefix="streamd-pg-"))
    if user is not None:
        os.chown(directory, pwd.getpwnam(user).pw_uid, -1)
    server = PostgresqlServer(programs[-1].parent, directory, user)
    try:
        server.make()
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # a test may have stopped it
                server.stop()
    finally:
        shutil.rmtree(directory)


async def create_database(server: str, template: str = "template1") -> str:
    """Make a database of its own on a server, as a copy of another; return its URL."""
    name = f"streamd_{os.getpid()}_{next(_numbers)}"
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    await engine.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)

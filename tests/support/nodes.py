"""Nodes of a cluster, each a process of its own, with the NATS and the PostgreSQL that they share."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.nats import free_port, run_nats
from tests.support.postgresql import run_postgresql
from tests.support.server import LiveServer, run_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.nats import NatsServer
    from tests.support.postgresql import PostgresqlServer

SECRET = "a-secret-of-the-nodes"
LEASE_S = 3.0


@dataclass
class Cluster:
    """What the nodes share."""

    directory: Path
    nats: NatsServer
    database: PostgresqlServer

    @contextlib.contextmanager
    def node(self, name: str, **settings: object) -> Iterator[LiveServer]:
        """Run a node until the block is left."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        secret = self.directory / "secret"
        secret.write_text(SECRET + "\n")
        port = free_port()
        values: dict[str, object] = {
            "keys__database_url": self.database.url,
            "cluster__nats_url": self.nats.url,
            "cluster__node": name,
            "cluster__listen": f"127.0.0.1:{port}",
            "cluster__advertise": f"http://127.0.0.1:{port}",
            "cluster__secret_file": str(secret),
            "cluster__lease_s": LEASE_S,
        } | settings
        with run_server(directory, **values) as server:
            yield server


@contextlib.contextmanager
def run_cluster(directory: Path) -> Iterator[Cluster]:
    """NATS and PostgreSQL until the block is left."""
    with run_postgresql() as database, run_nats(directory) as nats:
        yield Cluster(directory, nats, database)

"""Databases that have all tables already: to make them takes ten times as long as to copy them."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streamd.services.keys.key_store import KeyStore


def migrated_sqlite(path: Path) -> str:
    """Put a database of the newest schema, with nothing in it, at a path where none is; return its URL."""
    if not path.exists():
        path.write_bytes(_migrated())
    return f"sqlite+aiosqlite:///{path}"


async def migrate(url: str) -> None:
    """Bring a database to the newest schema."""
    store = KeyStore(url)
    await store.start()
    await store.close()


@functools.cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(1) as thread:
        path = Path(directory) / "streamd.db"
        # A test may run in a loop, where another cannot.
        thread.submit(asyncio.run, migrate(f"sqlite+aiosqlite:///{path}")).result()
        return path.read_bytes()

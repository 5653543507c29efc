from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from streamd.services.keys.key_store import KeyStore
from tests.support.stores import migrated_sqlite


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[KeyStore]:
    """A started store on an empty SQLite database."""
    store = KeyStore(migrated_sqlite(tmp_path / "streamd.db"))
    await store.start()
    yield store
    await store.close()

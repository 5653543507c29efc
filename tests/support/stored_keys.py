"""Keys in a store, by number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from streamd.services.audit.records import Actor
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.records import KeyRecord

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ADMIN = Actor("admin", "192.0.2.1")
HASH = bytes(range(32))


def key_id(number: int) -> str:
    return f"{number:010}"


async def add(store: KeyStore, number: int, user: str = "alice", **changes: Any) -> KeyRecord:
    values: dict[str, Any] = {"label": "", "expires_at": None, "now": NOW, "by": ADMIN} | changes
    record, _ = await store.add_key(key_id=key_id(number), secret_hash=HASH, user=user, **values)
    return record

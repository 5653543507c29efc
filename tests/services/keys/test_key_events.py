"""What is told of keys and users while they are issued, rotated, revoked, suspended, and expire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from streamd.clock import ManualClock
from streamd.errors import KeyStateError
from streamd.services.audit.records import Actor
from streamd.services.events.event import Event, EventType, rfc3339
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.records import IssuedKey
from streamd.services.keys.service import KeyService
from streamd.services.keys.sweeper import KeySweeper, SweepOptions
from streamd.services.keys.verifier import KeyVerifier
from tests.support.stores import migrated_sqlite

pytestmark = pytest.mark.asyncio

ADMIN = Actor("admin", "192.0.2.1")
RECHECK_S = SweepOptions().recheck_interval_s


class Desk:
    """A key service and what it told."""

    def __init__(self, store: KeyStore) -> None:
        self.clock = ManualClock()
        self.told: list[Event] = []
        verifier = KeyVerifier(store, self.clock)
        self.keys = KeyService(store, self.clock, verifier, tell=self.told.append)
        self.sweeper = KeySweeper(store, self.clock, verifier, tell=self.told.append)

    async def issue(self, seconds: float | None = None) -> IssuedKey:
        expires_at = None if seconds is None else self.clock.now() + timedelta(seconds=seconds)
        issued = await self.keys.issue("alice", by=ADMIN, label="main", expires_at=expires_at)
        self.clock.advance(1)
        return issued

    def take(self) -> list[tuple[EventType, Any]]:
        """What was told since the last call."""
        told = [(event.type, event.data) for event in self.told]
        self.told.clear()
        return told

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.sweeper.sweep()


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = KeyStore(migrated_sqlite(tmp_path / "streamd.db"))
    await store.start()
    yield Desk(store)
    await store.close()


def about(issued: IssuedKey, **more: object) -> dict[str, object]:
    expires_at = issued.record.expires_at
    return {
        "key_id": issued.record.key_id,
        "user": "alice",
        "label": "main",
        "expires_at": None if expires_at is None else rfc3339(expires_at),
    } | more


class TestKeys:
    async def test_issued(self, desk: Desk) -> None:
        issued = await desk.issue(3600)
        assert desk.take() == [(EventType.KEY_ISSUED, about(issued, by="admin"))]

    async def test_rotated_says_which_key_it_replaces_and_until_when_that_works(self, desk: Desk) -> None:
        old = await desk.issue()
        desk.take()
        new = await desk.keys.rotate(old.record.key_id, by=ADMIN, overlap_s=60)
        until = rfc3339(desk.clock.now() + timedelta(seconds=60))
        data = about(new, by="admin", replaces=old.record.key_id, replaced_works_until=until)
        assert desk.take() == [(EventType.KEY_ROTATED, data)]
        last = await desk.keys.rotate(new.record.key_id, by=ADMIN)
        data = about(last, by="admin", replaces=new.record.key_id, replaced_works_until=rfc3339(desk.clock.now()))
        assert desk.take() == [(EventType.KEY_ROTATED, data)]

    async def test_revoked_is_told_once(self, desk: Desk) -> None:
        issued = await desk.issue()
        desk.take()
        for _ in range(2):
            await desk.keys.revoke(issued.record.key_id, by=ADMIN, reason="leaked")
            desk.clock.advance(1)
        data = about(issued, by="admin", reason="leaked", closed=())
        assert desk.take() == [(EventType.KEY_REVOKED, data)]

    async def test_what_is_refused_is_not_told(self, desk: Desk) -> None:
        issued = await desk.issue()
        await desk.keys.revoke(issued.record.key_id, by=ADMIN)
        desk.take()
        with pytest.raises(KeyStateError):
            await desk.keys.rotate(issued.record.key_id, by=ADMIN)
        assert desk.take() == []

    async def test_no_secret_is_told(self, desk: Desk) -> None:
        issued = await desk.issue()
        new = await desk.keys.rotate(issued.record.key_id, by=ADMIN)
        bodies = b"".join(event.body() for event in desk.told).decode()
        assert issued.stream_key.secret not in bodies
        assert new.stream_key.secret not in bodies


class TestExpired:
    async def test_told_once_whether_or_not_it_was_in_use(self, desk: Desk) -> None:
        issued = await desk.issue(60)
        await desk.issue()
        desk.take()
        await desk.pass_time(50)
        assert desk.take() == []
        await desk.pass_time(10)
        assert desk.take() == [(EventType.KEY_EXPIRED, about(issued))]
        await desk.pass_time(RECHECK_S)
        assert desk.take() == []

    async def test_one_that_was_revoked_before_its_day_did_not_expire(self, desk: Desk) -> None:
        issued = await desk.issue(60)
        await desk.keys.revoke(issued.record.key_id, by=ADMIN)
        desk.take()
        await desk.pass_time(100)
        assert desk.take() == []

    async def test_a_wall_clock_that_is_set_back_tells_nothing_twice(self, desk: Desk) -> None:
        issued = await desk.issue(60)
        desk.take()
        await desk.pass_time(100)
        assert desk.take() == [(EventType.KEY_EXPIRED, about(issued))]
        desk.clock.step_wall(-80)
        await desk.pass_time(RECHECK_S)
        await desk.pass_time(80)
        assert desk.take() == []


class TestUsers:
    async def test_suspended_and_restored_are_told_once(self, desk: Desk) -> None:
        await desk.issue()
        desk.take()
        for _ in range(2):
            await desk.keys.suspend("alice", by=ADMIN, reason="abuse")
            desk.clock.advance(1)
        data: dict[str, object] = {"user": "alice", "by": "admin", "reason": "abuse"}
        assert desk.take() == [(EventType.USER_SUSPENDED, data | {"closed": []})]
        for _ in range(2):
            await desk.keys.restore("alice", by=ADMIN, reason="sorry")
        assert desk.take() == [(EventType.USER_RESTORED, data | {"reason": "sorry"})]

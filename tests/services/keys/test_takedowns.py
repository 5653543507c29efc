from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from streamd.errors import KeyNotFoundError, StoreUnavailableError, UserNotFoundError
from streamd.services.audit.records import AuditFilter
from streamd.services.events.event import EventType
from streamd.services.keys import takedowns
from streamd.services.keys.act_journal import ActJournal
from streamd.services.keys.admission import Denial
from streamd.services.keys.records import IssuedKey, KeyRecord, KeyState, UserState
from tests.support.key_house import ADMIN, PEER, FragileStore, KeyHouse

pytestmark = pytest.mark.asyncio

DOWN = "the key store is down"


@pytest.fixture
def journal(tmp_path: Path) -> ActJournal:
    return ActJournal(tmp_path / "acts")


@pytest.fixture
def house(fragile: FragileStore, journal: ActJournal) -> KeyHouse:
    journal.open()
    return KeyHouse(fragile, journal)


def waiting(house: KeyHouse) -> int:
    return len(house.keys.takedowns)


async def refused(house: KeyHouse, issued: IssuedKey) -> str:
    return await house.denial(issued.stream_key.reveal())


class SilentStore(FragileStore):
    """Whose writes hang until they are let go."""

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url)
        self.is_let_go = asyncio.Event()

    async def revoke_key(self, key_id: str, **act: Any) -> KeyRecord:
        await self.is_let_go.wait()
        return await super().revoke_key(key_id, **act)


class TestAStoreThatCannotBeWritten:
    """As with a full disk: it still can be read."""

    async def test_a_revocation_closes_and_refuses_and_says_what_is_not_written(
        self, house: KeyHouse, fragile: FragileStore
    ) -> None:
        issued = await house.issue()
        admission = await house.publish(issued)
        fragile.is_down = True
        result = await house.keys.revoke(issued.record.key_id, by=ADMIN, reason="leaked")
        assert (result.closed, result.revoked_at, result.reason) == (("alice",), house.clock.now(), "leaked")
        assert DOWN in result.unwritten
        assert "also after a restart" in result.unwritten
        assert house.streams.live == {}
        assert not house.verifier.admissions.is_admissible(admission)
        fragile.is_down = False
        # The store has the key as a good one still.
        assert await refused(house, issued) == Denial.REVOKED

    async def test_it_is_written_as_soon_as_the_store_can(self, house: KeyHouse, fragile: FragileStore) -> None:
        issued = await house.issue()
        await house.publish(issued)
        fragile.is_down = True
        result = await house.keys.revoke(issued.record.key_id, by=ADMIN, reason="leaked")
        with pytest.raises(StoreUnavailableError):
            await house.sweeper.sweep()
        assert waiting(house) == 1
        assert EventType.KEY_REVOKED not in [event.type for event in house.told]
        fragile.is_down = False
        await house.sweeper.sweep()
        assert waiting(house) == 0
        record = await fragile.get_key(issued.record.key_id)
        assert (record.revoked_at, record.revoke_reason, record.revoked_by, record.closed_streams) == (
            result.revoked_at, "leaked", "admin", ("alice",),
        )  # fmt: skip
        assert await house.audited() == ["user.created", "key.issued", "key.revoked", "stream.closed"]
        assert house.told[-1].type == EventType.KEY_REVOKED
        assert await refused(house, issued) == Denial.REVOKED

    async def test_a_suspension_closes_and_refuses_and_is_written_later(
        self, house: KeyHouse, fragile: FragileStore
    ) -> None:
        issued, other = await house.issue(), await house.issue("bob")
        await house.publish(issued)
        await house.publish(other)
        fragile.is_down = True
        result = await house.keys.suspend("alice", by=ADMIN, reason="abuse")
        assert (result.closed, DOWN in result.unwritten) == (("alice",), True)
        assert house.streams.live == {other.record.key_id: "bob"}
        assert house.verifier.admissions.is_suspended("alice")
        fragile.is_down = False
        assert await refused(house, issued) == Denial.SUSPENDED
        await house.sweeper.sweep()
        assert (await fragile.get_user("alice")).state is UserState.SUSPENDED
        assert house.verifier.admissions.is_suspended("alice")
        assert await refused(house, issued) == Denial.SUSPENDED

    async def test_lists_show_what_waits(self, house: KeyHouse, fragile: FragileStore) -> None:
        issued = await house.issue()
        fragile.is_down = True
        await house.keys.revoke(issued.record.key_id, by=ADMIN)
        await house.keys.suspend("alice", by=ADMIN, reason="abuse")
        record = await house.keys.get_key(issued.record.key_id)
        assert house.keys.state_of(record) is KeyState.REVOKED
        assert [house.keys.state_of(each) for each in (await house.keys.list_keys()).items] == [KeyState.REVOKED]
        assert (await house.keys.get_user("alice")).state is UserState.SUSPENDED
        assert [each.suspend_reason for each in (await house.keys.list_users()).items] == ["abuse"]

    async def test_again_answers_the_same(self, house: KeyHouse, fragile: FragileStore) -> None:
        issued = await house.issue()
        await house.publish(issued)
        fragile.is_down = True
        once = await house.keys.revoke(issued.record.key_id, by=ADMIN, reason="leaked")
        house.clock.advance(60)
        assert await house.keys.revoke(issued.record.key_id, by=ADMIN, reason="x") == once
        fragile.is_down = False
        written = await house.keys.revoke(issued.record.key_id, by=ADMIN, reason="x")
        assert (written.revoked_at, written.closed, written.reason) == (once.revoked_at, ("alice",), "leaked")
        assert (written.unwritten, waiting(house)) == ("", 0)

    async def test_who_is_restored_meanwhile_is_not_suspended_later(
        self, house: KeyHouse, fragile: FragileStore, journal: ActJournal
    ) -> None:
        issued = await house.issue()
        fragile.is_down = True
        await house.keys.suspend("alice", by=ADMIN)
        fragile.is_down = False
        await house.keys.restore("alice", by=ADMIN)
        await house.sweeper.sweep()
        assert (await fragile.get_user("alice")).state is UserState.ACTIVE
        assert not house.verifier.admissions.is_suspended("alice")
        await house.publish(issued)
        assert ActJournal(journal.path).open() == []

    async def test_a_kick_is_noted_later(self, house: KeyHouse, fragile: FragileStore) -> None:
        fragile.is_down = True
        assert DOWN in await house.keys.record_kick("alice", by=ADMIN, reason="test")
        with pytest.raises(StoreUnavailableError):
            await house.sweeper.sweep()
        fragile.is_down = False
        await house.sweeper.sweep()
        assert await house.audited() == ["stream.kicked"]
        assert await house.keys.record_kick("bob", by=ADMIN) == ""

    async def test_a_stream_that_expires_meanwhile_is_noted_later(self, house: KeyHouse, fragile: FragileStore) -> None:
        await house.publish(await house.issue(seconds=10))
        await house.sweeper.sweep()
        fragile.is_down = True
        house.clock.advance(10)
        with pytest.raises(StoreUnavailableError):
            await house.sweeper.sweep()
        assert house.streams.closed == [("alice", "expired")]
        fragile.is_down = False
        await house.sweeper.sweep()
        found = AuditFilter(action="stream.closed")
        assert len((await house.keys.list_audit(found=found)).items) == 1


class TestARestart:
    async def test_what_waits_holds_in_the_next_server_and_is_written_there(
        self, house: KeyHouse, fragile: FragileStore, journal: ActJournal
    ) -> None:
        revoked, suspended = await house.issue(), await house.issue("bob")
        fragile.is_down = True
        result = await house.keys.revoke(revoked.record.key_id, by=ADMIN, reason="leaked")
        await house.keys.suspend("bob", by=ADMIN)
        after = KeyHouse(fragile, ActJournal(journal.path))
        await after.keys.takedowns.start()
        assert waiting(after) == 2
        fragile.is_down = False
        assert (await refused(after, revoked), await refused(after, suspended)) == (Denial.REVOKED, Denial.SUSPENDED)
        await after.sweeper.sweep()
        assert (await fragile.get_key(revoked.record.key_id)).revoked_at == result.revoked_at
        assert (await fragile.get_user("bob")).state is UserState.SUSPENDED
        assert ActJournal(journal.path).open() == []

    async def test_a_store_that_is_back_by_then_has_them_at_once(
        self, house: KeyHouse, fragile: FragileStore, journal: ActJournal
    ) -> None:
        issued = await house.issue()
        fragile.is_down = True
        await house.keys.revoke(issued.record.key_id, by=ADMIN)
        fragile.is_down = False
        after = KeyHouse(fragile, ActJournal(journal.path))
        await after.keys.takedowns.start()
        assert waiting(after) == 0
        assert (await fragile.get_key(issued.record.key_id)).revoked_at is not None

    async def test_a_journal_that_cannot_be_written_is_said_in_the_answer(
        self, house: KeyHouse, fragile: FragileStore, journal: ActJournal
    ) -> None:
        issued = await house.issue()
        fragile.is_down = True
        journal.path.unlink()
        journal.path.mkdir()
        result = await house.keys.revoke(issued.record.key_id, by=ADMIN)
        assert "a restart before that forgets it" in result.unwritten


class TestAStoreThatIsSilent:
    async def test_the_stream_is_closed_before_the_store_has_answered(
        self, tmp_path: Path, journal: ActJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(takedowns, "STORE_WAIT_S", 0.01)
        journal.open()
        store = SilentStore(f"sqlite+aiosqlite:///{tmp_path / 'streamd.db'}")
        await store.start()
        house = KeyHouse(store, journal)
        issued = await house.issue()
        await house.publish(issued)
        result = await house.keys.revoke(issued.record.key_id, by=ADMIN)
        assert (result.closed, house.streams.live) == (("alice",), {})
        assert "does not answer" in result.unwritten
        assert await refused(house, issued) == Denial.REVOKED
        store.is_let_go.set()
        await house.keys.close()
        assert waiting(house) == 0
        assert (await store.get_key(issued.record.key_id)).closed_streams == ("alice",)
        assert ActJournal(journal.path).open() == []
        await store.close()


class TestWhoIsNotThere:
    async def test_it_is_said_where_the_store_answers(self, house: KeyHouse) -> None:
        with pytest.raises(KeyNotFoundError):
            await house.keys.revoke("0000000000", by=ADMIN)
        with pytest.raises(UserNotFoundError):
            await house.keys.suspend("nobody", by=ADMIN)
        assert waiting(house) == 0
        assert not house.verifier.admissions.is_suspended("nobody")

    async def test_an_act_on_nobody_is_dropped_when_the_store_answers(
        self, house: KeyHouse, fragile: FragileStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        fragile.is_down = True
        await house.keys.revoke("0000000000", by=ADMIN)
        await house.keys.suspend("nobody", by=ADMIN)
        fragile.is_down = False
        with caplog.at_level(logging.WARNING):
            await house.sweeper.sweep()
        dropped = [record for record in caplog.records if record.message == "act.dropped"]
        assert len(dropped) == 2
        assert waiting(house) == 0


class TestWithoutAJournal:
    """The command line on the store itself: nobody would go on trying."""

    async def test_a_store_that_fails_is_an_error(self, fragile: FragileStore) -> None:
        house = KeyHouse(fragile)
        issued = await house.issue()
        fragile.is_down = True
        with pytest.raises(StoreUnavailableError):
            await house.keys.revoke(issued.record.key_id, by=ADMIN)
        with pytest.raises(StoreUnavailableError):
            await house.keys.suspend("alice", by=ADMIN)
        fragile.is_down = False
        await house.verifier.verify(issued.stream_key.reveal(), PEER)

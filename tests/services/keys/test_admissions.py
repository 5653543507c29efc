from __future__ import annotations

import gc
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from streamd.clock import ManualClock
from streamd.errors import StoreUnavailableError
from streamd.services.audit.records import Actor, AuditEntry
from streamd.services.keys.admission import Admission, Denial
from streamd.services.keys.admissions import Admissions
from streamd.services.keys.records import KeyStanding, PublishLimits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

pytestmark = pytest.mark.asyncio

ADMIN = Actor("admin", "192.0.2.1")


class Store:
    """A store, and its audit log, of which a test says what stands in it."""

    def __init__(self) -> None:
        self.audit = self
        self.standing: dict[str, KeyStanding] = {}
        self.suspended: set[str] = set()
        self.unlisted: set[str] = set()
        self.told: list[AuditEntry] = []
        self.is_down = False

    async def append(self, entries: Iterable[AuditEntry]) -> None:
        if self.is_down:
            raise StoreUnavailableError("down")
        self.told += entries

    async def suspended_users(self) -> set[str]:
        return set(self.suspended)

    async def unlisted_users(self) -> set[str]:
        return set(self.unlisted)

    async def standings(self, key_ids: Collection[str]) -> dict[str, KeyStanding]:
        return {key_id: standing for key_id, standing in self.standing.items() if key_id in key_ids}


class House:
    """Admissions on such a store, with a registry that closes what it is told to."""

    def __init__(self) -> None:
        self.store, self.clock = Store(), ManualClock()
        self.dead: list[str] = []
        self.restored: list[str] = []
        self.closed: list[tuple[str, str]] = []
        self.admissions = Admissions(
            self.store,  # type: ignore[arg-type]  # the calls that they make
            self.clock,
            on_dead=self.dead.append,
            on_restored=self.restored.append,
        )
        self.admissions.attach(self)

    async def close_streams(self, key_ids: Collection[str], reason: str) -> list[str]:
        self.closed += [(key_id, reason) for key_id in sorted(key_ids)]
        return [f"stream of {key_id}" for key_id in sorted(key_ids)]

    def admit(self, key_id: str = "one", user: str = "alice", lives_s: float | None = None) -> Admission:
        expires_at = self.clock.now() + timedelta(seconds=lives_s) if lives_s is not None else None
        self.store.standing[key_id] = KeyStanding(key_id, user, b"", expires_at, is_revoked=False, is_suspended=False)
        admission = Admission(key_id, user, expires_at)
        self.admissions.add(admission)
        return admission


async def test_what_a_key_admitted_ends_with_it_and_its_stream_is_closed() -> None:
    house = House()
    ended, other = house.admit(), house.admit("two", "bob")
    assert await house.admissions.kill({"one"}, Denial.REVOKED, ADMIN) == ["stream of one"]
    assert (ended.ended_by, house.admissions.is_admissible(ended)) == (Denial.REVOKED, False)
    assert house.admissions.is_admissible(other)
    assert (house.dead, house.closed) == (["one"], [("one", "revoked")])
    (entry,) = house.store.told
    assert (entry.action, entry.actor, entry.key_id, entry.stream) == (
        "stream.closed",
        "admin",
        "one",
        "stream of one",
    )


async def test_each_death_is_a_change_that_verifications_see() -> None:
    house = House()
    before = house.admissions.changes
    await house.admissions.kill({"one"}, Denial.REVOKED, ADMIN)
    assert house.admissions.changes > before


async def test_an_audit_log_that_fails_does_not_keep_a_stream_open(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    house.store.is_down = True
    assert await house.admissions.kill({"one"}, Denial.REVOKED, ADMIN) == ["stream of one"]
    assert [record.getMessage() for record in caplog.records] == ["audit.waiting"]
    assert [row.stream for row in house.admissions.rows.take()] == ["stream of one"]


async def test_without_streams_there_are_none_to_close() -> None:
    store, told = Store(), list[str]()
    alone = Admissions(
        store,  # type: ignore[arg-type]  # the calls that they make
        ManualClock(),
        on_dead=told.append,
        on_restored=told.append,
    )
    assert await alone.kill({"one"}, Denial.REVOKED, ADMIN) == []
    assert told == ["one"]


async def test_what_nobody_keeps_is_forgotten() -> None:
    house = House()
    house.admit(user="alice")
    gc.collect()
    await house.admissions.suspend("alice", (), ADMIN)
    assert house.closed == []


async def test_a_suspended_user_is_known_until_restored() -> None:
    house = House()
    admission = house.admit()
    # A key that another process issued meanwhile is not among those that are named.
    assert await house.admissions.suspend("alice", ["two"], ADMIN) == ["stream of one", "stream of two"]
    assert (house.admissions.is_suspended("alice"), admission.ended_by) == (True, Denial.SUSPENDED)
    assert house.admissions.restore("alice")
    assert (house.admissions.is_suspended("alice"), house.restored) == (False, ["alice"])
    assert not house.admissions.restore("alice")


async def test_who_was_suspended_before_the_start_is_known() -> None:
    house = House()
    house.store.suspended = {"alice"}
    await house.admissions.start()
    assert house.admissions.is_suspended("alice")


class TestExpiry:
    async def test_an_admission_ends_with_the_time_of_its_key(self) -> None:
        house = House()
        admission = house.admit(lives_s=10)
        await house.admissions.end_expired()
        assert house.closed == []
        house.clock.advance(10)
        assert not house.admissions.is_admissible(admission)
        await house.admissions.end_expired()
        await house.admissions.end_expired()
        assert house.closed == [("one", "expired")]


class TestRecheck:
    async def test_deaths_and_limits_that_another_process_wrote_are_found(self) -> None:
        house = House()
        revoked, limited, suspended = house.admit("one"), house.admit("two", "bob"), house.admit("three", "carol")
        gone = house.admit("four", "dave")
        standings = house.store.standing
        standings["one"] = KeyStanding("one", "alice", b"", None, is_revoked=True, is_suspended=False)
        limits = PublishLimits(1000, 2000)
        standings["two"] = KeyStanding("two", "bob", b"", None, is_revoked=False, is_suspended=False, limits=limits)
        standings["three"] = KeyStanding("three", "carol", b"", None, is_revoked=False, is_suspended=True)
        del standings["four"]
        house.store.suspended = {"carol"}
        assert await house.admissions.recheck()
        assert [each.ended_by for each in (revoked, limited, suspended, gone)] == [
            Denial.REVOKED,
            None,
            Denial.SUSPENDED,
            Denial.UNKNOWN,
        ]
        assert limited.limits == limits
        assert house.admissions.is_suspended("carol")
        house.store.suspended = set()
        assert await house.admissions.recheck()
        assert house.restored == ["carol"]

    async def test_a_channel_that_another_process_took_out_of_the_list_is_found_and_comes_back(self) -> None:
        house = House()
        house.store.unlisted = {"carol"}
        await house.admissions.start()
        assert not house.admissions.is_listed("carol")
        house.store.unlisted = {"dave"}
        changes = house.admissions.changes
        assert await house.admissions.recheck()
        assert house.admissions.changes > changes
        assert [house.admissions.is_listed(name) for name in ("carol", "dave")] == [True, False]

    async def test_what_was_read_before_a_change_of_our_own_is_not_believed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        house = House()
        admission = house.admit()

        async def suspended_users() -> set[str]:
            await house.admissions.kill({"two"}, Denial.REVOKED, ADMIN)
            return {"alice"}

        monkeypatch.setattr(house.store, "suspended_users", suspended_users)
        assert not await house.admissions.recheck()
        assert not house.admissions.is_suspended("alice")
        assert house.admissions.is_admissible(admission)

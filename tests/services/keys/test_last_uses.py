from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streamd.services.keys import last_uses
from streamd.services.keys.last_uses import LastUses
from streamd.services.keys.records import KeyRecord, KeyUse

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def use(minute: int) -> KeyUse:
    return KeyUse(NOON + timedelta(minutes=minute), f"192.0.2.{minute}")


def test_the_last_use_of_a_key_is_taken_once() -> None:
    uses = LastUses()
    uses.note("a", use(1))
    uses.note("b", use(2))
    uses.note("a", use(3))
    assert uses.take() == {"a": use(3), "b": use(2)}
    assert uses.take() == {}


def test_what_could_not_be_written_is_kept_but_for_what_is_newer() -> None:
    uses = LastUses()
    uses.note("a", use(1))
    uses.note("b", use(2))
    taken = uses.take()
    uses.note("a", use(3))
    uses.give_back(taken)
    assert uses.take() == {"a": use(3), "b": use(2)}


def test_the_oldest_are_lost_where_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_uses, "USES_WAITING_MAX", 2)
    uses = LastUses()
    for minute, key_id in enumerate("abac"):
        uses.note(key_id, use(minute))
    assert uses.take() == {"a": use(2), "c": use(3)}


def test_a_record_shows_the_use_that_waits() -> None:
    uses = LastUses()
    record = KeyRecord(1, "a", "alice", "", NOON, "admin", None)
    assert uses.within(record) is record
    uses.note("a", use(1))
    shown = uses.within(record)
    assert (shown.last_used_at, shown.last_used_address) == (use(1).at, use(1).address)

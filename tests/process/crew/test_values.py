"""The buckets in which the directory of the workers is kept."""

from __future__ import annotations

import pytest

from streamd.process.crew import values
from streamd.process.crew.values import Conflict, Stored, Values


class Bucket:
    def __init__(self) -> None:
        self.told: list[tuple[str, Stored | None]] = []
        self.values = Values(lambda key, stored: self.told.append((key, stored)))


def test_a_value_is_written_where_there_is_none() -> None:
    bucket = Bucket()
    revision = bucket.values.put("alice", b"one", 0)
    assert bucket.values.get("alice") == Stored(b"one", revision)
    assert bucket.told == [("alice", Stored(b"one", revision))]
    with pytest.raises(Conflict):
        bucket.values.put("alice", b"two", 0)


def test_of_two_that_replace_one_revision_the_first_has_it() -> None:
    bucket = Bucket()
    first = bucket.values.put("alice", b"one", 0)
    second = bucket.values.put("alice", b"two", first)
    assert second > first
    with pytest.raises(Conflict):
        bucket.values.put("alice", b"three", first)
    assert bucket.values.get("alice") == Stored(b"two", second)


def test_a_value_that_was_removed_is_none_and_its_revision_does_not_come_again() -> None:
    bucket = Bucket()
    first = bucket.values.put("alice", b"one", 0)
    bucket.values.delete("alice", first)
    assert bucket.values.get("alice") is None
    assert bucket.told[-1] == ("alice", None)
    with pytest.raises(Conflict):
        bucket.values.put("alice", b"two", first)
    assert bucket.values.put("alice", b"two", 0) > first


def test_only_the_revision_that_is_meant_is_removed() -> None:
    bucket = Bucket()
    first = bucket.values.put("alice", b"one", 0)
    bucket.values.put("alice", b"two", first)
    with pytest.raises(Conflict):
        bucket.values.delete("alice", first)
    bucket.values.delete("bob", 5)
    bucket.values.delete("alice")
    assert bucket.values.all() == {}


def test_values_and_their_number_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "VALUES_MAX", 2)
    bucket = Bucket()
    with pytest.raises(Conflict):
        bucket.values.put("alice", bytes(values.VALUE_BYTES_MAX + 1), 0)
    first = bucket.values.put("alice", b"one", 0)
    bucket.values.put("bob", b"one", 0)
    with pytest.raises(Conflict):
        bucket.values.put("carol", b"one", 0)
    assert bucket.values.put("alice", b"two", first)

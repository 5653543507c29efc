"""ULIDs: their order, their form and their time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from streamd.services.ulid import PATTERN, new_ulid, time_of

NOW = datetime(2026, 3, 1, 12, 30, 15, 123_000, tzinfo=UTC)


def test_it_has_the_form_and_the_time() -> None:
    ulid = new_ulid(NOW)
    assert re.fullmatch(PATTERN, ulid)
    assert time_of(ulid) == NOW


def test_they_sort_by_time_and_are_never_alike() -> None:
    drawn = [new_ulid(NOW + timedelta(milliseconds=step)) for step in range(100)]
    assert sorted(drawn) == drawn
    assert len({new_ulid(NOW) for _ in range(100)}) == 100


def test_the_last_millisecond_that_can_be_written() -> None:
    last = datetime.fromtimestamp((2**38 - 1) / 1000, UTC)
    assert time_of(new_ulid(last)) == last

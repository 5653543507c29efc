"""What the public may see of recordings, from when they are found to the last byte that is sent of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from streamd.clock import ManualClock
from streamd.doors.web.public.recording_finder import RecordingFinder
from streamd.services.recording.records import RecordingState, Visibility
from tests.support.recorded import record_of

if TYPE_CHECKING:
    from streamd.services.recording.index import RecordingIndex
    from streamd.services.recording.records import RecordingRecord

pytestmark = pytest.mark.asyncio


class Index:
    """Has one recording, and counts who asks."""

    def __init__(self) -> None:
        self.record = record_of(1)
        self.edits = 0
        self.asked = 0

    async def find(self, _: str) -> RecordingRecord:
        self.asked += 1
        return self.record

    def edit(self, **facts: object) -> None:
        self.record = replace(self.record, **facts)  # type: ignore[arg-type]
        self.edits += 1


def finder_of(index: Index, hidden: frozenset[str] = frozenset()) -> RecordingFinder:
    return RecordingFinder(
        cast("RecordingIndex", index), ManualClock(), is_taken_down=lambda _: False, is_hidden=hidden.__contains__
    )


@pytest.mark.parametrize("facts", [{"visibility": Visibility.PRIVATE}, {"state": RecordingState.DELETED}])
async def test_what_is_gone_before_the_first_byte_is_not_sent(facts: dict[str, object]) -> None:
    """Bytes from a bucket may take seconds to come."""
    index = Index()
    finder = finder_of(index)
    found = await finder.find(index.record.id)
    index.edit(**facts)
    assert await finder.watch(cast("RecordingRecord", found))()


async def test_what_stays_is_asked_about_where_something_was_edited() -> None:
    index = Index()
    finder = finder_of(index)
    is_gone = finder.watch(cast("RecordingRecord", await finder.find(index.record.id)))
    assert [await is_gone() for _ in range(3)] == [False] * 3
    assert index.asked == 1
    index.edit(title="Another")
    assert [await is_gone() for _ in range(3)] == [False] * 3
    assert index.asked == 2
    index.edit(visibility=Visibility.PRIVATE)
    assert await is_gone()


async def test_a_clip_that_is_gone_before_its_first_byte_is_not_sent() -> None:
    index = Index()

    async def is_gone() -> bool:
        return True

    assert await finder_of(index).watch(index.record, is_gone)()

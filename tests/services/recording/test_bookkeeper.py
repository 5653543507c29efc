"""What the index and the listeners hear of recordings."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamd.clock import ManualClock
from streamd.services.events.event import Event
from streamd.services.metrics import Metrics
from streamd.services.recording.bookkeeper import INDEX_S, Bookkeeper
from streamd.services.recording.recording_writer import RecordingTotals
from streamd.services.recording.records import RecordingRecord, RecordingState

pytestmark = pytest.mark.asyncio
RECORD = RecordingRecord("rec_1", "alice", RecordingState.RECORDING, datetime(2026, 3, 1, tzinfo=UTC), "alice/rec_1")


class Index:
    """Notes what is saved."""

    def __init__(self) -> None:
        self.saved: list[RecordingRecord] = []

    async def save(self, record: RecordingRecord) -> None:
        self.saved.append(record)


class Room:
    """A bookkeeper, and a recording that goes on."""

    def __init__(self) -> None:
        self.index = Index()
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.events: list[Event] = []
        self.books = Bookkeeper(cast("Any", self.index), self.clock, self.metrics, self.events.append)
        self.recording = SimpleNamespace(
            id=RECORD.id,
            state=RecordingState.RECORDING,
            fault="",
            totals=RecordingTotals(),
            is_over=False,
            is_complete=False,
        )
        self.books.open(cast("Any", self.recording), RECORD)

    async def looked(self) -> list[tuple[str, int]]:
        """What the index was told since, as state and bytes."""
        self.books.look()
        await self.books.flush()
        saved, self.index.saved = self.index.saved, []
        return [(record.state.value, record.size_bytes) for record in saved]


async def test_a_size_is_told_once_a_minute() -> None:
    room = Room()
    assert await room.looked() == [("recording", 0)]
    for seconds in range(1, int(INDEX_S)):
        room.clock.advance(1)
        room.recording.totals = RecordingTotals(1000 * seconds, 100 * seconds)
        assert await room.looked() == []
    room.clock.advance(1)
    assert await room.looked() == [("recording", 5900)]
    assert await room.looked() == []


async def test_whoever_asks_hears_the_size_of_now() -> None:
    room = Room()
    room.recording.totals = RecordingTotals(2000, 200)
    newest = room.books.newest(RECORD)
    assert (newest.duration_ms, newest.size_bytes) == (2000, 200)
    assert [record.size_bytes for record in room.books.going] == [200]


async def test_bytes_are_counted_once() -> None:
    room = Room()
    for size_bytes in (100, 100, 250):
        room.recording.totals = RecordingTotals(0, size_bytes)
        await room.looked()
    assert room.metrics.registry.get_sample_value("streamd_recorded_bytes_total") == 250


async def test_the_end_is_told_at_once() -> None:
    room = Room()
    await room.looked()
    room.recording.state = RecordingState.FINALIZING
    room.recording.is_over = True
    room.books.note_change(cast("Any", room.recording))
    assert await room.looked() == [("finalizing", 0)]
    room.recording.state = RecordingState.READY
    room.recording.is_complete = True
    room.recording.totals = RecordingTotals(2000, 300)
    room.books.note_change(cast("Any", room.recording))
    assert await room.looked() == [("ready", 300)]
    assert [event.type.value for event in room.events] == ["recording.ready"]
    assert room.books.going == []

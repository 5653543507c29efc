"""The index and the listeners to events are told of recordings: of each beginning, each end, and the size between."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streamd.services.events.event import Event, EventType, unheard
from streamd.services.recording.elsewhere import NowhereElse
from streamd.services.recording.index_keeper import IndexKeeper
from streamd.services.recording.records import RecordingState

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.services.events.event import EventSink, Value
    from streamd.services.metrics import Metrics
    from streamd.services.recording.elsewhere import Elsewhere
    from streamd.services.recording.index import RecordingIndex
    from streamd.services.recording.recording import Recording
    from streamd.services.recording.records import RecordingRecord

log = logging.getLogger(__name__)

# The index is told of the size of a recording that goes on once in this time, seconds: a row costs the loop more than
# recording its two seconds does (1.4 ms, and 0.6 in the thread of the database).
INDEX_S = 60.0


@dataclass(slots=True)
class _Page:
    """A recording that goes on."""

    recording: Recording
    record: RecordingRecord
    kept_at: float
    counted_bytes: int
    """Bytes of it on the disk, which a metric counts."""

    def newest(self) -> RecordingRecord:
        """The recording as it is known now: its size and length so far."""
        totals = self.recording.totals
        return replace(
            self.record,
            state=self.recording.state,
            reason=self.recording.fault,
            duration_ms=totals.duration_ms,
            size_bytes=totals.size_bytes,
        )


class Bookkeeper:
    """Keeps the index of recordings, and tells of them.

    Args:
        index: The index.
        clock: For dates and durations.
        metrics: Counted into.
        tell: Receives the events of recordings.
        on_ended: Called with each recording that has ended, and whose files are closed.

    Attributes:
        elsewhere: The bucket that keeps recordings too, or nothing.
    """

    def __init__(
        self,
        index: RecordingIndex,
        clock: Clock,
        metrics: Metrics,
        tell: EventSink = unheard,
        on_ended: Callable[[RecordingRecord], None] = lambda _: None,
    ) -> None:
        self.elsewhere: Elsewhere = NowhereElse()
        self._clock = clock
        self._metrics = metrics
        self._tell = tell
        self._on_ended = on_ended
        self._keeper = IndexKeeper(index)
        self._pages: dict[str, _Page] = {}

    def open(self, recording: Recording, record: RecordingRecord) -> None:
        """Take up a recording that is written from here on."""
        self._pages[record.id] = _Page(recording, record, self._clock.monotonic(), record.size_bytes)
        self._keeper.keep(record)

    def note_started(self, record: RecordingRecord) -> None:
        """Tell of the beginning of a recording."""
        log.info("recording.started", extra={"stream": record.user, "recording_id": record.id})
        self._say(EventType.RECORDING_STARTED, record)

    def note_change(self, recording: Recording) -> None:
        """Note a recording's state, and tell of its end."""
        page = self._pages.get(recording.id)
        if page is None or (recording.is_over and not recording.is_complete and recording.fault):
            # A failed one is told of when its files are closed.
            return
        record = page.newest()
        self._count(page)
        if recording.is_complete:
            del self._pages[recording.id]
        if recording.is_complete and recording.is_over:
            self.note_end(replace(record, ended_at=self._clock.now()))
        else:
            self._keeper.keep(record)

    def look(self) -> None:
        """Count what is on the disk, and tell the index of what it has not heard for long; called once a second."""
        now = self._clock.monotonic()
        for page in self._pages.values():
            self._count(page)
            if now - page.kept_at >= INDEX_S and not page.recording.is_over:
                page.kept_at = now
                self._keeper.keep(page.newest())

    def note_end(self, record: RecordingRecord) -> None:
        """Note that a recording is over, and tell of it."""
        self._keeper.keep(self.elsewhere.has_ended(record))
        has_failed = record.state is RecordingState.FAILED
        self._metrics.recordings.recordings_ended_total.labels(record.state.value).inc()
        facts = {"duration_s": record.duration_ms / 1000, "bytes": record.size_bytes}
        log.info("recording.ended", extra={"stream": record.user, "recording_id": record.id, **facts})
        self._say(EventType.RECORDING_FAILED if has_failed else EventType.RECORDING_READY, record)
        self._on_ended(record)

    def keep(self, record: RecordingRecord) -> None:
        """Have the index know of a recording that is complete, soon."""
        self._keeper.keep(record)

    @property
    def going(self) -> list[RecordingRecord]:
        """The recordings that are written."""
        return [page.newest() for page in self._pages.values()]

    def newest(self, record: RecordingRecord) -> RecordingRecord:
        """A recording of the index with its size of now, which is known here while it goes on."""
        page = self._pages.get(record.id)
        if page is None or record.state is not RecordingState.RECORDING:
            return record
        totals = page.recording.totals
        return replace(record, duration_ms=totals.duration_ms, size_bytes=totals.size_bytes)

    @property
    def is_behind(self) -> bool:
        """Whether the index has still to be told something."""
        return self._keeper.is_behind

    async def flush(self) -> None:
        """Tell the index all that waits, now.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        await self._keeper.flush()

    async def close(self) -> None:
        """Tell the index all that waits; a database that is away is not waited for: the folders know."""
        await self._keeper.close()

    def _count(self, page: _Page) -> None:
        size_bytes = page.recording.totals.size_bytes
        self._metrics.recordings.recorded_bytes_total.inc(size_bytes - page.counted_bytes)
        page.counted_bytes = size_bytes

    def _say(self, event_type: EventType, record: RecordingRecord) -> None:
        data: dict[str, Value] = {"user": record.user, "recording_id": record.id}
        if event_type is not EventType.RECORDING_STARTED:
            data |= {"duration_s": record.duration_ms / 1000, "bytes": record.size_bytes, "reason": record.reason}
        self._tell(Event(event_type, self._clock.now(), data))

"""The line of one frame: FLV tags in, frames and parts out.

    tag → Intake (gate) → Demuxer → Packaging → Outputs

Everything on it is synchronous and runs in the step of the loop in which the tags arrived; only asking libavformat
about new tracks, and opening a demuxer for them, takes a thread for a few milliseconds, and tags queue meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from streamd.errors import DemuxError, TrackRefusedError
from streamd.formats.flv.metadata import read_metadata
from streamd.formats.flv.tag import FlvTag
from streamd.media.demux import DemuxerKind
from streamd.media.intake.actions import Drop, Hold, Open, Split, TagDropReason
from streamd.media.intake.intake import Intake
from streamd.services.live.drop_notes import DropNotes
from streamd.services.live.line_allowances import LineAllowances
from streamd.services.live.meter import LineReading
from streamd.services.live.opening import QUEUED_TAGS_AT_ONCE, Opener, TagQueue
from streamd.services.live.packaging import Packaging

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.formats.flv.metadata import StreamMetadata
    from streamd.media.demux import Demuxer
    from streamd.media.intake.limits import IntakeLimits
    from streamd.media.packager.segmenter import SegmenterOptions
    from streamd.services.live.meter import StreamMeter
    from streamd.services.live.outputs import Outputs
    from streamd.services.live.packaging import Continuation
    from streamd.services.metrics import Metrics

# How often a publisher's demuxer may fail and is opened anew at the next keyframe. No failure is known on media that
# the gate lets through; each costs viewers a few seconds, and a publisher that caused one will cause more.
DEMUXER_FAILURES_MAX = 3
# Tags between two checks of the parts made: a fifth of a second of eight tracks.
STRETCH_TAGS = 64


class MediaLine:
    """The media line of one publisher.

    Args:
        outputs: Take what comes out.
        options: Part and segment targets.
        clock: Gives the wall time of the first tag, for EXT-X-PROGRAM-DATE-TIME.
        metrics: Counted into.
        meter: Counted into.
        warn: Called once for each kind of dropped media: the reason in a word, and the detail.
        charge: Takes processor time that was used for the publisher beside ``receive``, seconds.
        on_failed: Called once when an error, ours or the media's, breaks the line without a caller of ``receive`` to
            raise it to.
        picture_pixels_max: Returns the largest picture allowed now.
        intake_limits: Limits of the gate.
        continuation: Of the playlists that this line goes on with; None where it starts them.
        demuxer: Which demuxer reads the frames.
        probing: Held while new tracks are probed; shared by all streams. None for a single stream.
    """

    def __init__(
        self,
        outputs: Outputs,
        *,
        options: SegmenterOptions,
        clock: Clock,
        metrics: Metrics,
        meter: StreamMeter,
        warn: Callable[[str, str], None],
        charge: Callable[[float], None],
        on_failed: Callable[[Exception], None],
        picture_pixels_max: Callable[[], int],
        intake_limits: IntakeLimits | None = None,
        continuation: Continuation | None = None,
        demuxer: DemuxerKind = DemuxerKind.PYAV,
        probing: asyncio.Semaphore | None = None,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._warn = warn
        self._charge = charge
        self._on_failed = on_failed
        self._intake = Intake(intake_limits)
        self._allowances = LineAllowances(clock, meter)
        self._drops = DropNotes(metrics, warn)
        self._packaging = Packaging(
            outputs,
            options=options,
            allowances=self._allowances,
            clock=clock,
            metrics=metrics,
            meter=meter,
            continuation=continuation,
        )
        self._opener = Opener(
            demuxer,
            form=continuation.form if continuation is not None else None,
            picture_pixels_max=picture_pixels_max,
            probing=probing or asyncio.Semaphore(),
            charge=charge,
            clock=clock,
        )
        self._queue = TagQueue()
        self._opening: asyncio.Task[None] | None = None
        self._demuxer_kind = demuxer
        self._demuxer: Demuxer | None = None
        self._demuxer_failures = 0
        self._has_failed = False
        self._epoch: datetime | None = None
        self._is_finished = False

    def receive(self, tags: Sequence[FlvTag]) -> None:
        """Take the tags of one read, in the order in which they came.

        Args:
            tags: Audio, video and script tags with unwrapped timestamps.

        Raises:
            MediaError: The stream cannot be carried on; its text says why.
        """
        if self._is_finished:
            return
        if self._opening is not None:
            self._queue.add(tags)
            return
        if self._epoch is None:
            self._epoch = self._clock.now()
        for start in range(0, len(tags), STRETCH_TAGS):
            end = start + STRETCH_TAGS
            unread = self._receive(tags if end >= len(tags) and not start else tags[start:end])
            if unread is not None:
                # All tags in the queue came later.
                self._queue.add_in_front([*unread, *tags[end:]])
                return

    def _receive(self, tags: Sequence[FlvTag]) -> Collection[FlvTag] | None:
        """Take tags up to the first with which other tracks begin, for which a demuxer is being opened then.

        Returns:
            Those behind it; None if there was no such tag.
        """
        if self._has_failed:
            # No tag that the gate lets through now can be read before the keyframe with which it opens the next tracks.
            self._has_failed = False
            self._intake.restart()
        unread: Collection[FlvTag] | None = None
        passed = self._intake.pass_frames(tags)
        if passed == len(tags):
            self._demux(tags)
        else:
            unread = self._receive_others(tags, passed)
        if self._allowances.parts_left < 0:
            self._allowances.settle_parts(self._packaging.renditions)
        return unread

    def _receive_others(self, tags: Sequence[FlvTag], passed: int) -> Collection[FlvTag] | None:
        """Take tags of which the first that may be no frame of an open track stands behind ``passed`` others."""
        now = self._clock.monotonic()
        self._intake.allow_silence(self._allowances.take_silence(now))
        self._intake.may_reopen = self._opener.may_open(now)
        batch = list(tags[:passed])
        unread = deque(tags[passed:])
        drops: list[Drop] = []
        while unread:
            match self._intake.receive(unread.popleft()):
                case FlvTag() as frame:
                    batch.append(frame)
                case Split(parts) as split:
                    if split.is_multitrack:
                        self._allowances.take_shares(now, len(parts))
                    unread.extendleft(reversed(parts))
                case Open() as opening:
                    self._drops.note(drops)
                    self._demux(batch)
                    self._open(opening, now)
                    return unread
                case Drop() as drop:
                    drops.append(drop)
                case Hold():
                    pass
        self._drops.note(drops)
        self._demux(batch)
        return None

    def receive_metadata(self, values: Mapping[str, object]) -> None:
        """Take ``onMetaData``: a hint at which tracks will come, and at the frame rate."""
        self._intake.metadata = read_metadata(values)

    @property
    def held_bytes(self) -> int:
        """The publisher's media that is in no part yet, bytes."""
        return self._intake.held_bytes + self._queue.held_bytes + self._packaging.held_bytes

    @property
    def tags_dropped(self) -> int:
        """Tags, or tracks of tags, that went no further than the gate."""
        return self._intake.drops.total()

    @property
    def refusals(self) -> list[str]:
        """The publisher's media that viewers do not get now, in words; at most ``REFUSALS_MAX``, each once."""
        return self._drops.refusals(self._intake.refusals.values())

    @property
    def is_silent(self) -> bool:
        """Whether the publisher's sound has stopped, and silence of ours stands for it."""
        return self._intake.is_silent

    @property
    def metadata(self) -> StreamMetadata:
        """The publisher's claims about its tracks."""
        return self._intake.metadata

    def read(self) -> LineReading:
        """Its counts so far; taken about once a second."""
        packaging = self._packaging
        packaging.count_repairs()
        return LineReading(packaging.media_ms, packaging.repairs, self._intake.drops.get(TagDropReason.MALFORMED, 0))

    @property
    def repairs(self) -> Counter[str]:
        """Timestamp repairs up to the last ``read``, by reason."""
        return self._packaging.repairs

    @property
    def irregularities(self) -> Counter[str]:
        """Irregularities of finished segmenters, by name."""
        return self._packaging.irregularities

    @property
    def continuation(self) -> Continuation | None:
        """The facts with which another line would go on; None before there is a part."""
        return self._packaging.continuation

    @property
    def newest_ms(self) -> int:
        """How far the media has come on the stream's timeline, milliseconds."""
        return self._packaging.newest_ms

    @property
    def closes_in_ms(self) -> int:
        """How much later than the newest frame the last one of a part is; 0 where that is not known."""
        return self._packaging.closes_in_ms

    def when_open(self, then: Callable[[], None]) -> bool:
        """Call a function once the demuxer that is being opened is open, and its queue is packaged.

        Returns:
            Whether one is being opened; if not, the function is never called.
        """
        if self._opening is None:
            return False
        self._opening.add_done_callback(lambda _: then())
        return True

    def finish(self) -> None:
        """End the line: the segmenters' samples become the last parts. Calling it again does nothing."""
        if self._is_finished:
            return
        self._is_finished = True
        if self._opening is not None:
            self._opening.cancel()
        self._close_demuxer()
        self._packaging.finish()

    # -- opening ------------------------------------------------------------------------------

    def _open(self, opening: Open, now: float) -> None:
        self._opener.take(now)
        epoch, self._epoch = self._epoch, None
        self._has_failed = False
        self._close_demuxer()
        self._opening = asyncio.create_task(self._open_tracks(opening, epoch or self._clock.now()))

    async def _open_tracks(self, opening: Open, epoch: datetime) -> None:
        try:
            await self._try_to_open(opening, epoch)
            await self._receive_queued()
        except Exception as exc:  # noqa: BLE001  # the top of a task; the receiver logs it once and ends the stream
            self._opening = None
            self._on_failed(exc)

    async def _try_to_open(self, opening: Open, epoch: datetime) -> None:
        try:
            opened = await self._opener.open(opening)
        except TrackRefusedError as exc:
            # The other tracks play on without it.
            self._drops.note([self._intake.refuse(opening.tracks[exc.index], str(exc))])
            return
        if self._is_finished:
            opened.demuxer.close()
            return
        self._metrics.streams.demuxers_opened_total.labels(self._demuxer_kind.value).inc()
        self._demuxer = opened.demuxer
        self._drops.note_tracks(opened.tracks, opened.variants)
        with self._charged():
            self._packaging.start(opened, epoch)
        for start in range(0, len(opening.tags), QUEUED_TAGS_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            with self._charged():
                self._demux(opening.tags[start : start + QUEUED_TAGS_AT_ONCE])

    @contextmanager
    def _charged(self) -> Iterator[None]:
        """Charge the publisher for a step of the loop outside its reads."""
        since = self._clock.cpu()
        try:
            yield
        finally:
            self._charge(self._clock.cpu() - since)

    @property
    def _is_opening(self) -> bool:
        return self._opening is not None

    async def _receive_queued(self) -> None:
        """Take the queued tags, a stretch at a time; tags that come meanwhile queue behind them."""
        while self._queue and not self._is_finished:
            queued = self._queue.take()
            task, self._opening = self._opening, None
            with self._charged():
                self.receive(queued)
            if self._is_opening:
                return  # Other tracks are: the rest waits for those.
            if self._queue:
                self._opening = task
                await asyncio.sleep(0)
        self._opening = None

    # -- the way of one frame -----------------------------------------------------------------

    def _demux(self, tags: Sequence[FlvTag]) -> None:
        if not tags or self._demuxer is None:
            return
        self._packaging.take_tags(tags)
        try:
            packets = self._demuxer.demux(tags)
        except DemuxError as exc:
            self._note_failure(exc)
            return
        self._packaging.take_packets(packets)

    def _note_failure(self, error: DemuxError) -> None:
        """Do without the demuxer, whose tags are lost, until the next keyframe opens another; a few times."""
        self._close_demuxer()
        self._has_failed = True
        self._demuxer_failures += 1
        self._metrics.streams.demuxer_failures_total.labels(self._demuxer_kind.value).inc()
        if self._demuxer_failures > DEMUXER_FAILURES_MAX:
            raise DemuxError(f"the demuxer has failed {self._demuxer_failures} times, at last: {error}") from error
        self._warn("demuxer_failed", str(error))

    def _close_demuxer(self) -> None:
        demuxer, self._demuxer = self._demuxer, None
        if demuxer is not None:
            demuxer.close()

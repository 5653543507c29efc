"""The line of one frame: FLV tags in, CMAF chunks out.

    tag → Intake (gate) → Demuxer → Timeline → Ladder → Segmenter → chunk → sink

Everything on it is synchronous and runs in the step of the loop in which the tags arrived; only asking libavformat
about new tracks, and opening a demuxer for them, takes a thread for a few milliseconds, and tags queue meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from streamd.errors import DemuxError, MediaLimitError, TrackRefusedError
from streamd.formats.flv.metadata import read_metadata
from streamd.formats.flv.tag import FlvTag
from streamd.media.demux import DemuxerKind, open_demuxer
from streamd.media.intake.actions import Drop, DropReason, Hold, Open, Split
from streamd.media.intake.intake import Intake
from streamd.media.packager.ladder import Ladder, Variant, decide_split_audio, plan_variants
from streamd.media.packet import TrackKind
from streamd.media.probe import Probe
from streamd.media.timeline import START_MS, Timeline
from streamd.services.bounds.allowance import Allowance
from streamd.services.live.meter import LineReading

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.formats.flv.metadata import StreamMetadata
    from streamd.media.demux import Demuxer
    from streamd.media.intake.limits import IntakeLimits
    from streamd.media.packager.chunk import CmafChunk, PlaylistTiming
    from streamd.media.packager.segmenter import SegmenterOptions
    from streamd.media.packet import MediaPacket, Sample, Track
    from streamd.services.live.meter import StreamMeter
    from streamd.services.metrics import Metrics

# Tags that may queue while new tracks are probed (4–20 ms; 1 s on a loaded machine): one second at 50 Mb/s and a half.
HELD_BYTES_MAX = 10 * 1024 * 1024
# How often a publisher's demuxer may fail, and is opened anew at the next keyframe. None is known to with what the gate
# lets through; each time costs viewers a few seconds, and who sends what makes it fail will send it again.
DEMUXER_FAILURES_MAX = 3
# What a tag that queues costs beside its payload.
_HELD_TAG_BYTES = 256
# How many parts were made is looked at after so many tags: a fifth of a second of eight tracks.
STRETCH_TAGS = 64
# Tags that have queued are taken so many at a time, some 3 ms, and 15 where they are meant to be dear: then the others
# have their turn.
QUEUED_TAGS_AT_ONCE = 256
# An opening takes a thread for some milliseconds, and its tracks a CMAF header in each rendition. A publisher has one,
# one more for each track that begins late or is refused, and some for an encoder that changes its picture size with
# every keyframe, for a while. Past it, tracks that change are left out until there is time again.
OPENINGS_AT_ONCE_MAX = 24
OPENINGS_PER_S = 1.0
# Eight silent tracks of 96 kHz have 750 frames a second, which are ours to make.
SILENT_FRAMES_PER_S = 1_000
# Each track of a multitrack message is a message of its own, as eight tracks of each kind at 60 frames a second have a
# thousand of them.
SHARES_PER_S = 5_000
SHARES_AT_ONCE_MAX = 2_048
# A part costs some 100 us, whatever is in it. In each rendition two a second are made of media in real time; others
# come with the bytes of who catches up, or sends a file at once: the thinnest sound has 500 to a part.
PARTS_AT_ONCE_MAX = 512
PARTS_PER_S = 20
PART_BYTES_MIN = 256
# What is refused is told of so many tracks; an encoder has as many of a kind.
REFUSALS_MAX = 8
# Media time between one discontinuity and the next where timestamps leap and leap: segments are to last a second on
# average (media/packager/numbering.py), and players to play something in between.
LEAP_INTERVAL_MS = 1_000
# The same in time that passes, beyond some that come one after the other: a discontinuity makes everything anew in each
# rendition. One that is not allowed yet is due with a later keyframe.
LEAPS_AT_ONCE_MAX = 8
LEAPS_PER_S = 1.0

# Drops that mean that something the broadcaster sends will not be seen or heard.
_TELLING_DROPS = frozenset(
    {
        DropReason.UNSUPPORTED_CODEC,
        DropReason.BAD_CODEC_CONFIG,
        DropReason.EXTRA_TRACK,
        DropReason.HEADER_FLOOD,
    }
)


class ChunkSink(Protocol):
    """Where the line's output goes."""

    def start_tracks(self, variants: Sequence[Variant], direct: Variant, epoch: datetime) -> None:
        """Take new CMAF headers; every chunk from now on belongs to them.

        Args:
            variants: The renditions that there are from now on.
            direct: What goes to viewers frame by frame.
            epoch: Wall time of tick 0 of the timeline of the chunks that follow.
        """

    def note_leap(self, epoch: datetime) -> None:
        """Note that the publisher's timestamps have leapt: the chunks that follow begin with a discontinuity.

        Args:
            epoch: Wall time of tick 0 of the timeline, as it is from here on.
        """

    def add_chunk(self, name: str, chunk: CmafChunk, timing: PlaylistTiming) -> None:
        """Take the next chunk of a rendition."""

    def end_segment(self, name: str) -> None:
        """Complete the newest segment of a rendition, if it is not: the next chunk begins another."""

    def add_tags(self, tags: Sequence[FlvTag]) -> None:
        """Take frames of the direct tracks as the publisher sent them, before they are demuxed."""

    def add_samples(self, samples: Sequence[Sample]) -> None:
        """Take the same frames as samples, before they are cut into chunks."""

    def warn(self, reason: str, detail: str) -> None:
        """Note that something the broadcaster sends is dropped, for some seconds or for good."""

    def charge(self, step_s: float) -> None:
        """Note processor time that was used for the publisher beside ``MediaLine.receive``, seconds."""

    def fail(self, error: Exception) -> None:
        """End the stream: the line is broken by ``error``, which may be ours or the media's."""


class _Opened(NamedTuple):
    """The tracks of an opening, what is to be made of them, and their demuxer."""

    tracks: tuple[Track, ...]
    variants: tuple[Variant, ...]
    direct: Variant
    demuxer: Demuxer


class MediaLine:
    """The media line of one publisher.

    Args:
        sink: Takes what comes out.
        options: Part and segment targets.
        clock: Gives the wall time of the first tag, for EXT-X-PROGRAM-DATE-TIME.
        metrics: Counted into.
        meter: Counted into.
        intake_limits: Limits of the gate.
        timing: The timing of a playlist that this line continues, or None where it starts one.
        split_audio: Whether that playlist's audio is apart from its video, or None where that is open.
        demuxer: Which demuxer reads the frames.
        probing: Held while new tracks are probed; shared by all streams. None where there is no other.
    """

    def __init__(
        self,
        sink: ChunkSink,
        *,
        options: SegmenterOptions,
        clock: Clock,
        metrics: Metrics,
        meter: StreamMeter,
        intake_limits: IntakeLimits | None = None,
        timing: PlaylistTiming | None = None,
        split_audio: bool | None = None,
        demuxer: DemuxerKind = DemuxerKind.PYAV,
        probing: asyncio.Semaphore | None = None,
    ) -> None:
        self._sink = sink
        self._options = options
        self._clock = clock
        self._metrics = metrics
        self._meter = meter
        self._timing = timing
        self._is_continuing = timing is not None
        self._probing = probing or asyncio.Semaphore()
        self._intake = Intake(intake_limits)
        self._demuxer_kind = demuxer
        self._demuxer: Demuxer | None = None
        self._demuxer_failures = 0
        self._has_failed = False
        now = clock.monotonic()
        self._openings = Allowance(OPENINGS_PER_S, OPENINGS_AT_ONCE_MAX, now)
        self._silence = Allowance(SILENT_FRAMES_PER_S, SILENT_FRAMES_PER_S, now)
        self._leaps = Allowance(LEAPS_PER_S, LEAPS_AT_ONCE_MAX, now)
        self._shares = Allowance(SHARES_PER_S, SHARES_AT_ONCE_MAX, now)
        self._parts_left = PARTS_AT_ONCE_MAX
        # Up to when time, and what was received, is in that.
        self._parts_settled = (now, meter.media_bytes)
        self._timeline: Timeline | None = None
        self._variants: tuple[Variant, ...] = ()
        self._ladder: Ladder | None = None
        self._split_audio = split_audio
        self._direct_ids: dict[int, int] | None = None
        self._opening: asyncio.Task[None] | None = None
        # What the last probe cost, seconds.
        self._probe_s = 0.0
        self._held: list[FlvTag] = []
        self._held_bytes = 0
        self._epoch: datetime | None = None
        # 0 where there is none.
        self._video_track_id = 0
        # Where the timeline was when the ladder was made, and how often the publisher's time had leapt by then.
        self._ladder_began_ms = 0
        self._breaks_met = 0
        self._next_sequence_number = 1
        self._is_finished = False
        # Milliseconds of media on the timelines that are finished.
        self._finished_media_ms = 0
        # Tracks of the demuxer that no rendition has room for, and what of all refusals has been told.
        self._left_out: list[Drop] = []
        self._told: set[Drop] = set()
        self.repairs: Counter[str] = Counter()
        """Timestamp repairs up to the last ``read``, by reason."""
        self.irregularities: Counter[str] = Counter()
        """What finished segmenters met, by name."""

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
            self._hold(tags)
            return
        if self._epoch is None:
            self._epoch = self._clock.now()
        for start in range(0, len(tags), STRETCH_TAGS):
            end = start + STRETCH_TAGS
            unread = self._receive(tags if end >= len(tags) and not start else tags[start:end])
            if unread is not None:
                # Of what queues already, all came later.
                self._hold([*unread, *tags[end:]], in_front=True)
                return

    def _receive(self, tags: Sequence[FlvTag]) -> Collection[FlvTag] | None:
        """Take tags up to the first with which other tracks begin, for which a demuxer is being opened then.

        Returns:
            Those behind it; None if there was no such tag.
        """
        if self._has_failed:
            # Of what the gate lets through now, nothing can be read before the keyframe with which it opens the next.
            self._has_failed = False
            self._intake.restart()
        unread: Collection[FlvTag] | None = None
        passed = self._intake.pass_frames(tags)
        if passed == len(tags):
            self._demux(tags)
        else:
            unread = self._receive_others(tags, passed)
        if self._parts_left < 0:
            self._settle_parts()
        return unread

    def _receive_others(self, tags: Sequence[FlvTag], passed: int) -> Collection[FlvTag] | None:
        """Take tags of which the first that may be no frame of an open track stands behind ``passed`` others."""
        now = self._clock.monotonic()
        self._intake.allow_silence(self._silence.take_all(now))
        self._intake.may_reopen = self._openings.left(now) > 0
        batch = list(tags[:passed])
        unread = deque(tags[passed:])
        drops: list[Drop] = []
        while unread:
            match self._intake.receive(unread.popleft()):
                case FlvTag() as frame:
                    batch.append(frame)
                case Split(parts) as split:
                    if split.is_multitrack and not self._shares.take(now, len(parts)):
                        raise MediaLimitError("too many tracks in too many messages", limit="messages_per_second_max")
                    unread.extendleft(reversed(parts))
                case Open() as opening:
                    self._note_drops(drops)
                    self._demux(batch)
                    self._open(opening, now)
                    return unread
                case Drop() as drop:
                    drops.append(drop)
                case Hold():
                    pass
        self._note_drops(drops)
        self._demux(batch)
        return None

    def receive_metadata(self, values: Mapping[str, object]) -> None:
        """Take ``onMetaData``: a hint at which tracks will come, and at the frame rate."""
        self._intake.metadata = read_metadata(values)

    @property
    def is_finished(self) -> bool:
        """Whether it takes no more; what it still sends out is what it had."""
        return self._is_finished

    @property
    def held_bytes(self) -> int:
        """What it keeps of what the publisher sent, and no part has yet, bytes."""
        in_parts = self._ladder.held_bytes if self._ladder is not None else 0
        return self._intake.held_bytes + self._held_bytes + in_parts

    @property
    def tags_dropped(self) -> int:
        """Tags, or tracks of tags, that went no further than the gate."""
        return self._intake.drops.total()

    @property
    def refusals(self) -> list[str]:
        """What the publisher sends now and viewers do not get, in words; at most ``REFUSALS_MAX``, each once."""
        drops = (*self._intake.refusals.values(), *self._left_out)
        words = dict.fromkeys(f"{drop.reason.value.replace('_', ' ')} ({drop.detail})" for drop in drops)
        return list(words)[:REFUSALS_MAX]

    @property
    def is_silent(self) -> bool:
        """Whether the publisher's sound has stopped, and silence of ours stands for it."""
        return self._intake.is_silent

    @property
    def metadata(self) -> StreamMetadata:
        """What the publisher claims of its tracks."""
        return self._intake.metadata

    def read(self) -> LineReading:
        """What it has counted so far; taken about once a second."""
        self._count_repairs()
        media_ms: int | None = None
        if self._timeline is not None:
            media_ms = self._finished_media_ms + self._timeline.newest_ms - START_MS
        return LineReading(media_ms, Counter(self.repairs), self._intake.drops[DropReason.MALFORMED])

    @property
    def closes_in_ms(self) -> int:
        """How much later than the newest frame the last one of a part is; 0 where that is not known."""
        return self._ladder.closes_in_ms if self._ladder is not None else 0

    def when_open(self, then: Callable[[], None]) -> bool:
        """Have something done when the demuxer that is being opened is open, and what queues for it is packaged.

        Returns:
            Whether one is being opened; if not, nothing will be done.
        """
        if self._opening is None:
            return False
        self._opening.add_done_callback(lambda _: then())
        return True

    def finish(self) -> None:
        """End the line: what the segmenter holds becomes the last chunk. Calling it again does nothing."""
        if self._is_finished:
            return
        self._is_finished = True
        if self._opening is not None:
            self._opening.cancel()
        self._close_demuxer()
        try:
            self._finish_ladder()
        finally:
            self._finish_timeline()

    # -- opening ------------------------------------------------------------------------------

    def _hold(self, tags: Collection[FlvTag], *, in_front: bool = False) -> None:
        if in_front:
            self._held[:0] = tags
        else:
            self._held.extend(tags)
        self._held_bytes += _queued_bytes(tags)
        if self._held_bytes > HELD_BYTES_MAX:
            raise DemuxError(f"more than {HELD_BYTES_MAX} bytes arrived while the tracks were probed")

    def _open(self, opening: Open, now: float) -> None:
        if not self._openings.take(now):
            raise MediaLimitError("the tracks change all the time, or none of them is fit", limit="openings_max")
        epoch, self._epoch = self._epoch, None
        self._has_failed = False
        self._close_demuxer()
        self._opening = asyncio.create_task(self._open_tracks(opening, epoch or self._clock.now()))

    async def _open_tracks(self, opening: Open, epoch: datetime) -> None:
        try:
            await self._try_to_open(opening, epoch)
            await self._receive_held()
        except Exception as exc:  # noqa: BLE001  # the top of a task; the sink logs it once and ends the stream
            self._opening = None
            self._sink.fail(exc)

    async def _try_to_open(self, opening: Open, epoch: datetime) -> None:
        try:
            # libavformat takes some milliseconds, which would be every other stream's delay.
            async with self._probing:
                try:
                    opened = await asyncio.to_thread(self._probe_in_thread, opening)
                finally:
                    self._sink.charge(self._probe_s)
        except TrackRefusedError as exc:
            # The others play on without it.
            self._note_drops([self._intake.refuse(opening.tracks[exc.index], str(exc))])
            return
        if self._is_finished:
            opened.demuxer.close()
            return
        self._metrics.demuxers_opened_total.labels(self._demuxer_kind.value).inc()
        self._demuxer = opened.demuxer
        with self._charged():
            self._start_tracks(opened, epoch)
        for start in range(0, len(opening.tags), QUEUED_TAGS_AT_ONCE):
            if start:
                await asyncio.sleep(0)
            with self._charged():
                self._demux(opening.tags[start : start + QUEUED_TAGS_AT_ONCE])

    @contextmanager
    def _charged(self) -> Iterator[None]:
        """Charge the publisher for a step of the loop that none of its reads is charged for."""
        since = self._clock.cpu()
        try:
            yield
        finally:
            self._sink.charge(self._clock.cpu() - since)

    @property
    def _is_opening(self) -> bool:
        return self._opening is not None

    async def _receive_held(self) -> None:
        """Take what has queued, a stretch at a time; what comes meanwhile queues behind it."""
        while self._held and not self._is_finished:
            held = self._held[:QUEUED_TAGS_AT_ONCE]
            del self._held[:QUEUED_TAGS_AT_ONCE]
            self._held_bytes -= _queued_bytes(held)
            task, self._opening = self._opening, None
            with self._charged():
                self.receive(held)
            if self._is_opening:
                return  # Other tracks are: the rest waits for those.
            if self._held:
                self._opening = task
                await asyncio.sleep(0)
        self._opening = None

    def _probe_in_thread(self, opening: Open) -> _Opened:
        # The thread's own time: it is the loop's processor that it uses, or the interpreter's lock.
        since = self._clock.cpu()
        try:
            return self._probe(opening)
        finally:
            self._probe_s = self._clock.cpu() - since

    def _probe(self, opening: Open) -> _Opened:
        with Probe(opening) as probe:
            if self._split_audio is None:
                self._split_audio = decide_split_audio(probe.tracks, is_continuing=self._is_continuing)
            planned = plan_variants(probe.tracks, split_audio=self._split_audio)
            headers = {variant.sources: probe.write_cmaf_header(variant.sources) for variant in planned}
            # Frame by frame go the tracks that players without multitrack play (Enhanced RTMP v2, "Multitrack").
            tracks = zip(opening.tracks, probe.tracks, strict=True)
            sources = tuple(track for header, track in tracks if header.track_id == 0)
            if sources and sources not in headers:
                headers[sources] = probe.write_cmaf_header(sources)
        variants = tuple(replace(variant, cmaf_header=headers[variant.sources]) for variant in planned)
        direct = Variant("direct", sources, cmaf_header=headers.get(sources, b""))
        return _Opened(probe.tracks, variants, direct, open_demuxer(self._demuxer_kind, opening))

    def _start_tracks(self, opened: _Opened, epoch: datetime) -> None:
        self._finish_ladder()
        self._finish_timeline()
        tracks, variants, direct, _ = opened
        carried = {track.track_id for variant in variants for track in variant.sources}
        self._left_out = [
            Drop(DropReason.EXTRA_TRACK, f"{track.codec} came too late for a rendition of its own", "tracks_max")
            for track in tracks
            if track.track_id not in carried
        ]
        self._note_drops(self._left_out)
        # None where every track goes to viewers frame by frame under its own number, as is the rule.
        self._direct_ids = None
        if direct.sources != tracks:
            self._direct_ids = {track.track_id: number for number, track in enumerate(direct.sources, 1)}
        self._timeline = Timeline(tracks)
        self._variants = variants
        self._start_ladder(self._timeline)
        videos = (track.track_id for track in tracks if track.kind is TrackKind.VIDEO)
        self._video_track_id = next(videos, 0)
        # The first packet lands on START_MS of the timeline.
        self._sink.start_tracks(variants, direct, epoch - timedelta(milliseconds=START_MS))

    def _start_ladder(self, timeline: Timeline) -> Ladder:
        ladder = self._ladder = Ladder(
            self._variants,
            self._options,
            self._timing,
            starts_discontinuous=self._is_continuing,
            first_sequence_number=self._next_sequence_number,
        )
        self._is_continuing = True
        self._ladder_began_ms = timeline.newest_ms
        self._breaks_met = timeline.breaks
        return ladder

    def _note_drops(self, drops: Sequence[Drop]) -> None:
        if not drops:
            return
        for reason, count in Counter(drop.reason for drop in drops).items():
            self._metrics.tags_dropped_total.labels(reason.value).inc(count)
        for limit, count in Counter(drop.limit for drop in drops if drop.limit).items():
            self._metrics.limit_hits_total.labels(limit).inc(count)
        if len(self._told) == REFUSALS_MAX:
            return
        # Once for each: a broadcaster's wrong setting repeats itself with every frame.
        for drop in drops:
            if drop.reason in _TELLING_DROPS and drop not in self._told and len(self._told) < REFUSALS_MAX:
                self._told.add(drop)
                self._sink.warn(drop.reason.value, drop.detail)

    # -- the way of one frame -----------------------------------------------------------------

    def _demux(self, tags: Sequence[FlvTag]) -> None:
        if not tags or self._demuxer is None:
            return
        self._sink.add_tags(self._direct_tags(tags))
        try:
            packets = self._demuxer.demux(tags)
        except DemuxError as exc:
            self._note_failure(exc)
            return
        self._package(packets)

    def _note_failure(self, error: DemuxError) -> None:
        """Do without the demuxer, whose tags are lost, until the next keyframe opens another; a few times."""
        self._close_demuxer()
        self._has_failed = True
        self._demuxer_failures += 1
        self._metrics.demuxer_failures_total.labels(self._demuxer_kind.value).inc()
        if self._demuxer_failures > DEMUXER_FAILURES_MAX:
            raise DemuxError(f"the demuxer has failed {self._demuxer_failures} times, at last: {error}") from error
        self._sink.warn("demuxer_failed", str(error))

    def _close_demuxer(self) -> None:
        demuxer, self._demuxer = self._demuxer, None
        if demuxer is not None:
            demuxer.close()

    def _package(self, packets: Sequence[MediaPacket]) -> None:
        timeline, ladder = self._timeline, self._ladder
        if timeline is None or ladder is None:
            return
        samples: list[Sample] = []
        # Of them, how many are cut.
        cut = 0
        # A segment ends with a part, or with the keyframe that begins the next.
        may_end_segment = False
        video_track_id = self._video_track_id
        for packet in packets:
            if packet.track_id == video_track_id:
                self._meter.note_video(packet)
                may_end_segment |= packet.is_keyframe
            sample = timeline.place(packet)
            if timeline.breaks != self._breaks_met and self._may_begin_anew(timeline, packet):
                may_end_segment |= self._cut(samples[cut:], ladder)
                cut = len(samples)
                ladder = self._begin_anew(timeline, ladder)
            if sample is not None:
                samples.append(sample)
        may_end_segment |= self._cut(samples[cut:] if cut else samples, ladder)
        if may_end_segment:
            for name in ladder.complete_segments():
                self._sink.end_segment(name)
        self._sink.add_samples(self._direct_samples(samples))

    def _cut(self, samples: Sequence[Sample], ladder: Ladder) -> bool:
        """Pass on the chunks that samples complete; say whether there are any."""
        chunks = ladder.push(samples)
        for name, chunk in chunks:
            self._emit(name, chunk, ladder)
        return bool(chunks)

    def _may_begin_anew(self, timeline: Timeline, packet: MediaPacket) -> bool:
        """Whether a discontinuity that is due can stand before a packet: pictures go on from a keyframe alone."""
        if self._video_track_id not in (0, packet.track_id):
            return False
        if not packet.is_keyframe or timeline.newest_ms - self._ladder_began_ms < LEAP_INTERVAL_MS:
            return False
        return self._leaps.take(self._clock.monotonic())

    def _begin_anew(self, timeline: Timeline, ladder: Ladder) -> Ladder:
        """Go on after a leap of the publisher's time: with a discontinuity, in all renditions alike."""
        if ladder.timing is None:
            # Nothing is listed yet that it could be discontinuous with.
            self._breaks_met = timeline.breaks
            return ladder
        self._finish_ladder()
        if self._parts_left < 0:
            self._settle_parts()
        # The media that follows is what arrives now, however long the pause was.
        self._sink.note_leap(self._clock.now() - timedelta(milliseconds=timeline.newest_ms))
        return self._start_ladder(timeline)

    def _direct_tags(self, tags: Sequence[FlvTag]) -> Sequence[FlvTag]:
        if self._direct_ids is None:
            return tags
        # Those of other tracks do not go out in this way.
        return [tag for tag in tags if tag.head is not None and not tag.head.track_id]

    def _direct_samples(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        ids = self._direct_ids
        if ids is None:
            return samples
        return [replace(sample, track_id=ids[sample.track_id]) for sample in samples if sample.track_id in ids]

    def _emit(self, name: str, chunk: CmafChunk, ladder: Ladder) -> None:
        assert ladder.timing is not None, "the timing is decided before the first chunk"
        self._timing = ladder.timing
        self._parts_left -= 1
        self._sink.add_chunk(name, chunk, ladder.timing)

    def _settle_parts(self) -> None:
        """Reckon the parts that were made with the time that has passed and the bytes that have come.

        Raises:
            MediaLimitError: Media time runs so much faster than either that parts are made of nothing.
        """
        (at, media_bytes), now = self._parts_settled, self._clock.monotonic()
        in_time = (now - at) * PARTS_PER_S * len(self._variants)
        of_bytes = (self._meter.media_bytes - media_bytes) // PART_BYTES_MIN
        self._parts_left = min(PARTS_AT_ONCE_MAX, self._parts_left + int(in_time) + of_bytes)
        self._parts_settled = (now, self._meter.media_bytes)
        if self._parts_left < 0:
            raise MediaLimitError("its timestamps run on much faster than media comes", limit="parts_per_second_max")

    def _finish_ladder(self) -> None:
        ladder, self._ladder = self._ladder, None
        if ladder is not None:
            for name, chunk in ladder.finish():
                self._emit(name, chunk, ladder)
            self._next_sequence_number = ladder.next_sequence_number
            for irregularity, count in ladder.irregularities.items():
                self.irregularities[irregularity.value] += count
                self._metrics.stream_irregularities_total.labels(irregularity.value).inc(count)

    def _finish_timeline(self) -> None:
        self._count_repairs()
        if self._timeline is not None:
            self._finished_media_ms += self._timeline.newest_ms - START_MS
            self._timeline = None

    def _count_repairs(self) -> None:
        """Count the timestamp repairs since the last time."""
        if self._timeline is None:
            return
        repairs = self._timeline.repairs
        for repair, count in repairs.items():
            self.repairs[repair.value] += count
            self._metrics.timestamps_repaired_total.labels(repair.value).inc(count)
        repairs.clear()


def _queued_bytes(tags: Collection[FlvTag]) -> int:
    """What tags take in memory while they queue."""
    return sum(len(tag.payload) for tag in tags) + _HELD_TAG_BYTES * len(tags)

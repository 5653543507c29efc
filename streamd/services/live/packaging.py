"""The way from one publisher's packets to the outputs: timeline, parts of every rendition, and leaps of time.

packet → Timeline → Ladder → Segmenter → part → Outputs
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from streamd.media.packager.ladder import Form, Ladder, Variant
from streamd.media.packet import TrackKind
from streamd.media.timeline import START_MS, TRACKS_APART_MS_MAX, Timeline
from streamd.services.live.outputs import StreamTracks
from streamd.services.live.picture_looks import PictureLooks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.formats.flv.tag import FlvTag
    from streamd.media.packager.cmaf_chunk import CmafChunk
    from streamd.media.packager.segmenter import SegmenterOptions
    from streamd.media.packager.timing import PlaylistTiming
    from streamd.media.packet import MediaPacket, Sample
    from streamd.services.live.line_allowances import LineAllowances
    from streamd.services.live.meter import StreamMeter
    from streamd.services.live.opening import Opened
    from streamd.services.live.outputs import Outputs
    from streamd.services.metrics import Metrics

# Media time between one discontinuity and the next where timestamps leap and leap: segments are to last a second on
# average (media/packager/numbering.py), and players to play something in between.
LEAP_INTERVAL_MS = 1_000


class Continuation(NamedTuple):
    """The state of a stream's playlists with which the next publisher, or the next server, goes on."""

    timing: PlaylistTiming
    form: Form | None
    """That of the stream's renditions; None where that is not known."""
    starts_ms: int = START_MS
    """The earliest place on the stream's timeline that is free of media, for the next publisher's, milliseconds."""


class Packaging:
    """The packaging of one publisher's media.

    Args:
        outputs: Take what comes out.
        options: Part and segment targets.
        allowances: Of parts and leaps.
        clock: Dates the media behind a leap.
        metrics: Counted into.
        meter: Counted into.
        continuation: Of the playlists that this goes on with; None where it starts them.

    Attributes:
        is_continuing: Viewers play media of this stream already.
        repairs: Timestamp repairs up to the last ``count_repairs``, by reason. With more of them it is another counter.
        irregularities: Those of finished segmenters, by name.
    """

    def __init__(
        self,
        outputs: Outputs,
        *,
        options: SegmenterOptions,
        allowances: LineAllowances,
        clock: Clock,
        metrics: Metrics,
        meter: StreamMeter,
        continuation: Continuation | None = None,
    ) -> None:
        self.is_continuing = continuation is not None
        self.repairs: Counter[str] = Counter()
        self.irregularities: Counter[str] = Counter()
        self._outputs = outputs
        self._options = options
        self._allowances = allowances
        self._clock = clock
        self._metrics = metrics
        self._meter = meter
        self._timing = continuation.timing if continuation is not None else None
        self._form = continuation.form if continuation is not None else None
        # The first tracks of a publisher that has come back have timestamps of their own.
        self._begins_anew = self.is_continuing
        self._timeline: Timeline | None = None
        # The date of the timelines' beginning. It is the same for all tracks that this publisher opens: renditions that
        # begin late have the dates of those that go on.
        self._starts_at: datetime | None = None
        # Where the next timeline begins, and what the one before it added to this publisher's milliseconds.
        self._starts_ms = continuation.starts_ms if continuation is not None else START_MS
        self._offset_ms: int | None = None
        self._variants: tuple[Variant, ...] = ()
        self._ladder: Ladder | None = None
        self._direct_ids: dict[int, int] | None = None
        # 0 where there is none.
        self._video_track_id = 0
        self._looks = PictureLooks()
        # Where the timeline was when the ladder was made, and how often the publisher's time had leapt by then.
        self._ladder_began_ms = 0
        self._breaks_met = 0
        self._next_sequence_number = 1
        # Milliseconds of media on the timelines that are finished.
        self._finished_media_ms = 0

    @property
    def continuation(self) -> Continuation | None:
        """The facts with which another line would go on; None before there is a part."""
        if self._timing is None:
            return None
        # Another publisher's tracks come interleaved in a way of their own.
        return Continuation(self._timing, self._form, self.newest_ms + TRACKS_APART_MS_MAX)

    @property
    def newest_ms(self) -> int:
        """How far the media has come on the stream's timeline, milliseconds."""
        return self._timeline.newest_ms if self._timeline is not None else self._starts_ms

    @property
    def renditions(self) -> int:
        """How many there are."""
        return len(self._variants)

    @property
    def held_bytes(self) -> int:
        """Media that is in no part yet, bytes."""
        return self._ladder.held_bytes if self._ladder is not None else 0

    @property
    def closes_in_ms(self) -> int:
        """How much later than the newest frame the last one of a part is; 0 where that is not known."""
        return self._ladder.closes_in_ms if self._ladder is not None else 0

    @property
    def media_ms(self) -> int | None:
        """How far the media has come on its timelines, leaps taken out, milliseconds; None before it began."""
        if self._timeline is None:
            return None
        return self._finished_media_ms + self._timeline.newest_ms - self._starts_ms

    def start(self, opened: Opened, epoch: datetime) -> None:
        """Go on with other tracks.

        Args:
            opened: The tracks, and their renditions.
            epoch: Wall time of their first packet; looked at for the first tracks alone.

        Raises:
            MediaLimitError: The publisher has gone past a limit.
        """
        self._finish_ladder()
        self._finish_timeline()
        tracks, direct = opened.tracks, opened.direct
        # None where every track goes to viewers frame by frame under its own number, as is the rule.
        self._direct_ids = None
        if direct.sources != tracks:
            self._direct_ids = {track.track_id: number for number, track in enumerate(direct.sources, 1)}
        timeline = self._timeline = Timeline(tracks, self._starts_ms, self._offset_ms)
        self._variants = opened.variants
        self._form = opened.form
        self._start_ladder(timeline)
        videos = [track for track in tracks if track.kind is TrackKind.VIDEO]
        self._video_track_id = videos[0].track_id if videos else 0
        self._looks.start(videos)
        if self._starts_at is None:
            self._starts_at = epoch - timedelta(milliseconds=timeline.newest_ms)
        begins_anew, self._begins_anew = self._begins_anew, False
        self._outputs.start(StreamTracks(self._variants, direct, self._starts_at, begins_anew))

    def finish(self) -> None:
        """End it: the segmenters' samples become the last parts, and the next part begins a segment."""
        try:
            self._finish_ladder()
        finally:
            self._finish_timeline()
        for variant in self._variants:
            self._outputs.end_segment(variant.name)

    def count_repairs(self) -> None:
        """Count the timestamp repairs since the last time."""
        if self._timeline is None:
            return
        repairs = self._timeline.repairs
        if not repairs:
            return
        self.repairs = Counter(self.repairs)
        for repair, count in repairs.items():
            self.repairs[repair.value] += count
            self._metrics.streams.timestamps_repaired_total.labels(repair.value).inc(count)
        repairs.clear()

    # -- the way of one frame -----------------------------------------------------------------

    def take_tags(self, tags: Sequence[FlvTag]) -> None:
        """Pass on frames as the publisher sent them, before they are demuxed."""
        if self._direct_ids is not None:
            # Those of other tracks do not go out in this way.
            tags = [tag for tag in tags if tag.head is not None and not tag.head.track_id]
        self._outputs.take_tags(tags)

    def take_packets(self, packets: Sequence[MediaPacket]) -> None:
        """Cut packets into parts, and pass them on.

        Raises:
            MediaLimitError: The publisher has gone past a limit.
        """
        timeline, ladder = self._timeline, self._ladder
        if timeline is None or ladder is None:
            return
        samples: list[Sample] = []
        # Of them, how many are cut.
        cut = 0
        # A segment ends with a part, or with the keyframe that begins the next.
        may_end_segment = False
        video_track_id = self._video_track_id
        meter = self._meter
        looks = self._looks
        for packet in packets:
            sample = timeline.place(packet)
            if sample is not None and packet.track_id <= looks.tracks:
                if packet.is_keyframe:
                    sample.is_sync = looks.can_start(packet)
                elif looks.is_unflagged_start(packet):
                    sample.is_keyframe = sample.is_sync = True
            if packet.track_id == video_track_id and sample is not None:
                meter.note_video(sample)
                may_end_segment |= sample.is_keyframe
                if looks.finds_captions(packet):
                    self._outputs.note_captions(looks.captions)
            if timeline.breaks != self._breaks_met and self._may_begin_anew(timeline, packet):
                may_end_segment |= self._cut(samples[cut:], ladder)
                cut = len(samples)
                ladder = self._begin_anew(timeline, ladder)
            if sample is not None:
                samples.append(sample)
        may_end_segment |= self._cut(samples[cut:] if cut else samples, ladder)
        if may_end_segment:
            for name in ladder.complete_segments():
                self._outputs.end_segment(name)
        self._outputs.take_samples(self._direct_samples(samples))

    def _cut(self, samples: Sequence[Sample], ladder: Ladder) -> bool:
        """Pass on the parts that samples complete; say whether there are any."""
        chunks = ladder.push(samples)
        if chunks:
            self._emit(chunks, ladder)
            return True
        return False

    def _may_begin_anew(self, timeline: Timeline, packet: MediaPacket) -> bool:
        """Whether a discontinuity that is due can stand before a packet: pictures go on from a keyframe alone."""
        if self._video_track_id not in (0, packet.track_id):
            return False
        if not packet.is_keyframe or timeline.newest_ms - self._ladder_began_ms < LEAP_INTERVAL_MS:
            return False
        return self._allowances.take_leap()

    def _begin_anew(self, timeline: Timeline, ladder: Ladder) -> Ladder:
        """Go on after a leap of the publisher's time: with a discontinuity, in all renditions alike."""
        if ladder.timing is None:
            # No part is listed yet that it could be discontinuous with.
            self._breaks_met = timeline.breaks
            return ladder
        self._finish_ladder()
        if self._allowances.parts_left < 0:
            self._allowances.settle_parts(len(self._variants))
        # The media behind the leap is that which arrives now, however long the pause was.
        self._starts_at = self._clock.now() - timedelta(milliseconds=timeline.newest_ms)
        self._outputs.note_leap(self._starts_at)
        return self._start_ladder(timeline)

    def _direct_samples(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        ids = self._direct_ids
        if ids is None:
            return samples
        return [replace(sample, track_id=ids[sample.track_id]) for sample in samples if sample.track_id in ids]

    def _emit(self, chunks: Sequence[tuple[str, CmafChunk]], ladder: Ladder) -> None:
        timing = self._timing = ladder.timing
        assert timing is not None, "the timing is decided before the first chunk"
        self._allowances.note_parts(len(chunks))
        for name, chunk in chunks:
            self._outputs.take_part(name, chunk, timing)

    # -- ladders and timelines ------------------------------------------------------------------

    def _start_ladder(self, timeline: Timeline) -> Ladder:
        ladder = self._ladder = Ladder(
            self._variants,
            self._options,
            self._timing,
            starts_discontinuous=self.is_continuing,
            first_sequence_number=self._next_sequence_number,
        )
        self.is_continuing = True
        self._ladder_began_ms = timeline.newest_ms
        self._breaks_met = timeline.breaks
        return ladder

    def _finish_ladder(self) -> None:
        ladder, self._ladder = self._ladder, None
        if ladder is not None:
            chunks = ladder.finish()
            if chunks:
                self._emit(chunks, ladder)
            self._next_sequence_number = ladder.next_sequence_number
            for irregularity, count in ladder.irregularities.items():
                self.irregularities[irregularity.value] += count
                self._metrics.streams.stream_irregularities_total.labels(irregularity.value).inc(count)

    def _finish_timeline(self) -> None:
        self.count_repairs()
        timeline, self._timeline = self._timeline, None
        if timeline is not None:
            self._finished_media_ms += timeline.newest_ms - self._starts_ms
            self._starts_ms, self._offset_ms = timeline.newest_ms, timeline.offset_ms

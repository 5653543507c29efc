"""Cuts samples into CMAF chunks, each one HLS part, and says where segments begin.

rfc8216bis-22 sections 3.1.2 (fMP4), 4.4.3.1 (TARGETDURATION), 4.4.3.7 (PART-INF), 4.4.4.9 (PART), 6.2.1.

The lead track, video where there is any, sets the cuts. The part that is open starts at ``position`` on
the lead's timeline, and everything is decided by media time, never by a clock:

* **A part closes with its last frame, not with the one after it.** How long a frame lasts is known only
  when the next one comes. Where the cadence is steady its end is predicted; a part is closed as soon as
  the frame that would follow cannot fit. Where it is not steady, the next frame is waited for.
* **Decode times never have a gap.** The prediction may be off by the wire's millisecond, and a part may be
  clamped to PART-TARGET. So the first sample of a run is given the decode time at which the run before it
  ended, and lasts until the *wire's* decode time of the second: the error lives for one sample and is
  not carried on. Presentation times stay exact, because the composition offset takes up the difference.
* **Part boundaries need not be frame boundaries.** For the same reason a part may end, between two frames,
  at exactly PART-TARGET, which keeps any frame rate within the 85 % rule.
* **Nothing waits for a track.** A part takes the audio that has come and starts before its end; what
  comes later goes into the next part, whose ``tfdt`` tells the truth. When audio runs ahead of a lead
  that has stopped by ``LEAD_LAG_MS_MAX``, audio's time closes the parts until the lead comes back.

The numbers of the playlist are decided once, before the first chunk: see ``_decide``. An encoder that
tells that its keyframes come in time is not waited for; its first segment is a short one then, for players take no
playlist without a segment, and they are to have one within a second. Where a stream has several renditions, one
segmenter decides for all of them, and ``SegmentStarts`` has their segments start together.
"""

from __future__ import annotations

import enum
import math
import sys
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median_low

from streamd.formats import memory
from streamd.formats.cmaf.fragment import ChunkHead
from streamd.formats.codecs.encoder_settings import keyframe_interval_max
from streamd.media.packager.chunk import ChunkBytes, CmafChunk, PlaylistTiming
from streamd.media.packet import Sample, Track, TrackKind

# The first GOP is waited for this long. Longer, and it is taken to be of unknown length.
DECISION_MS_MAX = 4_000
# OBS's default, 250 frames, is 8.3 s at 30 fps and 10.4 s at 24 fps: all are whole
# segments under this, since a segment's duration is rounded to the nearest second.
TARGET_DURATION_S_MAX = 10
# The first segment of an encoder that tells its keyframe interval ends here: within a second. Who plays it at once is
# as far behind what comes next, and a part of 500 ms leaves the network half of that.
OPENING_MS = 750
# rfc8216bis 4.4.4.9: "at least 85% of the Part Target Duration". Percent.
PART_FILL_MIN = 85
# FLV rounds to a millisecond, and a duration has two ends.
WIRE_ROUNDING_MS = 2
# A keyframe this much before the segment target still starts a segment: better 1 % short than a GOP
# too long.
SEGMENT_TOLERANCE_MS = 20
# Starts of segments that are remembered for renditions that lag behind: some ten seconds.
STARTS_KEPT = 8
# Intervals that must agree before the end of a frame is predicted. A wrong prediction is absorbed
# (see above), so a few are enough.
STEADY_INTERVALS = 4
# How far audio may be ahead of a silent lead before it takes over: more than encoders interleave by, less
# than a viewer's hold back of 3 × PART-TARGET (1.5 s by default), so that he has parts to play meanwhile.
LEAD_LAG_MS_MAX = 1_000
# The longest gap that a track's decode times bridge. Longer than any segment, it cannot be an encoder's
# dropped frames any more, and decoders are not asked to believe it.
BRIDGE_MS_MAX = 10_000
# What may wait in the open part, or for the decision: 4 s at 30 Mb/s. A stream past it is cut at once.
HELD_BYTES_MAX = 16 * 1024 * 1024
# When the encoder's word is asked for: the frame rate is known by then, and the first part not complete yet.
EARLY_DECISION_MS = 400
# What a waiting sample costs beside its payload: Sample, its two times, the head of the bytes, a list slot.
_HELD_SAMPLE_BYTES = 256
_NEVER = sys.maxsize


@dataclass(frozen=True, slots=True)
class SegmenterOptions:
    """What the operator configures of it: ``[hls]`` in the configuration."""

    part_target_ms: int = 500
    """Wanted PART-TARGET, milliseconds; also the default latency's unit, 3 of them."""
    segment_target_ms: int = 2000
    """A segment starts with the first keyframe from here on, milliseconds; at most ``TARGET_DURATION_S_MAX``."""

    def __post_init__(self) -> None:
        assert 0 < self.part_target_ms <= self.segment_target_ms <= TARGET_DURATION_S_MAX * 1000


class Irregularity(enum.Enum):
    """What a broadcaster or operator should know of the stream that was cut."""

    LONG_GOP = "long_gop"
    """A segment had to start without a keyframe, for the next keyframe did not come in time."""
    LEAD_PAUSE = "lead_pause"
    """Video stopped while audio went on: parts without video were made."""
    BRIDGED_GAP = "bridged_gap"
    """No track had media for longer than PART-TARGET: decode times were stretched over the gap."""
    TIMELINE_GAP = "timeline_gap"
    """A gap past ``BRIDGE_MS_MAX``: decode times (and, if no track had media, the playlist) step over it."""
    HELD_BYTES = "held_bytes"
    """``HELD_BYTES_MAX`` was reached: a part was cut before its time."""
    BEFORE_KEYFRAME = "before_keyframe"
    """Video before the first keyframe, which nothing can decode: dropped."""


class SegmentStarts:
    """When segments start in the renditions of one stream, so that they start at the same times.

    There is no leader: which variant's keyframe comes first is the publisher's affair. Whoever starts a segment says
    so here, and the others start theirs with the keyframe that belongs to it: the one that is shown at the same time,
    for encoders reorder pictures differently.
    """

    def __init__(self) -> None:
        # Milliseconds, in the order in which they came up; more than any track lags behind another.
        self._starts_ms: deque[int] = deque(maxlen=STARTS_KEPT)

    def add(self, time_ms: int) -> None:
        """Note that a segment starts."""
        if not self._is_known(time_ms):
            self._starts_ms.append(time_ms)

    def since_last(self, time_ms: int) -> int | None:
        """Return how long before ``time_ms`` the last segment started: 0 for right then, ``None`` for never."""
        if self._is_known(time_ms):
            return 0
        earlier = [start_ms for start_ms in self._starts_ms if start_ms < time_ms]
        return time_ms - max(earlier) if earlier else None

    def has_between(self, after_ms: int, until_ms: int) -> bool:
        """Say whether a segment starts after one time and not after another."""
        return any(after_ms < start_ms <= until_ms for start_ms in self._starts_ms)

    def _is_known(self, time_ms: int) -> bool:
        return any(abs(time_ms - start_ms) <= SEGMENT_TOLERANCE_MS for start_ms in self._starts_ms)


class Segmenter:
    """Cuts the samples of one rendition.

    Args:
        tracks: Tracks of the rendition as in its CMAF header; the first video track leads, or the
            first track.
        options: Wanted durations.
        timing: Numbers of the playlist that this continues; without, they are decided from the stream.
        starts_discontinuous: The first chunk follows other media: a discontinuity.
        first_sequence_number: ``mfhd`` sequence number of the first chunk.
        starts: Where other renditions' segments start; without, it is the only one.
        decides: It decides the playlist's numbers; otherwise it waits for ``adopt``.

    Attributes:
        timing: Numbers of the playlist, ``None`` until they are decided; no chunk comes before.
        has_opening: The first segment is cut short to be listed soon; decided with them.
        irregularities: How often each was met.
        next_sequence_number: ``mfhd`` sequence number of the next chunk.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        options: SegmenterOptions,
        timing: PlaylistTiming | None = None,
        *,
        starts_discontinuous: bool = False,
        first_sequence_number: int = 1,
        starts: SegmentStarts | None = None,
        decides: bool = True,
    ) -> None:
        lead = next((track for track in tracks if track.kind is TrackKind.VIDEO), tracks[0])
        self.timing: PlaylistTiming | None = None
        self.has_opening = False
        self.irregularities: Counter[Irregularity] = Counter()
        self.next_sequence_number = first_sequence_number

        self._options = options
        self._starts = starts
        self._decides = decides
        self._lead = _TrackQueue(lead)
        self._others = [_TrackQueue(track) for track in tracks if track is not lead]
        self._queues = {queue.track_id: queue for queue in (self._lead, *self._others)}
        self._is_audio_only = lead.kind is TrackKind.AUDIO
        self._lead_config = lead.codec_config
        self._scale = lead.timescale
        # The grid on which the lead's times lie: whole milliseconds, or single ticks where they are counted.
        self._wire_ticks = 1 if lead.frame_ticks or lead.timescale % 1000 else lead.timescale // 1000
        self._rounding_ticks = self._ticks(WIRE_ROUNDING_MS)
        self._lag_ticks_max = self._ticks(LEAD_LAG_MS_MAX)
        self._bridge_ticks_max = self._ticks(BRIDGE_MS_MAX)
        self._cadence = _Cadence(lead.frame_ticks, self._rounding_ticks, self._lag_ticks_max)
        # The lead sets the cuts from its first keyframe on, which was here, except while it pauses.
        self._lead_begin: int | None = None
        self._is_lead_paused = False

        # From one keyframe to the next at the most, if the encoder says so; forgotten once it has been thought of.
        self._gop_frames_max: int | None = None

        # Samples in order of arrival until the timing is decided; after that the queues hold them.
        self._undecided: list[Sample] = []
        # How many bytes more may wait; below 0 it is past the limit.
        self._room_bytes = HELD_BYTES_MAX
        self._head = ChunkHead()

        # On the lead's timeline, in its ticks. The open part starts at position, as soon as there is one.
        self._has_part = False
        self._position = 0
        self._segment_start = 0
        self._starts_segment = True
        self._is_discontinuous = starts_discontinuous
        # The current segment had to start without a keyframe.
        self._is_segment_off_key = False
        # Where the first segment is cut short, and whether the next one is that after it.
        self._opening_end = _NEVER
        self._follows_opening = False

        # The lead's newest keyframe and its distance from the one before; at first from nothing, but the
        # first keyframe starts a segment in any case.
        self._keyframe_dts = 0
        self._gop_ticks = 0

        self._part_ticks = 0
        self._part_ticks_min = 0
        self._segment_ticks_limit = 0
        self._segment_ticks_min = self._ticks(options.segment_target_ms - SEGMENT_TOLERANCE_MS)
        if timing is not None:
            self._set_timing(timing)
        elif decides and self._is_audio_only and lead.frame_ticks:
            # Every frame is a random access point of known length: there is nothing to wait for.
            self._set_timing(self._decide(gop_ticks=0))

    def push(self, sample: Sample) -> Sequence[CmafChunk]:
        """Take the next sample.

        Args:
            sample: Samples of a track in decode order; tracks interleaved as they arrived.

        Returns:
            The chunks that it completes, most often none.
        """
        if self._lead_begin is None and sample.track_id == self._lead.track_id:
            if not sample.is_keyframe:
                self.irregularities[Irregularity.BEFORE_KEYFRAME] += 1
                return ()
            self._lead_begin = sample.dts_ticks
            if self._decides and self.timing is None:
                self._gop_frames_max = keyframe_interval_max(bytes(sample.payload)) or keyframe_interval_max(
                    self._lead_config
                )
        if self.timing is not None:
            return self._cut(sample)
        if not self._decides and self._room_bytes < 0:
            self.irregularities[Irregularity.HELD_BYTES] += 1
            return ()
        self._undecided.append(sample)
        self._room_bytes -= len(sample.payload) + _HELD_SAMPLE_BYTES
        timing = self._try_decide(sample) if self._decides else None
        return () if timing is None else self._release(timing)

    @property
    def closes_in_ms(self) -> int:
        """How much later than the newest frame of the lead the next one is that completes something.

        0 where that is not known, as long as the playlist's numbers are not decided or the cadence is not steady; and
        where it may be the very next, a keyframe that ends a segment.
        """
        cadence = self._cadence
        if not self._has_part or not cadence.has_begun or not cadence.is_steady() or self._is_lead_paused:
            return 0
        if not self._lead.samples and self._position - self._segment_start >= self._segment_ticks_min:
            return 0
        frames = (self._position + self._part_ticks + self._rounding_ticks - cadence.end) // cadence.interval
        return max(0, frames * cadence.interval * 1000 // self._scale)

    @property
    def held_bytes(self) -> int:
        """What waits in the open part, or for the decision, bytes."""
        return HELD_BYTES_MAX - self._room_bytes

    def adopt(self, timing: PlaylistTiming, *, has_opening: bool) -> list[CmafChunk]:
        """Take the numbers of the playlist that another segmenter of the stream decided.

        Returns:
            The chunks of what waited for them.
        """
        if self.timing is not None:
            return []
        if has_opening:
            self._begin_with_opening()
        return self._release(timing)

    @property
    def has_complete_segment(self) -> bool:
        """Whether what comes next begins a segment, so that there is nothing to come of the one before."""
        return self._starts_segment

    def finish(self) -> list[CmafChunk]:
        """Close what is open: no sample follows.

        Returns:
            The last chunks.
        """
        chunks: list[CmafChunk] = []
        if self._undecided:
            chunks += self._release(self._decide(gop_ticks=None))
        while self._has_samples():
            position = self._open_position()
            end = self._media_end()
            if end > position + self._part_ticks:
                chunks.append(self._close(position + self._part_ticks))
            else:
                chunks.append(self._close(end, takes_all=True))
        return chunks

    # Timing.

    def _try_decide(self, sample: Sample) -> PlaylistTiming | None:
        """Return the playlist's numbers once ``sample``, the newest, lets them be known."""
        if self._room_bytes < 0:
            self.irregularities[Irregularity.HELD_BYTES] += 1
            return self._decide(gop_ticks=None)
        wait_ticks = self._ticks(DECISION_MS_MAX)
        if sample.track_id == self._lead.track_id:
            assert self._lead_begin is not None, "push notes the first one"
            elapsed = sample.dts_ticks - self._lead_begin
            if sample.is_keyframe and elapsed > 0:
                return self._decide(gop_ticks=elapsed)
            if self._gop_frames_max is not None and elapsed >= self._ticks(EARLY_DECISION_MS):
                gop_ticks = int(self._gop_frames_max * self._frame_interval())
                self._gop_frames_max = None
                return self._decide_early(gop_ticks)
        else:
            # Audio is only a substitute for the clock of a video track that is late or has stopped.
            wait_ticks += self._lag_ticks_max
            elapsed = self._lead_ticks(sample) - self._lead_ticks(self._undecided[0])
        return self._decide(gop_ticks=None) if elapsed >= wait_ticks else None

    def _decide_early(self, gop_ticks: int) -> PlaylistTiming | None:
        """Choose the numbers by what the encoder says of its GOPs, if the first GOP can only lead to the same.

        The shortest target duration holds whatever the first GOP is, as long as it is not longer than that.
        """
        timing = self._decide(gop_ticks)
        if timing != self._decide(gop_ticks=0):
            return None
        # Segments last 1 s on average (numbering.py), so that of 1 s none is cut short.
        if timing.target_duration_s > 1:
            self._begin_with_opening()
        return timing

    def _begin_with_opening(self) -> None:
        # By decode time, like all durations: what is shown together is decoded as much earlier as it was at the begin.
        if self._lead_begin is not None:
            self.has_opening = True
            self._opening_end = self._lead_begin + self._ticks(OPENING_MS)

    def _decide(self, gop_ticks: int | None) -> PlaylistTiming:
        """Choose the numbers of the playlist, which hold for its life.

        TARGETDURATION is the longer of the segment target and the first GOP, in seconds. A GOP that is
        not complete after ``DECISION_MS_MAX`` may be of any length: then it is the maximum.

        PART-TARGET is the configured one, except where the frames are so long that whole ones fill it
        badly (below ``PART_FILL_MIN``): then it is the time of as many frames as fit, or of one.

        Args:
            gop_ticks: Length of the first GOP, ``None`` where it is not known.

        Spec: rfc8216bis 4.4.3.1 (no segment's duration, rounded to the nearest second, passes it) and
        6.2.1 (it must not change).
        """
        target_duration_s = TARGET_DURATION_S_MAX
        if gop_ticks is not None:
            segment_ticks = max(self._ticks(self._options.segment_target_ms), gop_ticks)
            rounded_s = (2 * segment_ticks + self._scale) // (2 * self._scale)
            target_duration_s = min(max(rounded_s, 1), TARGET_DURATION_S_MAX)

        part_target_ms = self._options.part_target_ms
        part_ticks = self._ticks(part_target_ms)
        interval = self._frame_interval()
        if interval:
            frames = max(1, int((part_ticks + self._rounding_ticks) / interval))
            frames_ticks = frames * interval
            # One frame alone must fit to the tick: its parts have no shorter form to catch up with.
            is_too_long = frames == 1 and frames_ticks > part_ticks
            is_bad_fill = frames_ticks * 100 < PART_FILL_MIN * part_ticks + 100 * self._rounding_ticks
            if is_too_long or is_bad_fill:
                part_target_ms = math.ceil(frames_ticks * 1000 / self._scale)
        return PlaylistTiming(target_duration_s, min(part_target_ms, target_duration_s * 1000))

    def _frame_interval(self) -> float:
        """Return the usual ticks between two frames of the lead; 0 where fewer than two are known."""
        if self._cadence.interval:
            return self._cadence.interval
        times = [sample.dts_ticks for sample in self._undecided if sample.track_id == self._lead.track_id]
        intervals = [later - earlier for earlier, later in pairwise(times)]
        if not intervals:
            return 0.0
        # The mean is exact where the wire rounds, the median is blind to dropped frames: take the mean
        # of those that are like the median.
        usual = median_low(intervals)
        return fmean(interval for interval in intervals if abs(interval - usual) <= self._rounding_ticks)

    def _set_timing(self, timing: PlaylistTiming) -> None:
        self.timing = timing
        self._part_ticks = self._ticks(timing.part_target_ms)
        self._part_ticks_min = -(-self._part_ticks * PART_FILL_MIN // 100)
        # Durations are rounded half up: this is the first that rounds to more than the target.
        self._segment_ticks_limit = self._ticks(timing.target_duration_s * 1000 + 500)

    def _release(self, timing: PlaylistTiming) -> list[CmafChunk]:
        """Cut everything that waited for the decision."""
        self._set_timing(timing)
        held, self._undecided, self._room_bytes = self._undecided, [], HELD_BYTES_MAX
        return [chunk for sample in held for chunk in self._cut(sample)]

    # Cutting.

    def _cut(self, sample: Sample) -> Sequence[CmafChunk]:
        self._room_bytes -= len(sample.payload) + _HELD_SAMPLE_BYTES
        is_lead = sample.track_id == self._lead.track_id
        chunks = self._cut_by_lead(sample) if is_lead else self._cut_by_other(sample)
        if self._room_bytes < 0:
            self.irregularities[Irregularity.HELD_BYTES] += 1
            end = min(self._media_end(), self._open_position() + self._part_ticks)
            return [*chunks, self._close(end, takes_all=True)]
        return chunks

    def _cut_by_lead(self, sample: Sample) -> Sequence[CmafChunk]:
        """Take a sample of the lead, closing parts before it and with it."""
        lead = self._lead
        dts = sample.dts_ticks
        if not self._has_part:
            self._open(dts)
        self._cadence.add(dts)
        interval = self._cadence.interval
        next_dts = dts + interval
        if not sample.is_keyframe and next_dts < min(self._position + self._part_ticks_min, self._opening_end):
            # In the middle of a part, as most are.
            lead.samples.append(sample)
            self._is_lead_paused = False
            return ()

        chunks: list[CmafChunk] = []
        while dts >= self._position + self._part_ticks and (
            lead.samples or self._has_samples_before(self._position + self._part_ticks)
        ):
            chunks.append(self._close(self._position + self._part_ticks))
        if dts >= self._position + self._part_ticks:
            self._meet_gap(dts)

        # Where the sample would begin a part: at its own time if it ends one, else where that one ended.
        boundary = self._position
        if lead.samples:
            # A frame that came sooner than predicted may lie before the open part: it is given some time in it.
            boundary = max(dts, self._position + self._rounding_ticks)
        elif self._is_lead_paused and self._has_samples_before(dts):
            boundary = max(dts, self._position)
        if sample.is_keyframe:
            self._gop_ticks, self._keyframe_dts = dts - self._keyframe_dts, dts
        is_opening_over = dts >= self._opening_end
        if is_opening_over or (sample.is_keyframe and self._is_segment_due(boundary, sample.pts_ticks)):
            if boundary > self._position:
                chunks.append(self._close(boundary))
            self._start_segment()
            if is_opening_over:
                self._opening_end = _NEVER
                self._follows_opening = True
            if self._starts is not None:
                self._starts.add(sample.pts_ticks * 1000 // self._scale)
        elif (
            lead.samples
            and not self._cadence.is_steady()
            and dts - self._position >= self._part_ticks_min
            and dts + interval > self._position + self._part_ticks + self._rounding_ticks
        ):
            chunks.append(self._close(dts))

        lead.samples.append(sample)
        self._is_lead_paused = False
        if self._cadence.is_steady():
            # Rounded down as the wire is: the next frame then starts at or after this end, and a stream
            # without B-frames gets no negative composition offset, which libavformat answers by moving
            # the track.
            end = (dts + interval) // self._wire_ticks * self._wire_ticks
            if end - self._position >= self._part_ticks_min and self._is_full(end):
                # Complete with this frame: the one after it will not fit.
                chunks.append(self._close(min(end, self._position + self._part_ticks)))
        return chunks

    def _cut_by_other(self, sample: Sample) -> Sequence[CmafChunk]:
        """Take a sample of a track that does not lead; it closes parts only while the lead pauses."""
        queue = self._queues[sample.track_id]
        start = sample.dts_ticks * self._scale // queue.timescale
        if self._has_part and start - self._position > self._bridge_ticks_max:
            self._meet_gap(start)
        queue.samples.append(sample)
        if not self._is_lead_paused:
            lead_end = self._position
            if self._cadence.has_begun:
                lead_end = self._cadence.end
            elif not self._has_part:
                lead_end = self._media_start()
            if start <= lead_end + self._lag_ticks_max:
                return ()
            self._is_lead_paused = True
            self.irregularities[Irregularity.LEAD_PAUSE] += 1
        chunks: list[CmafChunk] = []
        while start >= self._open_position() + self._part_ticks and self._has_samples():
            chunks.append(self._close(self._open_position() + self._part_ticks))
        return chunks

    def _is_full(self, end: int) -> bool:
        """Whether the open part, which ends at ``end`` with the frames it has, has no room for another.

        Frames are counted, for wire times are rounded: ten at 30 fps last 333 or 334 ms. Only where
        some were dropped does the end tell more than the count.
        """
        frames_ticks = (len(self._lead.samples) + 1) * self._cadence.interval_min()
        next_end = end + self._cadence.interval
        return frames_ticks > self._part_ticks or next_end > self._position + self._part_ticks + self._rounding_ticks

    def _is_segment_due(self, boundary: int, pts: int) -> bool:
        """Whether a keyframe shown at ``pts``, with which a part begins at ``boundary``, begins a segment too."""
        assert self.timing is not None, "parts are cut only after the decision"
        if self._is_audio_only:
            return False  # Every frame is a keyframe: _close finds the best of the part boundaries.
        duration = boundary - self._segment_start
        if self._starts is not None:
            since_ms = self._starts.since_last(pts * 1000 // self._scale)
            if not since_ms:
                # The first of all, or with the others'. A start is used once, though every picture may be a keyframe.
                return duration == 0 or duration > self._ticks(2 * SEGMENT_TOLERANCE_MS)
            duration = max(duration, self._ticks(since_ms))
        if duration >= self._segment_ticks_min:
            return True
        if self.timing.target_duration_s == 1:
            return False  # Segments must last 1 s on average (numbering.py), so none is cut short.
        # Sooner than wanted, to have segments that start with a keyframe: where the last one had to start
        # without, and where the next keyframe, a GOP on, would come too late for this one.
        return self._is_segment_off_key or duration + self._gop_ticks >= self._segment_ticks_limit

    def _is_audio_segment_due(self, boundary: int) -> bool:
        """Whether a part boundary is the one nearest to where a segment of audio alone, cut anywhere, should end."""
        nearest = boundary + self._part_ticks // 2
        if self._starts is None:
            return nearest - self._segment_start >= self._segment_ticks_min
        # Its last start may be half a part beside that of the video: the next one is later than a part after it.
        after = self._segment_start + self._part_ticks
        return self._starts.has_between(after * 1000 // self._scale, nearest * 1000 // self._scale)

    def _meet_gap(self, ticks: int) -> None:
        """Go on at ``ticks``, which is beyond the end of the open part, if that part is empty."""
        if ticks - self._position <= self._bridge_ticks_max:
            self.irregularities[Irregularity.BRIDGED_GAP] += 1
        elif not self._has_samples():
            self.irregularities[Irregularity.TIMELINE_GAP] += 1
            self._position = ticks
            self._is_discontinuous = True
            self._start_segment()

    def _start_segment(self) -> None:
        """Let the open part be the first of a segment."""
        self._segment_start = self._open_position()
        self._starts_segment = True
        self._is_segment_off_key = False

    def _close(self, end: int, *, takes_all: bool = False) -> CmafChunk:
        """Close the open part and open the next.

        Args:
            end: Where it ends, on the lead's timeline. At least one sample is waiting.
            takes_all: Take what starts after ``end`` too.
        """
        lead = self._lead
        position = self._open_position()
        end = max(end, position + max(1, len(lead.samples)))
        if not self._starts_segment and end - self._segment_start >= self._segment_ticks_limit:
            self._start_segment()
            if lead.samples and not self._is_audio_only:
                self.irregularities[Irregularity.LONG_GOP] += 1

        is_independent = starts_with_keyframe = self._is_audio_only
        waiting = len(lead.samples)
        for queue in self._others:
            waiting += len(queue.samples)
        head = self._head
        head.begin(self.next_sequence_number, 1 + len(self._others), waiting)
        if lead.samples:
            sample = lead.samples[0]
            starts_with_keyframe = sample.is_keyframe
            is_independent = lead.has_keyframe()
            self._take_lead(end, head)
        elif not self._has_samples_before(end):
            # No track has media here; a chunk must have some: what comes after the gap begins in it.
            takes_all = True
        for queue in self._others:
            count = len(queue.samples) if takes_all else queue.count_before(end, self._scale)
            if count:
                queue.take_counted(count, head)

        if self._starts_segment:
            # That after the opening is as good as any: it has not come late, and the next one need not come early.
            self._is_segment_off_key = not starts_with_keyframe and not self._follows_opening
            self._follows_opening = False
        chunk = CmafChunk(
            content=ChunkBytes(head.write(), head.payloads, head.starts, head.samples_bytes),
            start_ticks=position,
            duration_ticks=end - position,
            timescale=self._scale,
            is_independent=is_independent,
            starts_segment=self._starts_segment,
            is_discontinuous=self._is_discontinuous,
        )
        memory.untrack(chunk)
        self.next_sequence_number += 1
        self._position = end
        self._starts_segment = False
        if self._is_audio_only and self._is_audio_segment_due(end):
            self._start_segment()
        self._is_discontinuous = False
        self._room_bytes = HELD_BYTES_MAX
        for queue in self._others:
            for sample in queue.samples:
                self._room_bytes -= len(sample.payload) + _HELD_SAMPLE_BYTES
        return chunk

    def _take_lead(self, end: int, head: ChunkHead) -> None:
        """Give all waiting samples of the lead to a chunk, a run that ends at ``end``, or sooner where it paused."""
        lead = self._lead
        if self._is_lead_paused and self._cadence.has_begun:
            end = min(end, self._cadence.end)
        sample = lead.samples[0]
        first = sample.dts_ticks
        if lead.next_ticks is not None:
            if first - lead.next_ticks <= self._bridge_ticks_max:
                first = lead.next_ticks
            elif not self._is_discontinuous:
                self.irregularities[Irregularity.TIMELINE_GAP] += 1
        lead.take(len(lead.samples), first, end, head)

    # Arithmetic on what waits.

    def _ticks(self, duration_ms: int) -> int:
        """Return milliseconds in the lead's ticks, rounded down, so that a limit stays a limit."""
        return duration_ms * self._scale // 1000

    def _lead_ticks(self, sample: Sample) -> int:
        """Return the decode time of any track's sample on the lead's timeline, rounded down."""
        return sample.dts_ticks * self._scale // self._queues[sample.track_id].timescale

    def _open(self, position: int) -> None:
        self._has_part = True
        self._position = self._segment_start = position

    def _open_position(self) -> int:
        """Return where the open part starts; the first one starts with the first sample that waits."""
        if not self._has_part:
            self._open(self._media_start())
        return self._position

    def _has_samples(self) -> bool:
        """Whether any sample waits."""
        if self._lead.samples:
            return True
        for queue in self._others:  # noqa: SIM110  # compiled, it is a loop of C
            if queue.samples:
                return True
        return False

    def _has_samples_before(self, end: int) -> bool:
        """Whether a sample waits that a part which ends at ``end`` would take."""
        if self._lead.samples:
            return True
        for queue in self._others:  # noqa: SIM110  # compiled, it is a loop of C
            if queue.samples and self._lead_ticks(queue.samples[0]) < end:
                return True
        return False

    def _media_start(self) -> int:
        """Return where the earliest waiting sample starts. At least one waits."""
        return min(self._lead_ticks(queue.samples[0]) for queue in self._queues.values() if queue.samples)

    def _media_end(self) -> int:
        """Return where what waits will end, as far as is known; after the start of the open part."""
        position = self._open_position()
        end = position + 1
        if self._lead.samples:
            # A frame that is alone for ever lasts a part.
            end = max(end, self._lead.samples[-1].dts_ticks + (self._cadence.interval or self._part_ticks))
        for queue in self._others:
            if queue.samples:
                queue_end = queue.samples[-1].dts_ticks + queue.last_duration
                end_on_lead = -(-queue_end * self._scale // queue.timescale)
                if not self._lead.samples and end_on_lead <= position:
                    # Late audio, alone: the part has no time of its own any more, but must have a duration.
                    span = queue_end - queue.samples[0].dts_ticks
                    end_on_lead = position + span * self._scale // queue.timescale
                end = max(end, end_on_lead)
        return end


class _TrackQueue:
    """The samples of one track that wait for their part, and where its decode time stands."""

    __slots__ = ("frame_ticks", "last_duration", "next_ticks", "samples", "timescale", "track_id")

    def __init__(self, track: Track) -> None:
        self.track_id = track.track_id
        self.timescale = track.timescale
        self.frame_ticks = track.frame_ticks
        self.samples: list[Sample] = []
        # Where the last run ended: the decode time from which the next one goes on.
        self.next_ticks: int | None = None
        # Stands in for the duration of a run's last sample where frames are not counted.
        self.last_duration = track.frame_ticks or 1

    def count_before(self, end: int, scale: int) -> int:
        """Return how many waiting samples start before ``end``, given in a timescale of ``scale``."""
        # From the end: most parts take all that waits, or all but the newest.
        samples = self.samples
        count = len(samples)
        while count:
            sample = samples[count - 1]
            if sample.dts_ticks * scale < end * self.timescale:
                break
            count -= 1
        return count

    def has_keyframe(self) -> bool:
        """Whether a decoder can start at one of the waiting samples."""
        for sample in self.samples:  # noqa: SIM110  # compiled, it is a loop of C
            if sample.is_keyframe:
                return True
        return False

    def take_counted(self, count: int, head: ChunkHead) -> None:
        """Give the first ``count`` samples to a chunk at their own times, the last one as long as a frame."""
        samples = self.samples
        sample = samples[0]
        first = sample.dts_ticks
        sample = samples[count - 1]
        last = sample.dts_ticks
        if not self.frame_ticks and count > 1:
            self.last_duration = max(1, last - samples[count - 2].dts_ticks)
        if self.next_ticks is not None:
            first = max(first, self.next_ticks)
        self.take(count, first, last + self.last_duration, head)

    def take(self, count: int, first: int, end: int, head: ChunkHead) -> None:
        """Give the first ``count`` samples to a chunk, as a run.

        Args:
            count: How many, at least 1.
            first: Decode time given to the first; the others keep theirs where they can.
            end: Where the last one ends.
            head: Of the chunk.
        """
        samples = self.samples
        head.begin_run(self.track_id, first)
        time = first
        for index in range(count):
            sample = samples[index]
            if index + 1 < count:
                following = samples[index + 1]
                next_time = following.dts_ticks
            else:
                next_time = end
            # The first may have been moved past the second, and the end be before the last: a tick for each then.
            if next_time <= time:
                next_time = time + 1
            head.add(next_time - time, sample.pts_ticks - time, sample.is_keyframe, sample.payload, sample.body_at)
            time = next_time
        del samples[:count]
        self.next_ticks = time


class _Cadence:
    """The lead's frame interval, as long as it is one.

    Args:
        frame_ticks: The interval where it is known beforehand (counted audio), else 0.
        tolerance_ticks: How far an interval on the wire may be from it.
        interval_ticks_max: Longer than this is a pause, not an interval.
    """

    __slots__ = (
        "_anchor",
        "_interval_ticks_max",
        "_last",
        "_steps",
        "_tolerance_ticks",
        "end",
        "has_begun",
        "interval",
    )

    def __init__(self, frame_ticks: int, tolerance_ticks: int, interval_ticks_max: int) -> None:
        self._tolerance_ticks = tolerance_ticks
        self._interval_ticks_max = interval_ticks_max
        self.has_begun = False
        self._last = 0
        # Where the newest frame is expected to end; meaningless before the first.
        self.end = 0
        # The interval is the mean of this many steps since the anchor: exact, where a single one is rounded.
        self._anchor = 0
        self._steps = STEADY_INTERVALS if frame_ticks else 0
        self.interval = frame_ticks

    def is_steady(self) -> bool:
        """Whether the next frame may be expected one interval after the last."""
        return self._steps >= STEADY_INTERVALS

    def interval_min(self) -> int:
        """The least that the true interval can be: the mean is off by up to one rounding over all steps."""
        return self.interval - self._tolerance_ticks // self._steps if self._steps else 0

    def add(self, dts_ticks: int) -> None:
        """Take note of a frame."""
        last, self._last = self._last, dts_ticks
        step = dts_ticks - last
        if not self.has_begun:
            self.has_begun = True
            self._anchor = dts_ticks - self._steps * self.interval
        elif abs(step - self.interval) <= self._tolerance_ticks:
            self._steps += 1
            self.interval = (dts_ticks - self._anchor) // self._steps
        elif step <= self._interval_ticks_max:
            self._anchor, self._steps, self.interval = last, 1, step
        else:
            # A pause, which says nothing of the frames after it.
            self._anchor, self._steps = dts_ticks, 0
        self.end = dts_ticks + self.interval

"""The numbers of a playlist that never change in its life, decided once: TARGETDURATION and PART-TARGET.

An encoder that states its keyframe interval is not waited for, be it OBS's and x264's default of 250 frames. Its first
segment is short, as players take no playlist without a segment and should have one within a second.

Spec: rfc8216bis-22 sections 4.4.3.1 (TARGETDURATION), 4.4.3.7 (PART-INF), 4.4.4.9 (PART), 6.2.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median_low

from streamd.formats.codecs.encoder_settings import keyframe_interval_max
from streamd.media.packager.queues import HELD_BYTES_MAX, HELD_SAMPLE_BYTES, LEAD_LAG_MS_MAX
from streamd.media.packet import Sample, Track

# The first GOP is waited for this long. A longer one counts as of unknown length.
DECISION_MS_MAX = 4_000
# OBS's default, 250 frames, is 8.3 s at 30 fps and 10.4 s at 24 fps: all are whole
# segments under this, since a segment's duration is rounded to the nearest second.
TARGET_DURATION_S_MAX = 10
# The first segment of an encoder that tells its keyframe interval ends here: within a second. A player that begins with
# it at once has that much in hand, and a part of 500 ms leaves the network half of it.
OPENING_MS = 750
# The moment to read the encoder's settings: the frame rate is known by then, and the first part not complete yet.
EARLY_DECISION_MS = 400
# rfc8216bis 4.4.4.9: "at least 85% of the Part Target Duration". Percent.
PART_FILL_MIN = 85
# FLV rounds to a millisecond, and a duration has two ends.
WIRE_ROUNDING_MS = 2


@dataclass(frozen=True, slots=True)
class PlaylistTiming:
    """The numbers of a media playlist that never change in its life.

    Spec: rfc8216bis 4.4.3.1 (TARGETDURATION), 4.4.3.7 (PART-INF), 6.2.1.
    """

    target_duration_s: int
    """EXT-X-TARGETDURATION, whole seconds: no segment's rounded duration passes it."""
    part_target_ms: int
    """PART-TARGET, milliseconds: no part is longer, and but for the exceptions none is under 85 % of it."""


class TimingDecision:
    """Decides the numbers of a playlist from the start of its stream, and holds the samples that wait for them.

    Args:
        lead: The track that sets the cuts.
        tracks: All tracks whose samples come, the lead included.
        part_target_ms: Wanted PART-TARGET, milliseconds.
        segment_target_ms: A segment starts with the first keyframe from here on, milliseconds.

    Attributes:
        samples: The waiting samples, in order of arrival.
        room_bytes: How many bytes more may wait; below 0 it is past the limit.
        opening_end: End of a first segment that is cut short to be listed soon, in the lead's ticks; None without one.
    """

    def __init__(self, lead: Track, tracks: Sequence[Track], part_target_ms: int, segment_target_ms: int) -> None:
        self.samples: list[Sample] = []
        self.room_bytes = HELD_BYTES_MAX
        self.opening_end: int | None = None
        self._lead = lead
        self._timescales = {track.track_id: track.timescale for track in tracks}
        self._part_target_ms = part_target_ms
        self._segment_target_ms = segment_target_ms
        self._rounding_ticks = self._ticks(WIRE_ROUNDING_MS)
        # Decode time of the lead's first keyframe, with which it begins.
        self._begin: int | None = None
        # The largest distance between keyframes, if the encoder states one.
        self._gop_frames_max: int | None = None

    def begin(self, keyframe: Sample) -> None:
        """Take note of the lead's first keyframe, with which it begins, and of the encoder's settings in it."""
        self._begin = keyframe.dts_ticks
        self._gop_frames_max = keyframe_interval_max(bytes(keyframe.payload)) or keyframe_interval_max(
            self._lead.codec_config
        )

    def hold(self, sample: Sample) -> None:
        """Let a sample wait."""
        self.samples.append(sample)
        self.room_bytes -= len(sample.payload) + HELD_SAMPLE_BYTES

    def try_with(self, sample: Sample) -> PlaylistTiming | None:
        """Return the playlist's numbers once ``sample``, the newest waiting one, decides them."""
        if self.room_bytes < 0:
            return self.decide(gop_ticks=None)
        wait_ticks = self._ticks(DECISION_MS_MAX)
        if sample.track_id == self._lead.track_id:
            assert self._begin is not None, "the first one is noted"
            elapsed = sample.dts_ticks - self._begin
            if sample.is_keyframe and elapsed > 0:
                return self.decide(gop_ticks=elapsed)
            if self._gop_frames_max is not None and elapsed >= self._ticks(EARLY_DECISION_MS):
                return self._decide_early(int(self._gop_frames_max * self._frame_interval()))
        else:
            # Audio is only a substitute for the clock of a video track that is late or has stopped.
            wait_ticks += self._ticks(LEAD_LAG_MS_MAX)
            elapsed = self._lead_ticks(sample) - self._lead_ticks(self.samples[0])
        return self.decide(gop_ticks=None) if elapsed >= wait_ticks else None

    def decide(self, gop_ticks: int | None) -> PlaylistTiming:
        """Choose the numbers of the playlist, which hold for its life.

        TARGETDURATION is the longer of the segment target and the first GOP, in seconds. A GOP that is
        not complete after ``DECISION_MS_MAX`` may be of any length: then it is the maximum.

        PART-TARGET is the configured one, unless the frames are so long that whole ones fill it badly (below
        ``PART_FILL_MIN``): then it is the time of as many frames as fit, or of one.

        Args:
            gop_ticks: Length of the first GOP, ``None`` if it is not known.

        Spec: rfc8216bis 4.4.3.1 (no segment's duration, rounded to the nearest second, passes it) and
        6.2.1 (it must not change).
        """
        scale = self._lead.timescale
        target_duration_s = TARGET_DURATION_S_MAX
        if gop_ticks is not None:
            segment_ticks = max(self._ticks(self._segment_target_ms), gop_ticks)
            rounded_s = (2 * segment_ticks + scale) // (2 * scale)
            target_duration_s = min(max(rounded_s, 1), TARGET_DURATION_S_MAX)

        part_target_ms = self._part_target_ms
        part_ticks = self._ticks(part_target_ms)
        interval = self._frame_interval()
        if interval:
            frames = max(1, int((part_ticks + self._rounding_ticks) / interval))
            frames_ticks = frames * interval
            # One frame alone must fit to the tick: no shorter part could catch up.
            is_too_long = frames == 1 and frames_ticks > part_ticks
            is_bad_fill = frames_ticks * 100 < PART_FILL_MIN * part_ticks + 100 * self._rounding_ticks
            if is_too_long or is_bad_fill:
                part_target_ms = math.ceil(frames_ticks * 1000 / scale)
        return PlaylistTiming(target_duration_s, min(part_target_ms, target_duration_s * 1000))

    def begin_with_opening(self) -> None:
        """Cut the first segment short, if the lead has begun."""
        # By decode time, like all durations: frames shown together keep the distance between decoding and showing that
        # they had at the start.
        if self._begin is not None:
            self.opening_end = self._begin + self._ticks(OPENING_MS)

    def _decide_early(self, gop_ticks: int) -> PlaylistTiming:
        """Choose the numbers by the longest GOP that the encoder states; one that is shorter fits, too."""
        timing = self.decide(gop_ticks)
        # Segments last 1 s on average (numbering.py), so that of 1 s none is cut short.
        if timing.target_duration_s > 1:
            self.begin_with_opening()
        return timing

    def _frame_interval(self) -> float:
        """Return the usual ticks between two frames of the lead; 0 if fewer than two are known."""
        if self._lead.frame_ticks:
            return self._lead.frame_ticks
        times = [sample.dts_ticks for sample in self.samples if sample.track_id == self._lead.track_id]
        intervals = [later - earlier for earlier, later in pairwise(times)]
        if not intervals:
            return 0.0
        # The mean is exact on a wire that rounds, and the median ignores dropped frames: take the mean of the intervals
        # near the median.
        usual = median_low(intervals)
        return fmean(interval for interval in intervals if abs(interval - usual) <= self._rounding_ticks)

    def _ticks(self, duration_ms: int) -> int:
        """Return milliseconds in the lead's ticks, rounded down, so that a limit stays a limit."""
        return duration_ms * self._lead.timescale // 1000

    def _lead_ticks(self, sample: Sample) -> int:
        """Return the decode time of any track's sample on the lead's timeline, rounded down."""
        return sample.dts_ticks * self._lead.timescale // self._timescales[sample.track_id]

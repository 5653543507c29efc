"""The ends of parts and segments: the lead's timestamps decide them, never a clock.

The part that is open starts at ``position`` on the lead's timeline; all times are in its ticks.

* **A part closes with its last frame, not with the one after it.** Only the next frame shows how long a frame lasts. At
  a steady interval its end is predicted, and a part closes as soon as the following frame cannot fit. At an unsteady
  one the part waits for the next frame.
* **Part boundaries need not be frame boundaries.** A part may end, between two frames, at exactly PART-TARGET, which
  keeps any frame rate within the 85 % rule.

Spec: rfc8216bis-22 sections 4.4.3.1 (TARGETDURATION), 4.4.3.7 (PART-INF), 4.4.4.9 (PART).
"""

from __future__ import annotations

import sys

from streamd.media.packager.frame_interval import FrameInterval
from streamd.media.packager.numbering import PARTS_PER_SECOND_MAX
from streamd.media.packager.segment_starts import SEGMENT_TOLERANCE_MS, SegmentStarts
from streamd.media.packager.timing import PART_FILL_MIN, WIRE_ROUNDING_MS, PlaylistTiming
from streamd.media.packet import Track, TrackKind

# With keyframes at irregular times (scene cuts), one that ends a segment is heard so much later at the most. It
# completes a part that is the shorter for it, and comes no later than a whole one would have; each read in between
# costs as much as the packaging of half a part.
KEYFRAME_LATE_MS_MAX = 200

_NEVER = sys.maxsize


class Cadence:
    """The rhythm of one rendition's cuts.

    Args:
        lead: The track that sets the cuts.
        interval: That of the lead's frames; the feeder of the lead feeds it.
        segment_target_ms: A segment starts with the first keyframe from here on, milliseconds.
        starts: Where other renditions' segments start; without, it is the only one.

    Attributes:
        has_part: Whether the first part has been opened.
        position: Where the open part starts.
        part_ticks: PART-TARGET; 0 until the playlist's numbers are decided.
        starts_segment: Whether the open part is the first of a segment.
    """

    def __init__(
        self, lead: Track, interval: FrameInterval, segment_target_ms: int, starts: SegmentStarts | None
    ) -> None:
        self.has_part = False
        self.position = 0
        self.part_ticks = 0
        self.starts_segment = True
        self._interval = interval
        self._starts = starts
        self._is_audio_only = lead.kind is TrackKind.AUDIO
        self._scale = lead.timescale
        # The grid on which the lead's times lie: whole milliseconds, or single ticks where they are counted.
        self._wire_ticks = 1 if lead.frame_ticks or lead.timescale % 1000 else lead.timescale // 1000
        self._rounding_ticks = self._ticks(WIRE_ROUNDING_MS)
        self._segment_start = 0
        # The current segment started without a keyframe.
        self._is_segment_off_key = False
        # The end of a first segment that is cut short, and whether the next one follows it.
        self._opening_end = _NEVER
        self._follows_opening = False
        # The lead's newest keyframe, its distance from the one before, and the distance before that; 0 without one.
        self._has_keyframe = False
        self._keyframe_dts = 0
        self._gop_ticks = 0
        self._gop_before_ticks = 0
        self._part_ticks_min = 0
        # Parts are numbered ten times as fast as seconds (numbering.py).
        self._keyframe_part_ticks_min = self._ticks(1000 // PARTS_PER_SECOND_MAX)
        self._segment_ticks_limit = 0
        self._segment_ticks_min = self._ticks(segment_target_ms - SEGMENT_TOLERANCE_MS)
        self._may_cut_short = True

    def set_timing(self, timing: PlaylistTiming, opening_end: int | None = None) -> None:
        """Take the numbers of the playlist.

        Args:
            timing: The numbers.
            opening_end: Where the first segment is cut short; None where it is not.
        """
        self.part_ticks = self._ticks(timing.part_target_ms)
        self._part_ticks_min = -(-self.part_ticks * PART_FILL_MIN // 100)
        # Durations are rounded half up: this is the first that rounds to more than the target.
        self._segment_ticks_limit = self._ticks(timing.target_duration_s * 1000 + 500)
        # Segments must last 1 s on average (numbering.py), so of 1 s none is cut short.
        self._may_cut_short = timing.target_duration_s != 1
        if opening_end is not None:
            self._opening_end = opening_end

    def open(self, position: int) -> None:
        """Open the first part."""
        self.has_part = True
        self.position = self._segment_start = position

    def leap(self, position: int) -> None:
        """Let the open, empty part start later, and a segment with it."""
        self.position = position
        self.start_segment()

    def start_segment(self) -> None:
        """Let the open part be the first of a segment."""
        self._segment_start = self.position
        self.starts_segment = True
        self._is_segment_off_key = False

    def start_with(self, pts: int) -> None:
        """Let the open part be the first of a segment that begins with the frame shown at ``pts``."""
        self.start_segment()
        if self._starts is not None:
            self._starts.add(pts * 1000 // self._scale)

    def note_keyframe(self, dts: int) -> None:
        """Take note of a keyframe of the lead."""
        self._gop_before_ticks = self._gop_ticks
        self._gop_ticks = dts - self._keyframe_dts if self._has_keyframe else 0
        self._has_keyframe, self._keyframe_dts = True, dts

    def is_mid_part(self, dts: int) -> bool:
        """Tell whether the part has room left behind a new frame that is no keyframe; most have."""
        next_dts = dts + self._interval.ticks
        return next_dts < min(self.position + self._part_ticks_min, self._opening_end)

    def is_opening_over(self, dts: int) -> bool:
        """Tell whether a first segment that is cut short ends before the frame at ``dts``."""
        return dts >= self._opening_end

    def end_opening(self) -> None:
        """Let the open part, which is the first of a segment, be the one behind the opening."""
        self._opening_end = _NEVER
        self._follows_opening = True

    def boundary(self, dts: int) -> int:
        """Return where the open part, which has frames, would end before the frame at ``dts``."""
        # A frame that came sooner than predicted may lie before the open part: it gets some time in it.
        return max(dts, self.position + self._rounding_ticks)

    def is_segment_due(self, boundary: int, pts: int) -> bool:
        """Tell whether a keyframe shown at ``pts``, which begins a part at ``boundary``, begins a segment too."""
        if self._is_audio_only:
            return False  # Every frame is a keyframe: close finds the best of the part boundaries.
        duration = boundary - self._segment_start
        if self._starts is not None:
            since_ms = self._starts.since_last(pts * 1000 // self._scale)
            if not since_ms:
                # It is the first of all, or starts with the others'. A start is used once, although every picture may
                # be a keyframe.
                return duration == 0 or duration > self._ticks(2 * SEGMENT_TOLERANCE_MS)
            duration = max(duration, self._ticks(since_ms))
        return self._is_long_enough(duration)

    def _is_long_enough(self, duration: int) -> bool:
        """Tell whether a segment of this duration ends with a keyframe, as far as this rendition alone decides it."""
        if duration >= self._segment_ticks_min:
            return True
        if not self._may_cut_short:
            return False
        # Sooner than the target, for segments that start with a keyframe: if the last one started without, or if the
        # next keyframe, a GOP on, would come too late for this one.
        return self._is_segment_off_key or duration + self._gop_ticks >= self._segment_ticks_limit

    def ends_before(self, dts: int) -> bool:
        """Tell whether the open part, which has frames, ends before the frame at ``dts``: its end is unknown."""
        return (
            not self._interval.is_steady()
            and dts - self.position >= self._part_ticks_min
            and dts + self._interval.ticks > self.position + self.part_ticks + self._rounding_ticks
        )

    def ends_before_keyframe(self, dts: int) -> bool:
        """Tell whether the open part, which begins with a keyframe, ends before the one at ``dts``, noted already.

        So the next part begins with a keyframe, too, where the next keyframe but one does not fit into this part. It is
        longer than half of PART-TARGET, as it has a whole number of GOPs.
        """
        # 4.4.4.9: a part with INDEPENDENT=YES may be under 85 % of the Part Target Duration.
        if not self._gop_ticks or dts - self.position < self._keyframe_part_ticks_min:
            return False
        return dts + self._gop_ticks > self.position + self.part_ticks + self._rounding_ticks

    def end_with(self, dts: int, frames: int) -> int:
        """Return the end of the open part if the frame at ``dts`` is its last one.

        Args:
            dts: Of its newest frame.
            frames: Number of its frames.

        Returns:
            Its end; its start if another frame fits, or the end cannot be predicted.
        """
        if not self._interval.is_steady():
            return self.position
        # Rounded down as the wire is: the next frame then starts at or after this end, and a stream
        # without B-frames gets no negative composition offset, which libavformat answers by moving
        # the track.
        end = (dts + self._interval.ticks) // self._wire_ticks * self._wire_ticks
        if end - self.position < self._part_ticks_min or not self._is_full(end, frames):
            return self.position
        return min(end, self.position + self.part_ticks)

    def _is_full(self, end: int, frames: int) -> bool:
        """Tell whether the open part, which ends at ``end`` with its present frames, has no room for another.

        Frames are counted, for wire times are rounded: ten at 30 fps last 333 or 334 ms. The end tells more than the
        count only where some were dropped.
        """
        frames_ticks = (frames + 1) * self._interval.ticks_min()
        next_end = end + self._interval.ticks
        return frames_ticks > self.part_ticks or next_end > self.position + self.part_ticks + self._rounding_ticks

    def is_overlong(self, end: int) -> bool:
        """Tell whether an open part up to ``end`` would make the segment too long, and so has to start one."""
        return not self.starts_segment and end - self._segment_start >= self._segment_ticks_limit

    def close(self, end: int, *, starts_with_keyframe: bool) -> None:
        """Close the open part and open the next.

        Args:
            end: Where it ends.
            starts_with_keyframe: Whether it begins with one.
        """
        if self.starts_segment:
            # A segment behind the opening counts as started with a keyframe: it is not late, and the next one need not
            # come early.
            self._is_segment_off_key = not starts_with_keyframe and not self._follows_opening
            self._follows_opening = False
        self.position = end
        self.starts_segment = False
        if self._is_audio_only and self._is_audio_segment_due(end):
            self.start_segment()

    def closes_in_ms(self, *, is_empty: bool) -> int:
        """Return how much later than the newest frame the next completing frame is; 0 if that is not known.

        Args:
            is_empty: Whether the open part has no frame of the lead.
        """
        interval = self._interval
        if not self.has_part or not interval.has_begun or not interval.is_steady():
            return 0
        if is_empty and self.position - self._segment_start >= self._segment_ticks_min:
            # The very next may be a keyframe that ends the segment.
            return 0
        frames = (self.position + self.part_ticks + self._rounding_ticks - interval.end) // interval.ticks
        closes_in = frames * interval.ticks
        newest = interval.end - interval.ticks
        if newest < self._opening_end < newest + closes_in:
            # The frame that ends a first segment that is cut short.
            closes_in = -(-(self._opening_end - newest) // interval.ticks) * interval.ticks
        if not self._is_audio_only:
            closes_in = min(closes_in, self._keyframe_in(newest))
        return max(0, closes_in * 1000 // self._scale)

    def _keyframe_in(self, newest: int) -> int:
        """Return the ticks from the newest frame to the keyframe that is expected to end segment and open part."""
        due = self._keyframe_dts + self._gop_ticks
        before = self._gop_before_ticks or self._gop_ticks
        if due > newest and abs(self._gop_ticks - before) <= self._interval.ticks:
            return due - newest if self._is_long_enough(due - self._segment_start) else _NEVER
        # With irregular keyframes, any frame may be one once the segment is long enough.
        may_come = newest + self._interval.ticks
        if not self._is_long_enough(may_come - self._segment_start):
            may_come = self._segment_start + self._segment_ticks_min
        return may_come - newest + self._ticks(KEYFRAME_LATE_MS_MAX)

    def _is_audio_segment_due(self, boundary: int) -> bool:
        """Tell whether a part boundary is the nearest to the target end of a segment of audio alone."""
        nearest = boundary + self.part_ticks // 2
        if self._starts is None:
            return nearest - self._segment_start >= self._segment_ticks_min
        # Its last start may be half a part beside that of the video: the next one is later than a part after it.
        after = self._segment_start + self.part_ticks
        return self._starts.has_between(after * 1000 // self._scale, nearest * 1000 // self._scale)

    def _ticks(self, duration_ms: int) -> int:
        """Return milliseconds in the lead's ticks, rounded down, so that a limit stays a limit."""
        return duration_ms * self._scale // 1000

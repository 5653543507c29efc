"""The times of a clip: which segments of a recording hold what was asked for.

A clip is whole segments, so that it begins and ends where segments do: at or before the beginning that was asked for,
and at or behind the end. Times are places in a recording (milliseconds of its media) or instants, which the segments'
EXT-X-PROGRAM-DATE-TIME has: a viewer's player knows at which instant the picture was taken that it shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from streamd.errors import ClipTimesError
from streamd.formats.hls.attribute_list import unix_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.services.recording.playlist_file import RecordedSegment

# The picture that viewers see lies in a segment that is not whole yet, or waits for the disk: a clip may be asked to
# end so far behind the last segment, and ends with that. A segment has 10 s at most.
OPEN_SLACK_MS = 20_000
# Players round a duration.
ENDED_SLACK_MS = 1000
# Dates and lengths of segments are rounded, each by itself, and so are the two times of a clip: one that is as long as
# it may be, by the clock of its viewer, is some milliseconds longer by these.
ROUNDING_MS = 10
# Segments of one rendition: ten minutes of half-second segments.
CLIP_SEGMENTS_MAX = 1200

Moment: TypeAlias = "int | datetime"
"""Milliseconds from the beginning of a recording, or an aware instant."""


@dataclass(frozen=True, slots=True)
class ClipTimes:
    """The times that are asked for: from ``start`` to ``end``, or the ``last_ms``."""

    start: Moment = 0
    end: Moment = 0
    last_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ClipRange:
    """Segments of a rendition, and the times from the beginning of the recording, milliseconds."""

    first: int
    """Number of the first segment, from 0."""
    stop: int
    """Number of the one behind the last."""
    start_ms: int
    """Beginning as it was asked for."""
    end_ms: int
    start_actual_ms: int
    """Beginning of the first segment."""
    end_actual_ms: int


def choose_segments(segments: Sequence[RecordedSegment], asked: ClipTimes, *, max_ms: int, is_open: bool) -> ClipRange:
    """Find the segments that hold what is asked for.

    Args:
        segments: The segments of the rendition that viewers see, all so far.
        asked: The times.
        max_ms: The longest clip, as asked.
        is_open: More segments are to come.

    Raises:
        ClipTimesError: The times do not fit; the text says why. An instant before the beginning is taken for it, where
            the end lies behind it.
    """
    if not segments:
        raise ClipTimesError("nothing is recorded yet")
    starts = [0, *(us // 1000 for us in accumulate(segment.duration_us for segment in segments))]
    total_ms = starts[-1]
    if asked.last_ms is not None:
        if asked.last_ms > max_ms:
            raise ClipTimesError(_too_long(max_ms))
        start_ms, end_ms = max(0, total_ms - asked.last_ms), total_ms
    else:
        start_ms = _place(segments, starts, asked.start)
        end_ms = _place(segments, starts, asked.end)
        if isinstance(asked.start, datetime) and start_ms < 0 < end_ms <= start_ms + max_ms + ROUNDING_MS:
            # What a viewer has just seen began before the recording did, and they know nothing of that.
            start_ms = 0
    if start_ms < 0:
        raise ClipTimesError("start lies before the beginning of the recording")
    if start_ms >= end_ms:
        raise ClipTimesError("start has to come before end")
    if end_ms - start_ms > max_ms + ROUNDING_MS:
        raise ClipTimesError(_too_long(max_ms))
    if start_ms >= total_ms or end_ms > total_ms + (OPEN_SLACK_MS if is_open else ENDED_SLACK_MS):
        which = "start" if start_ms >= total_ms else "end"
        raise ClipTimesError(f"{which} lies behind what is recorded, which is {total_ms / 1000:.3f} s")
    first = next(number for number in reversed(range(len(segments))) if starts[number] <= start_ms)
    stop = next((number for number in range(first + 1, len(segments)) if starts[number] >= end_ms), len(segments))
    if stop - first > CLIP_SEGMENTS_MAX:
        raise ClipTimesError(f"{stop - first} segments are more than a clip has ({CLIP_SEGMENTS_MAX})")
    return ClipRange(first, stop, start_ms, end_ms, starts[first], starts[stop])


def same_time(
    segments: Sequence[RecordedSegment], main: Sequence[RecordedSegment], chosen: ClipRange
) -> tuple[int, int]:
    """Find the segments of another rendition that were taken at the same time.

    Args:
        segments: The segments of the other rendition.
        main: The segments that were chosen from.
        chosen: The range that was chosen.

    Returns:
        The number of the first, and of the one behind the last: the same where there is none.
    """
    began, last = main[chosen.first].program_date_time_ms, main[chosen.stop - 1]
    ended = last.program_date_time_ms + last.duration_us // 1000
    best, best_distance = (0, 0), 1 << 62
    at_us = 0
    number = 0
    while number < len(segments):
        first, first_ms = number, at_us // 1000
        # The middle decides: the segments of sound have other lengths than those of pictures.
        while number < len(segments) and began <= _middle_ms(segments[number]) < ended:
            at_us += segments[number].duration_us
            number += 1
        if number > first:
            # Where the clock was set back, two times have one name: the nearer one in the recording is meant.
            distance = abs(first_ms - chosen.start_actual_ms)
            if distance < best_distance:
                best, best_distance = (first, number), distance
        else:
            at_us += segments[number].duration_us
            number += 1
    return best


def _too_long(max_ms: int) -> str:
    return f"a clip is {max_ms // 1000} s at most ([clips] max_s)"


def _place(segments: Sequence[RecordedSegment], starts: Sequence[int], moment: Moment) -> int:
    """The place of a moment in the recording, milliseconds; below 0 before it, and past its end behind it."""
    if isinstance(moment, int):
        return moment
    at = unix_ms(moment)
    for number in reversed(range(len(segments))):
        # Of two segments with this instant, where the clock was set back, the newer one.
        into = at - segments[number].program_date_time_ms
        if 0 <= into < -(-segments[number].duration_us // 1000):
            return starts[number] + into
    first, last = segments[0], segments[-1]
    behind = at - last.program_date_time_ms - last.duration_us // 1000
    if behind >= 0:
        return starts[-1] + behind
    if at < min(segment.program_date_time_ms for segment in segments):
        return at - first.program_date_time_ms if at < first.program_date_time_ms else -1
    # Nothing was sent then: the media behind the gap begins at this place.
    return next(
        starts[number]
        for number in reversed(range(len(segments)))
        if segments[number].program_date_time_ms > at
        and (number == 0 or segments[number - 1].program_date_time_ms <= at)
    )


def _middle_ms(segment: RecordedSegment) -> int:
    return segment.program_date_time_ms + segment.duration_us // 2000

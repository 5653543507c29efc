"""Bounds for the work of a publisher's media time, which may run at any speed: silence, leaps, shares, parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.errors import MediaLimitError
from streamd.services.bounds.allowance import Allowance

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.services.live.meter import StreamMeter

# Eight silent tracks of 96 kHz have 750 frames a second, which are ours to make.
SILENT_FRAMES_PER_S = 1_000
# Each track of a multitrack message is a message of its own, as eight tracks of each kind at 60 frames a second have a
# thousand of them.
SHARES_PER_S = 5_000
SHARES_AT_ONCE_MAX = 2_048
# A part costs some 100 us, whatever its content. In each rendition two a second come from media in real time; others
# come with the bytes of a publisher who catches up, or sends a file at once: the thinnest sound has 500 bytes to a
# part.
PARTS_AT_ONCE_MAX = 512
PARTS_PER_S = 20
PART_BYTES_MIN = 256
# A discontinuity makes everything anew in each rendition. So many may come one after the other; one that is not allowed
# yet is due with a later keyframe.
LEAPS_AT_ONCE_MAX = 8
LEAPS_PER_S = 1.0


class LineAllowances:
    """The rest of one media line's allowances.

    Args:
        clock: Gives the allowances back.
        meter: Knows what was received.

    Attributes:
        parts_left: How many parts may be made before ``settle_parts`` is to be asked.
    """

    def __init__(self, clock: Clock, meter: StreamMeter) -> None:
        self._clock = clock
        self._meter = meter
        now = clock.monotonic()
        self._silence = Allowance(SILENT_FRAMES_PER_S, SILENT_FRAMES_PER_S, now)
        self._leaps = Allowance(LEAPS_PER_S, LEAPS_AT_ONCE_MAX, now)
        self._shares = Allowance(SHARES_PER_S, SHARES_AT_ONCE_MAX, now)
        self.parts_left = PARTS_AT_ONCE_MAX
        # Up to when time, and what was received, is in that.
        self._parts_settled = (now, meter.media_bytes)

    def take_silence(self, now: float) -> int:
        """Take all frames of silence that may be made now; return how many."""
        return self._silence.take_all(now)

    def take_leap(self) -> bool:
        """Take a discontinuity, if there may be one now."""
        return self._leaps.take(self._clock.monotonic())

    def take_shares(self, now: float, count: int) -> None:
        """Take the tracks of one message.

        Raises:
            MediaLimitError: There are too many of them.
        """
        if not self._shares.take(now, count):
            raise MediaLimitError("too many tracks in too many messages", limit="messages_per_second_max")

    def note_parts(self, count: int) -> None:
        """Note that parts were made."""
        self.parts_left -= count

    def settle_parts(self, renditions: int) -> None:
        """Reckon the parts that were made with the time that has passed and the bytes that have come.

        Args:
            renditions: How many there are.

        Raises:
            MediaLimitError: Media time runs so much faster than either that parts are made of nothing.
        """
        (at, media_bytes), now = self._parts_settled, self._clock.monotonic()
        in_time = (now - at) * PARTS_PER_S * renditions
        of_bytes = (self._meter.media_bytes - media_bytes) // PART_BYTES_MIN
        self.parts_left = min(PARTS_AT_ONCE_MAX, self.parts_left + int(in_time) + of_bytes)
        self._parts_settled = (now, self._meter.media_bytes)
        if self.parts_left < 0:
            raise MediaLimitError("its timestamps run on much faster than media comes", limit="parts_per_second_max")

"""Which pictures are looked at that nobody has reported, and when.

A picture of each channel every ten seconds, the one that waits longest first; no more a second than the operator
allows. A machine that is too slow for that looks at each channel less often.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from streamd.limits import MODERATION
from streamd.services.live.newest_keyframe import newest_keyframe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from streamd.clock import Clock
    from streamd.media.packager.rendition import Keyframe
    from streamd.services.live.channel import Channel
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

EVERY_S: Final = 10.0
FIRST_MINUTE_S: Final = 60.0
# It is looked at in 320 pixels; a smaller variant of a ladder is decoded in a tenth of the time.
LINES_ENOUGH: Final = 180


class ScanMode(enum.StrEnum):
    """Which channels are scanned; ``[moderation] scan``."""

    OFF = "off"
    """None, and the machine does not look at what is reported either."""
    REPORTED = "reported"
    """Only what is reported."""
    FIRST_MINUTE = "first_minute"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """Which pictures, and how many."""

    mode: ScanMode = ScanMode.REPORTED
    pictures_per_s: int = MODERATION.scan_pictures_per_s
    """Of all channels together."""


@dataclass(slots=True)
class _Seen:
    """A channel's last picture."""

    looked_at: float = float("-inf")
    """Loop time."""
    msn: int = -1
    """The segment that it was of."""


class Scanner:
    """Has the machine look at live channels; ``tick`` it once a second.

    Args:
        options: Which; another may be put in its place while it runs.
        channels: The live ones.
        look: Looks at a picture of a channel.
        clock: For all times.
        metrics: Counted into.
    """

    def __init__(
        self,
        options: ScanOptions,
        channels: Callable[[], Iterable[Channel]],
        look: Callable[[str, Keyframe], Awaitable[None]],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.options = options
        self._channels = channels
        self._look = look
        self._clock = clock
        self._metrics = metrics
        self._seen: WeakKeyDictionary[Channel, _Seen] = WeakKeyDictionary()
        self._round: asyncio.Task[None] | None = None

    def tick(self) -> None:
        """Begin to look at what is due, unless what was due before is still looked at."""
        if self.options.mode not in (ScanMode.FIRST_MINUTE, ScanMode.ALL):
            return
        due = self._due()
        self._metrics.moderation.moderation_scan_waiting.set(max(0, len(due) - self.options.pictures_per_s))
        if not due or (self._round is not None and not self._round.done()):
            return
        self._round = asyncio.create_task(self._look_at(due[: self.options.pictures_per_s]))

    async def close(self) -> None:
        """Look at nothing more."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.gather(self._round, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until what was due at the last tick has been looked at."""
        if self._round is not None:
            await self._round

    def _due(self) -> list[Channel]:
        """Channels whose last picture is old, the oldest first."""
        now, is_first = self._clock.monotonic(), self.options.mode is ScanMode.FIRST_MINUTE
        due = []
        for channel in self._channels():
            if is_first and (self._clock.now() - channel.live_since).total_seconds() > FIRST_MINUTE_S:
                continue
            seen = self._seen.setdefault(channel, _Seen())
            if now >= seen.looked_at + EVERY_S:
                due.append((seen.looked_at, channel))
        due.sort(key=lambda each: each[0])
        return [channel for _, channel in due]

    async def _look_at(self, channels: list[Channel]) -> None:
        for channel in channels:
            seen = self._seen.setdefault(channel, _Seen())
            # Also where there is no picture: a channel of sound alone takes no other's turn.
            seen.looked_at = self._clock.monotonic()
            try:
                keyframe = newest_keyframe(channel, LINES_ENOUGH)
                if keyframe is None or keyframe.msn == seen.msn:
                    continue
                seen.msn = keyframe.msn
                await self._look(channel.name, keyframe)
            except Exception:
                # One channel's fault is not the others'.
                log.exception("scan.broke", extra={"stream": channel.name})

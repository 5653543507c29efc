"""How much of a broadcast a target's machine has acknowledged, and whether it still does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamd.services.restream.link import LinkSigns

ACKED_WITHIN_S: Final = 5.0
"""A target is live while its machine has acknowledged bytes within so long."""


class Acknowledged:
    """The count of one target in one broadcast, over all its connections.

    Args:
        now: Loop time, seconds.

    Attributes:
        kbps: Acknowledged in the last seconds, kilobits a second.
    """

    def __init__(self, now: float) -> None:
        self.kbps = 0.0
        # Of connections that are over, and of the one that is there, bytes.
        self._before = self._bytes = 0
        # Loop times: of the last sign on this connection that media is taken, and of the last look.
        self._at = float("-inf")
        self._looked_at = now

    @property
    def total_bytes(self) -> int:
        """All of this broadcast."""
        return self._before + self._bytes

    def begin(self, signs: LinkSigns, now: float) -> None:
        """Count a connection whose target takes media from now on: the words of its beginning are no media."""
        self._bytes = signs.acked_bytes
        self._at = float("-inf")
        self._looked_at = now

    def end(self) -> None:
        """The connection is over."""
        self._before += self._bytes
        self._bytes = 0
        self.kbps = 0.0

    def read(self, signs: LinkSigns, now: float) -> bool:
        """Count what is acknowledged by now; whether any of it was within ``ACKED_WITHIN_S``."""
        acked = signs.acked_bytes - self._bytes
        passed_s = max(now - self._looked_at, 0.001)
        self._looked_at = now
        # The last seconds weigh most.
        self.kbps += (acked * 8 / 1000 / passed_s - self.kbps) * min(1.0, passed_s / ACKED_WITHIN_S * 2)
        if acked > 0:
            self._bytes = signs.acked_bytes
            self._at = now
        return now - self._at <= ACKED_WITHIN_S

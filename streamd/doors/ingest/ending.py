"""How a connection ends: the last word is sent, the peer has a moment to read it, and the socket is closed.

Closing a socket with unread input makes the kernel send RST (RFC 9293 section 3.6, RFC 2525 section 2.17), and the peer
could lose the answer that tells it why. So a FIN goes behind the last word, and what the peer still sends is read and
thrown away, for so long and for so many bytes. TLS has no half-close; there the reading alone does it.
"""

from __future__ import annotations

import asyncio
import enum
import logging

# Seconds for the peer to read the last word and close: some round trips of a mobile network.
LINGER_S = 2.0
# Thrown away meanwhile, at the most: what a publisher of 20 Mb/s sends in LINGER_S, and what the kernel holds of it.
LINGER_BYTES_MAX = 8 * 1024 * 1024


class Stage(enum.Enum):
    """The stages of a connection's end."""

    OPEN = "open"
    """It has not begun."""
    LINGERING = "lingering"
    """The last word is sent; nothing that comes is used."""
    CLOSED = "closed"
    """The socket is gone, and all that hung on it is ended."""


class Ending:
    """The end of one connection.

    Attributes:
        stage: Its stage.
        has_begun: Nothing that comes is used any more; asked some times for each read.
        reason: Why, for the log; the first that is given.
        level: Of the closing line in the log.
        is_lost: The socket is gone. Bytes that came before may still be dealt with.
        is_aborted: The connection was ended by us without a word, and nothing more of it is dealt with.
    """

    __slots__ = (
        "_closed",
        "_discarded_bytes",
        "_lost_by",
        "_since",
        "has_begun",
        "is_aborted",
        "is_lost",
        "level",
        "reason",
        "stage",
    )

    def __init__(self) -> None:
        self.stage = Stage.OPEN
        self.has_begun = False
        self.reason = ""
        self.level = logging.INFO
        self.is_lost = False
        self.is_aborted = False
        self._lost_by: Exception | None = None
        self._since = 0.0
        self._discarded_bytes = 0
        self._closed = asyncio.Event()

    def explain(self, reason: str) -> None:
        """Say why it ends, unless that has been said."""
        self.reason = self.reason or reason

    def lose(self, exc: Exception | None) -> None:
        """Note that the socket is gone.

        Args:
            exc: As in ``connection_lost``: None where the peer closed it.
        """
        self.is_lost, self._lost_by = True, exc

    def linger(self, now: float) -> None:
        """Note that the last word is sent.

        Args:
            now: Loop time, seconds.
        """
        self.stage, self._since = Stage.LINGERING, now
        self.has_begun = True

    def discard(self, nbytes: int) -> bool:
        """Count bytes that are thrown away; return whether they are more than a peer may send."""
        self._discarded_bytes += nbytes
        return self._discarded_bytes > LINGER_BYTES_MAX

    def is_overdue(self, now: float) -> bool:
        """Whether the peer has had its time to read the last word.

        Args:
            now: Loop time, seconds.
        """
        return self.stage is Stage.LINGERING and now - self._since > LINGER_S

    def finish(self) -> bool:
        """Note that it is over; return whether it was not before."""
        if self.stage is Stage.CLOSED:
            return False
        self.stage = Stage.CLOSED
        self.has_begun = True
        self.explain("connection lost" if self._lost_by is not None else "peer closed")
        self._closed.set()
        return True

    async def wait(self) -> None:
        """Return when it is over."""
        await self._closed.wait()

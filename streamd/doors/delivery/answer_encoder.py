"""Prepared answers as HTTP/1.1 writes them: the door's own fields are put between head and body.

Spec: RFC 9112 sections 2.1, 4 and 9.6; RFC 9110 sections 6.6.1 (Date) and 10.2.4 (Server).
"""

from __future__ import annotations

import enum
from email.utils import format_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.doors.delivery.answer import Answer, Body

# A body up to this size is copied behind its head: one buffer costs less to send than two. Playlists are smaller,
# parts and segments are larger.
JOINED_BODY_BYTES_MAX = 8 * 1024


class Persistence(enum.Enum):
    """The future of the connection after an answer; the value is the header field that tells it (RFC 9112 9.3)."""

    IMPLIED = b""
    """HTTP/1.1: the connection stays."""
    KEPT = b"Connection: keep-alive\r\n"
    """HTTP/1.0, which has to be told that it stays."""
    CLOSED = b"Connection: close\r\n"


class AnswerEncoder:
    """Adds Date, Server and Connection to prepared answers.

    Args:
        clock: Where the date comes from; it is written once a second.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tails: dict[Persistence, bytes] = {}
        self._tails_until = float("-inf")

    def encode(self, answer: Answer, persistence: Persistence, now: float) -> Body:
        """Give the buffers to write.

        Args:
            answer: The answer.
            persistence: The future of the connection after it.
            now: Loop time.
        """
        if now >= self._tails_until:
            self._write_date(now)
        # A crowd is given the same few answers: each is put together once for each second.
        tail = self._tails[persistence]
        encoded_with, buffers = answer.encoded
        if encoded_with is tail:
            return buffers
        head = answer.head + tail
        if answer.body_bytes <= JOINED_BODY_BYTES_MAX:
            buffers = (b"".join((head, *answer.body)),)
        else:
            buffers = (head, *answer.body)
        answer.encoded = (tail, buffers)
        return buffers

    def _write_date(self, now: float) -> None:
        wall = self._clock.now()
        self._tails_until = now + 1 - wall.microsecond / 1e6
        # RFC 9110 5.6.7: IMF-fixdate.
        common = f"Date: {format_datetime(wall, usegmt=True)}\r\nServer: streamd\r\n".encode("latin-1")
        self._tails = {persistence: common + persistence.value + b"\r\n" for persistence in Persistence}

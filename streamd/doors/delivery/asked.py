"""The request side of a viewer's connection: the bytes that it has sent and that are not answered yet.

Sans-I/O. A player asks for one thing at a time, so there is hardly ever more than one request in them.

Spec: RFC 9112 sections 2.2 and 9.3.2 (pipelining).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.delivery.ticket_path import find_opening

if TYPE_CHECKING:
    from streamd.doors.delivery.asked_heads import AskedHeads, ReadRequest
    from streamd.doors.delivery.ticket_path import Opening


class Asked:
    """Bytes that wait to be answered, in order.

    Args:
        heads: Reads the requests of all connections.

    Attributes:
        unanswered: The bytes.
        is_in_head: A head has begun and is not whole; its time runs.
        is_half_closed: The viewer has sent FIN: it asks no more.
    """

    __slots__ = ("_heads", "_ignored_bytes", "_opening", "is_half_closed", "is_in_head", "unanswered")

    def __init__(self, heads: AskedHeads) -> None:
        self._heads = heads
        self._ignored_bytes = 0
        # Of the last request with a ticket: a viewer's next one begins likewise, and is read by one comparison.
        self._opening: Opening | None = None
        self.unanswered = b""
        self.is_in_head = self.is_half_closed = False

    def take(self, data: bytes) -> None:
        """Keep more bytes."""
        self.unanswered = self.unanswered + data if self.unanswered else data

    def ignore(self, count: int) -> int:
        """Drop bytes that change nothing, and return how many were dropped so far."""
        self._ignored_bytes += count
        return self._ignored_bytes

    def next(self) -> tuple[ReadRequest, str] | None:
        """Take the next request out of the bytes.

        Returns:
            The request without the ticket in its path, and the ticket, empty for none; None where the bytes hold no
            whole request.

        Raises:
            MalformedRequestError: The next one cannot be read.
        """
        data, opening = self.unanswered, self._opening
        if opening is None or not data.startswith(opening.whole):
            found_opening = find_opening(data)
            if found_opening is None:
                found = self._heads.read(data)
                if found is None:
                    return None
                self.is_in_head = False
                self.unanswered = data[found.end :]
                return found, ""
            opening = self._opening = found_opening
        # Each viewer has their own ticket, and what is left is the crowd's.
        found = self._heads.read(opening.cut(data))
        if found is None:
            return None
        self.is_in_head = False
        end = found.end + opening.shorter_by
        self.unanswered = data[end:] if end < len(data) else b""
        return found, opening.ticket

    def begins_head(self) -> bool:
        """Note that a head has begun whose end is missing; tell whether that is news."""
        is_news = not self.is_in_head
        self.is_in_head = True
        return is_news

    def clear(self) -> None:
        """Answer nothing of it."""
        self.unanswered = b""

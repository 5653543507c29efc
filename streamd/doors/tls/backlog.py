"""The bytes of one TLS connection that are not encrypted yet: a queue of shared pieces, taken a record at a time."""

from __future__ import annotations

from collections import deque


class Backlog:
    """Bytes that a connection has yet to encrypt.

    The pieces are shared with other connections and never changed; a record that one piece fills is a view of it.

    Attributes:
        size: Bytes in it.
    """

    __slots__ = ("pieces", "size")

    def __init__(self) -> None:
        self.pieces: deque[bytes | memoryview] = deque()
        self.size = 0

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Add a piece at the end; a mutable buffer is copied."""
        if data:
            self.pieces.append(bytes(data) if isinstance(data, bytearray) else data)
            self.size += len(data)

    def take(self, size_max: int) -> bytes | memoryview:
        """Take the next bytes, as many as there are up to a bound: a view of one piece, or a copy of several.

        Args:
            size_max: Above 0.

        Raises:
            IndexError: It is empty.
        """
        pieces = self.pieces
        first = pieces.popleft()
        if len(first) >= size_max or not pieces:
            taken = self._keep_rest(first, size_max) if len(first) > size_max else first
            self.size -= len(taken)
            return taken
        parts, room = [first], size_max - len(first)
        while pieces and room:
            piece = pieces.popleft()
            if len(piece) > room:
                piece = self._keep_rest(piece, room)
            parts.append(piece)
            room -= len(piece)
        record = b"".join(parts)
        self.size -= len(record)
        return record

    def clear(self) -> None:
        """Forget all of it."""
        self.pieces.clear()
        self.size = 0

    def _keep_rest(self, piece: bytes | memoryview, size: int) -> memoryview:
        view = memoryview(piece)
        self.pieces.appendleft(view[size:])
        return view[:size]

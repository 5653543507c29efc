"""A viewer of a pushed stream behind a transport: bytes that the kernel has no room for wait here, shared with others.

A transport has an object of some 600 bytes for each piece that waits in it, as large as the piece of a small stream; a
list has a reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

# Bytes that a transport is given at once of those that have waited. asyncio's own copies them.
BATCH_BYTES = 64 * 1024
# A reference in a list, with its room to grow.
PIECE_BYTES = 9


class TransportViewer:
    """A ``PushViewer`` of a fan-out.

    Args:
        transport: All that waits in it is taken before anything more is written; ``flush`` is called then.
        on_end: Called when the stream ends.

    Attributes:
        written_bytes: Bytes that the viewer was sent, those that wait included.
    """

    __slots__ = ("_on_end", "_pieces", "_transport", "_waiting_bytes", "written_bytes")

    def __init__(self, transport: asyncio.Transport, on_end: Callable[[], None]) -> None:
        self._transport = transport
        self._on_end = on_end
        # In order; shared with others, and never changed.
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self.written_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Memory that it makes us hold and does not share, bytes."""
        return len(self._pieces) * PIECE_BYTES

    def write(self, data: bytes, /) -> None:
        """Send more of the stream, behind the bytes that wait."""
        size = len(data)
        self.written_bytes += size
        if self._pieces or self._transport.get_write_buffer_size():
            self._pieces.append(data)
            self._waiting_bytes += size
        else:
            self._transport.write(data)

    def offer(self, data: bytes, buffered_bytes_max: int, /) -> int:
        """Send more of the stream, unless more than so much waits; returns how much waited before, bytes."""
        buffered_bytes = self._transport.get_write_buffer_size()
        if buffered_bytes or self._pieces:
            buffered_bytes += self._waiting_bytes
            if buffered_bytes > buffered_bytes_max:
                return buffered_bytes
            self._pieces.append(data)
            self._waiting_bytes += len(data)
        else:
            self._transport.write(data)
        self.written_bytes += len(data)
        return buffered_bytes

    def buffered_bytes(self) -> int:
        """Bytes of it that the kernel has not taken."""
        return self._transport.get_write_buffer_size() + self._waiting_bytes

    def close(self) -> None:
        """End; the bytes that wait are sent."""
        self._on_end()

    def drop(self) -> None:
        """End; the bytes that wait are dropped, except a piece that has been begun."""
        self.forget()
        self._on_end()

    def forget(self) -> None:
        """Drop the bytes that wait."""
        self._pieces = []
        self._waiting_bytes = 0

    def flush(self) -> None:
        """Send the bytes that wait, while the kernel takes them."""
        pieces, transport = self._pieces, self._transport
        start = 0
        while start < len(pieces) and not transport.get_write_buffer_size():
            end, size = start, 0
            while end < len(pieces) and size < BATCH_BYTES:
                size += len(pieces[end])
                end += 1
            self._waiting_bytes -= size
            transport.writelines(pieces[start:end])
            start = end
        del pieces[:start]

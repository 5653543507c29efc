"""Large bodies in slices, the next when the last is taken: a peer that reads nothing holds one slice.

All viewers of a body share it. Over TLS each connection encrypts a copy of its own of all bytes written at once, and a
peer that reads nothing would make us hold the copy.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import payload

from streamd.doors.web.protocol import WebProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp.abc import AbstractStreamWriter

# A few packets' worth: fewer, larger slices would save a microsecond each.
SLICE_BYTES = 32 * 1024
# Bytes that may wait in the transport before the next slice.
UNSENT_BYTES_MAX = 16 * 1024
# Seconds for all of a body; the connection's watch ends a peer that takes no bytes long before.
ANSWER_TIMEOUT_S = 120.0


def slices(body: bytes | memoryview, slice_bytes: int = SLICE_BYTES) -> Iterator[memoryview]:
    """Places in a body, in order; nothing is copied."""
    view = memoryview(body)
    for start in range(0, len(view), slice_bytes):
        yield view[start : start + slice_bytes]


class SharedBody(payload.Payload):
    """A body that is the same for all, as aiohttp's responses write it.

    Args:
        body: The whole of it.
        content_type: Its media type.
    """

    def __init__(self, body: bytes, content_type: str) -> None:
        super().__init__(body, content_type=content_type)
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        text: str = self._value.decode(encoding, errors)
        return text

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write it, slice by slice.

        Raises:
            ConnectionResetError: The peer took too long.
        """
        transport: asyncio.Transport | None = getattr(writer, "transport", None)
        if transport is not None:
            transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        # Of aiohttp's writers; the account of memory asks it.
        protocol = getattr(writer, "protocol", None)
        if isinstance(protocol, WebProtocol):
            protocol.sends_shared = True
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                for piece in slices(self._value):
                    await writer.write(piece)
                    await writer.drain()
        except TimeoutError as error:
            if transport is not None:
                transport.abort()
            raise ConnectionResetError("the answer was not taken in time") from error
        finally:
            if isinstance(protocol, WebProtocol):
                protocol.sends_shared = False

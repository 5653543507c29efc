"""The bodies of requests: read before their handlers run, within bounds of size, time and number.

A handler that takes a body gets its request only with the whole body in memory. A compressed body is refused unread. A
request for an unknown path or method is answered by its head, and its body is dropped.

Spec: RFC 9110 sections 8.4 and 15.5.16 (415 over a content coding), 10.1.1 (Expect), 15.5.9 (408); RFC 9112 section 6.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestPayloadError

from streamd.doors.web.json_api import problem
from streamd.doors.web.refusals import Refusal
from streamd.formats.address import source_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.streams import StreamReader
    from aiohttp.typedefs import Handler

    from streamd.doors.web.refusals import Refusals

# Bodies that are being sent at once: 32 kB each, 32 MB in all.
BODIES_MAX = 1024
# The same from one address: a quarter, so that no address takes all.
BODIES_PER_ADDRESS_MAX = 256

EXPECTS: Final = web.RequestKey("expects", str)
"""The key of a request's Expect field, if it has one."""
BYTES_MAX: Final = web.RequestKey("bytes_max", int)
"""The key of how long the body of a request may be, where that is another length than its port's."""
_CONTINUE = "100-continue"


class Contents:
    """Reads the bodies of one port.

    Args:
        refusals: Counts the bodies that are not read.
        timeout_s: For one body.
    """

    def __init__(self, refusals: Refusals, timeout_s: float) -> None:
        self._refusals = refusals
        self.timeout_s = timeout_s
        self._reading: Counter[str] = Counter()

    @property
    def reading(self) -> int:
        """Bodies that are being sent."""
        return self._reading.total()

    async def serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Read the body of a request, and hand it on; a body that no handler asks for stays unread."""
        expected = request.get(EXPECTS, _CONTINUE)
        if expected.lower() != _CONTINUE:
            return self._refuse(request, Refusal.MALFORMED, 417, "only 100-continue can be expected here")
        refusal = await self.read(request) if _takes_body(request) else None
        return await handler(request) if refusal is None else refusal

    async def read(self, request: web.Request) -> web.Response | None:
        """Read the body of a request; return an answer if that fails."""
        coding = request.headers.get(hdrs.CONTENT_ENCODING)
        if coding is not None and coding.strip().lower() not in ("", "identity"):
            detail = "send the body as it is, without a coding"
            return self._refuse(request, Refusal.ENCODED, 415, detail, {str(hdrs.ACCEPT_ENCODING): "identity"})
        if not request.can_read_body:
            return None
        bytes_max = request.get(BYTES_MAX, request.client_max_size)
        if (request.content_length or 0) > bytes_max:
            return self._too_long(request)
        source = source_of(request.remote or "")
        if self._reading[source] >= BODIES_PER_ADDRESS_MAX or self.reading >= BODIES_MAX:
            detail = "too many send at once; try again"
            return self._refuse(request, Refusal.BODIES, 503, detail, {str(hdrs.RETRY_AFTER): "1"})
        self._reading[source] += 1
        content, heard_bytes = request.content, 0

        def note_half_time() -> None:
            nonlocal heard_bytes
            heard_bytes = content.total_bytes

        half_time = asyncio.get_running_loop().call_later(self.timeout_s / 2, note_half_time)
        try:
            async with asyncio.timeout(self.timeout_s):
                if EXPECTS in request:
                    # RFC 9110 10.1.1: now that its head has been found good.
                    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    request.writer.output_size = 0
                # As aiohttp's ``request.read`` leaves it for the handler, which reads it as ever.
                request._read_bytes = await _read(content, bytes_max)
        except TimeoutError:
            # A slow peer that still sends is told why the request ends. A peer that was silent for half of the time, or
            # has not taken earlier bytes, is gone or pretends to be: an answer would wait in vain.
            transport = request.transport
            is_there = content.total_bytes > heard_bytes
            if transport is not None and (not is_there or transport.get_write_buffer_size()):
                transport.abort()
            return self._refuse(request, Refusal.TOO_SLOW, 408, "the body did not come in time")
        except web.HTTPRequestEntityTooLarge:
            return self._too_long(request)
        except RequestPayloadError:
            return self._refuse(request, Refusal.MALFORMED, 400, "the body is not framed as HTTP has it")
        finally:
            half_time.cancel()
            self._reading[source] -= 1
            if not self._reading[source]:
                del self._reading[source]
        return None

    def _too_long(self, request: web.Request) -> web.Response:
        bytes_max = request.get(BYTES_MAX, request.client_max_size)
        return self._refuse(request, Refusal.TOO_LONG, 413, f"send {bytes_max} bytes at the most")

    def _refuse(
        self, request: web.Request, reason: Refusal, status: int, detail: str, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        self._refusals.note(reason, request.remote or "unknown")
        response = problem(status, detail, headers=headers)
        # The rest of the body is dropped.
        response.force_close()
        return response


def _takes_body(request: web.Request) -> bool:
    """Tell whether the body of a request is read: the path exists, and takes the method.

    A route for every method handles methods itself, and takes no body.
    """
    found = request.match_info
    return found.http_exception is None and found.route.method != hdrs.METH_ANY


async def _read(content: StreamReader, bytes_max: int) -> bytes:
    """Read a body to its end.

    aiohttp's own loop holds the last piece beside the body until the next one comes: a body that comes half, and no
    further, is held twice.

    Raises:
        HTTPRequestEntityTooLarge: It is longer than may be.
    """
    content.set_read_chunk_size(bytes_max)
    body = bytearray()
    while piece := await content.readany():
        body += piece
        del piece
        if len(body) > bytes_max:
            raise web.HTTPRequestEntityTooLarge(bytes_max)
    return bytes(body)

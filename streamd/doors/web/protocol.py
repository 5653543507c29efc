"""aiohttp's side of one connection, with which nobody outside makes a traceback.

What cannot be read is answered with a problem, counted, and told of in a bounded number of lines; aiohttp would write
its traceback and quote what was sent. Nothing is decompressed: a body of 16 kB could be one of 16 MB.

Spec: RFC 9112 sections 2.2 and 9.6; RFC 9457 for errors.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web
from aiohttp.http_parser import HttpRequestParser
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from streamd.doors.web.headers import DOCUMENT_HEADERS
from streamd.doors.web.json_api import problem, raw_problem
from streamd.doors.web.refusals import PEERS_FAULTS, Refusal

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest

    from streamd.doors.web.refusals import Refusals
    from streamd.doors.web.request_budget import RequestBudget

# Of a body that nobody reads: twice what a body may have waits in memory, and no more.
READ_BUFFER_BYTES = 32 * 1024
# Requests that are parsed while another is answered. Browsers send none; one costs 1.3 kB at the least, which a peer
# that reads nothing has us hold. aiohttp's own number is 32.
PARSED_AHEAD_MAX = 4
# For a body that is not wanted to come in, so that the answer which says so is not lost to a reset (RFC 9112 9.6).
LINGER_S = 2.0
# Outside of the application nothing but a head is read: what cannot be decoded there was sent.
_PEERS_FAULTS = (*PEERS_FAULTS, UnicodeError)
_MALFORMED = "this is not HTTP as this server reads it"


class WebProtocol(RequestHandler):
    """One connection.

    Args:
        server: aiohttp's, which has the application.
        refusals: Told of what is not answered as asked.
        budget: Of requests, by address; None where that is looked at later.
        keepalive_timeout_s: From one answer to the next request.
    """

    __slots__ = ("_budget", "_refusals")

    def __init__(
        self, server: web.Server, refusals: Refusals, budget: RequestBudget | None, keepalive_timeout_s: float
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=keepalive_timeout_s,
            access_log=None,  # type: ignore[arg-type]  # as aiohttp's own runner passes it
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            lingering_time=LINGER_S,
        )
        self._max_msg_queue_size, self._msg_queue_resume_size = PARSED_AHEAD_MAX, PARSED_AHEAD_MAX // 2
        self._parser = HttpRequestParser(
            self,
            self._loop,
            READ_BUFFER_BYTES,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=PARSED_AHEAD_MAX,
        )
        self._refusals = refusals
        self._budget = budget

    @property
    def address(self) -> str:
        """IP address of the peer; ``unknown`` once it is gone."""
        peername = self.peername
        return str(peername[0]) if peername else "unknown"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket, unless its address has asked for more than its share."""
        peername = transport.get_extra_info("peername")
        if self._budget is not None and peername and self._budget.is_overdrawn(str(peername[0])):
            # Before there is a parser's and a task's work: that is what a flood is after.
            self._refusals.note(Refusal.TOO_MANY, str(peername[0]))
            transport.write(self._budget.raw_refusal)  # type: ignore[attr-defined]  # asyncio.Transport
            transport.close()
            self.force_close()
            return
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take what the peer says."""
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001  # it is told of, once for many
            self._tell(error)
            self.force_close()

    async def start(self) -> None:
        """Answer one request after another."""
        try:
            await super().start()
        except Exception as error:  # noqa: BLE001  # it is told of, once for many
            # A head that aiohttp makes no request of, such as one whose target names a host that is none.
            self._tell(error)
            if self.transport is not None:
                self.transport.write(raw_problem(400, _MALFORMED))
            self.force_close()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what could not be read, or went wrong before or behind the application.

        Raises:
            ConnectionError: An answer has begun already.
        """
        is_ours = status >= 500 and not isinstance(exc, _PEERS_FAULTS)
        if is_ours:
            self._refusals.tell_fault(exc or RuntimeError(message or "no answer"), "", "")
        else:
            status = 400
            self._refusals.note(Refusal.MALFORMED, self.address)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        detail = "an error of the server's; see its log" if is_ours else _MALFORMED
        response = problem(status, detail, headers={**DOCUMENT_HEADERS, hdrs.SERVER: "streamd"})
        response.force_close()
        return response

    def log_exception(self, *args: object, **kw: Any) -> None:
        """What aiohttp would write a traceback of."""
        error = kw.get("exc_info")
        self._tell(error if isinstance(error, BaseException) else RuntimeError(str(args[0]) if args else "unknown"))

    def log_debug(self, *args: object, **kw: Any) -> None:
        """What aiohttp has to say of single requests is not ours to write: it may quote them."""

    def _tell(self, error: BaseException) -> None:
        if isinstance(error, _PEERS_FAULTS):
            self._refusals.note(Refusal.MALFORMED, self.address)
        else:
            self._refusals.tell_fault(error, "", "")

"""aiohttp's side of one connection, in which no peer can cause a traceback.

An unreadable request is answered with a problem, counted, and logged in a bounded number of lines; aiohttp would write
its traceback and quote its bytes. No body is decompressed: 16 kB could be 16 MB.

Spec: RFC 9112 sections 2.2 and 9.6; RFC 9457 for errors.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web
from aiohttp.http_parser import HttpRequestParser
from aiohttp.web_protocol import RequestHandler, RequestPayloadError
from multidict import CIMultiDict, CIMultiDictProxy

from streamd.doors.web.contents import EXPECTS
from streamd.doors.web.headers import DOCUMENT_HEADERS
from streamd.doors.web.json_api import problem, raw_problem
from streamd.doors.web.refusals import PEERS_FAULTS, Refusal, forget_traceback
from streamd.doors.web.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.web_request import BaseRequest

    from streamd.doors.web.refusals import Refusals
    from streamd.doors.web.request_budget import RequestBudget

# Bytes of an unread body in memory: twice the largest body, and no more.
READ_BUFFER_BYTES = 32 * 1024
# Bytes of one connection that are parsed before the others have their turn: chunks of one byte cost 0.3 us a byte, and
# one read of the loop is up to 256 kB of them. More than a head has.
TURN_BYTES = 16 * 1024
# The same for a body, whose bytes may be dearer and need not come together.
BODY_TURN_BYTES = 4 * 1024
# More of a body than this is parsed in turn with those of the port's other connections: chunks of one byte cost 0.2 ms.
BODY_AT_ONCE_BYTES = 512
# Requests that are parsed while another is answered. Browsers send none; each costs 1.3 kB at the least, which a peer
# that reads nothing makes us hold. aiohttp's own number is 32.
PARSED_AHEAD_MAX = 4
# Seconds for a refused body to come in, so that the answer is not lost to a reset (RFC 9112 9.6).
LINGER_S = 2.0
# Only heads are read outside of the application: text that cannot be decoded there came from the peer.
_PEERS_FAULTS = (*PEERS_FAULTS, UnicodeError)
_MALFORMED = "this is not HTTP as this server reads it"


def _unexpecting(
    make_request: Callable[..., BaseRequest], message: RawRequestMessage, rest: tuple[Any, ...]
) -> BaseRequest:
    """Make a request, with its Expect as a value of its own and no field."""
    expected = message.headers.get(hdrs.EXPECT)
    if expected is None:
        return make_request(message, *rest)
    headers = CIMultiDict(message.headers)
    del headers[hdrs.EXPECT]
    request = make_request(message._replace(headers=CIMultiDictProxy(headers)), *rest)
    if isinstance(request, web.Request):
        request[EXPECTS] = expected
    return request


class WebProtocol(RequestHandler):
    """One connection.

    Args:
        server: aiohttp's, which has the application.
        refusals: Counts the requests that are not served.
        budget: Of requests, by address; None where a later step checks it.
        keepalive_timeout_s: From one answer to the next request.
        turns: Of the port's connections; by default it takes turns with none.

    Attributes:
        is_dropping: The last answer is given; the rest of its request is dropped, and not parsed.
        sends_shared: The bytes that wait to be sent are of a body that all peers share.
    """

    __slots__ = ("_budget", "_is_turn_due", "_refusals", "_turns", "_unheard", "is_dropping", "sends_shared")

    def __init__(
        self,
        server: web.Server,
        refusals: Refusals,
        budget: RequestBudget | None,
        keepalive_timeout_s: float,
        turns: Turns | None = None,
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
        self._turns = turns or Turns()
        self.sends_shared = False
        # The bytes read and not parsed yet; while there are some, the transport reads no more.
        self._unheard = b""
        self._is_turn_due = False
        self.is_dropping = False
        make_request = self._request_factory
        assert make_request is not None, "aiohttp's server has one"
        # aiohttp would ask for the body of every request with Expect, before its path, its token and its length are
        # checked; the reader of the body asks for it (``contents``).
        self._request_factory = lambda message, *rest: _unexpecting(make_request, message, rest)

    @property
    def address(self) -> str:
        """IP address of the peer; ``unknown`` once it is gone."""
        peername = self.peername
        return str(peername[0]) if peername else "unknown"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket, unless its address has asked for more than its share."""
        peername = transport.get_extra_info("peername")
        if self._budget is not None and peername and self._budget.is_overdrawn(str(peername[0])):
            # Before the work of a parser and a task, which is the target of a flood.
            self._refusals.note(Refusal.TOO_MANY, str(peername[0]))
            transport.write(self._budget.raw_refusal)  # type: ignore[attr-defined]  # asyncio.Transport
            transport.close()
            self.force_close()
            return
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take the peer's bytes; aiohttp calls this without any, to go on with those it has."""
        if self.is_dropping:
            return
        if data and self._unheard:
            self._unheard += data
        elif self._current_request is not None and len(data) > BODY_AT_ONCE_BYTES:
            self._unheard = data
            if not self._is_held:
                self._pause_transport_reading()
                self._take_turn_soon()
        elif len(data) > TURN_BYTES:
            self._unheard = data
            self._take_turn()
        else:
            self._hear(data)

    def _hear(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001  # logged once for many
            self._tell(error)
            self.force_close()
        self._forget_tracebacks()

    def _forget_tracebacks(self) -> None:
        """Keep the fact that bytes could not be parsed, and not the bytes.

        aiohttp puts such an error in line with the requests. The frames of its traceback hold the line, and all bytes
        read: a circle, which the collector would find late.
        """
        for message, _ in self._messages:
            error = getattr(message, "exc", None)
            if error is not None:
                forget_traceback(error)

    def _take_turn(self) -> None:
        """Parse some of the bytes read, and come back for the rest when the others have had their turn."""
        self._is_turn_due = False
        if self.transport is None or self.is_dropping or not self._unheard:
            self._unheard = b""
            return
        if self._is_held:
            return  # ``_resume_transport_reading`` comes back.
        size = TURN_BYTES if self._current_request is None else BODY_TURN_BYTES
        data, self._unheard = self._unheard[:size], self._unheard[size:]
        self._hear(data)
        if self._unheard:
            self._pause_transport_reading()
            self._take_turn_soon()
        elif not self._is_held:
            self._resume_transport_reading()

    def _take_turn_soon(self) -> None:
        if not self._is_turn_due:
            self._is_turn_due = True
            self._turns.wait(self._take_turn)

    @property
    def _is_held(self) -> bool:
        """Tell whether aiohttp has more than it takes: a body that is not read, or requests that are not answered."""
        return self._reading_paused or self._buffer_paused

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on with a body of which more is wanted; aiohttp calls this for every chunk that is taken of one.

        It would have its parser look each time whether something is left, ten microseconds for a byte.
        """
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _resume_transport_reading(self) -> None:
        """Read on, which aiohttp asks for when it takes more: first the bytes read already."""
        if self._unheard:
            self._take_turn_soon()
        else:
            super()._resume_transport_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the bytes that were not parsed."""
        self._unheard = b""
        super().connection_lost(exc)

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; the last one, if its request is incomplete."""
        if not request.content.is_eof():
            # RFC 9112 9.6: the peer may still be sending, and reads the answer while its bytes are dropped. They are
            # not parsed for their end: an unwanted body would cost as much as its smallest chunks.
            resp.force_close()
            self.is_dropping = True
            self._unheard = b""
            super()._resume_transport_reading()
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._forget_tracebacks()

    async def start(self) -> None:
        """Answer one request after another."""
        try:
            await super().start()
        except Exception as error:  # noqa: BLE001  # logged once for many
            # A head that aiohttp cannot make a request of, such as one whose target names an invalid host.
            self._tell(error)
            if self.transport is not None:
                self.transport.write(raw_problem(400, _MALFORMED))
            self.force_close()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer a request that could not be read, or an error before or behind the application.

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
        """Note an error for which aiohttp would write a traceback."""
        error = kw.get("exc_info")
        self._tell(error if isinstance(error, BaseException) else RuntimeError(str(args[0]) if args else "unknown"))

    def log_debug(self, *args: object, **kw: Any) -> None:
        """Leave out aiohttp's lines about single requests, which they may quote."""

    def _tell(self, error: BaseException) -> None:
        if isinstance(error, _PEERS_FAULTS):
            self._refusals.note(Refusal.MALFORMED, self.address)
        else:
            self._refusals.tell_fault(error, "", "")

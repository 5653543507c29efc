"""One viewer's connection: requests for media in, prepared answers out, in order, one at a time.

What is asked is read by ``http_request``, what is answered is decided in ``lookup``. What is left here: the order
of things on one socket, how long each may take, and letting go of a connection that asks for something else. One
that asks for a pushed stream is a viewer of the stream's fan-out from then on, until it closes.

Spec: RFC 9112 sections 9.3 (persistence), 9.3.2 (pipelining), 9.5 (time limits) and 9.6 (tear-down).
"""

from __future__ import annotations

import asyncio
import enum
import os
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from streamd.doors.delivery.answer import Answer, cut
from streamd.doors.delivery.answer_encoder import Persistence
from streamd.doors.delivery.http_request import MalformedRequestError, find_head, skip_empty_line
from streamd.doors.delivery.transport_viewer import TransportViewer
from streamd.formats.address import source_of
from streamd.services.bounds.memory_accounts import Standing

if TYPE_CHECKING:
    from streamd.doors.delivery.answer import Body, MediaRequest
    from streamd.doors.delivery.door import MediaDoor, ReadRequest
    from streamd.doors.delivery.http_request import RequestHead
    from streamd.doors.delivery.lookup import Blocked
    from streamd.doors.delivery.push_path import PushPath
    from streamd.doors.tls.sliced import SlicedTransport
    from streamd.services.live.fanout import Fanout
    from streamd.services.live.waiters import Memo, Subscription

# Requests that one connection has answered before the others get their turn. Players ask for one thing at a time; what
# is asked beyond these waits in the door's line.
REQUESTS_PER_TURN = 4
# After the last answer we send FIN and read on for a moment: closing with unread input would make the kernel send RST,
# and the viewer could lose the answer that tells it why (RFC 9112 9.6).
LINGER_S = 2.0
# What a connection at rest costs: our objects and the transport's, and with TLS OpenSSL's state. Measured.
CONNECTION_BYTES = 2 * 1024
TLS_CONNECTION_BYTES = 18 * 1024
# What the pieces of an answer cost that the kernel has not taken, which are shared: a transport keeps a reference to
# each, and room for many. Measured, without TLS.
ANSWER_BYTES = 2560
# An answer that takes longer than this is of media that has left most playlists: the viewer alone keeps it.
PINNED_AFTER_S = 20.0

_NEXT_SWEEP = 0.0
# What the kernel does not take pauses us: one answer at most is in our memory for a viewer. Not 0, which asyncio's TLS
# takes for a buffer that is always full.
_UNSENT_BYTES_MAX = 1


class _Phase(enum.Enum):
    READING = "between requests, or in the middle of a head"
    WAITING = "the answer depends on what comes next"
    SENDING = "the kernel has not taken all of an answer yet"
    PUSHING = "the answer is a stream, which ends with the connection"
    LINGERING = "all is said; the viewer closes, or we do"
    GONE = "closed, or somebody else's"


# Phases in which nothing that the viewer says matters.
_DEAF = frozenset((_Phase.PUSHING, _Phase.LINGERING, _Phase.GONE))


class ViewerConnection(asyncio.Protocol):
    """The asyncio side of one viewer's connection.

    Args:
        door: Reads, decides, counts, and takes over what is not media.

    Attributes:
        address: The IP address of the viewer, or of the proxy that asks for him.
        source: Whom the connection counts for: the address, or its /64.
        deadline: Loop time from which ``check_deadline`` has something to do.
        opened_at: Loop time at which it came.
        standing: A stranger until it asks for media.
    """

    __slots__ = (
        "_answer_sent",
        "_asks_for",
        "_blocked_at",
        "_closes",
        "_door",
        "_fanout",
        "_ignored_bytes",
        "_is_deferred",
        "_is_half_closed",
        "_is_in_head",
        "_is_proxy",
        "_persistence",
        "_phase",
        "_pinned_bytes",
        "_progress_at",
        "_request",
        "_sending_at",
        "_socket_fd",
        "_subscription",
        "_taken_bytes",
        "_tls",
        "_transport",
        "_unanswered",
        "_viewer",
        "_written_bytes",
        "address",
        "deadline",
        "opened_at",
        "source",
        "standing",
    )

    def __init__(self, door: MediaDoor) -> None:
        self._door = door
        self._transport: asyncio.Transport
        self.address = self.source = ""
        self.standing = Standing.STRANGER
        self.opened_at = door.now()
        self._tls: SlicedTransport | None = None
        self._is_proxy = False
        # Whom its request counts for while it waits.
        self._asks_for = ""
        # In the door's line, with more asked than has been answered.
        self._is_deferred = False
        self._ignored_bytes = 0
        self._phase = _Phase.READING
        self._unanswered = b""
        self._is_in_head = False
        self._is_half_closed = False
        # For the kernel's sendfile; None where TLS is between it and the viewer.
        self._socket_fd: int | None = None
        self._persistence = Persistence.IMPLIED
        # What waits.
        self._request: MediaRequest | None = None
        self._subscription: Subscription | None = None
        self._blocked_at: float | None = None
        # What is being sent: since when, and how much of it the viewer had taken when.
        self._fanout: Fanout | None = None
        self._viewer: TransportViewer | None = None
        self._answer_sent: Answer | None = None
        self._pinned_bytes = 0
        self._closes = False
        self._sending_at = 0.0
        self._written_bytes = 0
        self._taken_bytes = 0
        self._progress_at = 0.0
        self.deadline = 0.0

    # -- asyncio.Protocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket. asyncio and uvloop set TCP_NODELAY on it themselves."""
        self._transport = cast("asyncio.Transport", transport)
        raw = transport.get_extra_info("socket")
        if hasattr(transport, "own_bytes"):
            # Not by its type: a proxy's connection has another around it.
            self._tls = cast("SlicedTransport", transport)
        elif raw is not None and transport.get_extra_info("sslcontext") is None:
            self._socket_fd = raw.fileno()
        self._transport.set_write_buffer_limits(high=_UNSENT_BYTES_MAX)
        peername = self._transport.get_extra_info("peername")
        self.address = peername[0] if peername else "unknown"
        self.source = source_of(self.address)
        self._is_proxy = self._door.options.proxies.trusts(self.address)
        self.deadline = self._door.now() + self._door.options.viewer_idle_timeout_s
        if not self._door.admit(self):
            self._phase = _Phase.GONE
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what the viewer asks."""
        if self._phase in _DEAF:
            self._ignore(len(data))
            return
        self._unanswered = self._unanswered + data if self._unanswered else data
        if not self._is_deferred:
            self._read()
        if len(self._unanswered) > self._door.options.unanswered_bytes_max:
            self._door.count_limit("unanswered_bytes_max")
            self.abort()

    def _ignore(self, count: int) -> None:
        """Hear what changes nothing: a little of it comes from those who cannot know yet."""
        self._ignored_bytes += count
        if self._ignored_bytes > self._door.options.unanswered_bytes_max and self._phase is not _Phase.GONE:
            self._door.count_limit("unanswered_bytes_max")
            self.abort()

    def eof_received(self) -> bool:
        """Take the viewer's FIN: it asks no more, but may still read.

        Returns:
            Whether the connection stays open for what is still to be sent. TLS has no such half.
        """
        if self._phase is _Phase.WAITING or self._phase in _DEAF:
            # A viewer that leaves sends the same FIN as one that only asks no more. Who waits for what is not there
            # yet has mostly left.
            self._let_go()
            return False
        self._is_half_closed = True
        if not self._is_deferred:
            self._read()
        return self._transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        """Answer nothing more until the viewer has taken this."""
        if self._phase is _Phase.READING:
            self._watch(_Phase.SENDING)

    def resume_writing(self) -> None:
        """Go on: the kernel has taken all of the last answer."""
        viewer = self._viewer
        if viewer is not None:
            viewer.flush()
            if viewer.buffered_bytes():
                return
        if self._phase is _Phase.SENDING:
            self._phase = _Phase.READING
            self._answer_sent = None
            self._pinned_bytes = 0
            if not self._is_deferred:
                self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the viewer."""
        self._phase = _Phase.GONE
        self._unanswered = b""
        self._answer_sent = None
        self._pinned_bytes = 0
        self._let_go()
        self._viewer = None
        self._door.forget(self)

    # -- Holder: what the account of the process asks -----------------------------------------

    @property
    def held_bytes(self) -> int:
        """What it makes us hold and shares with nobody, bytes.

        What waits for a viewer is media that all viewers share, until it is old.
        """
        tls = self._tls
        if tls is not None:
            own_bytes = TLS_CONNECTION_BYTES + tls.own_bytes()
        else:
            own_bytes = CONNECTION_BYTES + (ANSWER_BYTES if self._phase is _Phase.SENDING else 0)
        if self._viewer is not None:
            own_bytes += self._viewer.held_bytes
        return own_bytes + len(self._unanswered) + self._pinned_bytes

    def shed(self) -> None:
        """Close at once: memory is short."""
        self.abort()

    # -- time -------------------------------------------------------------------------------

    def check_deadline(self, now: float) -> None:
        """Act on a time limit; called by the door's sweep where ``deadline`` has passed."""
        options = self._door.options
        match self._phase:
            case _Phase.READING if self._unanswered:
                self._door.count_limit("viewer_head_timeout_s")
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)
            case _Phase.READING:
                # An idle connection that ends is no event: browsers keep some open for as long as they may.
                self._close()
            case _Phase.WAITING:
                self._answer_late()
            case _Phase.SENDING | _Phase.PUSHING:
                unsent_bytes, written_bytes = self._unsent_bytes(), self._written_bytes
                if self._viewer is not None:
                    written_bytes = self._viewer.written_bytes
                taken_bytes = written_bytes - unsent_bytes
                if taken_bytes > self._taken_bytes or not unsent_bytes:
                    self._taken_bytes = taken_bytes
                    self._progress_at = now
                if self._answer_sent is not None and now - self._sending_at >= PINNED_AFTER_S:
                    self._pinned_bytes = self._door.pin(self._answer_sent)
                is_stalled = now - self._progress_at >= options.viewer_write_timeout_s
                is_too_slow = now - self._sending_at >= options.viewer_answer_timeout_s
                if is_stalled or (is_too_slow and self._phase is _Phase.SENDING):
                    self._door.count_limit("viewer_write_timeout_s" if is_stalled else "viewer_answer_timeout_s")
                    self.abort()
            case _Phase.LINGERING:
                self.abort()
            case _Phase.GONE:
                pass

    def finish(self) -> None:
        """Close as soon as what has been asked for is answered; the server stops."""
        self._closes = True
        if self._phase is _Phase.WAITING:
            self._answer_late()
        elif self._phase is _Phase.READING:
            self._say_goodbye()
        elif self._phase is _Phase.PUSHING:
            self._let_go()
            self._end_push()

    # -- requests ---------------------------------------------------------------------------

    def _read(self) -> None:
        """Answer what has been asked, until an answer has to wait, or others have their turn."""
        for _ in range(REQUESTS_PER_TURN):
            if self._phase is not _Phase.READING:
                return
            if self._closes:
                self._say_goodbye()
                return
            data = self._unanswered
            try:
                start = skip_empty_line(data, 0)
                end = find_head(data, start, self._door.options.head)
                if end < 0:
                    self._await_more()
                    return
                request = self._door.read(data[start:end])
            except MalformedRequestError as exc:
                if exc.limit:
                    self._door.count_limit(exc.limit)
                self._refuse(exc.status)
                return
            self._is_in_head = False
            self._unanswered = data[end:]
            if not self._serve(request):
                self._phase = _Phase.GONE
                self._unanswered = b""
                self._door.hand_over(self, self._transport, data[start:], is_half_closed=self._is_half_closed)
                return
        if self._phase is _Phase.READING:
            self._is_deferred = True
            self._door.defer(self)

    def go_on(self) -> None:
        """Answer more of what has been asked; called by the door, which calls each in its turn."""
        self._is_deferred = False
        self._read()

    def _serve(self, request: ReadRequest) -> bool:
        """Answer one request, or say that it is not one for the door."""
        head, media, push = request
        if media is None and push is None:
            return False
        if head.keep_alive:
            self._persistence = Persistence.KEPT if head.is_http_1_0 else Persistence.IMPLIED
        else:
            self._closes = True
        self.standing = Standing.VIEWER
        if media is not None:
            self._note(media, head)
            self._respond(media)
        elif push is not None:
            self._push(head.method, push)
        return True

    def _note(self, media: MediaRequest, head: RequestHead) -> None:
        """Note who asks for media: the peer, or whom a proxy that we trust asks for."""
        client = self._door.options.proxies.client(self.address, head.forwarded_for)
        if client is self.address:
            self._asks_for = "" if self._is_proxy else self.source
            source = self.source
        else:
            self._asks_for = source = source_of(client)
        self._door.lookup.note_viewer(media.path, source, head.user_agent)

    def _await_more(self) -> None:
        """Nothing whole is asked: the next head has its time, or the viewer has the time to think of one."""
        if self._is_half_closed:
            self._close()
        elif not self._unanswered:
            self.deadline = self._door.now() + self._door.options.viewer_idle_timeout_s
        elif not self._is_in_head:
            # From its first byte on: a byte now and then does not move it.
            self._is_in_head = True
            self.deadline = self._door.now() + self._door.options.viewer_head_timeout_s

    # -- answers ----------------------------------------------------------------------------

    def _respond(self, request: MediaRequest, *, timed_out: bool = False) -> None:
        """Answer a request as things stand, or wait until it can be answered."""
        found = self._door.lookup.ask(request, timed_out=timed_out, source=self._asks_for)
        if isinstance(found, Answer):
            self._answer(request, found)
        else:
            self._wait(request, found)

    def _answer(self, request: MediaRequest, answer: Answer) -> None:
        if self._blocked_at is not None:
            self._door.count_blocked(self._door.now() - self._blocked_at)
            self._blocked_at = None
            self._request = None
        self._door.count_answer(request.path.kind.name, answer)
        self._send(answer)

    def _wait(self, request: MediaRequest, blocked: Blocked) -> None:
        self._phase = _Phase.WAITING
        self._request = request
        if self._blocked_at is None:
            self._blocked_at = self._door.now()
            self.deadline = self._blocked_at + blocked.timeout_s
        self._subscription = blocked.waiters.subscribe(blocked.awaited, self._wake, self._asks_for)

    def _wake(self, memo: Memo) -> None:
        request = self._request
        assert request is not None
        self._subscription = None
        if self._transport.is_closing():
            return
        # Whoever asked the same is answered the same, and it is decided once.
        found = memo.get(request)
        if found is None:
            found = memo[request] = self._door.lookup.ask(request)
        if isinstance(found, Answer):
            self._answer(request, found)
            if not self._is_deferred:
                self._read()
        else:
            self._wait(request, cast("Blocked", found))

    def _answer_late(self) -> None:
        """Answer what waits as it can be answered now."""
        assert self._request is not None
        request = self._request
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None
        self._respond(request, timed_out=True)
        if not self._is_deferred:
            self._read()

    def _push(self, method: str, path: PushPath) -> None:
        found = self._door.push_lookup.ask(method, path)
        if isinstance(found, Answer):
            self._door.count_answer(path.format.name, found)
            self._send(found)
            return
        self._door.count_answer(path.format.name, found.head)
        # Its end is the connection's end.
        self._closes = True
        self._send(found.head)
        self._watch(_Phase.PUSHING)
        self._unanswered = b""
        self._fanout = found.fanout
        self._viewer = TransportViewer(self._transport, self._end_push)
        found.fanout.attach(self._viewer)

    def _end_push(self) -> None:
        """Close when the stream is all sent, or when that takes too long."""
        self._fanout = None
        if self._unsent_bytes() > _UNSENT_BYTES_MAX:
            self._watch(_Phase.SENDING)
        else:
            self._say_goodbye()

    def _unsent_bytes(self) -> int:
        """How much of what the viewer is sent the kernel has not taken."""
        return self._transport.get_write_buffer_size() if self._viewer is None else self._viewer.buffered_bytes()

    def _watch(self, phase: _Phase) -> None:
        """Have every sweep look at what the viewer takes."""
        self._phase = phase
        self._sending_at = self._progress_at = self._door.now()
        self._written_bytes = self._unsent_bytes()
        self._taken_bytes = 0
        self.deadline = _NEXT_SWEEP

    def _let_go(self) -> None:
        """Wait for nothing and follow nothing any more."""
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None
        if self._fanout is not None and self._viewer is not None:
            self._fanout.detach(self._viewer)
            self._fanout = None
        self._request = None

    def _send(self, answer: Answer) -> None:
        self._phase = _Phase.READING
        persistence = Persistence.CLOSED if self._closes else self._persistence
        buffers = self._door.encoder.encode(answer, persistence, self._door.now())
        if len(buffers) == 1:
            self._transport.write(buffers[0])
        elif (file := self._door.body_files.find(answer)) is None or not self._send_file(buffers, file):
            self._transport.writelines(buffers)
        if self._phase is _Phase.SENDING:
            self._answer_sent = answer

    def _send_file(self, buffers: Body, file: int) -> bool:
        """Hand head and body to the kernel without copying the body; what it does not take is written as ever.

        Returns:
            Whether it is under way; else nothing is sent.
        """
        transport, fd = self._transport, self._socket_fd
        # The kernel has taken all that came before; nothing may overtake it.
        if fd is None or transport.get_write_buffer_size() or transport.is_closing():
            return False
        head, *body = buffers
        size = sum(map(len, body))
        try:
            sent = _send_head(fd, head)
        except OSError:
            # The transport will find out by itself, and say so where that belongs.
            return False
        if sent < len(head):
            transport.writelines((memoryview(head)[sent:], *body))
            return True
        try:
            sent = os.sendfile(fd, file, 0, size)
        except OSError:
            sent = 0
        if sent < size:
            transport.writelines(cut(tuple(body), sent, size))
        return True

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer what cannot be read, and close."""
        self._closes = True
        self._unanswered = b""
        self._send(self._door.refuse(status))
        self._read()

    # -- the end ----------------------------------------------------------------------------

    def _say_goodbye(self) -> None:
        if self._is_half_closed or not self._transport.can_write_eof():
            self._close()
            return
        self._phase = _Phase.LINGERING
        self._unanswered = b""
        self.deadline = self._door.now() + LINGER_S
        self._transport.write_eof()

    def _close(self) -> None:
        self._phase = _Phase.LINGERING
        self._unanswered = b""
        self.deadline = self._door.now() + LINGER_S
        self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever has not been sent."""
        self._phase = _Phase.GONE
        self._unanswered = b""
        self._let_go()
        self._viewer = None
        self._transport.abort()


def _send_head(fd: int, head: bytes | memoryview) -> int:
    """Have the kernel take what it can of ``head``, and keep it for the body's first packet; returns how much."""
    # The transport has no flags to write with. The socket object only borrows the descriptor.
    borrowed = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)
    try:
        return borrowed.send(head, socket.MSG_MORE)
    finally:
        borrowed.detach()

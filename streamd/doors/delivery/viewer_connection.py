"""One viewer's connection: requests for media in, prepared answers out, in order, one at a time.

Requests are read in ``asked``, answers are decided in ``lookup`` and written by ``answer_writer``; a request that waits
is in ``held_request``, the time of an answer in ``uptake``, a pushed stream in ``following``. This module decides the
order of things on one socket, and lets go of a connection that asks for something else.

Spec: RFC 9112 sections 9.3 (persistence), 9.3.2 (pipelining), 9.5 (time limits) and 9.6 (tear-down).
"""

from __future__ import annotations

import asyncio
import enum
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from streamd.doors.delivery.answer import Answer
from streamd.doors.delivery.answer_encoder import Persistence
from streamd.doors.delivery.answer_writer import AnswerWriter
from streamd.doors.delivery.asked import Asked
from streamd.doors.delivery.entrance import Elsewhere, Entered, plain_request, refusal_answer, with_ticket
from streamd.doors.delivery.following import Following
from streamd.doors.delivery.held_request import HeldRequest
from streamd.doors.delivery.http_request import MalformedRequestError
from streamd.doors.delivery.media_path import MediaKind
from streamd.doors.delivery.uptake import Uptake
from streamd.formats.address import source_of
from streamd.services.bounds.memory_accounts import Standing
from streamd.services.playback.refusal import Refusal
from streamd.services.playback.visitor import Visitor

if TYPE_CHECKING:
    from streamd.doors.delivery.answer import MediaRequest
    from streamd.doors.delivery.asked_heads import ReadRequest
    from streamd.doors.delivery.door import MediaDoor
    from streamd.doors.delivery.lookup import Blocked
    from streamd.doors.delivery.push_path import PushPath
    from streamd.doors.tls.sliced import SlicedTransport
    from streamd.services.live.waiters import Memo
    from streamd.services.playback.viewing import Viewing

# Requests that one connection has answered before the others get their turn. Players ask for one thing at a time; what
# is asked beyond these waits in the door's line.
REQUESTS_PER_TURN = 4
# Kind of a stream that a viewer may not follow, in metrics.
REFUSED = "push_refused"
# After the last answer we send FIN and read on for a moment: closing with unread input would make the kernel send RST,
# and the viewer could lose the answer that tells it why (RFC 9112 9.6).
LINGER_S = 2.0
# The memory of a connection at rest: our objects and the transport's, and with TLS OpenSSL's state. Measured.
CONNECTION_BYTES = 3 * 1024
TLS_CONNECTION_BYTES = 18 * 1024
# The pieces of an answer that the kernel has not taken, which are shared: a transport keeps a reference to each, and
# room for many. Measured, without TLS.
ANSWER_BYTES = 2048

_NEXT_SWEEP = 0.0
# Bytes that the kernel does not take pause us: one answer at most is in our memory for a viewer. Not 0, which asyncio's
# TLS takes for a buffer that is always full.
_UNSENT_BYTES_MAX = 1


class _Phase(enum.Enum):
    READING = "between requests, or in the middle of a head"
    WAITING = "the answer depends on media that is still to come"
    SENDING = "the kernel has not taken all of an answer yet"
    PUSHING = "the answer is a stream, which ends with the connection"
    LINGERING = "all is sent; the viewer closes, or the server does"
    GONE = "closed, or handed over to aiohttp"


# Phases in which further bytes of the viewer change nothing.
_DEAF = frozenset((_Phase.PUSHING, _Phase.LINGERING, _Phase.GONE))


class ViewerConnection(asyncio.Protocol):
    """The asyncio side of one viewer's connection.

    Args:
        door: Reads, decides, counts, and takes over connections that ask for something else than media.

    Attributes:
        address: The IP address of the viewer, or of the proxy that asks for them.
        source: The peer that the connection counts for: the address, or its /64.
        deadline: Loop time from which ``check_deadline`` has something to do.
        opened_at: Loop time at which it came.
        standing: A stranger until it asks for media.
    """

    __slots__ = (
        "_asked",
        "_asker",
        "_closes",
        "_door",
        "_following",
        "_held",
        "_is_deferred",
        "_persistence",
        "_phase",
        "_subject",
        "_tls",
        "_transport",
        "_uptake",
        "_viewing",
        "_waits_as",
        "_writer",
        "address",
        "deadline",
        "opened_at",
        "source",
        "standing",
    )

    def __init__(self, door: MediaDoor) -> None:
        self._door = door
        self._transport: asyncio.Transport
        self._writer: AnswerWriter
        self.address = self.source = self._asker = ""
        # ``_asker``: the address of whoever asked for what waits or is followed, also behind a proxy.
        self.standing = Standing.STRANGER
        self.opened_at = door.now()
        self._tls: SlicedTransport | None = None
        # The peer that its own requests count for while they wait; empty for a proxy, which asks for many.
        self._waits_as = ""
        # In the door's line, with more asked than has been answered.
        self._is_deferred = False
        self._phase = _Phase.READING
        self._asked = Asked(door.heads)
        self._persistence = Persistence.IMPLIED
        self._closes = False
        # None except in the phase that each is of, or after it: WAITING, SENDING or PUSHING, and PUSHING.
        self._held: HeldRequest | None = None
        self._uptake: Uptake | None = None
        self._following: Following | None = None
        # Of the stream that is followed: its channel, and by what its viewer was let in.
        self._subject = ""
        self._viewing: Viewing | None = None
        self.deadline = 0.0

    # -- asyncio.Protocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket. asyncio and uvloop set TCP_NODELAY on it themselves."""
        door = self._door
        self._transport = cast("asyncio.Transport", transport)
        if hasattr(transport, "own_bytes"):
            # Not by its type: a proxy's connection has another around it.
            self._tls = cast("SlicedTransport", transport)
        self._transport.set_write_buffer_limits(high=_UNSENT_BYTES_MAX)
        self._writer = AnswerWriter(self._transport, door.body_files)
        peername = self._transport.get_extra_info("peername")
        self.address = peername[0] if peername else "unknown"
        self.source = source_of(self.address)
        self._waits_as = "" if door.options.proxies.trusts(self.address) else self.source
        self.deadline = door.now() + door.options.viewer_idle_timeout_s
        if not door.admit(self):
            self._phase = _Phase.GONE
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes of the viewer's requests."""
        asked = self._asked
        if self._phase in _DEAF:
            # A little of this comes from viewers that cannot know yet.
            if asked.ignore(len(data)) > self._door.options.unanswered_bytes_max and self._phase is not _Phase.GONE:
                self._door.count_limit("unanswered_bytes_max")
                self.abort()
            return
        asked.take(data)
        if not self._is_deferred:
            self._read()
        if len(asked.unanswered) > self._door.options.unanswered_bytes_max:
            self._door.count_limit("unanswered_bytes_max")
            self.abort()

    def eof_received(self) -> bool:
        """Take the viewer's FIN: it asks no more, but may still read.

        Returns:
            Whether the connection stays open for what is still to be sent. TLS has no such half.
        """
        if self._phase is _Phase.WAITING or self._phase in _DEAF:
            # A viewer that leaves sends the same FIN as one that only asks no more, and most of those that wait for
            # media to come have left.
            self._let_go()
            return False
        self._asked.is_half_closed = True
        if not self._is_deferred:
            self._read()
        return self._transport.get_extra_info("sslcontext") is None

    def pause_writing(self) -> None:
        """Answer nothing more until the viewer has taken all of this answer."""
        if self._phase is _Phase.READING:
            self._watch(_Phase.SENDING)

    def resume_writing(self) -> None:
        """Go on: the kernel has taken all of the last answer."""
        if self._following is not None:
            viewer = self._following.viewer
            viewer.flush()
            if viewer.buffered_bytes():
                return
        if self._phase is _Phase.SENDING:
            self._phase = _Phase.READING
            self._uptake = None
            if not self._is_deferred:
                self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the viewer."""
        self._forget_all()
        self._door.forget(self)

    # -- Holder: what the account of the process asks -----------------------------------------

    @property
    def held_bytes(self) -> int:
        """Memory that it makes us hold and does not share, bytes.

        The media that waits for a viewer is shared by all viewers, until it is old.
        """
        tls = self._tls
        if tls is not None:
            own_bytes = TLS_CONNECTION_BYTES + tls.own_bytes()
        else:
            own_bytes = CONNECTION_BYTES + (ANSWER_BYTES if self._transport.get_write_buffer_size() else 0)
        if self._following is not None:
            own_bytes += self._following.viewer.held_bytes
        if self._uptake is not None:
            own_bytes += self._uptake.pinned_bytes
        return own_bytes + len(self._asked.unanswered)

    def shed(self) -> None:
        """Close at once: memory is short."""
        self.abort()

    # -- time -------------------------------------------------------------------------------

    def check_deadline(self, now: float) -> None:
        """Act on a time limit; called by the door's sweep where ``deadline`` has passed."""
        match self._phase:
            case _Phase.READING if self._asked.unanswered:
                self._door.count_limit("viewer_head_timeout_s")
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)
            case _Phase.READING:
                # An idle connection that ends is no event: browsers keep some open for as long as they may.
                self._close()
            case _Phase.WAITING:
                self._answer_late()
            case _Phase.SENDING | _Phase.PUSHING:
                self._check_uptake(now)
            case _Phase.LINGERING:
                self.abort()
            case _Phase.GONE:
                pass

    def _check_uptake(self, now: float) -> None:
        """Close a connection that takes nothing, or too long for one answer."""
        uptake, options = self._uptake, self._door.options
        assert uptake is not None, "what is sent is watched"
        following = self._following
        uptake.note(now, self._unsent_bytes(), None if following is None else following.viewer.written_bytes)
        if uptake.answer is not None and uptake.is_old(now):
            uptake.pinned_bytes = self._door.pin(uptake.answer)
        if uptake.is_stalled(now, options.viewer_write_timeout_s):
            limit = "viewer_write_timeout_s"
        elif self._phase is _Phase.SENDING and uptake.is_slow(now, options.viewer_answer_timeout_s):
            limit = "viewer_answer_timeout_s"
        else:
            return
        self._door.count_limit(limit)
        self.abort()

    def finish(self) -> None:
        """Close as soon as the requests that are there are answered; the server stops."""
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
        """Answer the requests that are there, until an answer has to wait, or others have their turn."""
        asked = self._asked
        for _ in range(REQUESTS_PER_TURN):
            if self._phase is not _Phase.READING:
                return
            if self._closes:
                self._say_goodbye()
                return
            data = asked.unanswered
            if not data:
                self._await_more()
                return
            try:
                read = asked.next()
            except MalformedRequestError as exc:
                if exc.limit:
                    self._door.count_limit(exc.limit)
                self._refuse(exc.status)
                return
            if read is None:
                self._await_more()
                return
            request, ticket = read
            if not self._serve(request, ticket):
                self._phase = _Phase.GONE
                asked.clear()
                is_half_closed = asked.is_half_closed
                self._door.hand_over(self, self._transport, data[request.start :], is_half_closed=is_half_closed)
                return
        if self._phase is _Phase.READING:
            self._is_deferred = True
            self._door.defer(self)

    def go_on(self) -> None:
        """Answer more of the requests that are there; called by the door, which calls each connection in its turn."""
        self._is_deferred = False
        self._read()

    def _serve(self, request: ReadRequest, ticket: str) -> bool:
        """Answer one request, or say that it is not one for the door."""
        head, media, push = request.head, request.media, request.push
        if media is None and push is None:
            return False
        if head.keep_alive:
            self._persistence = Persistence.KEPT if head.is_http_1_0 else Persistence.IMPLIED
        else:
            self._closes = True
        self.standing = Standing.VIEWER
        source, waits_as, address = self.source, self._waits_as, self.address
        if head.forwarded_for:
            client = self._door.options.proxies.client(address, head.forwarded_for)
            if client is not address:
                address, source = client, source_of(client)
                waits_as = source
        viewing: Viewing | None = None
        entrance = self._door.entrance
        # An operator may look at what is locked.
        is_preview = push is not None and self._door.is_look(push.name, head.query)
        if entrance is not None and not entrance.gate.is_open and not is_preview:
            if ticket and media is not None:
                viewing = entrance.known(media.path, ticket, source, head.user_agent)
            if viewing is None:
                entered: Entered
                visitor = Visitor(address, head.referrer, head.user_agent)
                if media is not None:
                    entered = entrance.for_media(media, ticket, visitor)
                else:
                    assert push is not None
                    entered = entrance.for_push(push.name, head.method, head.query, ticket, visitor)
                if isinstance(entered, Answer):
                    self._door.count_answer(media.path.kind.name if media is not None else REFUSED, entered)
                    self._send(entered)
                    return True
                if isinstance(entered, Elsewhere):
                    return False
                viewing = entered
        if media is not None:
            if media.path.kind is MediaKind.PLAYLIST:
                self._door.lookup.note_viewer(media.path, source, head.user_agent)
            if viewing is not None and not ticket:
                self._asker = address
                self._serve_admission(media, viewing, waits_as)
                return True
            found = self._door.lookup.ask(media, source=waits_as)
            if isinstance(found, Answer):
                self._answer(media, found)
            else:
                self._asker = address
                self._hold(HeldRequest(media, waits_as, self._door.now(), found.timeout_s, viewing), found)
        elif push is not None:
            self._asker = address
            self._push(head.method, push, viewing, is_preview=is_preview)
        return True

    def _serve_admission(self, media: MediaRequest, viewing: Viewing, waits_as: str) -> None:
        """Answer the request by which a viewer was let in."""
        found = self._door.lookup.ask(plain_request(media), source=waits_as)
        if isinstance(found, Answer):
            self._answer(media, with_ticket(found, viewing, media.method))
            return
        now = self._door.now()
        self._hold(HeldRequest(media, waits_as, now, found.timeout_s, viewing, is_admission=True), found)

    def _await_more(self) -> None:
        """Watch the time of the next head, which is not whole, or that of a viewer that has not begun one."""
        asked = self._asked
        if asked.is_half_closed:
            self._close()
        elif not asked.unanswered:
            self.deadline = self._door.now() + self._door.options.viewer_idle_timeout_s
        elif asked.begins_head():
            # From its first byte on: a byte now and then does not move it.
            self.deadline = self._door.now() + self._door.options.viewer_head_timeout_s

    # -- answers ----------------------------------------------------------------------------

    def _answer(self, request: MediaRequest, answer: Answer) -> None:
        self._door.count_answer(request.path.kind.name, answer)
        self._send(answer)

    def _hold(self, held: HeldRequest, blocked: Blocked) -> None:
        """Have a request wait until it can be answered."""
        self._phase = _Phase.WAITING
        self._held = held
        self.deadline = held.deadline
        held.wait(blocked, self._wake)
        if held.viewing is not None:
            held.viewing.hold(self)

    def _wake(self, memo: Memo) -> None:
        held = self._held
        assert held is not None
        if self._transport.is_closing():
            return
        request = plain_request(held.request) if held.is_admission else held.request
        # Equal requests have equal answers, which are decided once.
        found = memo.get(request)
        if found is None:
            found = memo[request] = self._door.lookup.ask(request)
        if isinstance(found, Answer):
            self._release(held, found)
        else:
            held.wait(cast("Blocked", found), self._wake)

    def _answer_late(self) -> None:
        """Answer the request that waits as it can be answered now."""
        held = self._held
        assert held is not None
        held.leave()
        request = plain_request(held.request) if held.is_admission else held.request
        # With ``timed_out`` it is an answer.
        self._release(held, cast("Answer", self._door.lookup.ask(request, timed_out=True)))

    def _release(self, held: HeldRequest, answer: Answer) -> None:
        """Answer a request that has waited, and go on with the next."""
        self._held = None
        if held.viewing is not None:
            held.viewing.let_go(self)
            if held.is_admission:
                answer = with_ticket(answer, held.viewing, held.request.method)
        self._end_hold(held, answer)

    def _end_hold(self, held: HeldRequest, answer: Answer) -> None:
        self._door.count_blocked(self._door.now() - held.since)
        self._answer(held.request, answer)
        if not self._is_deferred:
            self._read()

    def cut(self, refusal: Refusal) -> None:
        """Refuse what waits, and end what is followed: the viewer may not watch any more (``viewing.Ongoing``)."""
        if self._phase is _Phase.WAITING:
            held, self._held = self._held, None
            assert held is not None
            held.leave()
            assert self._door.entrance is not None
            refused = self._door.entrance.gate.refused(refusal)
            self._end_hold(held, refusal_answer(refused, held.request.method))
        elif self._phase is _Phase.PUSHING:
            following = self._following
            assert following is not None
            self._let_go()
            # Answers that wait are not to be seen any more.
            following.viewer.forget()
            self._end_push()

    def cut_stranger(self, name: str) -> None:
        """End what goes on of a channel, where its viewer was let in by nothing."""
        entrance, held = self._door.entrance, self._held
        if self._phase is _Phase.WAITING and held is not None and held.viewing is None:
            subject = held.request.path.name
        elif self._phase is _Phase.PUSHING and self._viewing is None:
            if self._following is None or self._following.is_preview:
                return
            subject = self._subject
        else:
            return
        if name in ("", subject) and entrance is not None and entrance.gate.is_locked(subject):
            self.cut(Refusal.NO_TOKEN)

    def cut_blocked(self, name: str) -> None:
        """End what goes on of a channel that may not be shown to who asked; empty stands for every channel."""
        if self._phase is _Phase.WAITING and self._held is not None:
            subject = self._held.request.path.name
        elif self._phase is _Phase.PUSHING and self._following is not None and not self._following.is_preview:
            subject = self._subject
        else:
            return
        entrance = self._door.entrance
        if name in ("", subject) and entrance is not None and entrance.gate.is_blocked(self._asker, subject):
            viewing = self._viewing if self._held is None else self._held.viewing
            if viewing is not None:
                # The viewer may go on with it elsewhere.
                viewing.let_go(self)
            self.cut(Refusal.BLOCKED)

    def _push(self, method: str, path: PushPath, viewing: Viewing | None, *, is_preview: bool) -> None:
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
        self._asked.clear()
        self._following = Following(found.fanout, self._transport, self._end_push, is_preview=is_preview)
        self._subject, self._viewing = path.name, viewing
        if viewing is not None:
            assert self._door.entrance is not None
            self._door.entrance.gate.follow(viewing)
            viewing.hold(self)
        self._following.begin()

    def _end_push(self) -> None:
        """Close when the stream is all sent, or when that takes too long."""
        if self._unsent_bytes() > _UNSENT_BYTES_MAX:
            self._watch(_Phase.SENDING)
        else:
            self._say_goodbye()

    def _unsent_bytes(self) -> int:
        """Bytes for the viewer that the kernel has not taken."""
        following = self._following
        return self._transport.get_write_buffer_size() if following is None else following.viewer.buffered_bytes()

    def _watch(self, phase: _Phase) -> None:
        """Have every sweep look at how much the viewer takes."""
        self._phase = phase
        self._uptake = Uptake(self._door.now(), self._unsent_bytes())
        self.deadline = _NEXT_SWEEP

    def _let_go(self) -> None:
        """Wait for nothing and follow nothing any more."""
        if self._held is not None:
            self._held.leave()
            if self._held.viewing is not None:
                self._held.viewing.let_go(self)
            self._held = None
        if self._following is not None:
            self._following.leave()
        viewing, self._viewing = self._viewing, None
        if viewing is not None:
            viewing.let_go(self)
            assert self._door.entrance is not None
            self._door.entrance.gate.unfollow(viewing)

    def _send(self, answer: Answer) -> None:
        self._phase = _Phase.READING
        persistence = Persistence.CLOSED if self._closes else self._persistence
        self._writer.write(answer, self._door.encoder.encode(answer, persistence, self._door.now()))
        if self._phase is _Phase.SENDING and self._uptake is not None:
            self._uptake.answer = answer

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer a request that cannot be read, and close."""
        self._closes = True
        self._asked.clear()
        self._send(self._door.refuse(status))
        self._read()

    # -- the end ----------------------------------------------------------------------------

    def _say_goodbye(self) -> None:
        if self._asked.is_half_closed or not self._transport.can_write_eof():
            self._close()
            return
        self._linger()
        self._transport.write_eof()

    def _close(self) -> None:
        self._linger()
        self._transport.close()

    def _linger(self) -> None:
        self._phase = _Phase.LINGERING
        self._asked.clear()
        self.deadline = self._door.now() + LINGER_S

    def abort(self) -> None:
        """Close at once, with all that has not been sent."""
        self._forget_all()
        self._transport.abort()

    def _forget_all(self) -> None:
        self._phase = _Phase.GONE
        self._asked.clear()
        self._let_go()
        self._uptake = self._following = None

"""One RTMP connection: bytes between socket and ``ServerConnection``, and the broadcasts that its events begin and end.

RTMP is decided on the ground floor, keys and streams in the services, and the verdict in ``verdict.py``. The rest is
the door's: feed, write out, dispatch, and the clock.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, Protocol, cast

from streamd.doors.ingest.broadcast import Broadcast
from streamd.doors.ingest.deadlines import IngestOptions, no_media, overdue
from streamd.doors.ingest.ending import Ending, Stage
from streamd.doors.ingest.liveness import quiet_s, signs_of
from streamd.doors.ingest.read_turns import Hold
from streamd.doors.ingest.tally import ConnectionTally
from streamd.doors.ingest.verdict import Refusal
from streamd.doors.ingest.wake_threshold import WakeThreshold
from streamd.errors import MediaError, ProtocolError, PublishError
from streamd.formats.address import source_of
from streamd.formats.flv.tag import FlvTag
from streamd.formats.rtmp.connection import ServerConnection
from streamd.formats.rtmp.events import (
    Connected,
    MessageDropped,
    MetadataReceived,
    PublishRequested,
    Unpublished,
    is_media,
)
from streamd.formats.rtmp.state import State
from streamd.services.bounds.memory_accounts import Standing
from streamd.services.live.publisher import CUT_WAIT_S, EndReason

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.doors.ingest.read_turns import Reading, ReadTurns
    from streamd.doors.ingest.verdict import PublishJudge
    from streamd.doors.ingest.wake_threshold import WakeClock
    from streamd.doors.tls.sliced import SlicedTransport
    from streamd.formats.rtmp.events import ConnectionEvent
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

# The cost of a connection that is logged in: our objects and the transport's. Measured (``bench/accounts.py``).
CONNECTION_BYTES = 6 * 1024
# For RTMPS, OpenSSL's state and the transport in between.
TLS_BYTES = 15 * 1024


class ConnectionBook(Protocol):
    """The listener, as its connections see it."""

    def admit(self, protocol: RtmpProtocol) -> bool:
        """Count a new connection in, or say that it is one too many."""

    def note_spoken(self, protocol: RtmpProtocol) -> None:
        """Note that a connection has sent its first bytes."""

    def note_connected(self, protocol: RtmpProtocol) -> None:
        """Note that a connection has said ``connect``."""

    def note_publishing(self, protocol: RtmpProtocol) -> None:
        """Note that a connection's publish was accepted."""

    def note_unpublished(self, protocol: RtmpProtocol) -> None:
        """Note that a connection publishes no more, and may publish again."""

    def forget(self, protocol: RtmpProtocol) -> None:
        """Count a closed connection out."""

    @property
    def judge(self) -> PublishJudge:
        """Decides over publishes."""

    @property
    def wake_clock(self) -> WakeClock:
        """For the wake thresholds of all connections."""

    @property
    def turns(self) -> ReadTurns:
        """Says which connection is read when."""


class RtmpProtocol(asyncio.BufferedProtocol):
    """The asyncio side of one publisher's connection.

    Where it stands is said by ``ServerConnection.state`` until it publishes, by ``_broadcast`` while it does, and by
    ``_ending`` from then on.

    Args:
        connection: The pure connection, fresh.
        options: Time limits.
        clock: For the time limits; ``check_deadline`` compares.
        metrics: Counted into.
        listener: Counts the connection in and out, may refuse it, and has the judge of its publishes.

    Attributes:
        address: Of the peer, without the port.
        encoder: Name that the peer's software gives itself.
        opened_at: Loop time at which it came, seconds.
    """

    def __init__(
        self,
        connection: ServerConnection,
        *,
        options: IngestOptions,
        clock: Clock,
        metrics: Metrics,
        listener: ConnectionBook,
    ) -> None:
        self._connection = connection
        self._options = options
        self._clock = clock
        self._listener = listener
        self.address = ""
        self.encoder = ""
        self.opened_at = clock.monotonic()
        # Loop time at which it logged in, asked for a publish, had one accepted or ended one; whichever was last.
        self._since = self.opened_at
        self._tally = ConnectionTally(connection, metrics, self.opened_at)
        self._ending = Ending()
        self._verdict: asyncio.Task[None] | None = None
        self._broadcast: Broadcast | None = None
        # Of its socket; None before there is one.
        self._transport: asyncio.Transport | None = None
        self._threshold: WakeThreshold | None = None
        self._reading: Reading | None = None
        # The bytes of a read stand there (``ReadTurns``).
        self._buffer = bytearray()

    # -- asyncio.BufferedProtocol -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket. asyncio and uvloop set TCP_NODELAY on it themselves."""
        self._transport = cast("asyncio.Transport", transport)
        peername = self._transport.get_extra_info("peername")
        self.address = peername[0] if peername else "unknown"
        turns = self._listener.turns
        self._reading, self._buffer = turns.open(self._transport, source_of(self.address), self._receive), turns.buffer
        if not self._listener.admit(self):
            self._ending.explain("too many connections")
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=self._options.unsent_answers_bytes_max)
        self._threshold = WakeThreshold(transport, self._listener.wake_clock)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where to read to."""
        assert self._reading is not None, "connected"
        return self._reading.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Act on what was read, in turn with the others."""
        assert self._reading is not None, "connected"
        self._reading.read(nbytes)

    def _receive(self, nbytes: int) -> bool:
        """Feed, write out, dispatch.

        Args:
            nbytes: How many bytes were read; 0 to go on with what is left of the reads before.

        Returns:
            Whether something of what was read is left to do.
        """
        connection = self._connection
        if self._ending.has_begun:
            if self._ending.discard(nbytes):
                self.abort()
            return False
        if not connection.bytes_received:
            self._listener.note_spoken(self)
        try:
            events = connection.receive_buffer(self._buffer, nbytes) if nbytes else connection.receive_more()
            if data := connection.data_to_send():
                self._write(data)
            if is_media(events):
                self._receive_tags(events)
            else:
                self._dispatch(events)
            self._choose_threshold(events)
            connection.raise_fault()
        except ProtocolError as exc:
            self._flush()
            self._fail_protocol(exc)
        except MediaError as exc:
            self._fail(f"media error: {exc}", EndReason.MEDIA_ERROR)
        except Exception:
            # A fault of ours in one stream's line ends that stream and nothing else.
            log.exception("connection.failed", extra=self._context())
            self._fail("internal error", EndReason.INTERNAL_ERROR)
        has_more = connection.has_more and not self._ending.has_begun
        if self._ending.is_lost and not has_more:
            self._end()
        return has_more

    def eof_received(self) -> bool:
        """Let the transport close: a publisher that sends no more has ended."""
        return False

    def pause_writing(self) -> None:
        """Close a peer that asks without ever reading the answers."""
        self._ending.explain("peer does not read its answers")
        self._tally.count_limit("unsent_answers_bytes_max")
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what hung on this socket, behind what the peer sent before it left."""
        self._ending.lose(exc)
        if self._threshold is not None:
            # Another connection may have the descriptor next.
            self._threshold.close()
        if self._broadcast is None or self._ending.is_aborted or not self._connection.has_more:
            self._end()

    def _end(self) -> None:
        """End all that hung on the socket, which is gone."""
        was_lingering = self._ending.stage is Stage.LINGERING
        if not self._ending.finish():
            return
        if self._reading is not None:
            self._reading.close()
        if self._verdict is not None:
            self._verdict.cancel()
        self._leave_stream(EndReason.CONNECTION_LOST)
        self._tally.count_bytes()
        extra = self._context() | {"reason": self._ending.reason}
        # Port scanners and health checks get a name of their own: a line for the operator who looks for it.
        is_worth_a_line = self.encoder or self._tally.published or was_lingering
        log.log(self._ending.level, "connection.closed" if is_worth_a_line else "connection.closed_early", extra=extra)
        self._listener.forget(self)

    def make_way(self) -> None:
        """Close at once: another connection is to have the place."""
        self._ending.explain("another connection was given its place")
        self.abort()

    def abort(self) -> None:
        """Close at once, without a word, whatever of it is left to do."""
        self._ending.is_aborted = True
        if self._transport is not None:
            self._transport.abort()
        if self._ending.is_lost:
            self._end()

    # -- the live stream's publisher ----------------------------------------------------------

    def hurry(self) -> None:
        """Read what the kernel holds, at once."""
        if self._threshold is not None:
            self._threshold.wait_for_anything()

    def charge(self, step_s: float) -> None:
        """Take processor time that was used beside its reads from its share of the loop's time, seconds."""
        if self._reading is not None:
            self._reading.spend(step_s)

    def kick(self, error: PublishError) -> None:
        """Use nothing more of what the publisher sends, and close its socket behind a last word that says why.

        Encoders notice the closed socket, not the word (OBS reconnects, ffmpeg exits),
        so a kick that is to last must refuse the next publish as well.
        """
        if self._transport is None or self._ending.stage is Stage.CLOSED:
            return
        self._ending.explain(error.description)
        if self._broadcast is not None or self.is_waiting:
            self._connection.close(error.status_code, error.description)
            self._flush()
        self._linger()

    def quiet_s(self) -> float:
        """Seconds since anything came from it; infinite where its connection is seen to be dead."""
        if self._transport is None or self._ending.has_begun or self._ending.is_lost:
            return math.inf
        if self._broadcast is None or self._reading is None or self._reading.has_had_its_share:
            # Nothing is read of it now, and so the peer is made to wait.
            return 0.0
        read_s = self._clock.monotonic() - self._broadcast.heard_at
        return quiet_s(signs_of(self._transport), read_s)

    async def wait_closed(self, within_s: float = CUT_WAIT_S) -> None:
        """Return when the socket is closed.

        Args:
            within_s: A peer that goes on sending has this time to read the last word.
        """
        try:
            async with asyncio.timeout(within_s):
                await self._ending.wait()
        except TimeoutError:
            self.abort()
            await self._ending.wait()

    # -- for the judge ------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for the verdict on a publish."""
        return self._connection.state is State.PUBLISH_PENDING and not self._ending.has_begun

    # -- for the listener ---------------------------------------------------------------

    def check_deadline(self, now: float) -> None:
        """Close the connection if it has used up the time of its state.

        Args:
            now: Loop time, seconds.
        """
        options = self._options
        if self._ending.has_begun:
            if self._ending.is_overdue(now):
                self.abort()
            return
        if self._tally.is_flood(now, options.messages_per_second_max):
            self._tally.count_limit("messages_per_second_max")
            self._fail(f"more than {options.messages_per_second_max} messages a second", EndReason.PROTOCOL_ERROR)
        elif self._reading is not None and self._reading.is_overdue(now):
            limit = "loop_ms_per_stranger_max" if self._reading.is_stranger else "loop_ms_per_publisher_max"
            self._tally.count_limit(limit)
            self._fail("what it sends takes too much of the server's time", EndReason.OVER_LIMIT)
        else:
            self._check_time(now)
        self._tally.count_bytes()

    def _check_time(self, now: float) -> None:
        options = self._options
        if self._broadcast is not None:
            failed = no_media(options) if self._is_silent(self._broadcast, now) else None
        else:
            state = self._connection.state
            failed = overdue(state, open_s=now - self.opened_at, stay_s=now - self._since, options=options)
        if failed is None:
            return
        if failed.limit:
            self._tally.count_limit(failed.limit)
        self._fail(failed.reason, failed.end_reason)

    def _is_silent(self, broadcast: Broadcast, now: float) -> bool:
        """Whether no media has come for too long from a publisher that is being read."""
        reading = self._reading
        if now - broadcast.heard_at <= self._options.media_timeout_s or reading is None or reading.has_had_its_share:
            return False
        return now - reading.resumed_at > self._options.media_timeout_s

    # -- the memory that it takes ------------------------------------------------------------------

    @property
    def standing(self) -> Standing:
        """A stranger until its first publish is accepted (``Holder``)."""
        return Standing.PUBLISHER if self._tally.published else Standing.STRANGER

    @property
    def held_bytes(self) -> int:
        """Bytes that wait: of its messages, of our answers and, while it publishes, for its viewers."""
        held = CONNECTION_BYTES + self._connection.held_bytes + self._connection.overhead_bytes
        if self._transport is not None:
            held += self._transport.get_write_buffer_size()
            if hasattr(self._transport, "own_bytes"):
                # Not by its type: a proxy's connection has another around it.
                tls = cast("SlicedTransport", self._transport)
                held += TLS_BYTES + tls.own_bytes() - tls.unsent_bytes
        if self._reading is not None:
            held += self._reading.kept_bytes
        if self._broadcast is not None:
            held += self._broadcast.stream.held_bytes
        return held

    def shed(self) -> None:
        """Close at once: memory is short."""
        self._ending.explain("memory is short")
        self._leave_stream(EndReason.OVER_LIMIT)
        self.abort()

    # -- inside -------------------------------------------------------------------------------

    def _choose_threshold(self, events: list[ConnectionEvent]) -> None:
        if self._threshold is None:
            return
        if self._broadcast is not None and not self._ending.has_begun:
            awaited_ms = self._broadcast.stream.awaited_ms
            self._threshold.wait_for_media(events, self._connection.missing_bytes, awaited_ms)
        else:
            self._threshold.wait_for_anything()

    def _dispatch(self, events: list[ConnectionEvent]) -> None:
        tags: list[FlvTag] = []
        dropped: list[MessageDropped] = []
        for event in events:
            match event:
                case FlvTag():
                    tags.append(event)
                case MetadataReceived():
                    if self._broadcast is not None:
                        self._broadcast.stream.receive_metadata(event.values)
                case Connected():
                    self.encoder = event.flash_version
                    self._since = self._clock.monotonic()
                    self._listener.note_connected(self)
                case PublishRequested():
                    self._ask_for_verdict(event)
                case Unpublished():
                    self._receive_tags(tags)
                    tags = []
                    self._unpublish()
                case MessageDropped():
                    dropped.append(event)
            if self._ending.has_begun:
                # The stream has failed at what came before.
                break
        if dropped:
            self._tally.count_dropped(dropped)
        self._receive_tags(tags)

    def _receive_tags(self, tags: list[FlvTag]) -> None:
        if tags and self._broadcast is not None and not self._ending.has_begun:
            self._broadcast.stream.receive_tags(tags)

    def _unpublish(self) -> None:
        self._ending.explain("encoder said goodbye")
        self._leave_stream(EndReason.GOODBYE)
        self._since = self._clock.monotonic()
        self._listener.note_unpublished(self)

    def _ask_for_verdict(self, request: PublishRequested) -> None:
        self._since = self._clock.monotonic()
        if self._reading is not None:
            # Encoders wait for the answer; what one sends all the same stays in the kernel.
            self._reading.hold(Hold.VERDICT)
        self._verdict = asyncio.create_task(self._await_verdict(request))

    async def _await_verdict(self, request: PublishRequested) -> None:
        """Answer a publish; a task while the connection is PUBLISH_PENDING."""
        try:
            judge, timeout_s = self._listener.judge, self._options.verify_timeout_s
            verdict = await judge.decide(request, self, verify_timeout_s=timeout_s)
            # Nothing is awaited between the begin of the stream and its acceptance (``PublishJudge.decide``).
            if isinstance(verdict, Broadcast):
                self._go_live(verdict)
            elif verdict is not None and self.is_waiting:
                self._refuse(verdict)
        except ProtocolError as exc:
            self._fail_protocol(exc)
        except Exception:
            log.exception("publish.failed", extra=self._context())
            self._fail("internal error", EndReason.INTERNAL_ERROR)
        finally:
            if self._reading is not None:
                self._reading.release(Hold.VERDICT)

    def _go_live(self, broadcast: Broadcast) -> None:
        """Accept the publish, and act on what was sent ahead of the answer."""
        since = self._clock.cpu()
        self._broadcast = broadcast
        self._since = broadcast.begun_at
        self._tally.published = broadcast.fields
        # That of the broadcast before it on this connection, which is no reason for the end of this one.
        self._ending.reason = ""
        log.info("publish.accepted", extra=self._context())
        self._listener.note_publishing(self)
        if self._reading is not None:
            self._reading.admit()
        try:
            events = self._connection.accept()
            self._flush()
            self._dispatch(events)
            self._connection.raise_fault()
            if self._connection.has_more and self._reading is not None:
                self._reading.go_on_later()
        finally:
            if self._reading is not None:
                self._reading.spend(self._clock.cpu() - since)

    def _refuse(self, refusal: Refusal) -> None:
        error = refusal.error
        self._ending.explain(f"publish refused: {refusal.reason}")
        self._ending.level = refusal.level
        extra = self._context() | {"code": error.status_code, "reason": refusal.reason, **refusal.fields}
        log.log(refusal.level, "publish.refused", extra=extra)
        self._connection.reject(error)
        self._flush()
        self._linger()

    def _fail(self, reason: str, end_reason: EndReason) -> None:
        self._ending.explain(reason)
        was_publishing = self._broadcast is not None
        self._leave_stream(end_reason)
        if was_publishing:
            self._connection.close(PublishError.status_code, f"The stream has ended: {reason}.")
            self._flush()
        self._linger()

    def _fail_protocol(self, error: ProtocolError) -> None:
        if error.limit:
            self._tally.count_limit(error.limit)
        self._fail(f"protocol error: {error}", EndReason.PROTOCOL_ERROR)

    def _leave_stream(self, reason: EndReason) -> None:
        broadcast, self._broadcast = self._broadcast, None
        if broadcast is not None:
            broadcast.end(reason, self._ending.reason, self._clock.now())

    def _linger(self) -> None:
        """Close the socket behind what was written, when the peer has had time to read it."""
        if self._transport is None or self._ending.has_begun:
            return
        self._ending.linger(self._clock.monotonic())
        if self._ending.is_lost:
            self._end()
            return
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        if self._threshold is not None:
            self._threshold.wait_for_anything()
        if self._reading is not None:
            # Its verdict is not waited for any more.
            self._reading.release(Hold.VERDICT)

    def _flush(self) -> None:
        if data := self._connection.data_to_send():
            self._write(data)

    def _write(self, data: bytes) -> None:
        # One write for all answers: librtmp sets no TCP_NODELAY, so each small write of ours costs its login 40 ms.
        if self._transport is not None and not self._ending.is_lost:
            self._transport.write(data)

    def _context(self) -> dict[str, object]:
        return {
            "peer": self.address,
            "encoder": self.encoder,
            "duration_s": round(self._clock.monotonic() - self.opened_at, 3),
            "bytes_received": self._connection.bytes_received,
            **self._tally.published,
        }

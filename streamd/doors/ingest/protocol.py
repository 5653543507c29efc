"""One RTMP connection: bytes between socket and ``ServerConnection``, time limits, and the verdict on the key.

Everything that RTMP says is decided on the ground floor; everything about keys and streams in the
services. What is left for the door: feed, write out, dispatch, and the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from streamd.doors.ingest.read_turns import Hold
from streamd.doors.ingest.wake_threshold import WakeThreshold
from streamd.errors import (
    KeyRejectedError,
    LocalStateError,
    MediaError,
    ProtocolError,
    PublishError,
    StoreUnavailableError,
)
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
from streamd.limits import DEFAULT
from streamd.services.bounds.memory_accounts import Standing
from streamd.services.keys.admission import Denial
from streamd.services.keys.shown_publish import ShownPublish
from streamd.services.live.publisher import EndReason

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.doors.ingest.read_turns import Reading, ReadTurns
    from streamd.doors.ingest.wake_threshold import WakeClock
    from streamd.formats.rtmp.events import ConnectionEvent
    from streamd.services.keys.admission import Admission
    from streamd.services.keys.attempts import Attempt
    from streamd.services.keys.verifier import KeyVerifier
    from streamd.services.live.live_stream import LiveStream
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

# What a connection that is logged in costs: our objects and the transport's. Measured (``bench/accounts.py``).
CONNECTION_BYTES = 6 * 1024

# After a refusal or a fault we send FIN and read on for a moment: closing with unread input would make the
# kernel send RST, and the peer could lose the answer that tells it why (RFC 9293 section 3.6, RFC 2525 2.17).
LINGER_S = 2.0
# What a verdict takes beside the key store's answer, at the most: the publish hook has ten seconds at the most.
VERDICT_EXTRA_S = 15.0


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Limits of one RTMP connection, times in seconds. The reasons stand in the configuration's ``[limits]``."""

    handshake_timeout_s: float = DEFAULT.handshake_timeout_s
    publish_timeout_s: float = DEFAULT.publish_timeout_s
    media_timeout_s: float = DEFAULT.media_timeout_s
    verify_timeout_s: float = DEFAULT.verify_timeout_s
    messages_per_second_max: int = DEFAULT.messages_per_second_max
    unsent_answers_bytes_max: int = DEFAULT.unsent_answers_bytes_max


class _Phase(enum.Enum):
    HANDSHAKE = "handshake"
    LOGIN = "login"
    VERIFYING = "verifying"
    PUBLISHING = "publishing"
    CLOSING = "closing"
    CLOSED = "closed"


class PublishGate(Protocol):
    """Who may forbid a publish whose key is good; the publish hook does."""

    async def decide(self, admission: Admission, address: str, encoder: str) -> None:
        """Raise ``PublishError`` to refuse it."""


class PublishDecider(Protocol):
    """Who decides over a publish in place of the keys; a publish hook that decides alone does."""

    async def admit(self, shown: ShownPublish) -> Admission:
        """Return the admission, or raise ``PublishError``; or ``StoreUnavailableError``."""


class ConnectionBook(Protocol):
    """What a connection asks of its listener."""

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
    def wake_clock(self) -> WakeClock:
        """For the wake thresholds of all connections."""

    @property
    def turns(self) -> ReadTurns:
        """Says which connection is read when."""


class RtmpProtocol(asyncio.BufferedProtocol):
    """The asyncio side of one publisher's connection.

    Args:
        connection: The pure connection, fresh.
        keys: Says whom a stream key belongs to.
        registry: Where an accepted publish becomes a live stream.
        options: Time limits.
        clock: For the time limits; ``check_deadline`` compares.
        metrics: Counted into when the connection ends.
        listener: Counts the connection in and out, and may refuse it.
        gate: Asked over each publish whose key is good, if there is one.
        decider: Decides over each publish in place of the keys, if there is one.
    """

    def __init__(
        self,
        connection: ServerConnection,
        *,
        keys: KeyVerifier,
        registry: LiveRegistry,
        options: IngestOptions,
        clock: Clock,
        metrics: Metrics,
        listener: ConnectionBook,
        gate: PublishGate | None = None,
        decider: PublishDecider | None = None,
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._registry = registry
        self._options = options
        self._clock = clock
        self._metrics = metrics
        self._listener = listener
        self._gate = gate
        self._decider = decider
        self._transport: asyncio.Transport | None = None
        self._phase = _Phase.HANDSHAKE
        self._opened_at = clock.monotonic()
        self._phase_since = self._opened_at
        self._verifying: asyncio.Task[None] | None = None
        self._stream: LiveStream | None = None
        # Whose stream it feeds or fed, for the log.
        self._published: dict[str, object] = {}
        self._attempt: Attempt | None = None
        self.encoder = ""
        self._reason = ""
        self._log_level = logging.INFO
        self._bytes_counted = 0
        self._messages_counted = 0
        self._counted_at = self._opened_at
        self._closed = asyncio.Event()
        # The socket is gone; what came before is still being dealt with, unless the connection was ended by us.
        self._is_lost = False
        self._lost_by: Exception | None = None
        self._is_aborted = False
        # Of its socket; None before there is one.
        self._threshold: WakeThreshold | None = None
        self._reading: Reading | None = None
        self.address = ""

    # -- asyncio.BufferedProtocol -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket. asyncio and uvloop set TCP_NODELAY on it themselves."""
        self._transport = cast("asyncio.Transport", transport)
        peername = self._transport.get_extra_info("peername")
        self.address = peername[0] if peername else "unknown"
        self._reading = self._listener.turns.open(self._transport, source_of(self.address), self._receive)
        if not self._listener.admit(self):
            self._reason = "too many connections"
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
        if self._phase in (_Phase.CLOSING, _Phase.CLOSED):
            return False
        if not connection.bytes_received:
            self._listener.note_spoken(self)
        try:
            if nbytes:
                events = connection.receive_buffer(self._listener.turns.buffer, nbytes)
            else:
                events = connection.receive_more()
            self._flush()
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
        has_more = connection.has_more and self._phase not in (_Phase.CLOSING, _Phase.CLOSED)
        if self._is_lost and not has_more:
            self._end()
        return has_more

    def eof_received(self) -> bool:
        """Let the transport close: a publisher that sends no more has ended."""
        return False

    def pause_writing(self) -> None:
        """Close a peer that asks without ever reading the answers."""
        self._reason = "peer does not read its answers"
        self._count_limit("unsent_answers_bytes_max")
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what hung on this socket, behind what the peer sent before it left."""
        self._is_lost, self._lost_by = True, exc
        if self._threshold is not None:
            # Another connection may have the descriptor next.
            self._threshold.close()
        if self._phase is not _Phase.PUBLISHING or self._is_aborted or not self._connection.has_more:
            self._end()

    def _end(self) -> None:
        if self._closed.is_set():
            return
        was_closing = self._phase is _Phase.CLOSING
        self._enter(_Phase.CLOSED)
        if self._reading is not None:
            self._reading.close()
        if self._verifying is not None:
            self._verifying.cancel()
        if not self._reason:
            self._reason = "connection lost" if self._lost_by is not None else "peer closed"
        self._leave_stream(EndReason.CONNECTION_LOST)
        self._count()
        extra = self._context() | {"reason": self._reason}
        if self.encoder or self._published or was_closing:
            log.log(self._log_level, "connection.closed", extra=extra)
        else:
            # Port scanners and health checks: worth a line to someone who looks for it.
            log.log(self._log_level, "connection.closed_early", extra=extra)
        self._closed.set()
        self._listener.forget(self)

    def make_way(self) -> None:
        """Close at once: another connection is to have the place."""
        self._reason = self._reason or "another connection was given its place"
        self.abort()

    def abort(self) -> None:
        """Close at once, without a word, whatever of it is left to do."""
        self._is_aborted = True
        if self._transport is not None:
            self._transport.abort()
        if self._is_lost:
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
        """Close the publisher's socket at once, with a last word that says why.

        Encoders notice the closed socket, not the word (OBS reconnects, ffmpeg exits),
        so a kick that is to last must refuse the next publish as well.
        """
        if self._transport is None or self._phase is _Phase.CLOSED:
            return
        self._reason = self._reason or error.description
        if self._phase is _Phase.PUBLISHING:
            self._connection.close(error.status_code, error.description)
            self._flush()
        self._enter(_Phase.CLOSING)
        self._transport.close()
        if self._is_lost:
            self._end()

    async def wait_closed(self) -> None:
        """Return when the socket is closed."""
        await self._closed.wait()

    # -- what the listener asks ---------------------------------------------------------------

    def check_deadline(self, now: float) -> None:
        """Close the connection if it has used up the time of its phase.

        Args:
            now: Loop time, seconds.
        """
        options = self._options
        messages = self._connection.messages_received - self._messages_counted
        if messages > options.messages_per_second_max * max(now - self._counted_at, 1.0):
            self._count_limit("messages_per_second_max")
            self._fail(f"more than {options.messages_per_second_max} messages a second", EndReason.PROTOCOL_ERROR)
        self._messages_counted += messages
        self._counted_at = now
        self._check_share(now)
        match self._phase:
            case _Phase.HANDSHAKE if now - self._opened_at > options.handshake_timeout_s:
                self._count_limit("handshake_timeout_s")
                self._fail(f"no handshake within {options.handshake_timeout_s:g} s", EndReason.CONNECTION_LOST)
            case _Phase.LOGIN if now - self._phase_since > options.publish_timeout_s:
                self._count_limit("publish_timeout_s")
                self._fail(f"no publish within {options.publish_timeout_s:g} s", EndReason.CONNECTION_LOST)
            case _Phase.VERIFYING if now - self._phase_since > options.verify_timeout_s + VERDICT_EXTRA_S:
                # The store and the hook have their own time limits, so this is a fault of ours.
                self._fail("the publish was not decided", EndReason.INTERNAL_ERROR)
            case _Phase.PUBLISHING if self._is_silent(now):
                self._count_limit("media_timeout_s")
                self._fail(f"no media for {options.media_timeout_s:g} s", EndReason.MEDIA_TIMEOUT)
            case _Phase.CLOSING if now - self._phase_since > LINGER_S and self._transport is not None:
                self._transport.abort()
        self._count()

    # -- what it makes us hold ------------------------------------------------------------------

    @property
    def standing(self) -> Standing:
        """A stranger until its first publish is accepted (``Holder``)."""
        return Standing.PUBLISHER if self._published else Standing.STRANGER

    @property
    def opened_at(self) -> float:
        """Loop time at which it came, seconds."""
        return self._opened_at

    @property
    def held_bytes(self) -> int:
        """What waits of its messages, of our answers and, while it publishes, for its viewers; bytes."""
        held = CONNECTION_BYTES + self._connection.held_bytes
        if self._transport is not None:
            held += self._transport.get_write_buffer_size()
        if self._reading is not None:
            held += self._reading.kept_bytes
        if self._stream is not None:
            held += self._stream.held_bytes
        return held

    def shed(self) -> None:
        """Close at once: memory is short."""
        self._reason = self._reason or "memory is short"
        self._leave_stream(EndReason.OVER_LIMIT)
        self.abort()

    # -- inside -------------------------------------------------------------------------------

    def _check_share(self, now: float) -> None:
        """Close a connection that has taken more of the loop's time than its share, and goes on doing so."""
        if self._reading is None or self._phase in (_Phase.CLOSING, _Phase.CLOSED):
            return
        if self._reading.is_overdue(now):
            self._count_limit("loop_ms_per_stranger_max" if self._reading.is_stranger else "loop_ms_per_publisher_max")
            self._fail("what it sends takes too much of the server's time", EndReason.OVER_LIMIT)

    def _is_silent(self, now: float) -> bool:
        """Whether no media has come for too long from a publisher that is being read."""
        if self._stream is None or self._reading is None or self._reading.has_had_its_share:
            return False
        heard_at = max(self._stream.last_media_at, self._phase_since, self._reading.resumed_at)
        return now - heard_at > self._options.media_timeout_s

    def _choose_threshold(self, events: list[ConnectionEvent]) -> None:
        if self._threshold is None:
            return
        if self._phase is _Phase.PUBLISHING and self._stream is not None:
            self._threshold.wait_for_media(events, self._connection.missing_bytes, self._stream.awaited_ms)
        else:
            self._threshold.wait_for_anything()

    def _dispatch(self, events: list[ConnectionEvent]) -> None:
        if is_media(events):
            self._receive_tags(events)
            return
        tags: list[FlvTag] = []
        dropped: list[MessageDropped] = []
        for event in events:
            match event:
                case FlvTag():
                    tags.append(event)
                case MetadataReceived():
                    if self._stream is not None:
                        self._stream.receive_metadata(event.values)
                case Connected():
                    self.encoder = event.flash_version
                    self._enter(_Phase.LOGIN)
                    self._listener.note_connected(self)
                case PublishRequested():
                    self._enter(_Phase.VERIFYING)
                    if self._reading is not None:
                        # Encoders wait for the answer; what one sends all the same stays in the kernel.
                        self._reading.hold(Hold.VERDICT)
                    self._verifying = asyncio.create_task(self._decide(event))
                case Unpublished():
                    self._receive_tags(tags)
                    tags = []
                    self._reason = "encoder said goodbye"
                    self._leave_stream(EndReason.GOODBYE)
                    self._enter(_Phase.LOGIN)
                    self._listener.note_unpublished(self)
                case MessageDropped():
                    dropped.append(event)
        if dropped:
            self._count_dropped(dropped)
        self._receive_tags(tags)

    def _count_dropped(self, dropped: list[MessageDropped]) -> None:
        for event in dropped:
            self._metrics.messages_dropped_total.labels(event.reason.value).inc(event.count)
            if event.limit:
                self._metrics.limit_hits_total.labels(event.limit).inc(event.count)

    def _receive_tags(self, tags: list[FlvTag]) -> None:
        if tags and self._stream is not None:
            self._stream.receive_tags(tags)

    async def _decide(self, request: PublishRequested) -> None:
        """Ask the key service, then answer the publish; runs as a task while the connection is PUBLISH_PENDING."""
        try:
            admission = await self._admit(request)
            try:
                if self._gate is not None:
                    await self._gate.decide(admission, self.address, self.encoder)
                claim = await self._registry.claim(admission.user, admission)
                # From here to accept() nothing is awaited: a key that dies in between is seen by begin().
                if self._phase is not _Phase.VERIFYING:
                    claim.release()
                    return
                self._stream = self._registry.begin(admission, self, claim)
            except PublishError as error:
                result = error.reason if isinstance(error, KeyRejectedError) else error.result
                self._keys.attempts.refuse(admission.key_id, result, self.address, self._clock.now())
                raise
            self._attempt = self._keys.attempts.accept(admission.key_id, self.address, self._clock.now())
            self._metrics.publishes_total.labels("accepted").inc()
            self._enter(_Phase.PUBLISHING)
            self._published = {"key_id": admission.key_id, "stream": self._stream.name}
            log.info("publish.accepted", extra=self._context())
            self._listener.note_publishing(self)
            self._go_live()
        except KeyRejectedError as error:
            self._metrics.publish_denied_total.labels(error.reason).inc()
            if error.reason in (Denial.RATE_LIMITED, Denial.TOO_OFTEN):
                # Somebody guesses, thousands of times a minute if he likes: the audit log counts them, a line
                # for each would be his to fill our disk with.
                self._log_level = logging.DEBUG
            self._refuse(error, "denied", reason=error.reason, key_id=error.key_id)
        except PublishError as error:
            self._refuse(error, error.result)
        except (StoreUnavailableError, TimeoutError) as error:
            # Fail closed: who cannot be verified does not publish.
            if isinstance(error, TimeoutError):
                self._count_limit("verify_timeout_s")
            detail = str(error) or f"no answer within {self._options.verify_timeout_s:g} s"
            self._refuse(PublishError(), "unavailable", reason=f"key store unavailable: {detail}")
        except ProtocolError as exc:
            self._fail_protocol(exc)
        except Exception:
            log.exception("publish.failed", extra=self._context())
            self._fail("internal error", EndReason.INTERNAL_ERROR)
        finally:
            if self._reading is not None:
                self._reading.release(Hold.VERDICT)

    def _go_live(self) -> None:
        """Accept the publish, and act on what was sent ahead of the answer."""
        since = self._clock.cpu()
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

    async def _admit(self, request: PublishRequested) -> Admission:
        """Ask the hook that decides alone, or else the keys."""
        if self._decider is None:
            return await self._verify(request.stream_key)
        shown = ShownPublish.of(
            app=request.app,
            stream_name=request.stream_name,
            tc_url=request.tc_url,
            publishing_type=request.publishing_type,
            address=self.address,
            encoder=self.encoder,
        )
        return await self._decider.admit(shown)

    async def _verify(self, stream_key: str) -> Admission:
        started_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._options.verify_timeout_s):
                return await self._keys.verify(stream_key, self.address)
        finally:
            # Refusals and time-outs, too: they are the slow ones when the store is.
            self._metrics.verify_seconds.observe(self._clock.monotonic() - started_at)

    def _refuse(
        self, error: PublishError, result: str, *, reason: str | None = None, key_id: str | None = None
    ) -> None:
        self._metrics.publishes_total.labels(result).inc()
        if self._phase is not _Phase.VERIFYING:
            return
        self._reason = f"publish refused: {reason or error.description}"
        log.log(
            self._log_level,
            "publish.refused",
            extra=self._context() | {"code": error.status_code, "reason": reason or result, "key_id": key_id},
        )
        with contextlib.suppress(LocalStateError):
            self._connection.reject(error)
        self._flush()
        self._linger()

    def _fail(self, reason: str, end_reason: EndReason) -> None:
        self._reason = self._reason or reason
        self._leave_stream(end_reason)
        if self._phase is _Phase.PUBLISHING:
            self._connection.close(PublishError.status_code, f"The stream has ended: {reason}.")
            self._flush()
        self._linger()

    def _fail_protocol(self, error: ProtocolError) -> None:
        if error.limit:
            self._count_limit(error.limit)
        self._fail(f"protocol error: {error}", EndReason.PROTOCOL_ERROR)

    def _count_limit(self, limit: str) -> None:
        self._metrics.limit_hits_total.labels(limit).inc()

    def _leave_stream(self, reason: EndReason) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._registry.leave(stream, self, reason)
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            # Where the operator or a fault ended the stream, the connection is lost only because of that.
            why = stream.end_reason or reason if stream is not None else reason
            attempt.end(why.value, self._reason, self._clock.now())

    def _linger(self) -> None:
        if self._transport is None or self._phase in (_Phase.CLOSING, _Phase.CLOSED):
            return
        self._enter(_Phase.CLOSING)
        if self._is_lost:
            self._end()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            # TLS has no half-close; what it has to say is gone before the time is over.
            if self._reading is not None:
                self._reading.stop_tls()
            self._transport.close()

    def _flush(self) -> None:
        # One write for all answers: librtmp sets no TCP_NODELAY, so each small write of ours costs its login 40 ms.
        if self._transport is not None and (data := self._connection.data_to_send()) and not self._is_lost:
            self._transport.write(data)

    def _enter(self, phase: _Phase) -> None:
        self._phase = phase
        self._phase_since = self._clock.monotonic()

    def _count(self) -> None:
        received = self._connection.bytes_received
        self._metrics.ingest_bytes_total.inc(received - self._bytes_counted)
        self._bytes_counted = received

    def _context(self) -> dict[str, object]:
        return {
            "peer": self.address,
            "encoder": self.encoder,
            "phase": self._phase.value,
            "duration_s": round(self._clock.monotonic() - self._opened_at, 3),
            "bytes_received": self._connection.bytes_received,
            **self._published,
        }

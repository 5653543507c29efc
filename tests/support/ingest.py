"""A publisher's connection without a socket: the real protocol object on a transport that remembers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from unittest.mock import Mock

from streamd.clock import ManualClock
from streamd.doors.ingest.deadlines import IngestOptions
from streamd.doors.ingest.protocol import RtmpProtocol
from streamd.doors.ingest.read_turns import LoopShares, ReadTurns
from streamd.doors.ingest.verdict import PublishJudge
from streamd.doors.ingest.wake_threshold import WakeClock
from streamd.errors import KeyRejectedError
from streamd.formats.rtmp.connection import ServerConnection
from streamd.formats.rtmp.connection_options import DEFAULT_OPTIONS, ConnectionOptions
from streamd.media.packager.rendition import RenditionOptions
from streamd.media.packager.segmenter import SegmenterOptions
from streamd.services.keys.admission import Admission
from streamd.services.keys.attempts import AttemptLog
from streamd.services.keys.records import SERVER_LIMITS
from streamd.services.live.hls_output import HlsOutput
from streamd.services.live.registry import LiveRegistry
from streamd.services.live.stream_options import OUTPUTS, StreamLimits, StreamOptions
from streamd.services.live.waiters import WaiterBudget
from streamd.services.metrics import Metrics
from tests.support import rtmp_wire
from tests.support.patience import PATIENCE_S
from tests.support.timers import ManualTimers, TurnTimers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from streamd.clock import Clock
    from streamd.doors.ingest.verdict import PublishGate
    from streamd.media.packager.presentation import Presentation
    from streamd.services.events.event import Event
    from streamd.services.live.live_stream import LiveStream, NameClaim, Place
    from streamd.services.live.outputs import Output, OutputContext
    from streamd.services.live.publisher import Publisher

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GOOD_KEY = "sk_good_key"
OTHER_KEY = "sk_other_key"


class RecordingTransport(asyncio.Transport):
    """Remembers what was written and how it was closed; ``peer`` is told of the loss when a test says so."""

    def __init__(self, address: str = "192.0.2.7") -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_eof_written = False
        self.is_closed = False
        self.is_aborted = False
        self.reading: list[bool] = []
        self._address = address

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self._address, 50_000) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.write_limit = high

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_closed or self.is_aborted

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reading.append(False)

    def resume_reading(self) -> None:
        self.reading.append(True)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_eof_written = True

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True


class FakeKeys:
    """Admits ``GOOD_KEY`` and ``OTHER_KEY`` for user ``alice``; a test may hold the answer back."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.hold: asyncio.Future[None] | None = None
        self.error: Exception | None = None
        self.dead: set[str] = set()
        self.limits = SERVER_LIMITS
        self.attempts = AttemptLog()
        self.refusals: list[tuple[str, str, str, str]] = []

    async def verify(self, stream_key: str, peer_address: str) -> Admission:
        self.asked.append((stream_key, peer_address))
        if self.hold is not None:
            await self.hold
        if self.error is not None:
            raise self.error
        if stream_key not in (GOOD_KEY, OTHER_KEY):
            raise KeyRejectedError("unknown")
        return Admission(stream_key.split("_")[1], "alice", limits=self.limits)

    def note_refusal(self, admission: Admission, result: str, detail: str, peer_address: str) -> None:
        self.refusals.append((admission.key_id, result, detail, peer_address))
        self.attempts.refuse(admission.key_id, result, peer_address, NOON, detail)

    def is_admissible(self, admission: Admission) -> bool:
        return admission.key_id not in self.dead


class FakeListener:
    """Lets everyone in, or nobody.

    Args:
        judge: Decides over publishes.
        clock: By which connections take their shares of the loop's time.
    """

    def __init__(self, judge: PublishJudge, clock: Clock | None = None) -> None:
        self.judge = judge
        self.turns = ReadTurns(LoopShares(), clock=clock or ManualClock(), timers=TurnTimers())
        self.is_full = False
        self.connected: list[RtmpProtocol] = []
        self.forgotten: list[RtmpProtocol] = []
        self.timers = ManualTimers()
        self.wake_clock = WakeClock(self.timers)

    def admit(self, protocol: RtmpProtocol) -> bool:
        return not self.is_full

    def note_spoken(self, protocol: RtmpProtocol) -> None:
        pass

    def note_connected(self, protocol: RtmpProtocol) -> None:
        self.connected.append(protocol)

    def note_publishing(self, protocol: RtmpProtocol) -> None:
        pass

    def note_unpublished(self, protocol: RtmpProtocol) -> None:
        pass

    def forget(self, protocol: RtmpProtocol) -> None:
        self.forgotten.append(protocol)


async def give_name(_: str, __: Admission) -> NameClaim:
    """Give a name to whoever asks."""
    return Mock(left=None, numbers_until_s=0)


class IngestRoom:
    """Everything that one connection needs, with fakes at the edges and the real thing between them.

    Args:
        options: Limits of a connection.
        connection_options: Limits of the protocol.
        rendition: Packaging, with how much is kept.
        stream_limits: Limits of what is published.
        streams_max: Streams at once.
        reconnect_window_s: For publishers that come back.
        start: Wall time at the beginning.
        take_place: Memory for streams.
        outputs: Who takes what streams make.
        ask_for_name: Gives out the names of channels.
        gate: Asked over publishes whose key is good.
    """

    def __init__(
        self,
        options: IngestOptions | None = None,
        *,
        connection_options: ConnectionOptions = DEFAULT_OPTIONS,
        rendition: RenditionOptions | None = None,
        stream_limits: StreamLimits | None = None,
        streams_max: int = 10,
        reconnect_window_s: float = 30.0,
        start: datetime | None = None,
        take_place: Callable[[], Place | None] = Mock,
        outputs: Sequence[Callable[[OutputContext], Output]] = OUTPUTS,
        ask_for_name: Callable[[str, Admission], Awaitable[NameClaim]] = give_name,
        gate: PublishGate | None = None,
    ) -> None:
        self.clock = ManualClock() if start is None else ManualClock(start)
        self.metrics = Metrics()
        self.keys = FakeKeys()
        self.events: list[Event] = []
        self.registry = LiveRegistry(
            options=StreamOptions(
                SegmenterOptions(),
                rendition or RenditionOptions(),
                stream_limits or StreamLimits(),
                outputs=tuple(outputs),
            ),
            clock=self.clock,
            metrics=self.metrics,
            budget=WaiterBudget(100),
            streams_max=streams_max,
            reconnect_window_s=reconnect_window_s,
            is_admissible=self.keys.is_admissible,
            tell=self.events.append,
            take_place=take_place,
            ask_for_name=ask_for_name,
        )
        self.judge = PublishJudge(
            keys=self.keys,  # type: ignore[arg-type]  # what a publish asks of them
            registry=self.registry,
            clock=self.clock,
            metrics=self.metrics,
            gate=gate,
        )
        self.listener = FakeListener(self.judge, self.clock)
        self._options = options or IngestOptions()
        self._connection_options = connection_options

    async def begin(self, admission: Admission, publisher: Publisher) -> LiveStream:
        """Begin a stream without a connection."""
        claim = await self.registry.claim(admission.user, admission)
        return self.registry.begin(admission, publisher, claim)

    def limit_hits(self) -> dict[str, float]:
        """What has acted, and how often."""
        (metric,) = self.metrics.limit_hits_total.collect()
        return {
            sample.labels["limit"]: sample.value
            for sample in metric.samples
            if sample.name.endswith("_total") and sample.value
        }

    def connect(self, address: str = "192.0.2.7", transport: RecordingTransport | None = None) -> Peer:
        protocol = RtmpProtocol(
            ServerConnection(nonce=bytes(16), options=self._connection_options),
            options=self._options,
            clock=self.clock,
            metrics=self.metrics,
            listener=self.listener,
        )
        return Peer(protocol, transport or RecordingTransport(address))

    def ask_to_publish(self, stream_key: str = GOOD_KEY, address: str = "192.0.2.7") -> Peer:
        """A peer that has logged in, and waits for the answer to its publish."""
        peer = self.connect(address)
        peer.log_in()
        peer.receive()
        peer.ask_to_publish(stream_key)
        return peer


class Peer:
    """The other end: sends bytes and reads answers."""

    def __init__(self, protocol: RtmpProtocol, transport: RecordingTransport) -> None:
        self.protocol = protocol
        self.transport = transport
        self._reader = rtmp_wire.ServerReader()
        self._read = 0
        protocol.connection_made(transport)

    def send(self, *data: bytes) -> None:
        """Have all of it read at once, or as much as is read at once."""
        unread = b"".join(data)
        while unread:
            buffer = self.protocol.get_buffer(-1)
            count = min(len(unread), len(buffer))
            buffer[:count], unread = unread[:count], unread[count:]
            self.protocol.buffer_updated(count)

    @property
    def is_read(self) -> bool:
        """Whether the server reads what comes now."""
        return not self.transport.reading or self.transport.reading[-1]

    async def send_all(self, *data: bytes) -> None:
        """As ``send``, until the server has done what it is to do with it, and reads on."""
        self.send(*data)
        await settle(lambda: self.is_read or self.transport.is_eof_written or self.transport.is_closing())

    def shake_hands(self) -> None:
        self.send(b"\x03" + bytes(1536))
        self.send(bytes(1536))

    def log_in(self) -> None:
        self.shake_hands()
        self.send(rtmp_wire.command("connect", 1, {"app": "live", "tcUrl": "rtmp://host/live"}))
        self.send(rtmp_wire.command("createStream", 2, None))

    def ask_to_publish(self, stream_key: str = GOOD_KEY) -> None:
        self.send(rtmp_wire.command("publish", 3, None, stream_key, "live", message_stream_id=1))

    def receive(self) -> list[rtmp_wire.Answer]:
        """The messages that the server has sent since the last call."""
        data = b"".join(self.transport.written[self._read :])
        self._read = len(self.transport.written)
        return self._reader.read(data)

    def status_codes(self) -> list[str]:
        """The codes of the ``onStatus`` messages that the server has sent since the last call."""
        return [str(answer.code) for answer in self.receive() if answer.name == "onStatus"]


async def publish(room: IngestRoom, stream_key: str = GOOD_KEY) -> Peer:
    """A connection whose publish is decided."""
    peer = room.ask_to_publish(stream_key)
    await settle(lambda: peer.transport.is_eof_written or peer.transport.reading == [False, True])
    return peer


def hls_of(stream: LiveStream) -> HlsOutput:
    """The playlists of a stream."""
    output = stream.outputs.find(HlsOutput)
    assert output is not None
    return output


def presentation_of(stream: LiveStream) -> Presentation:
    """What viewers of a stream can choose from."""
    presentation = hls_of(stream).presentation
    assert presentation is not None
    return presentation


async def settle(until: Callable[[], object], steps: int = 1000) -> None:
    """Let tasks run until ``until`` is true; no time passes on any clock."""
    for _ in range(steps):
        if until():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not settle")


async def eventually(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Let threads and timers do their part until ``condition`` is true."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  # what is waited for offers no event
            await asyncio.sleep(0.001)

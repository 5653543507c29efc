"""The two doors to media, the thin one and aiohttp's, in front of the same streams; and a client that sees bytes."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, cast

import uvloop
from aiohttp import web

from streamd.clock import Clock, ManualClock, SystemClock
from streamd.doors.delivery.channels import PublicChannels
from streamd.doors.delivery.door import DoorOptions, MediaDoor
from streamd.doors.delivery.listener import listen
from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.web.public.app import public_app
from streamd.doors.web.public.media import MediaRoutes, MediaTimeouts
from streamd.doors.web.public.obs import ObsDesk
from streamd.doors.web.public.pages import Pages
from streamd.doors.web.public.web_entrance import WebEntrance
from streamd.media.packager.presentation import Presentation
from streamd.media.packager.rendition import RenditionOptions
from streamd.services.live.fanout import Fanout
from streamd.services.live.waiters import WaiterBudget, Waiters
from streamd.services.metrics import Metrics
from streamd.services.obs.ladder import ObsOptions
from tests.support.chunk_feeder import ChunkFeeder, feed, start_rendition
from tests.support.patience import PATIENCE_S
from tests.support.ports import port_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from streamd.doors.tls.handshakes import TlsGuard
    from streamd.services.keys.verifier import KeyVerifier
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.playback.gate import PlaybackGate
    from streamd.services.playback.hook import ViewerHook

LOOPS = {"asyncio": asyncio.run, "uvloop": uvloop.run}
# Of the doors themselves.
TIMEOUT_S = 10.0
SUSPENDED = "suspended"


class Frame(NamedTuple):
    """A unit of a pushed stream."""

    payload: bytes
    time_ms: int
    is_keyframe: bool


class PlainWriter:
    """A format that is a head and payloads (``live.fanout.PushWriter``)."""

    head = b"head"
    has_video = True

    def head_after(self, _: PlainWriter, /) -> None:
        """Nobody can go on with other tracks."""

    def is_video(self, _: Frame, /) -> bool:
        return True

    def is_keyframe(self, frame: Frame, /) -> bool:
        return frame.is_keyframe

    def last_keyframe(self, frames: Sequence[Frame]) -> int:
        return max((index for index, frame in enumerate(frames) if frame.is_keyframe), default=-1)

    def payload_bytes(self, frames: Sequence[Frame]) -> int:
        return sum(len(frame.payload) for frame in frames)

    def time_ms(self, frame: Frame, /) -> int:
        return frame.time_ms

    def write(self, frames: Sequence[Frame], /) -> bytes:
        return b"".join(frame.payload for frame in frames)


class StandInStream:
    """What the doors see of a live stream: the last segment is open, 1003 with the parts 10012 and 10013."""

    name = "demo"
    live_since = datetime(2026, 3, 1, tzinfo=UTC)
    is_live = True

    def __init__(
        self,
        seconds: Sequence[float] = (2, 2, 2, 1),
        *,
        payload_bytes: int = 1000,
        target_duration_s: int = 2,
        low_latency: bool = True,
        waiting_max: int = 20_000,
    ) -> None:
        self.rendition = start_rendition(
            options=RenditionOptions(low_latency=low_latency), target_duration_s=target_duration_s
        )
        self.presentation = Presentation([self.rendition])
        self.budget = WaiterBudget(waiting_max)
        self.waiters = Waiters(self.budget)
        self.hls_viewers: set[tuple[str, str]] = set()
        clock, metrics = ManualClock(), Metrics()
        self.flv = Fanout("flv", clock=clock, metrics=metrics)
        self.mp4 = Fanout("mp4", clock=clock, metrics=metrics)
        self._feeder = ChunkFeeder(payload_bytes=payload_bytes)
        self._frames = 0
        feed(self.rendition, self._feeder, seconds)

    def add_segment(self, seconds: float) -> None:
        """Add the parts of one more segment and wake who waits for them."""
        feed(self.rendition, self._feeder, [seconds])
        self.wake()

    def push(self, payload: bytes, *, is_keyframe: bool = False) -> None:
        """Send one more frame to those who watch HTTP-FLV, each in a write of its own."""
        if not self.flv.is_open:
            self.flv.start(PlainWriter())
        self._frames += 1
        self.flv.receive([Frame(payload, self._frames * 100, is_keyframe)])

    def note_viewer(self, source: str, user_agent: str) -> None:
        self.hls_viewers.add((source, user_agent))

    def fanout(self, kind: str) -> Fanout | None:
        fanout = self.flv if kind == "flv" else self.mp4
        return fanout if fanout.is_open else None

    def wake(self) -> None:
        self.waiters.wake(lambda awaited: self.rendition.has_reached(awaited.until))

    def end(self) -> None:
        self.flv.end()
        self.rendition.end()
        self.waiters.close()


@dataclass
class StandInRegistry:
    """What the doors see of the registry."""

    streams: dict[str, StandInStream] = field(default_factory=dict)

    def find_channel(self, name: str) -> StandInStream | None:
        return self.streams.get(name)

    def channels(self) -> Iterable[StandInStream]:
        return ()


@dataclass
class Doors:
    """Both doors, listening."""

    registry: StandInRegistry
    metrics: Metrics
    door: MediaDoor
    thin_port: int
    aiohttp_port: int


def channels_of(registry: StandInRegistry, gate: PlaybackGate | None = None) -> PublicChannels:
    """What the public sees of them; the user ``SUSPENDED`` is."""
    return PublicChannels(cast("LiveRegistry", registry), SUSPENDED.__eq__, gate=gate)


def media_routes(
    registry: StandInRegistry,
    clock: Clock,
    metrics: Metrics,
    proxies: TrustedProxies | None = None,
    timeouts: MediaTimeouts | None = None,
    public_url: str = "",
    gate: PlaybackGate | None = None,
    hook: ViewerHook | None = None,
) -> web.Application:
    channels = channels_of(registry, gate)
    entrance = None if gate is None else WebEntrance(gate, cast("ViewerHook", hook))
    routes = MediaRoutes(
        channels=channels,
        clock=clock,
        metrics=metrics,
        timeouts=timeouts or MediaTimeouts(viewer_write_timeout_s=TIMEOUT_S),
        entrance=entrance,
    )
    obs = ObsDesk(cast("KeyVerifier", None), ObsOptions(ladder=()), metrics, TIMEOUT_S)
    return public_app(
        channels=channels,
        media=routes,
        pages=Pages(public_url),
        obs=obs,
        proxies=proxies or TrustedProxies(),
        port=port_of(clock=clock, metrics=metrics),
        clock=clock,
        public_url=public_url,
    )


@contextlib.asynccontextmanager
async def open_doors(
    registry: StandInRegistry,
    *,
    options: DoorOptions | None = None,
    clock: Clock | None = None,
    tls: TlsGuard | None = None,
    gate: PlaybackGate | None = None,
    hook: ViewerHook | None = None,
) -> AsyncIterator[Doors]:
    """Open both doors on free loopback ports until the block is left."""
    clock = clock or SystemClock()
    metrics = Metrics()
    options = options or DoorOptions()
    app = media_routes(registry, clock, metrics, options.proxies, gate=gate, hook=hook)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    assert runner.server is not None
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    door = MediaDoor(
        channels=channels_of(registry, gate),
        clock=clock,
        metrics=metrics,
        web_handler=runner.server,
        options=options,
    )
    _, thin_port = await listen(door, "127.0.0.1", 0, tls)
    try:
        yield Doors(registry, metrics, door, thin_port, runner.addresses[0][1])
    finally:
        await door.close(TIMEOUT_S)
        await runner.cleanup()


class Response(NamedTuple):
    """An HTTP answer as it came."""

    version: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    """In the order in which they came."""
    body: bytes

    def field(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, values
        return values[0] if values else None


class Client:
    """One connection, on which bytes are sent and answers read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None
        )
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def half_close(self) -> None:
        self._writer.write_eof()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def response(self, method: str = "GET") -> Response:
        async with asyncio.timeout(PATIENCE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status_line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            version, status, reason = status_line.split(" ", 2)
            headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
            response = Response(version, int(status), reason, headers, b"")
            length = response.field("Content-Length")
            if method == "HEAD" or response.status in (204, 304) or length is None:
                return response
            return response._replace(body=await self._reader.readexactly(int(length)))

    async def exactly(self, count: int) -> bytes:
        """So many bytes of a content without a length."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.readexactly(count)

    async def rest(self) -> bytes:
        """What comes until the server closes; a reset is an end too."""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                return await self._reader.read()
        return b""

    async def rest_or_response(self) -> Response | None:
        """One more answer, or None where the server closed instead."""
        try:
            return await self.response()
        except (asyncio.IncompleteReadError, ConnectionError):
            return None


def request(
    target: str, method: str = "GET", version: str = "HTTP/1.1", headers: Sequence[tuple[str, str]] = ()
) -> bytes:
    fields = "".join(f"{name}: {value}\r\n" for name, value in (("Host", "localhost"), *headers))
    return f"{method} {target} {version}\r\n{fields}\r\n".encode("latin-1")


async def until(condition: Callable[[], bool], sweep: Callable[[], None] = lambda: None) -> None:
    """Let the loop go round until something that this process does has happened."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0)
            sweep()

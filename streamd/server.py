"""The whole server, put together: the only place that sees the whole configuration.

Objects are built here, floor by floor, and handed down; ``run`` is what ``streamd serve`` calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import sys
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from aiohttp import web

from streamd import __version__
from streamd.amf import Limits as AmfLimits
from streamd.clock import SystemClock
from streamd.config import ListenAddress, secrets_of
from streamd.data_dir import RunningServer, ServerLock, admin_token, prepare_data_dir
from streamd.delivery.door import DoorOptions, MediaDoor
from streamd.delivery.http_request import HeadLimits
from streamd.delivery.tls import TlsCertificate
from streamd.errors import DataDirError, StoreUnavailableError, StreamdError
from streamd.events.event import EventType, unheard
from streamd.events.outbox import Endpoint, OutboxOptions
from streamd.events.publish_hook import HookOptions, PublishHook
from streamd.events.webhooks import Webhooks
from streamd.flv.intake import IntakeLimits
from streamd.history import History
from streamd.ingest.listener import ListenerLimits, RtmpListener
from streamd.ingest.protocol import IngestOptions
from streamd.keys.guessing import GuessLimits
from streamd.keys.service import KeyOptions, KeyService
from streamd.keys.store import KeyStore
from streamd.live.gop_cache import GopLimits
from streamd.live.live_stream import StreamLimits, StreamOptions
from streamd.live.picture_process import PictureProcess
from streamd.live.posters import Posters
from streamd.live.registry import LiveRegistry
from streamd.live.restart_record import RestartRecordFile
from streamd.live.waiters import WaiterBudget
from streamd.log import configure_logging
from streamd.metrics import Metrics
from streamd.outgoing.address_guard import AddressGuard
from streamd.outgoing.http_poster import HttpPoster
from streamd.packager.rendition import RenditionOptions
from streamd.packager.segmenter import SegmenterOptions
from streamd.rtmp.chunk import ChunkLimits
from streamd.rtmp.connection import ConnectionOptions
from streamd.web.admin import admin_app
from streamd.web.console import Console
from streamd.web.media import MediaRoutes
from streamd.web.obs import ObsDesk
from streamd.web.pages import Pages
from streamd.web.posters import PosterRoutes
from streamd.web.public import public_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from streamd.clock import Clock
    from streamd.config import Config, HttpConfig, RtmpConfig

log = logging.getLogger(__name__)

# A full collection walks every object of every stream in one step of the loop: 70 to 110 ms were measured with 200
# streams, one in six seconds. What the modules made at import never dies, so it is not walked; and since our own
# cycles are few, young objects are looked at less often, and old ones much less.
GC_THRESHOLDS = (20_000, 20, 100)

EXIT_OK = 0
EXIT_UNUSABLE = 2
# What a Python process needs of our environment to start. The rest may hold secrets, ours and other programs'.
WORKER_VARIABLES = ("LD_LIBRARY_PATH", "LD_PRELOAD", "PATH", "PYTHONHOME", "PYTHONPATH", "SYSTEMROOT")
# What happened last, the end of every stream, is told in this time or not at all: a moment for endpoints that answer.
WEBHOOK_DRAIN_S = 3.0
# Time limits are whole seconds, so looking at them once a second is on time.
SWEEP_INTERVAL_S = 1.0
# In the data directory.
RESTART_RECORD_NAME = "live-streams.json"


class StartError(StreamdError):
    """The server cannot start: its text is the one line that the operator reads."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the listeners are bound, as ``host:port``; empty where one is off."""

    rtmp: str
    rtmps: str
    http: str
    admin: str


class Server:
    """One streamd.

    Args:
        config: All of the configuration.
        clock: Where time comes from.
    """

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.config = config
        self._clock = clock or SystemClock()
        self.metrics = Metrics()
        limits = config.limits

        allowed = [ip_network(text) for text in config.webhooks.allow_networks]
        self._poster = HttpPoster(AddressGuard(allowed), f"streamd/{__version__}")
        self._webhooks = Webhooks(
            [
                Endpoint(
                    url=endpoint.url,
                    secret=endpoint.secret.get_secret_value(),
                    origin=endpoint.origin,
                    types=frozenset(endpoint.events or EventType),
                )
                for endpoint in config.webhooks.endpoints
            ],
            poster=self._poster,
            clock=self._clock,
            metrics=self.metrics,
            options=OutboxOptions(
                queue_max=config.webhooks.queue_max,
                timeout_s=config.webhooks.timeout_s,
                retry_for_s=config.webhooks.retry_for_s,
            ),
        )
        tell = self._webhooks.tell if config.webhooks.endpoints else unheard
        self._store = KeyStore(config.database_url)
        self.keys = KeyService(
            self._store,
            self._clock,
            KeyOptions(
                guess_limits=GuessLimits(
                    per_address=limits.failed_publishes_per_address_max, per_key=limits.failed_publishes_per_key_max
                ),
                denials_per_minute_max=limits.denials_per_minute_max,
            ),
            tell=tell,
        )
        budget = WaiterBudget(
            limits.waiting_requests_max, on_refused=self.metrics.limit_hits_total.labels("waiting_requests_max").inc
        )
        self.metrics.requests_waiting.set_function(lambda: budget.waiting)
        self.registry = LiveRegistry(
            options=StreamOptions(
                segmenter=SegmenterOptions(
                    part_target_ms=config.hls.part_target_ms, segment_target_ms=config.hls.segment_target_ms
                ),
                rendition=RenditionOptions(
                    window_segments=config.hls.window_segments,
                    low_latency=config.hls.low_latency,
                    held_bytes_max=limits.window_bytes_max,
                ),
                limits=StreamLimits(
                    bitrate_bps_max=limits.bitrate_kbps_max * 1000,
                    picture_pixels_max=limits.picture_pixels_max,
                    gop=GopLimits(payload_bytes_max=limits.gop_bytes_max),
                    intake=IntakeLimits(tracks_max=limits.tracks_max),
                ),
            ),
            clock=self._clock,
            metrics=self.metrics,
            budget=budget,
            streams_max=limits.streams_max,
            reconnect_window_s=config.live.reconnect_window_s,
            is_admissible=self.keys.is_admissible,
            tell=tell,
        )
        self.keys.attach(self.registry)
        self._rtmp = RtmpListener(
            keys=self.keys,
            registry=self.registry,
            clock=self._clock,
            metrics=self.metrics,
            options=IngestOptions(
                handshake_timeout_s=limits.handshake_timeout_s,
                publish_timeout_s=limits.publish_timeout_s,
                media_timeout_s=limits.media_timeout_s,
                verify_timeout_s=limits.verify_timeout_s,
                messages_per_second_max=limits.messages_per_second_max,
                unsent_bytes_max=limits.unsent_answers_bytes_max,
            ),
            connection_options=ConnectionOptions(
                command_bytes_max=limits.command_bytes_max,
                pending_bytes_max=limits.pending_bytes_max,
                chunk_limits=ChunkLimits(
                    message_bytes=limits.message_bytes_max,
                    chunk_streams=limits.chunk_streams_max,
                    partial_bytes=limits.held_bytes_max,
                    chunk_size=limits.chunk_size_min,
                    messages_per_read=limits.messages_per_read_max,
                ),
                amf_limits=AmfLimits(
                    depth=limits.amf_depth_max,
                    values=limits.amf_values_max,
                    string_bytes=limits.amf_string_bytes_max,
                ),
            ),
            limits=ListenerLimits(
                connections_max=limits.connections_max,
                connections_per_address_max=limits.connections_per_address_max,
                handshakes_max=limits.handshakes_max,
                unpublished_lines_per_minute_max=limits.unpublished_lines_per_minute_max,
            ),
            gate=self._publish_hook(),
        )
        self._history = History(self.metrics, self._clock)
        self._console: Console | None = None
        self._door: MediaDoor | None = None
        self._restart_record = RestartRecordFile(config.data_dir / RESTART_RECORD_NAME)
        self._certificates: list[TlsCertificate] = []
        self._runners: list[web.AppRunner] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._resources = contextlib.AsyncExitStack()
        self._is_stopping = False
        self.addresses = Addresses("", "", "", "")

    def _publish_hook(self) -> PublishHook | None:
        hook = self.config.publish_hook
        if not hook.url:
            return None
        return PublishHook(
            HookOptions(
                url=hook.url,
                secret=hook.secret.get_secret_value(),
                timeout_s=hook.timeout_s,
                allows_on_failure=hook.on_failure == "allow",
            ),
            poster=self._poster,
            clock=self._clock,
            metrics=self.metrics,
        )

    async def start(self) -> None:
        """Open the store, bind the listeners, and serve.

        Raises:
            StartError: A port is in use, or the data directory or the key store is unusable.
        """
        config = self.config
        try:
            prepare_data_dir(config.data_dir)
            lock = self._resources.enter_context(ServerLock(config.data_dir))
            token = config.admin.token.get_secret_value() or admin_token(config.data_dir)
            await self._store.start()
            self._resources.push_async_callback(self._store.close)
            await self.keys.start()
            self._resources.push_async_callback(self.keys.close)
        except (DataDirError, StoreUnavailableError) as exc:
            await self._resources.aclose()
            raise StartError(str(exc)) from exc

        self.registry.restore(self._restart_record.load())
        await self._poster.start()
        self._resources.push_async_callback(self._poster.close)
        self._webhooks.start()
        self._resources.push_async_callback(self._webhooks.close, WEBHOOK_DRAIN_S)

        pages = Pages(config.http.public_url, has_posters=config.http.posters)
        if not pages.has_player:
            log.warning(
                "player.missing",
                extra={"detail": "built without hls.js: browsers that play HLS themselves play, others are told so"},
            )
        public = public_app(
            registry=self.registry,
            media=MediaRoutes(
                registry=self.registry,
                is_taken_down=self.keys.is_suspended,
                clock=self._clock,
                metrics=self.metrics,
                write_timeout_s=config.limits.viewer_write_timeout_s,
            ),
            posters=self._poster_routes(),
            pages=pages,
            is_taken_down=self.keys.is_suspended,
            obs=ObsDesk(self.keys, config.obs_options, config.limits.verify_timeout_s),
        )
        self._console = Console(
            clock=self._clock,
            streams=self.registry,
            history=self._history,
            revision=lambda: self.keys.revision,
            public_origin=self._public_origin,
        )
        admin = admin_app(
            keys=self.keys,
            streams=self.registry,
            metrics=self.metrics.registry,
            token=token,
            rtmp_url=config.rtmp_url,
            console=self._console,
            hosts=config.admin.hosts,
            not_ready_because=lambda: "the server is stopping" if self._is_stopping else None,
        )
        try:
            http = await self._serve_viewers(public)
            admin_address = await self._serve_admin(admin)
            rtmp = await self._serve_rtmp("rtmp.listen", config.rtmp.listen)
            rtmps = await self._serve_rtmp(
                "rtmp.tls_listen", config.rtmp.tls_listen, self._certificate("rtmp", config.rtmp, alpn=())
            )
        except StartError:
            await self._close_doors()
            await self._resources.aclose()
            raise
        self.addresses = Addresses(rtmp, rtmps, http, admin_address)
        host, _, port = admin_address.rpartition(":")
        lock.announce(RunningServer(os.getpid(), host, int(port or 0)))
        self._tasks = [asyncio.create_task(self.keys.run()), asyncio.create_task(self._sweep())]
        log.info(
            "server.started",
            extra={
                "version": __version__,
                "rtmp": rtmp,
                "rtmps": rtmps,
                "http": http,
                "admin": admin_address,
                "pid": os.getpid(),
            },
        )

    async def stop(self) -> None:
        """End every stream, serve viewers the end of it for a while, and close."""
        self._is_stopping = True
        self._rtmp.stop_accepting()
        had_streams = any(self.registry.live())
        await self.registry.end_all()
        await self._rtmp.close()
        if had_streams:
            # Viewers fetch the last segments and learn of the end. Whoever has nothing to wait for does not wait.
            await self._drain()
        await self._close_doors()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._restart_record.save(self.registry.record())
        await self._resources.aclose()
        log.info("server.stopped")

    def _poster_routes(self) -> PosterRoutes | None:
        if not self.config.http.posters:
            return None
        environment = {name: os.environ[name] for name in WORKER_VARIABLES if name in os.environ}
        process = PictureProcess((sys.executable, "-m", "streamd.picture_worker"), environment)
        posters = Posters(process, self._clock, self.metrics)
        self._resources.push_async_callback(posters.close)
        return PosterRoutes(
            registry=self.registry, is_taken_down=self.keys.is_suspended, posters=posters, metrics=self.metrics
        )

    async def _serve_viewers(self, app: web.Application) -> str:
        """Listen for viewers: media through the thin door, everything else through aiohttp behind it."""
        config = self.config
        runner = await self._set_up(
            app,
            # A waiting request whose viewer has left is forgotten.
            handler_cancellation=True,
            keepalive_timeout=config.limits.viewer_idle_timeout_s,
        )
        assert runner.server is not None, "set up"
        self._door = MediaDoor(
            registry=self.registry,
            is_taken_down=self.keys.is_suspended,
            clock=self._clock,
            metrics=self.metrics,
            web_handler=runner.server,
            options=DoorOptions(
                connections_max=config.limits.viewer_connections_max,
                connections_per_address_max=config.limits.viewer_connections_per_address_max,
                head=HeadLimits(
                    head_bytes=config.limits.request_head_bytes_max,
                    request_line_bytes=config.limits.request_line_bytes_max,
                    fields=config.limits.request_fields_max,
                ),
                unanswered_bytes_max=config.limits.unanswered_bytes_max,
                head_timeout_s=config.limits.viewer_head_timeout_s,
                idle_timeout_s=config.limits.viewer_idle_timeout_s,
                write_timeout_s=config.limits.viewer_write_timeout_s,
                answer_timeout_s=config.limits.viewer_answer_timeout_s,
            ),
        )
        listen = config.http.listen
        certificate = self._certificate("http", config.http, alpn=("http/1.1",))
        try:
            return _bound(listen, await self._door.start(listen.host or None, listen.port, certificate))
        except OSError as exc:
            raise _cannot_bind("http.listen", listen, exc) from exc

    async def _serve_admin(self, app: web.Application) -> str:
        listen = self.config.admin.listen
        if listen is None:
            return ""
        runner = await self._set_up(app)
        try:
            await web.TCPSite(runner, listen.host or None, listen.port).start()
        except OSError as exc:
            raise _cannot_bind("admin.listen", listen, exc) from exc
        return _bound(listen, runner.addresses[0])

    async def _set_up(self, app: web.Application, **options: Any) -> web.AppRunner:
        runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            shutdown_timeout=self.config.limits.drain_timeout_s,
            **options,
        )
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def _serve_rtmp(
        self, name: str, listen: ListenAddress | None, certificate: TlsCertificate | None = None
    ) -> str:
        if listen is None:
            return ""
        tls = certificate.context if certificate is not None else None
        try:
            return _bound(listen, await self._rtmp.start(listen.host or None, listen.port, tls))
        except OSError as exc:
            raise _cannot_bind(name, listen, exc) from exc

    def _public_origin(self, hostname: str) -> str:
        """Where a browser that reached the admin port by this host name reaches the public port."""
        config = self.config
        if config.http.public_url:
            return config.http.public_url
        # The port that is bound, not the one that was asked for: that may be 0.
        _, _, port = self.addresses.http.rpartition(":")
        return f"{'https' if config.http.tls_cert else 'http'}://{hostname}:{port}"

    def _certificate(self, section: str, pair: RtmpConfig | HttpConfig, alpn: Sequence[str]) -> TlsCertificate | None:
        """Load the certificate of a section; the sweep watches its files."""
        if not pair.tls_cert:
            return None
        try:
            certificate = TlsCertificate(Path(pair.tls_cert), Path(pair.tls_key), alpn)
        except OSError as exc:
            why = exc.strerror or str(exc)
            raise StartError(f"{section}.tls_cert and {section}.tls_key: the certificate does not load: {why}") from exc
        self._certificates.append(certificate)
        return certificate

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            try:
                self._rtmp.check_deadlines()
                if self._door is not None:
                    self._door.check_deadlines()
                self.registry.sweep()
                await self._restart_record.save(self.registry.record())
                self._history.tick()
                if self._console is not None:
                    self._console.events.tick()
                for certificate in self._certificates:
                    certificate.reload_if_changed()
            except Exception:
                # Time limits must outlive a fault in one stream.
                log.exception("sweep.failed")

    async def _drain(self) -> None:
        # What is complete is fetched within a playlist reload, one target duration at most.
        longest_s = max((s.presentation.target_duration_s for s in self.registry.ended() if s.presentation), default=0)
        await asyncio.sleep(min(float(longest_s), self.config.limits.drain_timeout_s))

    async def _close_doors(self) -> None:
        self._rtmp.stop_accepting()
        if self._door is not None:
            await self._door.close(self.config.limits.drain_timeout_s)
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()


def run(config: Config) -> int:
    """Run the server until SIGTERM or SIGINT; what ``streamd serve`` does.

    Args:
        config: All of the configuration.

    Returns:
        The exit code: 0 after a signal, 2 when it cannot start.
    """
    return run_until_stopped(config, _wait_for_ever)


def run_until_stopped(config: Config, job: Callable[[Server], Awaitable[int]]) -> int:
    """Run a server beside a job, until the job is done or a signal comes.

    Args:
        config: All of the configuration.
        job: Gets the started server; its result is the exit code. Cancelled by a signal.

    Returns:
        The exit code.
    """
    configure_logging(config.log.level, config.log.format, secrets=secrets_of(config))
    try:
        return uvloop.run(_run(Server(config), job))
    except StartError as exc:
        sys.stderr.write(f"streamd: {exc}\n")
        return EXIT_UNUSABLE


async def _run(server: Server, job: Callable[[Server], Awaitable[int]]) -> int:
    await server.start()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    task = asyncio.ensure_future(job(server))
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return EXIT_OK
    finally:
        await server.stop()


async def _wait_for_ever(_: Server) -> int:
    await asyncio.Event().wait()
    return EXIT_OK


def _cannot_bind(name: str, listen: ListenAddress, exc: OSError) -> StartError:
    match exc.errno:
        case errno.EADDRINUSE:
            why = "is in use by another program; stop it or choose another port"
        case errno.EACCES:
            why = "needs privileges that this user does not have; choose a port above 1023"
        case _:
            why = f"cannot be bound: {exc.strerror or exc}"
    return StartError(f"{name} = {str(listen)!r}: the address {why}")


def _bound(listen: ListenAddress, address: tuple[str, int]) -> str:
    return str(ListenAddress(listen.host, address[1]))

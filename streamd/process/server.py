"""The whole server, put together. Below it nobody sees the whole configuration: options.py has what each is told.

Objects are built here, floor by floor, and handed down. What makes a process of it is process.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from dataclasses import asdict, dataclass
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from streamd import __version__
from streamd.clock import SystemClock
from streamd.doors.delivery.body_file import FILES_MAX
from streamd.doors.delivery.channels import PublicChannels
from streamd.doors.delivery.door import MediaDoor
from streamd.doors.delivery.handler_watch import HandlerWatch
from streamd.doors.delivery.listener import listen as listen_for_viewers
from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.ingest.listener import RtmpListener
from streamd.doors.outgoing.address_guard import AddressGuard
from streamd.doors.outgoing.http_poster import HttpPoster
from streamd.doors.tls.certificate import TlsCertificate
from streamd.doors.tls.handshakes import TlsHandshakes
from streamd.doors.tls.proxy_headers import ProxyHeaders
from streamd.doors.web.admin.api import admin_app
from streamd.doors.web.admin.console import Console
from streamd.doors.web.admin.places import AdminConnection, AdminPlaces
from streamd.doors.web.port import Port
from streamd.doors.web.protocol import WebProtocol
from streamd.doors.web.public.app import public_app
from streamd.doors.web.public.media import MediaRoutes
from streamd.doors.web.public.obs import ObsDesk
from streamd.doors.web.public.pages import Pages
from streamd.doors.web.public.posters import PosterRoutes
from streamd.doors.web.public.studio import Studio
from streamd.doors.web.session_file import SessionFile
from streamd.errors import DataDirError, StoreUnavailableError, StreamdError
from streamd.process.allocator import give_back_free_memory
from streamd.process.config import ListenAddress, secrets_of
from streamd.process.data_dir import RunningServer, ServerLock, admin_token, prepare_data_dir
from streamd.process.log import choose_lines, configure_logging
from streamd.process.loop_watch import LoopWatch
from streamd.process.memory_relief import MemoryRelief
from streamd.process.options import (
    RELOADABLE_SECTIONS,
    changed_settings,
    connection_options,
    door_options,
    handler_limits,
    handshake_limits,
    hook_options,
    ingest_options,
    listener_limits,
    loop_shares,
    media_timeouts,
    outbox_options,
    peer_line_limits,
    port_limits,
    stream_options,
    studio_options,
    verifier_options,
    webhook_endpoints,
)
from streamd.process.resources import Descriptors, MemoryCeiling, raise_descriptor_limit, share_descriptors
from streamd.process.service_manager import ServiceManager
from streamd.process.workers.picture_worker import WORKER_COMMAND, worker_environment
from streamd.services.audit.denial_log import ADMIN_DENIED
from streamd.services.bounds.memory_accounts import MemoryAccounts, Standing
from streamd.services.bounds.peer_lines import PeerLines
from streamd.services.events.event import unheard
from streamd.services.events.webhooks import Webhooks
from streamd.services.history import History
from streamd.services.keys.admission import Denial
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.publish_hook import PublishHook
from streamd.services.keys.service import KeyService
from streamd.services.keys.sweeper import KeySweeper
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.live.registry import LiveRegistry
from streamd.services.live.restart_record import RestartRecordFile
from streamd.services.live.waiters import WaiterBudget
from streamd.services.metrics import Metrics
from streamd.services.posters.picture_process import PictureProcess
from streamd.services.posters.posters import Posters

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from streamd.clock import Clock
    from streamd.doors.tls.handshakes import Accept, MakeProtocol, TlsGuard
    from streamd.process.config import Config, HttpConfig, RtmpConfig

log = logging.getLogger(__name__)

# What happened last, the end of every stream, is told in this time or not at all: a moment for endpoints that answer.
WEBHOOK_DRAIN_S = 3.0
# Time limits are whole seconds, so looking at them once a second is on time.
SWEEP_INTERVAL_S = 1.0
# Connections to the admin port that wait in the kernel.
ADMIN_BACKLOG = 128
# In the data directory.
RESTART_RECORD_NAME = "live-streams.json"
SESSIONS_NAME = "sessions.json"


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
        self._lines = PeerLines(peer_line_limits(config), now=self._clock.monotonic, count_limit=self._count_limit)

        allowed = [ip_network(text) for text in config.webhooks.allow_networks]
        self._poster = HttpPoster(AddressGuard(allowed), f"streamd/{__version__}")
        self._webhooks = Webhooks(
            webhook_endpoints(config),
            poster=self._poster,
            clock=self._clock,
            metrics=self.metrics,
            options=outbox_options(config),
        )
        tell = self._webhooks.tell if config.webhooks.endpoints else unheard
        self._store = KeyStore(config.database_url)
        self._verifier = KeyVerifier(self._store, self._clock, verifier_options(config))
        self.keys = KeyService(self._store, self._clock, self._verifier, tell=tell)
        self._key_sweeper = KeySweeper(self._store, self._clock, self._verifier, tell=tell)
        self._descriptors_max = raise_descriptor_limit()
        self._descriptors = self._share_descriptors(config)
        self._memory = MemoryCeiling(limits.memory_bytes_max, now=self._clock.monotonic)
        self.metrics.memory_used_bytes.set_function(lambda: self._memory.used_bytes)
        self.metrics.memory_ceiling_bytes.set_function(lambda: self._memory.ceiling_bytes)
        self._accounts = MemoryAccounts()
        for standing in Standing:
            self.metrics.held_bytes.labels(standing.name.lower()).set_function(
                partial(self._accounts.held_bytes, standing)
            )
        self._relief = MemoryRelief(
            self._memory, self._accounts, give_back=give_back_free_memory, now=self._clock.monotonic
        )
        self._budget = WaiterBudget(
            limits.waiting_requests_max,
            on_refused=self.metrics.limit_hits_total.labels("waiting_requests_max").inc,
            per_source_max=limits.waiting_requests_per_address_max,
            on_source_refused=self.metrics.limit_hits_total.labels("waiting_requests_per_address_max").inc,
        )
        self.metrics.requests_waiting.set_function(lambda: self._budget.waiting)
        self.registry = LiveRegistry(
            options=stream_options(config),
            clock=self._clock,
            metrics=self.metrics,
            budget=self._budget,
            streams_max=limits.streams_max,
            reconnect_window_s=config.live.reconnect_window_s,
            is_admissible=self._verifier.is_admissible,
            tell=tell,
            take_place=self._memory.admit,
        )
        self.metrics.media_held_bytes.set_function(lambda: self.registry.held_bytes)
        self._verifier.attach(self.registry)
        self._channels = PublicChannels(self.registry, self._verifier.is_suspended)
        self._rtmp = RtmpListener(
            keys=self._verifier,
            registry=self.registry,
            clock=self._clock,
            metrics=self.metrics,
            options=ingest_options(config),
            connection_options=connection_options(config),
            limits=listener_limits(config, self._descriptors.encoders),
            shares=loop_shares(config),
            gate=self._publish_hook(),
        )
        self._accounts.add(self._rtmp)
        self._handshakes = TlsHandshakes(handshake_limits(config, self._descriptors.handshakes), self._count_limit)
        self._history = History(self.metrics, self._clock)
        self._console: Console | None = None
        self._session_file = SessionFile(config.data_dir / SESSIONS_NAME, self._clock)
        self._door: MediaDoor | None = None
        self._media: MediaRoutes | None = None
        self._public_port = Port("public", self._clock, self.metrics, port_limits(config))
        self._admin_port = Port("admin", self._clock, self.metrics, port_limits(config))
        self._admin_places = AdminPlaces(self._admin_port, self._clock)
        self._admin_connections: HandlerWatch | None = None
        self._admin_server: asyncio.Server | None = None
        self._obs = ObsDesk(self._verifier, config.obs_options, self.metrics, config.limits.verify_timeout_s)
        self._restart_record = RestartRecordFile(config.data_dir / RESTART_RECORD_NAME)
        self._certificates: list[TlsCertificate] = []
        self._proxy_headers: list[ProxyHeaders] = []
        self._runners: list[web.AppRunner] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._resources = contextlib.AsyncExitStack()
        self._is_stopping = False
        self._hurry = asyncio.Event()
        self.manager = ServiceManager()
        self._watch = LoopWatch(self._clock, self.metrics, self.manager.alive)
        self.addresses = Addresses("", "", "", "")

    def _count_limit(self, limit: str) -> None:
        self.metrics.limit_hits_total.labels(limit).inc()

    def _publish_hook(self) -> PublishHook | None:
        options = hook_options(self.config)
        if options is None:
            return None
        return PublishHook(options, poster=self._poster, clock=self._clock, metrics=self.metrics)

    async def start(self) -> None:
        """Open the store, bind the listeners, and serve.

        Raises:
            StartError: A port is in use, or the data directory or the key store is unusable.
        """
        lock, token = await self._open()
        self._resources.callback(choose_lines(self._lines))
        self.registry.restore(self._restart_record.load())
        await self._poster.start()
        self._resources.push_async_callback(self._poster.close)
        self._webhooks.start()
        self._resources.push_async_callback(self._webhooks.close, WEBHOOK_DRAIN_S)
        try:
            self.addresses = await self._listen(self._public_app(), self._admin_app(token))
        except StartError:
            await self._close_doors()
            await self._resources.aclose()
            raise
        host, _, port = self.addresses.admin.rpartition(":")
        lock.announce(RunningServer(os.getpid(), host, int(port or 0)))
        self._tasks = [asyncio.create_task(self._key_sweeper.run()), asyncio.create_task(self._sweep())]
        self._watch.start()
        log.info("server.started", extra={"version": __version__, **asdict(self.addresses), "pid": os.getpid()})
        self._tell_of_descriptors()
        loop = asyncio.get_running_loop()
        self.metrics.tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
        self.manager.ready()

    def reload(self, config: Config) -> None:
        """Take from a configuration that was read again what can be taken, and say of the rest that it cannot.

        Args:
            config: Without a fault. What runs on what it began with goes on with it: streams and open connections.
        """
        changes = dict(changed_settings(self.config, config))
        taken = [name for name, is_reloadable in changes.items() if is_reloadable]
        left = [name for name, is_reloadable in changes.items() if not is_reloadable]
        # What was left is still to be told of at the next time.
        self.config = config = self.config.model_copy(
            update={section: getattr(config, section) for section in RELOADABLE_SECTIONS}
        )
        limits = config.limits
        self._descriptors = self._share_descriptors(config)
        self._memory.set(limits.memory_bytes_max)
        self._budget.waiting_max = limits.waiting_requests_max
        self._budget.per_source_max = limits.waiting_requests_per_address_max
        self._verifier.configure(verifier_options(config))
        self.registry.configure(
            stream_options(config),
            streams_max=limits.streams_max,
            reconnect_window_s=config.live.reconnect_window_s,
        )
        self._rtmp.configure(
            ingest_options(config),
            connection_options(config),
            listener_limits(config, self._descriptors.encoders),
            loop_shares(config),
        )
        self._handshakes.limits = handshake_limits(config, self._descriptors.handshakes)
        for headers in self._proxy_headers:
            headers.timeout_s = limits.proxy_header_timeout_s
        if self._door is not None:
            self._door.configure(door_options(config, self._descriptors))
        if self._media is not None:
            self._media.timeouts = media_timeouts(config)
        self._public_port.configure(port_limits(config))
        self._admin_port.configure(port_limits(config))
        if self._admin_connections is not None:
            self._admin_connections.limits = handler_limits(config)
        self._obs.configure(config.obs_options, limits.verify_timeout_s)
        for certificate in self._certificates:
            certificate.reload_if_changed()
        self._lines.configure(peer_line_limits(config))
        configure_logging(config.log.level, config.log.format, secrets=secrets_of(config), lines=self._lines)
        self._tell_of_descriptors()
        log.info("config.reloaded", extra={"changed": taken})
        if left:
            log.warning("config.restart_needed", extra={"not_changed": left})

    def hurry(self) -> None:
        """Close without a time for viewers: whoever stops us has no more patience."""
        self._hurry.set()

    async def stop(self) -> None:
        """End every stream, serve viewers the end of it for a while, and close."""
        self._is_stopping = True
        self.manager.stopping()
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
        await self._session_file.save(is_last=True)
        self._watch.stop()
        await self._resources.aclose()
        log.info("server.stopped")

    async def _open(self) -> tuple[ServerLock, str]:
        """Take the data directory and the key store; its lock and the admin token."""
        config = self.config
        try:
            prepare_data_dir(config.data_dir)
            lock = self._resources.enter_context(ServerLock(config.data_dir))
            token = config.admin.token.get_secret_value() or admin_token(config.data_dir)
            await self._store.start()
            self._resources.push_async_callback(self._store.close)
            await self._verifier.start()
            self._resources.push_async_callback(self._key_sweeper.close)
            self._resources.push_async_callback(self.keys.close)
        except (DataDirError, StoreUnavailableError) as exc:
            await self._resources.aclose()
            raise StartError(str(exc)) from exc
        return lock, token

    def _public_app(self) -> web.Application:
        """What viewers and broadcasters are answered beside media."""
        config = self.config
        pages = Pages(config.http.public_url, has_posters=config.http.posters)
        if not pages.has_player:
            log.warning(
                "player.missing",
                extra={"detail": "built without hls.js: browsers that play HLS themselves play, others are told so"},
            )
        self._media = MediaRoutes(
            channels=self._channels,
            clock=self._clock,
            metrics=self.metrics,
            timeouts=media_timeouts(config),
        )
        studio = Studio(
            keys=self._verifier,
            streams=self.registry,
            clock=self._clock,
            files=pages.files,
            options=studio_options(config),
        )
        self._session_file.keep("studio", studio)
        return public_app(
            channels=self._channels,
            media=self._media,
            posters=self._poster_routes(),
            pages=pages,
            studio=studio,
            obs=self._obs,
            proxies=TrustedProxies(config.http.trusted_proxies),
            port=self._public_port,
            clock=self._clock,
            public_url=config.http.public_url,
            hsts_max_age_s=config.http.hsts_max_age_s,
        )

    def _admin_app(self, token: str) -> web.Application:
        """What operators are answered."""
        self._console = Console(
            clock=self._clock,
            streams=self.registry,
            history=self._history,
            revision=lambda: self.keys.revision,
            public_origin=self._public_origin,
            token=token,
        )
        self._session_file.keep("console", self._console)
        return admin_app(
            keys=self.keys,
            streams=self.registry,
            metrics=self.metrics.registry,
            token=token,
            rtmp_url=self.config.rtmp_url,
            console=self._console,
            hosts=self.config.admin.hosts,
            port=self._admin_port,
            clock=self._clock,
            not_ready_because=lambda: "the server is stopping" if self._is_stopping else None,
            on_wrong_token=self._note_wrong_token,
        )

    def _note_wrong_token(self, address: str) -> None:
        """Have the audit log tell of a wrong admin token, as it tells of refused publishes."""
        self._verifier.denials.note(
            Denial.UNKNOWN,
            address,
            None,
            at=self._clock.now(),
            now=self._clock.monotonic(),
            action=ADMIN_DENIED,
        )

    async def _listen(self, public: web.Application, admin: web.Application) -> Addresses:
        """Bind every listener; RTMP last, so that what is published can be seen."""
        rtmp = self.config.rtmp
        return Addresses(
            http=await self._serve_viewers(public),
            admin=await self._serve_admin(admin),
            rtmp=await self._serve_rtmp("rtmp.listen", rtmp.listen, alpn=None),
            rtmps=await self._serve_rtmp("rtmp.tls_listen", rtmp.tls_listen, alpn=()),
        )

    def _poster_routes(self) -> PosterRoutes | None:
        if not self.config.http.posters:
            return None
        process = PictureProcess(WORKER_COMMAND, worker_environment(os.environ), self._clock)
        posters = Posters(process, self._clock, self.metrics)
        self._resources.push_async_callback(posters.close)
        return PosterRoutes(channels=self._channels, posters=posters, metrics=self.metrics)

    async def _serve_viewers(self, app: web.Application) -> str:
        """Listen for viewers: media through the thin door, everything else through aiohttp behind it."""
        config = self.config
        runner = await self._set_up(
            app,
            # A waiting request whose viewer has left is forgotten.
            handler_cancellation=True,
        )
        server, port = runner.server, self._public_port
        assert server is not None, "set up"
        self._door = MediaDoor(
            channels=self._channels,
            clock=self._clock,
            metrics=self.metrics,
            web_handler=lambda: WebProtocol(
                server, port.refusals, port.budget, self.config.limits.viewer_idle_timeout_s
            ),
            options=door_options(config, self._descriptors),
        )
        self._accounts.add(self._door)
        listen = config.http.listen
        proxies = config.http.trusted_proxies if config.http.proxy_protocol else ()
        guard = self._guard("http", config.http, proxies, alpn=("http/1.1",))
        try:
            return _bound(listen, await listen_for_viewers(self._door, listen.host or None, listen.port, guard))
        except OSError as exc:
            raise _cannot_bind("http.listen", listen, exc) from exc

    async def _serve_admin(self, app: web.Application) -> str:
        listen = self.config.admin.listen
        if listen is None:
            return ""
        runner = await self._set_up(app)
        server, port, places = runner.server, self._admin_port, self._admin_places
        assert server is not None, "set up"
        self._admin_connections = HandlerWatch(
            lambda: AdminConnection(places, server, port),
            now=self._clock.monotonic,
            count_limit=lambda limit: self.metrics.limit_hits_total.labels(limit).inc(),
            limits=handler_limits(self.config),
        )
        self._accounts.add(self._admin_connections)
        try:
            self._admin_server = await asyncio.get_running_loop().create_server(
                self._admin_connections, listen.host or None, listen.port, backlog=ADMIN_BACKLOG
            )
        except OSError as exc:
            raise _cannot_bind("admin.listen", listen, exc) from exc
        return _bound(listen, self._admin_server.sockets[0].getsockname())

    async def _set_up(self, app: web.Application, **options: Any) -> web.AppRunner:
        runner = web.AppRunner(
            app,
            handle_signals=False,
            shutdown_timeout=self.config.limits.drain_timeout_s,
            **options,
        )
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def _serve_rtmp(self, name: str, listen: ListenAddress | None, alpn: Sequence[str] | None) -> str:
        if listen is None:
            return ""
        rtmp = self.config.rtmp
        guard = self._guard("rtmp", rtmp, rtmp.trusted_proxies, alpn)
        try:
            return _bound(listen, await self._rtmp.start(listen.host or None, listen.port, guard))
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

    def _guard(
        self, section: str, pair: RtmpConfig | HttpConfig, proxies: Sequence[str], alpn: Sequence[str] | None
    ) -> TlsGuard | None:
        """What a listener has before its protocols.

        Args:
            section: Of the configuration.
            pair: The section, with the files of its certificate, which the sweep watches.
            proxies: Networks whose connections begin with a PROXY header.
            alpn: What TLS offers; None for a listener without TLS.

        Returns:
            None for nothing.
        """
        context = self._tls_context(section, pair, alpn) if alpn is not None and pair.tls_cert else None
        if proxies:
            headers = ProxyHeaders(
                TrustedProxies(proxies).trusts, self.config.limits.proxy_header_timeout_s, self._count_limit
            )
            self._proxy_headers.append(headers)

            def guard(make_protocol: MakeProtocol, accept: Accept | None = None, /) -> MakeProtocol:
                tls = partial(self._handshakes.begin, context, accept=accept) if context is not None else None
                return headers.guard(tls, make_protocol)

            return guard
        return partial(self._handshakes.guard, context) if context is not None else None

    def _tls_context(self, section: str, pair: RtmpConfig | HttpConfig, alpn: Sequence[str]) -> ssl.SSLContext:
        try:
            certificate = TlsCertificate(Path(pair.tls_cert), Path(pair.tls_key), alpn)
        except OSError as exc:
            why = exc.strerror or str(exc)
            raise StartError(f"{section}.tls_cert and {section}.tls_key: the certificate does not load: {why}") from exc
        self._certificates.append(certificate)
        return certificate.context

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            try:
                self._rtmp.check_deadlines()
                if self._door is not None:
                    self._door.check_deadlines()
                self._admin_places.check_deadlines()
                if self._admin_connections is not None:
                    self._admin_connections.check_deadlines()
                await self.registry.sweep()
                await self._restart_record.save(self.registry.record())
                await self._session_file.save()
                self._history.tick()
                if self._console is not None:
                    self._console.events.tick()
                self._relief.look()
                self._lines.tell()
                for certificate in self._certificates:
                    certificate.reload_if_changed()
            except Exception:
                # Time limits must outlive a fault in one stream.
                log.exception("sweep.failed")

    def _share_descriptors(self, config: Config) -> Descriptors:
        limits = config.limits
        has_tls = config.http.tls_cert or config.rtmp.tls_listen
        return share_descriptors(
            limits.connections_max,
            limits.viewer_connections_max,
            FILES_MAX,
            limits.tls_handshakes_max if has_tls else 0,
            self._descriptors_max,
        )

    def _tell_of_descriptors(self) -> None:
        limits, shared = self.config.limits, self._descriptors
        if (shared.encoders, shared.viewers) != (limits.connections_max, limits.viewer_connections_max):
            log.warning(
                "descriptors.short",
                extra={
                    "descriptors": self._descriptors_max,
                    "connections_max": shared.encoders,
                    "viewer_connections_max": shared.viewers,
                },
            )

    async def _drain(self) -> None:
        # What is complete is fetched within a playlist reload, one target duration at most.
        longest_s = max((s.presentation.target_duration_s for s in self.registry.ended() if s.presentation), default=0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(float(longest_s), self.config.limits.drain_timeout_s)):
                await self._hurry.wait()

    async def _close_doors(self) -> None:
        self._rtmp.stop_accepting()
        if self._door is not None:
            await self._door.close(0 if self._hurry.is_set() else self.config.limits.drain_timeout_s)
        if self._admin_server is not None:
            self._admin_server.close()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()


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

"""The admin port: the API and the console of operators, on few places, behind a token."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from streamd.doors.delivery.handler_watch import HandlerWatch
from streamd.doors.delivery.push_path import PushFormat
from streamd.doors.web.admin.api import admin_app
from streamd.doors.web.admin.clips import ClipDesk
from streamd.doors.web.admin.console import Console
from streamd.doors.web.admin.exports import ExportDesk
from streamd.doors.web.admin.nodes import NodeDesk
from streamd.doors.web.admin.places import AdminConnection, AdminPlaces
from streamd.doors.web.admin.playback import PlaybackDesk
from streamd.doors.web.admin.recordings import RecordingDesk
from streamd.doors.web.admin.restream import RestreamDesk
from streamd.doors.web.port import Port
from streamd.process.binding import bound, cannot_bind, try_address
from streamd.process.options import handler_limits, port_limits
from streamd.services.audit.denial_log import ADMIN_DENIED
from streamd.services.keys.admission import Denial

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from streamd.doors.web.openapi import Operation
    from streamd.doors.web.session_file import SessionFile
    from streamd.process.config import Config
    from streamd.process.readiness import Readiness
    from streamd.process.services import Services

# Why a good token was refused, as the audit log says it.
WRONG_CODE = "wrong_code"
# Connections to the admin port that wait in the kernel.
ADMIN_BACKLOG = 128


class AdminDoor:
    """The port that operators reach over HTTP.

    Args:
        config: All of the configuration.
        services: Asked by its routes.
        public_origin: Where a browser that reached this port by a host name reaches the public one.
        readiness: Says whether broadcasters should be sent to this server.
        sessions: Keeps those of the console for the next server.
    """

    def __init__(
        self,
        config: Config,
        services: Services,
        *,
        public_origin: Callable[[str], str],
        readiness: Readiness,
        sessions: SessionFile,
    ) -> None:
        self._config = config
        self._services = services
        self._readiness = readiness
        self._port = Port("admin", services.clock, services.metrics, port_limits(config))
        self._places = AdminPlaces(self._port, services.clock)
        index = services.recordings.recorder.index
        self._console = Console(
            clock=services.clock,
            streams=services.streams,
            history=services.history,
            revision=lambda: services.keys.revision + index.edits + index.begun_or_ended,
            public_origin=public_origin,
            operators=services.operators,
            on_wrong_code=self._note_wrong_code,
            recording_of=services.recordings.recorder.recording_of,
            on_token_over=self._end_previews,
            has_cases=services.moderation is not None,
            has_targets=services.restream is not None,
        )
        if (moderation := services.moderation) is not None:
            desk = moderation.desk
            desk.listen(lambda: self._console.events.tell("cases", str(desk.revision).encode()))
        self._sessions = sessions
        self._connections = HandlerWatch(
            self._web_handler,
            now=services.clock.monotonic,
            count_limit=services.metrics.count_limit,
            limits=handler_limits(config),
        )
        services.machine.accounts.add(self._connections)
        self._runner: web.AppRunner | None = None
        self._servers: list[asyncio.Server] = []

    async def open(self, token: str, sockets: Sequence[socket.socket] = ()) -> str:
        """Listen for operators.

        Args:
            token: The admin token.
            sockets: Those that listen already; none where the address is to be bound here.

        Returns:
            The address that is bound; empty where it is switched off.

        Raises:
            StartError: It cannot be bound.
        """
        listen = self._config.admin.listen
        if listen is None:
            return ""
        self._console.sessions.secret = token
        self._sessions.keep("console", self._console)
        self._runner = web.AppRunner(
            self._app(token), handle_signals=False, shutdown_timeout=self._config.limits.drain_timeout_s
        )
        await self._runner.setup()
        if sockets:
            for each in sockets:
                self._servers.append(await asyncio.get_running_loop().create_server(self._connections, sock=each))
            return bound(listen, sockets[0].getsockname())
        try:
            try_address(listen)
            server = await asyncio.get_running_loop().create_server(
                self._connections, listen.host or None, listen.port, backlog=ADMIN_BACKLOG
            )
        except OSError as exc:
            raise cannot_bind("admin.listen", listen, exc) from exc
        self._servers.append(server)
        return bound(listen, server.sockets[0].getsockname())

    def configure(self, config: Config) -> None:
        """Take other limits."""
        self._config = config
        self._port.configure(port_limits(config))
        self._connections.limits = handler_limits(config)

    def check_deadlines(self) -> None:
        """Close what has used up its time; called about once a second."""
        self._places.check_deadlines()
        self._connections.check_deadlines()

    def _end_previews(self) -> None:
        """An operator who may not look at streams any more looks at none; others ask anew."""
        services = self._services
        services.previews.end_all()
        for channel in services.registry.channels():
            for kind in PushFormat:
                if (fanout := channel.fanout(kind.value)) is not None:
                    fanout.end_previews()

    def tick(self) -> None:
        """Tell consoles what is new; called about once a second, after the figures were read."""
        self._console.tick()

    async def close(self) -> None:
        """Answer what is asked, and close."""
        for server in self._servers:
            server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def _web_handler(self) -> AdminConnection:
        assert self._runner is not None, "opened"
        server = self._runner.server
        assert server is not None, "set up"
        return AdminConnection(self._places, server, self._port)

    def _app(self, token: str) -> web.Application:
        config, services = self._config, self._services
        kept = services.recordings
        playback = PlaybackDesk(services.playback.service, services.clock)
        return admin_app(
            keys=services.keys,
            streams=services.streams,
            metrics=services.metrics.registry,
            merged=services.workers.merged_metrics if services.workers is not None else None,
            token=token,
            rtmp_urls=config.rtmp_urls,
            console=self._console,
            preview_ticket=services.previews.ticket,
            recordings=RecordingDesk(kept.recorder, services.clock, services.keys.takedowns.note, playback),
            more=(
                *ClipDesk(kept.clips, kept.recorder).operations(),
                *ExportDesk(kept.exports, kept.recorder).operations(),
                *self._moderation_calls(),
                *(NodeDesk(services.cluster).operations() if services.cluster is not None else ()),
                *(RestreamDesk(services.restream.service).operations() if services.restream is not None else ()),
            ),
            playback=playback,
            kick_elsewhere=services.cluster.kick_elsewhere if services.cluster is not None else None,
            forget=services.restream.service.forget if services.restream is not None else None,
            operators=services.operators,
            hosts=config.admin.hosts,
            port=self._port,
            clock=services.clock,
            not_ready_because=self._readiness.why_not,
            warnings=self._readiness.warnings,
            on_wrong_token=self._note_wrong_token,
        )

    def _moderation_calls(self) -> list[Operation]:
        """The calls about what is reported, decided and shown, where moderation is on."""
        rooms = self._services.moderation
        if rooms is None:
            return []
        from streamd.process.moderation_doors import moderation_calls

        return moderation_calls(rooms)

    def _note_wrong_code(self, name: str, address: str) -> None:
        """Have the audit log tell of a good token that was shown with a wrong code: somebody else may have it."""
        clock = self._services.clock
        self._services.verifier.denials.note(
            WRONG_CODE, address, None, at=clock.now(), now=clock.monotonic(), action=ADMIN_DENIED, subject=name
        )

    def _note_wrong_token(self, address: str) -> None:
        """Have the audit log tell of a wrong admin token, as it tells of refused publishes."""
        clock = self._services.clock
        self._services.verifier.denials.note(
            Denial.UNKNOWN, address, None, at=clock.now(), now=clock.monotonic(), action=ADMIN_DENIED
        )

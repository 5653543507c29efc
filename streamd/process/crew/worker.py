"""A worker: a server that shares ports, admin port and store with others, and what it does for them and they for it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import structlog

from streamd.process.config import ListenAddress
from streamd.process.crew import web_relay
from streamd.process.crew.roll import Roll
from streamd.process.crew.room import WorkersRoom
from streamd.process.crew.seat import Seat
from streamd.process.doors import Addresses
from streamd.process.run import EXIT_OK, run_until_stopped

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.doors.ingest.listener import RtmpListener
    from streamd.process.admin_door import AdminDoor
    from streamd.process.cluster import ClusterRoom
    from streamd.process.config import Config
    from streamd.process.crew.link import Message
    from streamd.process.guards import Guards
    from streamd.process.public_door import PublicDoor
    from streamd.process.server import Server
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

LOAD_INTERVAL_S = 1.0


def run(
    config: Config, read_again: Callable[[], Config], *, number: int, sock: socket.socket, is_final: bool = False
) -> int:
    """Run a worker until SIGTERM, or until the supervisor is gone.

    Args:
        config: All of the configuration.
        read_again: Reads it again; called when the supervisor says so.
        number: Which worker this is, from 0.
        sock: Its end of the line to the supervisor.
        is_final: Its end ends the broadcasts.

    Returns:
        The exit code.
    """
    structlog.contextvars.bind_contextvars(worker=number)
    seat = WorkerSeat(number, sock, read_again)
    return run_until_stopped(config, seat.work, is_final=is_final, seat=seat)


class WorkerSeat:
    """The place of a worker among the others.

    Args:
        number: Which one it is, from 0.
        sock: Its end of the line to the supervisor.
        read_again: Reads the configuration again.

    Attributes:
        number: As given.
        seat: The line.
    """

    def __init__(self, number: int, sock: socket.socket, read_again: Callable[[], Config]) -> None:
        self.number = number
        self._read_again = read_again
        self.seat = Seat(sock)
        self._rtmp: RtmpListener | None = None
        self._roll: Roll | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def own_name(self, name: str) -> str:
        """The name of a file that each worker has its own of; the first one has that of a single process."""
        path = PurePath(name)
        return name if not self.number else f"{path.stem}.w{self.number}{path.suffix}"

    def room(self, config: Config, clock: Clock, metrics: Metrics) -> WorkersRoom:
        """Make its part among the others."""
        return WorkersRoom(config, clock, metrics, self.seat, self.number)

    def roll(self, registry: LiveRegistry, room: ClusterRoom, metrics: Metrics) -> Roll:
        """Know of the streams of the others, and tell them of ours."""
        self._roll = Roll(self.seat, self.number, registry, room.node.edges, metrics.registry)
        return self._roll

    async def open(self, server: Server) -> None:
        """Hear who we are; what all are told from now on waits until we can do it."""
        await self.seat.open()

        async def reload(_: Message) -> None:
            server.reload(self._read_again())

        self.seat.on("reload", reload)
        self.seat.join()

    async def open_doors(
        self, config: Config, guards: Guards, public: PublicDoor, admin: AdminDoor, rtmp: RtmpListener, token: str
    ) -> Addresses:
        """Open the doors that this worker has.

        Returns:
            Where the server's are.

        Raises:
            StartError: A certificate does not load, or a port cannot be bound.
        """
        seat, welcome = self.seat, self.seat.welcome
        self._rtmp = rtmp
        await public.open(guards, ListenAddress.parse(welcome.http))
        at = config.rtmp
        takes = {}
        for door, is_open, alpn in (("rtmp", welcome.rtmp, None), ("rtmps", welcome.rtmps, ())):
            if is_open:
                takes[door] = rtmp.take_from_elsewhere(guards.make("rtmp", at, at.trusted_proxies, alpn))
        seat.on_take(lambda door, sock: takes[door](sock))
        if welcome.is_first:
            await admin.open(token, seat.admin)
            seat.on_line("web", lambda about, sock: self._take_web(public, about, sock))
        else:
            public.hand_on_to(self._hand_on)
        return Addresses(welcome.rtmp, welcome.rtmps, welcome.http, welcome.admin)

    async def work(self, _: Server) -> int:
        """Serve until the supervisor is gone, or a signal cancels it."""
        seat = self.seat
        seat.begin()
        if self._roll is not None and seat.welcome.is_first:
            self._keep(asyncio.create_task(self._roll.run()))
        while not seat.gone.is_set():
            seat.tell_load(self._rtmp.open_connections if self._rtmp is not None else 0)
            try:
                async with asyncio.timeout(LOAD_INTERVAL_S):
                    await seat.gone.wait()
            except TimeoutError:
                continue
        log.error("supervisor.gone")
        return EXIT_OK

    def _hand_on(
        self, transport: asyncio.Transport, data: bytes, is_half_closed: bool, on_closed: Callable[[], None]
    ) -> None:
        """Have the first worker answer what is no request for media."""
        peer = transport.get_extra_info("peername") or ("unknown", 0)
        about = {"web": {"peer": list(peer[:2]), "tls": transport.get_extra_info("sslcontext") is not None}}
        try:
            line = self.seat.connect(0, about)
        except OSError as exc:
            log.warning("relay.failed", extra={"reason": str(exc)})
            transport.abort()
            on_closed()
            return
        self._keep(web_relay.relay(transport, data, is_half_closed, line, on_closed))

    def _take_web(self, public: PublicDoor, about: Any, sock: socket.socket) -> None:
        match about:
            case {"peer": [str(), int()], "tls": bool()}:
                protocol = public.viewer_connection()
                self._keep(asyncio.create_task(web_relay.take(sock, about, protocol)))
            case _:
                sock.close()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

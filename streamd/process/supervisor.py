"""A server of several processes: the supervisor starts the workers, hands them broadcasters, and is what signals reach.

Viewers reach a worker by themselves, as all listen on one port (``SO_REUSEPORT``). Broadcasters are accepted here and
handed to the worker with the fewest, as the kernel spreads a few long connections badly. The admin port is the first
worker's, on a socket that is kept here. With one worker none of this is loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import uvloop

from streamd import __version__
from streamd.errors import ConfigError, DataDirError
from streamd.process.binding import StartError, bound
from streamd.process.config import secrets_of
from streamd.process.crew import link as lines
from streamd.process.crew import ports
from streamd.process.crew.crew import Crew
from streamd.process.crew.kept_entries import KeptEntries
from streamd.process.data_dir import RunningServer, ServerLock, admin_token, prepare_data_dir
from streamd.process.log import configure_logging
from streamd.process.service_manager import ServiceManager

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from streamd.process.config import Config
    from streamd.process.config.values import ListenAddress
    from streamd.process.crew.confirmations import Asked
    from streamd.process.crew.link import Link

log = logging.getLogger(__name__)

EXIT_UNUSABLE = 2
LOOK_INTERVAL_S = 1.0
# As the listeners of a single process have (doors/ingest/listener.py, process/admin_door.py).
RTMP_BACKLOG = 1024
ADMIN_BACKLOG = 128
# Connections that are accepted before others have their turn.
ACCEPTS_PER_TURN = 64
# A reload reads the files of certificates and of countries.
RELOAD_S = 30.0


def run(config: Config, command: Sequence[str], count: int, read_again: Callable[[], Config]) -> int:
    """Run a server of several workers until SIGTERM or SIGINT; what ``streamd serve`` does for more than one.

    Args:
        config: All of the configuration.
        command: Starts a worker, with its number and the descriptor of its line added.
        count: How many workers.
        read_again: Reads the configuration again; called at SIGHUP, to refuse one that is faulty.

    Returns:
        The exit code: 0 after a signal, 2 when it cannot start.
    """
    configure_logging(config.log.level, config.log.format, secrets=secrets_of(config))
    try:
        return uvloop.run(Supervisor(config, command, count, read_again).run())
    except (StartError, DataDirError) as exc:
        sys.stderr.write(f"streamd: {exc}\n")
        return EXIT_UNUSABLE


class Supervisor:
    """One server of several workers.

    Args:
        config: All of the configuration.
        command: Starts a worker, with its number and the descriptor of its line added.
        count: How many.
        read_again: Reads the configuration again.
    """

    def __init__(self, config: Config, command: Sequence[str], count: int, read_again: Callable[[], Config]) -> None:
        self._config = config
        self._command = command
        self._count = count
        self._read_again = read_again
        self._manager = ServiceManager()
        self._sockets = contextlib.ExitStack()
        self._doors: dict[str, list[socket.socket]] = {}
        self._stop = asyncio.Event()
        self._crew: Crew

    async def run(self) -> int:
        """Serve until a signal.

        Returns:
            The exit code.

        Raises:
            StartError: A port cannot be bound.
            DataDirError: The data directory is unusable.
        """
        config, loop = self._config, asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        with self._sockets as sockets:
            prepare_data_dir(config.data_dir)
            lock = sockets.enter_context(ServerLock(config.data_dir))
            # Workers read it: it is there before they are.
            _ = config.admin.token.get_secret_value() or admin_token(config.data_dir)
            self._bind()
            self._crew = crew = Crew(self._count, self._spawn, self._welcome, now=loop.time, later=loop.call_later)
            kept = KeptEntries(config.data_dir, crew.switchboard)
            kept.load()
            code = await self._until_stopped(crew.start())
            if code is None and not self._stop.is_set():
                self._open(lock)
                await self._watch(kept)
            self._manager.stopping()
            self._close_rtmp()
            crew.begin_stop()
            crew.signal_all(signal.SIGTERM)
            ended = await crew.stop()
            await kept.save()
        if code is not None:
            return code
        log.info("server.stopped")
        return ended

    async def _until_stopped(self, starting: Coroutine[Any, Any, int | None]) -> int | None:
        """Wait for the start, or for a signal that comes before it is over."""
        start, stop = asyncio.ensure_future(starting), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
            return start.result() if start.done() else None
        finally:
            for each in (start, stop):
                each.cancel()

    # -- start and stop ----------------------------------------------------------------------------

    def _bind(self) -> None:
        rtmp, http, admin = self._config.rtmp, self._config.http, self._config.admin
        doors = self._doors
        doors["http"] = ports.keep("http.listen", http.listen)
        for name, address, backlog in (
            ("admin", admin.listen, ADMIN_BACKLOG),
            ("rtmp", rtmp.listen, RTMP_BACKLOG),
            ("rtmps", rtmp.tls_listen, RTMP_BACKLOG),
        ):
            setting = f"{name}.listen" if name != "rtmps" else "rtmp.tls_listen"
            doors[name] = ports.listen(setting, address, backlog) if address is not None else []
        for each in (sock for sockets in doors.values() for sock in sockets):
            self._sockets.callback(each.close)

    def _open(self, lock: ServerLock) -> None:
        """Let broadcasters in, and say where we are."""
        loop = asyncio.get_running_loop()
        for door in ("rtmp", "rtmps"):
            for listener in self._doors[door]:
                loop.add_reader(listener.fileno(), self._accept, door, listener)
        addresses = self._addresses()
        host, _, port = addresses["admin"].rpartition(":")
        lock.announce(RunningServer(os.getpid(), host, int(port or 0)))
        told = {"version": __version__, **addresses, "pid": os.getpid(), "workers": self._count}
        log.info("server.started", extra=told)
        self._manager.ready()

    def _close_rtmp(self) -> None:
        loop = asyncio.get_running_loop()
        for door in ("rtmp", "rtmps"):
            for listener in self._doors[door]:
                loop.remove_reader(listener.fileno())
                listener.close()

    async def _watch(self, kept: KeptEntries) -> None:
        """Look at the workers once a second, until a signal comes."""
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), LOOK_INTERVAL_S)
            if self._crew.look():
                self._manager.alive()
            await kept.save()

    def _end(self) -> None:
        if self._stop.is_set():
            # Once is a request; again means for good, and then now.
            self._crew.signal_all(signal.SIGTERM)
        self._stop.set()

    def _reload(self) -> None:
        try:
            config = self._read_again()
        except ConfigError as exc:
            # A file that is half written must not stop what runs.
            log.error("config.refused", extra={"faults": exc.faults})
            return
        self._manager.reloading()
        configure_logging(config.log.level, config.log.format, secrets=secrets_of(config))

        def done(_: Asked) -> None:
            self._manager.ready()

        self._crew.switchboard.ask_all({"do": "reload"}, done, within_s=RELOAD_S)

    # -- workers -----------------------------------------------------------------------------------

    async def _spawn(self, number: int) -> tuple[asyncio.subprocess.Process, socket.socket]:
        ours, theirs = lines.pair()
        with theirs:
            environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
            process = await asyncio.create_subprocess_exec(
                *self._command,
                str(number),
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=environment,
                # Ctrl-C is for us alone; workers end when we say so.
                start_new_session=True,
            )
        return process, ours

    def _welcome(self, number: int, link: Link) -> None:
        addresses = self._addresses()
        # The first one has the admin port.
        files = [os.dup(each.fileno()) for each in self._doors["admin"]] if not number else []
        link.send({"do": "welcome", "number": number, "count": self._count, **addresses}, files)

    def _addresses(self) -> dict[str, str]:
        config = self._config
        listens: dict[str, ListenAddress | None] = {
            "rtmp": config.rtmp.listen,
            "rtmps": config.rtmp.tls_listen,
            "http": config.http.listen,
            "admin": config.admin.listen,
        }
        return {
            door: bound(listen, self._doors[door][0].getsockname()) if listen is not None else ""
            for door, listen in listens.items()
        }

    # -- broadcasters ------------------------------------------------------------------------------

    def _accept(self, door: str, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                connection, _peer = listener.accept()
            except BlockingIOError:
                return
            except OSError as exc:
                # No descriptor is left, or the peer is gone already.
                log.debug("connection.failed", extra={"reason": str(exc)})
                return
            with connection:
                if not self._crew.hand_over({"do": "take", "door": door}, os.dup(connection.fileno())):
                    log.warning("connection.refused", extra={"door": door, "reason": "no worker takes it"})

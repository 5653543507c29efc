"""A server's start, stop and reload: in which order, and what happens where one of them fails.

Its parts are in ``services.py`` and ``doors.py``; below them nothing sees the whole configuration (``options.py`` has
the part of each). ``run.py`` makes a process of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

from streamd import __version__
from streamd.clock import SystemClock
from streamd.errors import DataDirError, PublishError, ServerRestartsError, StoreUnavailableError
from streamd.process import compiled
from streamd.process.binding import StartError
from streamd.process.config import secrets_of
from streamd.process.data_dir import RunningServer, ServerLock, admin_token, prepare_data_dir
from streamd.process.doors import Doors, outgoing
from streamd.process.log import configure_logging
from streamd.process.loop_watch import LoopWatch
from streamd.process.options import changed_settings, taken_config
from streamd.process.service_manager import ServiceManager
from streamd.process.services import Services

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamd.clock import Clock
    from streamd.process.config import Config
    from streamd.process.crew.place import WorkerPlace
    from streamd.process.doors import Addresses, SharedDoors
    from streamd.services.live.channel import Channel

    class Seat(WorkerPlace, SharedDoors, Protocol):
        """The place of a server that is one of several workers."""

        number: int
        """Which one it is, from 0."""

        async def open(self, server: Server) -> None:
            """Hear who it is, and be told what all are told."""


log = logging.getLogger(__name__)

# Time limits are whole seconds, so looking at them once a second is on time.
SWEEP_INTERVAL_S = 1.0


class Server:
    """One streamd.

    Args:
        config: All of the configuration.
        clock: Where time comes from.
        is_final: No other server comes after this one: ``stop`` ends the broadcasts.
        seat: Its place among the workers of one server; None for a server that is one process.

    Attributes:
        config: The configuration, as far as it is in force.
        services: Floor 2.
        manager: Told how we do.
    """

    def __init__(
        self, config: Config, clock: Clock | None = None, *, is_final: bool = False, seat: Seat | None = None
    ) -> None:
        self.config = config
        self._seat = seat
        self._sender = outgoing(config)
        self.services = Services(config, clock or SystemClock(), self._sender, seat)
        own_name = str if seat is None else seat.own_name
        self._doors = Doors(config, self.services, self._why_not_ready, own_name)
        self._resources = contextlib.AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False
        # Broadcasts are to end, and viewers are not to be waited for.
        self._ends, self._hurries = asyncio.Event(), asyncio.Event()
        if is_final:
            self._ends.set()
        self.manager = ServiceManager()
        self._watch = LoopWatch(self.services.clock, self.services.metrics, self.manager.alive)

    def _why_not_ready(self) -> str | None:
        if self._is_stopping:
            return "the server is stopping"
        return self.services.cluster.not_ready_because if self.services.cluster is not None else None

    @property
    def addresses(self) -> Addresses:
        """Where the listeners are bound."""
        return self._doors.addresses

    async def start(self) -> None:
        """Open the store, bind the listeners, and serve.

        Raises:
            StartError: A port is in use, or the data directory or the key store is unusable.
        """
        try:
            lock = await self._open()
        except StartError:
            await self._doors.close(0)
            await self._resources.aclose()
            raise
        if lock is not None:
            host, _, port = self.addresses.admin.rpartition(":")
            lock.announce(RunningServer(os.getpid(), host, int(port or 0)))
        self._tasks = [
            asyncio.create_task(self.services.key_sweeper.run()),
            asyncio.create_task(self.services.operators.run()),
            asyncio.create_task(self._sweep()),
        ]
        self._watch.start()
        self._tell_start()
        self.services.machine.tell(self.config)
        loop = asyncio.get_running_loop()
        self.services.metrics.process.tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
        self.manager.ready()

    def reload(self, config: Config) -> None:
        """Take from a configuration that was read again what can be taken, and say of the rest that it cannot.

        Args:
            config: Without a fault. Streams and open connections go on with the one that they began with.
        """
        changes = dict(changed_settings(self.config, config))
        taken = [name for name, is_reloadable in changes.items() if is_reloadable]
        left = [name for name, is_reloadable in changes.items() if not is_reloadable]
        # A setting that was left is told of at the next time, too.
        self.config = config = taken_config(self.config, config)
        self.services.configure(config)
        self._doors.configure(config)
        configure_logging(config.log.level, config.log.format, secrets=secrets_of(config), lines=self.services.lines)
        self.services.machine.tell(config)
        log.info("config.reloaded", extra={"changed": taken})
        if left:
            log.warning("config.restart_needed", extra={"not_changed": left})

    def insist(self) -> None:
        """Stop sooner: the first time, broadcasts end and none waits for the next server; then viewers wait no more."""
        (self._hurries if self._ends.is_set() else self._ends).set()

    async def stop(self) -> None:
        """Leave the broadcasts to the next server, or end them; serve viewers their last media for a while; close.

        A stop bridges as a crash does: publishers are told to come back, playlists stay open, and the restart record
        has what the next server needs to go on with them.
        """
        self._is_stopping = True
        self.manager.stopping()
        self._doors.stop_accepting_encoders()
        self.services.note_stopping()
        registry = self.services.registry
        # A publisher that is closed has no viewers any more, so they are looked for before anything is.
        watched = [channel for channel in registry.channels() if any(channel.viewers.values())]
        if not self._ends.is_set():
            await self._doors.close_encoders(ServerRestartsError())
            if self.services.cluster is not None:
                # Other nodes go on with the streams, at once.
                await self.services.cluster.node.give_all_away()
            # It is written before viewers are served, as the process may be killed then.
            await self.services.save_restart_record()
            await self._drain(watched, self._ends)
        if self._ends.is_set():
            await registry.end_all()
            await self._doors.close_encoders(PublishError("The server is stopping."))
            await self._drain(watched, self._hurries)
        registry.dismiss_viewers()
        await self._doors.close(0 if self._hurries.is_set() else self.config.limits.drain_timeout_s)
        if self._ends.is_set():
            # It may have been asked for while the doors were closing.
            await registry.end_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.services.save_restart_record()
        self._watch.stop()
        await self._resources.aclose()
        log.info("server.stopped")

    async def _open(self) -> ServerLock | None:
        """Take the data directory, open the services, and bind the doors; what is open is in ``_resources``."""
        config = self.config
        try:
            lock: ServerLock | None = None
            if self._seat is None:
                prepare_data_dir(config.data_dir)
                lock = self._resources.enter_context(ServerLock(config.data_dir))
            else:
                # The supervisor holds the lock.
                await self._seat.open(self)
            token = config.admin.token.get_secret_value() or admin_token(config.data_dir)
            await self._sender.start()
            self._resources.push_async_callback(self._sender.close)
            await self.services.open(self._resources)
        except (DataDirError, StoreUnavailableError) as exc:
            raise StartError(str(exc)) from exc
        await self._doors.open(token, self._seat)
        return lock

    def _tell_start(self) -> None:
        found = compiled.look()
        told = {"version": __version__, **asdict(self.addresses), "pid": os.getpid(), "compiled": found.is_compiled}
        if found.why:
            told["compiled_why"] = found.why
        if self._seat is None:
            log.info("server.started", extra=told)
        else:
            log.info("worker.started", extra={**told, "worker": self._seat.number})
        if found.is_fault:
            # pip shows nobody the warnings of a build: this is where the operator learns of them.
            log.warning("compilation.failed", extra={"why": found.why, "python_modules": len(found.python_modules)})

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            try:
                self._doors.check_deadlines()
                await self.services.sweep()
                self._doors.tick()
                await self._doors.save()
            except Exception:
                # Time limits must outlive a fault in one stream.
                log.exception("sweep.failed")

    async def _drain(self, channels: Iterable[Channel], enough: asyncio.Event) -> None:
        """Serve viewers the last segments, and the end where there is one, until ``enough`` is said.

        Args:
            channels: Those that were live and watched; where nobody watches, nobody is waited for.
            enough: Set to end the waiting.
        """
        # Complete segments are fetched within a playlist reload, one target duration at most.
        presentations = [channel.presentation for channel in channels]
        longest_s = max((each.target_duration_s for each in presentations if each is not None), default=0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(float(longest_s), self.config.limits.drain_timeout_s)):
                await enough.wait()

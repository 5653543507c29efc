"""A server as a process: its loop and its garbage collection, the signals that stop it or have it read again, its exit.

``run`` is what ``streamd serve`` calls.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from typing import TYPE_CHECKING

import uvloop

from streamd.errors import ConfigError, StoreUnavailableError
from streamd.process.allocator import use_one_heap
from streamd.process.binding import StartError
from streamd.process.config import secrets_of
from streamd.process.loading import loading
from streamd.process.log import configure_logging
from streamd.process.server import Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamd.process.config import Config
    from streamd.process.server import Seat

log = logging.getLogger(__name__)

# A collection walks all objects of its generations in one step of the loop. Objects that modules made at import never
# die, so they are not walked. Young ones are looked at while they are few: each frame's objects live for a GOP, so at a
# threshold of 20,000 that step took 12 ms with 100 streams. At 400 it takes 0.5 ms at the most, and no more in all.
# Older ones are looked at seldom, for that takes 20 ms with as many streams, and there is next to nothing to find:
# neither streams, encoders and viewers that come and go nor calls of the API were seen to leave a cycle. It is after
# four million objects that came and did not go, which 100 streams make in two minutes. Compiled, what a frame is made
# of is no part of it (``memory.untrack``); Python alone has it all.
GC_THRESHOLDS = (400, 10_000, 25)
# How long the loop waits at most for a thread that runs Python: probing new tracks, the key store's. It is 5 ms by
# default, and they come in numbers when everybody reconnects.
SWITCH_INTERVAL_S = 0.001

EXIT_OK = 0
EXIT_UNUSABLE = 2


def run(config: Config, read_again: Callable[[], Config], *, is_final: bool = False) -> int:
    """Run the server until SIGTERM or SIGINT; what ``streamd serve`` does.

    Args:
        config: All of the configuration.
        read_again: Reads it again; called at SIGHUP.
        is_final: The signal ends the broadcasts, and leaves none to the next server.

    Returns:
        The exit code: 0 after a signal, 2 when it cannot start.
    """
    return run_until_stopped(config, _wait_for_ever, read_again, is_final=is_final)


def run_until_stopped(
    config: Config,
    job: Callable[[Server], Awaitable[int]],
    read_again: Callable[[], Config] | None = None,
    *,
    is_final: bool,
    seat: Seat | None = None,
) -> int:
    """Run a server beside a job, until the job is done or a signal comes.

    Args:
        config: All of the configuration.
        job: Gets the started server; its result is the exit code. Cancelled by a signal.
        read_again: Reads the configuration again at SIGHUP; None where there is none to read.
        is_final: The end of it ends the broadcasts, and leaves none to the next server.
        seat: Its place among the workers of one server; None for a server that is one process.

    Returns:
        The exit code.
    """
    configure_logging(config.log.level, config.log.format, secrets=secrets_of(config))
    use_one_heap()
    try:
        with loading():
            server = Server(config, is_final=is_final, seat=seat)
        return uvloop.run(_run(server, job, read_again))
    except (StartError, StoreUnavailableError) as exc:
        sys.stderr.write(f"streamd: {exc}\n")
        return EXIT_UNUSABLE


async def _run(server: Server, job: Callable[[Server], Awaitable[int]], read_again: Callable[[], Config] | None) -> int:
    with loading():
        await server.start()
    # Garbage is not looked for: there is next to none, and to find that takes a tenth of a start.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(job(server))
    stop_signals = (signal.SIGTERM, signal.SIGINT)
    for signal_number in stop_signals:
        loop.add_signal_handler(signal_number, task.cancel)
    if read_again is not None:
        # A terminal that closes sends the same signal; the person who ran us by hand then is gone.
        has_terminal = sys.stderr.isatty()

        def reload() -> None:
            if has_terminal and not sys.stderr.isatty():
                task.cancel()
            else:
                _reload(server, read_again)

        loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        return await task
    except asyncio.CancelledError:
        return EXIT_OK
    finally:
        # Once is a request; again means for good, and then now.
        for signal_number in stop_signals:
            loop.add_signal_handler(signal_number, server.insist)
        await server.stop()


def _reload(server: Server, read_again: Callable[[], Config]) -> None:
    server.manager.reloading()
    try:
        server.reload(read_again())
    except ConfigError as exc:
        # A file that is half written must not stop what runs.
        log.error("config.refused", extra={"faults": exc.faults})
    server.manager.ready()


async def _wait_for_ever(_: Server) -> int:
    await asyncio.Event().wait()
    return EXIT_OK

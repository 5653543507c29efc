"""The bounds of a port of the web, for tests of what stands behind it; and such a port, listening."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from aiohttp import web

from streamd.clock import Clock, SystemClock
from streamd.doors.web.admin.places import AdminConnection
from streamd.doors.web.port import Port, PortLimits
from streamd.doors.web.protocol import WebProtocol
from streamd.services.metrics import Metrics
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streamd.doors.web.admin.places import AdminPlaces

IDLE_S = 75.0


def port_of(
    name: str = "public",
    *,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    limits: PortLimits | None = None,
) -> Port:
    """A port's bounds, with the defaults of the configuration."""
    return Port(name, clock or SystemClock(), metrics or Metrics(), limits)


@contextlib.asynccontextmanager
async def listening(app: web.Application, port: Port, places: AdminPlaces | None = None) -> AsyncIterator[int]:
    """Serve an application as the server does, without the thin door; its TCP port.

    Args:
        app: What answers.
        port: What peers may do.
        places: On the admin port.
    """
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    web_server = runner.server
    assert web_server is not None

    def protocol() -> WebProtocol:
        if places is not None:
            return AdminConnection(places, web_server, port)
        return WebProtocol(web_server, port.refusals, port.budget, IDLE_S, port.turns)

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await runner.cleanup()


async def say(port: int, data: bytes, *, half_close: bool = False) -> bytes:
    """Send bytes over a connection of its own, and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        if half_close:
            writer.write_eof()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                return await reader.read()
        return b""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

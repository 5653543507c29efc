"""Media behind aiohttp. What both doors answer alike is in tests/doors/delivery/test_doors.py."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestServer

from streamd.clock import SystemClock
from streamd.doors.web.public.media import MediaTimeouts
from streamd.services.metrics import Metrics
from tests.support.doors import Client, StandInRegistry, StandInStream, media_routes, request, until

# Far more than the buffers of two sockets on loopback.
PART_BYTES = 8 << 20


@pytest.mark.parametrize("taking", ["write", "answer"])
@pytest.mark.asyncio
async def test_a_viewer_who_takes_nothing_is_let_go(taking: str) -> None:
    timeouts = MediaTimeouts(**{f"viewer_{taking}_timeout_s": 0.05})
    registry = StandInRegistry({"alice": StandInStream((2, 2), payload_bytes=PART_BYTES)})
    async with TestServer(media_routes(registry, SystemClock(), Metrics(), timeouts=timeouts)) as server:
        assert server.runner is not None
        connections = server.runner.server
        assert connections is not None
        async with Client.connected(server.port or 0) as viewer:
            await viewer.send(request("/live/alice/main/seg1000.m4s"))
            await until(lambda: bool(connections.connections))
            await until(lambda: not connections.connections)
            assert len(await viewer.rest()) < PART_BYTES

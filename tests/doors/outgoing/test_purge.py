"""Caches in front over a real socket: the very requests that they are told with."""

from __future__ import annotations

import asyncio
from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streamd.doors.outgoing.address_guard import AddressGuard
from streamd.doors.outgoing.http_sender import HttpSender
from streamd.services.moderation.acts.purge import Purge

pytestmark = pytest.mark.asyncio

EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
PATHS = ("/live/anna", "/watch/anna")


@pytest.mark.parametrize("known", ["PURGE", "BAN", "neither"])
async def test_a_cache_is_told_each_path(known: str) -> None:
    told: list[tuple[str, str]] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        told.append((method, path))
        assert "transfer-encoding" not in head.lower(), "it has no body"
        status = "200 OK" if method == known else "405 Method Not Allowed"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()

    sender = HttpSender(AddressGuard(EVERYWHERE), "streamd/1.2.3")
    await sender.start()
    # Not aiohttp's server, which knows no BAN.
    async with await asyncio.start_server(hear, "127.0.0.1", 0) as cache:
        url = f"http://127.0.0.1:{cache.sockets[0].getsockname()[1]}"
        purge = Purge(sender, lambda: (url,))
        faults = await purge.tell(PATHS)
    await sender.close()
    assert [fault.why for fault in faults] == (["it answered 405"] if known == "neither" else [])
    assert {*told} >= {("BAN" if known == "neither" else known, path) for path in PATHS}
    await purge.close()


async def test_one_that_is_not_there_is_said_within_its_time() -> None:
    sender = HttpSender(AddressGuard(EVERYWHERE), "streamd/1.2.3")
    await sender.start()
    async with TestServer(web.Application()) as cache:
        url = f"http://127.0.0.1:{cache.port}"
    purge = Purge(sender, lambda: (url,))
    (fault,) = await purge.tell(PATHS)
    assert fault.url == url
    assert fault.why
    await sender.close()
    await purge.close()

"""A command's question to the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from streamd.process.admin_connection import REQUEST_TIMEOUT_S, AdminConnection
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1000\r\n\r\nsome",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
    ],
    ids=["nothing", "some", "the last answer", "a chunk"],
)
async def test_who_waits_no_more_lets_go_of_the_server(said: bytes) -> None:
    """Ctrl-C ends the thread that reads, whatever it has read."""
    is_asked, is_over = asyncio.Event(), asyncio.Event()

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        is_asked.set()
        await reader.read()
        is_over.set()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        loop, has_come = asyncio.get_running_loop(), asyncio.Event()
        connection = AdminConnection("127.0.0.1", server.sockets[0].getsockname()[1], "token")
        asking = asyncio.create_task(connection.fetch("/", lambda _: loop.call_soon_threadsafe(has_come.set)))
        await asyncio.wait_for(is_asked.wait(), PATIENCE_S)
        if b"some" in said:
            await asyncio.wait_for(has_come.wait(), PATIENCE_S)
        asking.cancel()
        # Sooner than the thread would give up by itself.
        await asyncio.wait_for(is_over.wait(), REQUEST_TIMEOUT_S / 2)

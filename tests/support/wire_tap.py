"""A TCP relay that keeps what both sides of each connection said: how wire captures are made.

It knows nothing of RTMP: bytes go through unchanged, in both directions, as they come.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Self

# A capture is a few seconds of low-bitrate video, some 100 KiB; past this the relay goes on unrecorded.
RECORDING_BYTES_MAX = 4 * 1024 * 1024
_READ_BYTES = 64 * 1024


@dataclass
class Recording:
    """What one connection carried."""

    client_bytes: bytearray = field(default_factory=bytearray)
    """Client to server, from the first byte."""
    server_bytes: bytearray = field(default_factory=bytearray)
    """Server to client, from the first byte."""


class WireTap:
    """Listens on a free loopback port and relays every connection to ``upstream``.

    Args:
        upstream_host: Host of the server behind the tap.
        upstream_port: Its port.
    """

    def __init__(self, upstream_host: str, upstream_port: int) -> None:
        self._upstream = (upstream_host, upstream_port)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.recordings: list[Recording] = []
        """One for each accepted connection, in the order in which they came."""

    @property
    def port(self) -> int:
        """Where clients connect; known once the tap is entered."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        recording = Recording()
        self.recordings.append(recording)
        server_reader, server_writer = await asyncio.open_connection(*self._upstream)
        # A relay that is cancelled or reset is a connection that ended: nothing to report. ENOTCONN, which
        # passing on an end of file meets where the other side has gone first, is a plain OSError.
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await asyncio.gather(
                _relay(client_reader, server_writer, recording.client_bytes),
                _relay(server_reader, client_writer, recording.server_bytes),
            )
        for writer in (client_writer, server_writer):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray) -> None:
    """Carry one direction until its end of file, which is passed on."""
    while data := await reader.read(_READ_BYTES):
        if len(record) + len(data) <= RECORDING_BYTES_MAX:
            record += data
        writer.write(data)
        await writer.drain()
    writer.write_eof()

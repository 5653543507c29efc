"""The way of a part to its viewers: a publisher that knows when it sent the end, viewers that time arrivals."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import socket
import struct
import time
from typing import TYPE_CHECKING

from bench.broadcast import Broadcast
from bench.publishing import CLIP_S
from streamd.formats.flv.tag import TagType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streamd.formats.flv.tag import FlvTag

NAME = "bench"
FRAMES_PER_PART = 15  # 500 ms at the clip's 30 frames a second
# By then the key of a publisher is verified.
VERIFY_S = 0.5
# Beyond the first segment of the last viewer, and the second keyframe of the last publisher.
SETTLE_S = 4.0
PROBES = 32
CONTROL_BYTES = socket.CMSG_SPACE(16)
# The socket option of Linux, which Python has no name for; it brings a struct timespec.
SO_TIMESTAMPNS = 35


class Publisher:
    """Sends the clip over and over as OBS does, and remembers when it sent the end of each part.

    Attributes:
        part_sent_at: For each part, when its last frame was handed to the kernel: wall clock, seconds.
    """

    def __init__(self, port: int, stream_key: str, tags: list[FlvTag]) -> None:
        self.part_sent_at: list[float] = []
        self._port = port
        self._stream_key = stream_key
        self._tags = tags
        self._frames = 0
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publish until the block is left."""
        self._task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def assert_alive(self) -> None:
        """Raise the error that ended the publisher."""
        if self._task is not None and self._task.done():
            self._task.result()
            raise SystemExit("the publisher ended before its time")

    async def _run(self) -> None:
        broadcast = await Broadcast.begin(self._port, self._stream_key, self._tags, CLIP_S)
        try:
            await asyncio.sleep(VERIFY_S)
            await broadcast.send(math.inf, self._note_sent)
        finally:
            await broadcast.close()

    def _note_sent(self, tag: FlvTag) -> None:
        if tag.tag_type != TagType.VIDEO or bytes(tag.payload)[1] == 0:
            return
        is_keyframe = bytes(tag.payload)[0] >> 4 == 1
        # The clip's last part lacks a frame: it ends when the next keyframe comes.
        is_end = self._frames % FRAMES_PER_PART != 0 if is_keyframe else (self._frames + 1) % FRAMES_PER_PART == 0
        if is_end:
            self.part_sent_at.append(time.time())
        self._frames = 1 if is_keyframe else self._frames + 1


class Probes:
    """Low-latency viewers that know when the kernel had their bytes.

    Args:
        port: The server's.
        publisher: Knows when parts were complete.

    Attributes:
        first_byte_ms: From the last frame of a part to the first byte of the playlist that lists it.
        part_fetched_ms: From the last frame of a part to its last byte at the viewer.
    """

    def __init__(self, port: int, publisher: Publisher) -> None:
        self.first_byte_ms: list[float] = []
        self.part_fetched_ms: list[float] = []
        self._port = port
        self._publisher = publisher
        self._counts_from = 0.0

    @contextlib.asynccontextmanager
    async def running(self, ramp_s: float) -> AsyncIterator[None]:
        """Connect them among the other viewers, count once all are there, and leave with the block."""
        self._counts_from = time.time() + ramp_s + SETTLE_S
        tasks = [asyncio.create_task(self._follow(ramp_s * index / PROBES)) for index in range(PROBES)]
        try:
            yield
        finally:
            ended = [task for task in tasks if task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for task in ended:
                task.result()

    async def _follow(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        with contextlib.closing(TimedConnection(self._port)) as connection:
            text, _, _ = await connection.get(f"/live/{NAME}/main.m3u8")
            while True:
                msn, part, _ = edge(text.decode())
                query = f"?_HLS_msn={msn}&_HLS_part={part}"
                text, first_at, _ = await connection.get(f"/live/{NAME}/main.m3u8{query}")
                _, _, uri = edge(text.decode())
                _, _, last_at = await connection.get(f"/live/{NAME}/{uri}")
                if first_at > self._counts_from:
                    sent_at = max(at for at in self._publisher.part_sent_at[-40:] if at < first_at)
                    self.first_byte_ms.append((first_at - sent_at) * 1000)
                    self.part_fetched_ms.append((last_at - sent_at) * 1000)


class TimedConnection:
    """A connection that says when answers arrived."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    async def get(self, target: str) -> tuple[bytes, float, float]:
        """Send a request and read all of the answer.

        Returns:
            The content; when the first and when the last byte of the answer arrived, wall clock, seconds.
        """
        self._socket.send(f"GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        received, first_at = await self._read()
        last_at = first_at
        while (head_end := received.find(b"\r\n\r\n")) < 0:
            received += (await self._read())[0]
        head = received[:head_end].decode("latin-1")
        length = re.search(r"(?im)^content-length: *([0-9]+)", head)
        assert head.startswith("HTTP/1.1 200 "), head
        assert length is not None, head
        content = bytearray(received[head_end + 4 :])
        while len(content) < int(length[1]):
            data, last_at = await self._read()
            content += data
        return bytes(content), first_at, last_at

    async def _read(self) -> tuple[bytes, float]:
        """Read the bytes that are there; return the arrival of the last."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(1 << 20, CONTROL_BYTES)
            except BlockingIOError:
                readable = asyncio.Event()
                loop.add_reader(self._socket, readable.set)
                try:
                    await readable.wait()
                finally:
                    loop.remove_reader(self._socket)
                continue
            if not data:
                raise ConnectionError("the server closed the connection of a probe")
            for level, kind, value in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                    seconds, nanoseconds = struct.unpack("@qq", value)
                    return data, seconds + nanoseconds / 1e9
            # The kernel begins to stamp arrivals a moment after the first socket has asked for it.
            return data, time.time()


def edge(playlist: str) -> tuple[int, int, str]:
    """Read what comes next, as _HLS_msn and _HLS_part, and the URI of the last part."""
    found = re.search(r"#EXT-X-MEDIA-SEQUENCE:([0-9]+)", playlist)
    parts = re.findall(r'#EXT-X-PART:.*URI="([^"]+)"', playlist)
    assert found is not None, playlist
    open_segment = playlist[playlist.rindex("#EXTINF") :].partition("\n")[2].partition("\n")[2]
    msn = int(found[1]) + playlist.count("#EXTINF")
    return msn, open_segment.count("#EXT-X-PART:"), parts[-1]

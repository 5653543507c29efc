"""A publisher that sends exactly the tags that a test gives it, over real RTMP."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from streamd.clock import SystemClock
from streamd.formats.rtmp.message import MessageType
from tests.support.rtmp_wire import SIMPLE_HANDSHAKE, command, control, data, message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from streamd.formats.amf.values import Value
    from streamd.formats.flv.tag import FlvTag

CHUNK_SIZE = 65_536
TIMEOUT_S = 10.0


class TagPublisher:
    """A connection that has been let in.

    Args:
        port: The server's RTMP port, on loopback.
        stream_key: Whose channel goes live.
        metadata: What onMetaData says; without, none is sent.
    """

    def __init__(self, port: int, stream_key: str, metadata: Mapping[str, Value] | None = None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self._received = b""
        self._socket.sendall(
            SIMPLE_HANDSHAKE
            + control(MessageType.SET_CHUNK_SIZE, CHUNK_SIZE.to_bytes(4, "big"))
            + command("connect", 1.0, {"app": "live", "tcUrl": f"rtmp://127.0.0.1:{port}/live", "fourCcList": ["*"]})
            + command("createStream", 2.0, None)
            + command("publish", 3.0, None, stream_key, "live", message_stream_id=1)
        )
        while b"NetStream.Publish." not in self._received:
            self._receive()
        assert b"NetStream.Publish.Start" in self._received
        if metadata is not None:
            self._socket.sendall(data("@setDataFrame", "onMetaData", dict(metadata)))
        # What the server says while it is published to (acknowledgements) must not fill its socket.
        self._reader = threading.Thread(target=self._discard, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End as an encoder's stop button does: with a goodbye."""
        with contextlib.suppress(OSError):
            self._socket.sendall(command("deleteStream", 4.0, None, 1.0))
            self._socket.shutdown(socket.SHUT_WR)
        self._reader.join(TIMEOUT_S)
        self._socket.close()

    def reset(self) -> None:
        """End as a network that breaks does: with a reset, and without a goodbye."""
        # Zero seconds to linger: RST in place of FIN.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            # The reader holds the socket open while it waits.
            self._socket.shutdown(socket.SHUT_RD)
        self._reader.join(TIMEOUT_S)
        self._socket.close()

    def send(self, tags: Iterable[FlvTag]) -> None:
        """Send tags as fast as the server takes them."""
        for tag in tags:
            self._socket.sendall(_wire(tag))

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def send_in_time(self, tags: Iterable[FlvTag], until: threading.Event, pace: float = 1.0) -> None:
        """Send tags at the pace of their timestamps, until all are sent or ``until`` is set.

        Args:
            tags: What to send.
            until: Ends it.
            pace: Seconds of media to send in a second.
        """
        clock = SystemClock()
        started_at: float | None = None
        for tag in tags:
            due_s = tag.timestamp_ms / 1000 / pace
            if started_at is None:
                started_at = clock.monotonic() - due_s
            if until.wait(max(0.0, started_at + due_s - clock.monotonic())):
                return
            self._socket.sendall(_wire(tag))

    @property
    def is_open(self) -> bool:
        """The server has not closed the connection."""
        return self._reader.is_alive()

    def _receive(self) -> None:
        received = self._socket.recv(65_536)
        assert received, "the server closed the connection"
        self._received += received

    def _discard(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.settimeout(None)
            while self._socket.recv(65_536):
                pass


@contextlib.contextmanager
def publishing(publisher: TagPublisher, tags: Iterable[FlvTag], pace: float = 1.0) -> Iterator[None]:
    """Send tags in time, or at another pace, in a thread, until the block is left."""
    stop = threading.Event()
    thread = threading.Thread(target=publisher.send_in_time, args=(tags, stop, pace), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(TIMEOUT_S)


def repeated(tags: tuple[FlvTag, ...], duration_ms: int) -> Iterable[FlvTag]:
    """The same media over and over, each time ``duration_ms`` later."""
    for turn in itertools.count():
        for tag in tags:
            yield replace(tag, timestamp_ms=tag.timestamp_ms + turn * duration_ms)


def _wire(tag: FlvTag) -> bytes:
    return message(
        tag.tag_type,
        bytes(tag.payload),
        time_ms=tag.timestamp_ms,
        chunk_stream_id=6 if tag.tag_type == MessageType.VIDEO else 4,
        chunk_size=CHUNK_SIZE,
    )

"""A publisher on a real socket that sends just what a test says, when it says so."""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.support import rtmp_wire
from tests.support.flv_media import h264_aac
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from streamd.formats.flv.tag import FlvTag


def login(app: str) -> bytes:
    """What an encoder sends before it asks to publish."""
    return (
        rtmp_wire.SIMPLE_HANDSHAKE
        + rtmp_wire.command("connect", 1, {"app": app, "tcUrl": f"rtmp://host/{app}", "flashVer": "FMLE/3.0"})
        + rtmp_wire.command("createStream", 2, None)
    )


class SocketPublisher:
    """One RTMP connection, logged in; a context manager that closes it without a goodbye.

    Args:
        port: The server's RTMP port on the loopback interface.
        address: Loopback address to come from.
        app: The path of the URL that is typed as the server.
        tls: For RTMPS.
    """

    def __init__(
        self, port: int, address: str = "127.0.0.1", *, app: str = "live", tls: ssl.SSLContext | None = None
    ) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S, source_address=(address, 0))
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname="localhost")
        self._reader = rtmp_wire.ServerReader()
        # What came and was not asked for yet: one read may bring several.
        self._answers: deque[rtmp_wire.Answer] = deque()
        self._socket.sendall(login(app))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def publish(self, stream_key: str) -> str:
        """Ask to publish, and return the code of the answer."""
        self.ask_to_publish(stream_key)
        return self.answer()

    def ask_to_publish(self, stream_key: str) -> None:
        """Ask, and do not wait."""
        self._socket.sendall(rtmp_wire.command("publish", 3, None, stream_key, "live", message_stream_id=1))

    def answer(self) -> str:
        """Wait for the code of the next answer."""
        return self.whole_answer()[0]

    def whole_answer(self) -> tuple[str, str]:
        """Wait for the code of the next answer, and for what it tells a person."""
        while not self._answers:
            data = self._socket.recv(65_536)
            if not data:
                raise AssertionError("the connection was closed without an answer")
            self._answers.extend(said for said in self._reader.read(data) if said.name == "onStatus")
        answer = self._answers.popleft()
        return str(answer.code), str(answer.description)

    def send(self, tags: Iterable[FlvTag]) -> None:
        """Send media, as fast as the server takes it."""
        self._socket.sendall(
            b"".join(rtmp_wire.message(tag.tag_type, bytes(tag.payload), time_ms=tag.timestamp_ms) for tag in tags)
        )

    def go_live(self, stream_key: str, seconds: int = 5) -> None:
        """Publish so many seconds of media at once, and then nothing."""
        assert self.publish(stream_key) == "NetStream.Publish.Start"
        self.send(h264_aac(seconds=seconds))

    @contextmanager
    def sending(self, bytes_at_once: int = 2000) -> Iterator[None]:
        """Send sound on and on, 50 times a second, until the server ends the connection."""
        is_over = threading.Event()
        sound = rtmp_wire.message(8, b"\xaf\x01" + bytes(bytes_at_once))

        def send() -> None:
            with suppress(OSError):
                while not is_over.wait(0.02):
                    self._socket.sendall(sound)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join(PATIENCE_S)

    def say_goodbye(self) -> None:
        """End the broadcast as an encoder's stop button does."""
        self._socket.sendall(rtmp_wire.command("deleteStream", 4, None, 1.0))

    def is_closed(self) -> bool:
        """Whether the server has closed the connection: what has not arrived by now is not waited for."""
        self._socket.setblocking(False)
        try:
            while self._socket.recv(65_536):
                pass
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        finally:
            self._socket.settimeout(PATIENCE_S)
        return True

    def wait_closed(self) -> None:
        """Wait until the server closes the connection."""
        try:
            while self._socket.recv(65_536):
                pass
        except ConnectionResetError:
            return


def answer_to_publish(port: int, stream_key: str, address: str = "127.0.0.1") -> str:
    """The code that a publish is answered with; the connection is closed then."""
    with SocketPublisher(port, address) as publisher:
        return publisher.publish(stream_key)

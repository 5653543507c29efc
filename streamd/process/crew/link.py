"""One line between two processes of a server: messages with their borders, and open files beside them.

A Unix socket of ``SOCK_SEQPACKET``: a message is read as it was written, and the kernel hands over descriptors with it
(unix(7), ``SCM_RIGHTS``). A message is one JSON object; what is large goes as a file in memory beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

# A message is small by design: an act, a count, a name. The kernel's default buffer (208 kB) holds a few of these.
MESSAGE_BYTES_MAX = 32 * 1024
# A larger one goes as a file in memory: the metrics of a worker with 1,000 streams have 2 MB.
LARGE_MESSAGE_BYTES_MAX = 64 * 1024 * 1024
# A worker's first message has its listeners with it, on two protocols' addresses each.
FILES_MAX = 16
# Messages that wait while the other side does not read; it is stuck then, and the line is given up.
WAITING_MAX = 4096
# Messages that are read before others have their turn.
MESSAGES_PER_TURN = 64

# Stands for a message that lies in the last of the files.
_IN_FILE = b"+"

Message = dict[str, Any]


def pair() -> tuple[socket.socket, socket.socket]:
    """Make both ends of a line."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Link:
    """One end.

    Args:
        sock: The socket, ours from here on.
        on_message: Gets each message, and the descriptors beside it, which are the receiver's from then on.
        on_closed: Called once when the other side is gone, or does not read.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[Message, list[int]], None],
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._sock = sock
        self._on_message = on_message
        self._on_closed = on_closed
        self._waiting: deque[tuple[bytes, Sequence[int]]] = deque()
        self._is_open = True
        sock.setblocking(False)

    @property
    def is_open(self) -> bool:
        """Whether the other side is there, as far as we know."""
        return self._is_open

    def begin(self) -> None:
        """Hear the other side."""
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._read)

    def send(self, message: Message, files: Sequence[int] = ()) -> bool:
        """Send a message, now or when the other side has read those before.

        Args:
            message: Of JSON's types.
            files: Descriptors to go with it; ours are closed when it is under way.

        Returns:
            Whether it is under way; else the files are closed all the same.
        """
        data = json.dumps(message, separators=(",", ":")).encode()
        if not self._is_open or len(self._waiting) >= WAITING_MAX:
            close_all(files)
            if self._is_open:
                log.error("worker.stuck", extra={"waiting": len(self._waiting)})
                self.close()
            return False
        if len(data) > MESSAGE_BYTES_MAX:
            try:
                files = [*files, as_file(data)]
            except OSError as exc:
                close_all(files)
                log.error("worker.unsent", extra={"bytes": len(data), "reason": str(exc)})
                return False
            data = _IN_FILE
        if self._waiting or not self._send_now(data, files):
            if self._socket_is_gone():
                close_all(files)
                return False
            self._waiting.append((data, files))
        return True

    def close(self) -> None:
        """End it; what waits is dropped."""
        if not self._is_open:
            return
        self._is_open = False
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sock.fileno())
        loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for _, files in self._waiting:
            close_all(files)
        self._waiting.clear()
        self._on_closed()

    def _socket_is_gone(self) -> bool:
        return not self._is_open

    def _send_now(self, data: bytes, files: Sequence[int]) -> bool:
        """Have the kernel take a message; returns whether it did."""
        try:
            if files:
                socket.send_fds(self._sock, [data], list(files))
            else:
                self._sock.send(data)
        except BlockingIOError:
            asyncio.get_running_loop().add_writer(self._sock.fileno(), self._write_on)
            return False
        except OSError:
            self.close()
            return False
        close_all(files)
        return True

    def _write_on(self) -> None:
        while self._waiting:
            data, files = self._waiting[0]
            if not self._send_now(data, files):
                return
            self._waiting.popleft()
        asyncio.get_running_loop().remove_writer(self._sock.fileno())

    def _read(self) -> None:
        for _ in range(MESSAGES_PER_TURN):
            if not self._is_open:
                return
            try:
                data, files, _, _ = socket.recv_fds(self._sock, MESSAGE_BYTES_MAX, FILES_MAX)
            except BlockingIOError:
                return
            except OSError:
                self.close()
                return
            if not data:
                self.close()
                return
            for file in files:
                os.set_inheritable(file, False)
            try:
                if data == _IN_FILE and files:
                    data = read_file(files.pop(), LARGE_MESSAGE_BYTES_MAX)
                message = json.loads(data)
            except (ValueError, OSError):
                close_all(files)
                log.error("worker.unreadable", extra={"bytes": len(data)})
                continue
            self._on_message(message, files)


def as_file(*pieces: bytes | memoryview) -> int:
    """Put bytes into a file in memory (memfd_create(2)); returns its descriptor.

    Raises:
        OSError: There is no descriptor or no memory for it.
    """
    file = os.memfd_create("streamd-message", os.MFD_CLOEXEC)
    try:
        for piece in pieces:
            left = memoryview(piece)
            while left:
                left = left[os.write(file, left) :]
    except OSError:
        os.close(file)
        raise
    return file


def read_file(file: int, bytes_max: int) -> bytes:
    """Read all of a file in memory, and close it.

    Raises:
        OSError: It cannot be read, or is larger than may be.
    """
    try:
        size = os.fstat(file).st_size
        if size > bytes_max:
            raise OSError(f"{size} bytes, {bytes_max} are allowed")
        return os.pread(file, size, 0)
    finally:
        os.close(file)


def close_all(files: Sequence[int]) -> None:
    """Close descriptors, those that are closed already passed over."""
    for file in files:
        with contextlib.suppress(OSError):
            os.close(file)

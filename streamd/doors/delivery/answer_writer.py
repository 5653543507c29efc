"""The answer side of a viewer's connection: prepared answers to its socket, by the kernel's shortest way.

Spec: RFC 9112 section 9.6 (tear-down).
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from streamd.doors.delivery.answer import cut

if TYPE_CHECKING:
    import asyncio

    from streamd.doors.delivery.answer import Answer, Body
    from streamd.doors.delivery.body_file import BodyFiles

# As numbers: the names are members of an enumeration, which the socket's type would convert each time.
_FAMILY, _KIND = int(socket.AF_INET), int(socket.SOCK_STREAM)


class AnswerWriter:
    """Writes the answers of one connection.

    Args:
        transport: Its transport; what the kernel does not take waits there.
        body_files: Bodies that many viewers want, for the kernel to send.
    """

    __slots__ = ("_body_files", "_fd", "_transport")

    def __init__(self, transport: asyncio.Transport, body_files: BodyFiles) -> None:
        self._transport = transport
        self._body_files = body_files
        # None where TLS is between the kernel's sendfile and the viewer.
        self._fd: int | None = None
        raw = transport.get_extra_info("socket")
        if raw is not None and transport.get_extra_info("sslcontext") is None:
            self._fd = raw.fileno()

    def write(self, answer: Answer, buffers: Body) -> None:
        """Send an answer.

        Args:
            answer: The answer, whose body may be a file.
            buffers: The same as it goes out: head and body joined, or the head and the buffers of the body.
        """
        if len(buffers) == 1:
            self._transport.write(buffers[0])
        elif (file := self._body_files.find(answer)) is None or not self._send_file(buffers, answer.body_bytes, file):
            self._transport.writelines(buffers)

    def _send_file(self, buffers: Body, size: int, file: int) -> bool:
        """Hand head and body to the kernel without copying the body; what it does not take is written as ever.

        Returns:
            Whether it is under way; else nothing is sent.
        """
        transport, fd = self._transport, self._fd
        # The kernel has taken all that came before; nothing may overtake it.
        if fd is None or transport.get_write_buffer_size() or transport.is_closing():
            return False
        head = buffers[0]
        try:
            sent = _send_head(fd, head)
        except OSError:
            # The transport will find out by itself, and say so where that belongs.
            return False
        if sent < len(head):
            transport.writelines((memoryview(head)[sent:], *buffers[1:]))
            return True
        try:
            sent = os.sendfile(fd, file, 0, size)
        except OSError:
            sent = 0
        if sent < size:
            transport.writelines(cut(buffers[1:], sent, size))
        return True


def _send_head(fd: int, head: bytes | memoryview) -> int:
    """Have the kernel take what it can of ``head``, and keep it for the body's first packet; returns how much."""
    # The transport has no flags to write with. The socket object only borrows the descriptor. It is of the type in C:
    # making one of ``socket.socket`` takes three times as long, 2.5 us of a part's 60.
    borrowed = socket.SocketType(_FAMILY, _KIND, 0, fd)
    try:
        return borrowed.send(head, socket.MSG_MORE)
    finally:
        borrowed.detach()

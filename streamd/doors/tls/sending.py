"""The sending half of one TLS connection: a record is encrypted when the one before is with the kernel.

Spec: RFC 8446 section 5.1 (records).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import ssl
import sys
from typing import TYPE_CHECKING

from streamd.doors.tls.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# RFC 8446 5.1: "The length MUST NOT exceed 2^14 bytes." It is encrypted, and copied, in one go.
RECORD_BYTES_MAX = 16 * 1024
# The same as a number of C, where this module is compiled.
_RECORD_BYTES_MAX = RECORD_BYTES_MAX
# Records that the kernel gets at once, while it has room for them: one at a time costs half as much again, eight no
# less.
RECORDS_PER_SLICE = 4
# A kernel without room gets a record of so many bytes, for it to say when it has room again. A peer that takes nothing
# makes us hold that one, in place of 16 kB.
SHORT_RECORD_BYTES = 1024
# The kernel takes no more of a connection while so many bytes wait there for the peer's window (TCP_NOTSENT_LOWAT,
# tcp(7)); bytes under way to the peer are not among them. Without this bound a viewer on loopback that reads nothing
# fills 2.8 MB there, and 800 of them all that tcp_mem lets sockets have on a machine of 24 GB. It is a slice, with its
# packets' heads.
KERNEL_BYTES_MAX = 72 * 1024
# TLS's own bytes of a record, at the most.
_RECORD_HEAD_BYTES = 64
# Linux: the count of the bytes that wait (sockios.h); Python has no name for it.
_SIOCOUTQNSD = 0x894B
# Records that one connection is sent before the others have their turn: 1 MB, about a millisecond.
RECORDS_PER_TURN = 64

_COUNT = bytes(4)
# A peer that takes less than this is one to wait for.
_UNSENT_BYTES_MAX = 1


def bound_kernel_bytes(sock: socket.socket) -> None:
    """Have the kernel keep no more than ``KERNEL_BYTES_MAX`` that are not under way; connections inherit a listener's.

    Where the system does not know the option, it keeps as much as it does for any connection.
    """
    option: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, KERNEL_BYTES_MAX)


def room_bytes(sock: socket.socket) -> int:
    """Bytes of a socket's data that the kernel takes now, 0 or less where it is full; one record's if not told."""
    try:
        told: bytes = fcntl.ioctl(sock, _SIOCOUTQNSD, _COUNT)
    except OSError:
        return _RECORD_BYTES_MAX + _RECORD_HEAD_BYTES
    return KERNEL_BYTES_MAX - int.from_bytes(told, sys.byteorder)


class TlsSending:
    """The bytes that a connection sends: encrypted as the kernel takes it, with the flow control of its protocol.

    Args:
        ssl_object: Encrypts.
        outgoing: Where it puts the records; empty between two steps of the loop.
        sock: The socket below.
        on_broken: Called when OpenSSL fails.
        on_sent: Called when all is with the kernel, after ``end_when_sent``.

    Attributes:
        protocol: Told to pause and resume writing; None before there is one, and when the connection is lost.
    """

    __slots__ = (
        "_backlog",
        "_ends_when_sent",
        "_high_bytes",
        "_is_app_paused",
        "_is_plain_paused",
        "_is_pump_due",
        "_low_bytes",
        "_on_broken",
        "_on_sent",
        "_outgoing",
        "_plain",
        "_slice_bytes",
        "_socket",
        "_ssl",
        "protocol",
    )

    def __init__(
        self,
        ssl_object: ssl.SSLObject,
        outgoing: ssl.MemoryBIO,
        sock: socket.socket,
        on_broken: Callable[[Exception], None],
        on_sent: Callable[[], None],
    ) -> None:
        self.protocol: asyncio.BaseProtocol | None = None
        self._ssl = ssl_object
        self._outgoing = outgoing
        self._socket = sock
        self._on_broken = on_broken
        self._on_sent = on_sent
        self._plain: asyncio.Transport
        self._backlog = Backlog()
        # The bytes that the kernel was given last.
        self._slice_bytes = 0
        self._is_plain_paused = self._is_app_paused = self._is_pump_due = self._ends_when_sent = False
        self._high_bytes, self._low_bytes = 64 * 1024, 16 * 1024

    def begin(self, plain: asyncio.Transport) -> None:
        """Take the plain connection below."""
        self._plain = plain
        plain.set_write_buffer_limits(high=_UNSENT_BYTES_MAX)

    # -- how much waits --------------------------------------------------------------------------

    def set_limits(self, high: int | None, low: int | None) -> None:
        """Have the protocol pause above ``high`` bytes, and resume at ``low`` (``WriteTransport``)."""
        if high is None:
            high = 64 * 1024 if low is None else 4 * low
        self._high_bytes, self._low_bytes = high, high // 4 if low is None else low

    def limits(self) -> tuple[int, int]:
        """Both of them, the lower one first."""
        return self._low_bytes, self._high_bytes

    def waiting_bytes(self) -> int:
        """Bytes that the kernel has not taken; most of them are shared with other connections."""
        if not self._is_plain_paused:
            # The plain side pauses us for a second byte that waits there.
            return self._backlog.size
        return self._backlog.size + self._plain.get_write_buffer_size()

    def own_bytes(self) -> int:
        """Bytes of them that are this connection's alone: a slice is kept until the last of it is sent."""
        unsent_bytes = self._plain.get_write_buffer_size()
        return max(unsent_bytes, self._slice_bytes) if unsent_bytes else 0

    # -- content ---------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, now or when the peer has taken the bytes before."""
        size = len(data)
        if self._backlog.size or self._is_plain_paused or self._is_app_paused or not 0 < size <= _RECORD_BYTES_MAX:
            self.writelines((data,))
        else:
            # The usual write by far is a frame for a viewer that keeps up: one record, and no backlog.
            self._send_record(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send several pieces, as one."""
        for data in list_of_data:
            self._backlog.append(data)
        self._pump()

    def send_own(self) -> None:
        """Send OpenSSL's own records."""
        if self._outgoing.pending:
            data = self._outgoing.read()
            if not self._plain.is_closing():
                self._plain.write(data)

    def end_when_sent(self) -> None:
        """Call ``on_sent`` when all is with the kernel."""
        self._ends_when_sent = True
        if not self._is_pump_due:
            self._pump()

    def forget(self) -> None:
        """Send no more of what waits."""
        self._backlog.clear()

    # -- the kernel ------------------------------------------------------------------------------

    def pause(self) -> None:
        """The kernel takes no more."""
        self._is_plain_paused = True

    def resume(self) -> None:
        """The kernel has taken all of it."""
        self._is_plain_paused = False
        self._pump()

    def _pump(self) -> None:
        """Encrypt a few records at a time, while the kernel takes them."""
        self._is_pump_due = False
        records = 0
        encrypt, take = self._ssl.write, self._outgoing.read
        try:
            while self._backlog.size and not self._is_plain_paused and not self._plain.is_closing():
                if records >= RECORDS_PER_TURN:
                    if not self._is_pump_due:
                        self._is_pump_due = True
                        asyncio.get_running_loop().call_soon(self._pump_on)
                    break
                left_bytes = self._next_slice_bytes()
                while self._backlog.size and left_bytes > 0:
                    record = self._backlog.take(min(left_bytes, _RECORD_BYTES_MAX))
                    encrypt(record)
                    left_bytes -= len(record)
                    records += 1
                encrypted = take()
                self._slice_bytes = len(encrypted)
                self._plain.write(encrypted)
        except (ssl.SSLError, ValueError) as exc:
            self._on_broken(exc)
            return
        self._control_flow()
        if self._ends_when_sent and not self._backlog.size:
            self._on_sent()

    def _pump_on(self) -> None:
        if self._is_pump_due:
            self._pump()

    def _send_record(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send one record's content, behind which nothing waits."""
        try:
            self._ssl.write(data)
            encrypted = self._outgoing.read()
            self._slice_bytes = len(encrypted)
            self._plain.write(encrypted)
        except (ssl.SSLError, ValueError) as exc:
            self._on_broken(exc)
            return
        if self._is_plain_paused:
            self._control_flow()

    def _next_slice_bytes(self) -> int:
        """Content that is encrypted and given to the kernel at once: as much as it has room for."""
        if self._backlog.size <= SHORT_RECORD_BYTES:
            return SHORT_RECORD_BYTES
        has_room_bytes = room_bytes(self._socket)
        records = min(RECORDS_PER_SLICE, has_room_bytes // (_RECORD_BYTES_MAX + _RECORD_HEAD_BYTES))
        if records > 0:
            return records * _RECORD_BYTES_MAX
        return max(SHORT_RECORD_BYTES, has_room_bytes - _RECORD_HEAD_BYTES)

    def _control_flow(self) -> None:
        protocol = self.protocol
        if protocol is None:
            return
        size = self.waiting_bytes()
        if size > self._high_bytes and not self._is_app_paused:
            self._is_app_paused = True
            protocol.pause_writing()
        elif size <= self._low_bytes and self._is_app_paused:
            self._is_app_paused = False
            protocol.resume_writing()

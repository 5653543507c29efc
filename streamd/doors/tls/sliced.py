"""TLS for many viewers: a waiting viewer holds a reference to shared bytes and one short encrypted record.

asyncio's TLS encrypts all that it is given and holds it until the peer takes it: a copy of a segment for each viewer.
Here a record is encrypted when the last one is with the kernel. Between two steps of the loop OpenSSL's buffers are
empty, so all connections share them and the read buffer: a connection at rest costs OpenSSL's own state, about 15 kB.

Spec: RFC 8446 sections 5.1 (records), 6.1 (closure alerts) and 4.6.3 (key updates).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from streamd.doors.tls.sending import RECORD_BYTES_MAX, TlsSending, bound_kernel_bytes

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

# Bytes that are read at once, and from one connection in a turn. Requests have about 1 kB. Key updates cost 9 us for 27
# bytes, so this much of them takes 1.4 ms.
READ_BYTES = 4 * 1024
# The same of a peer that is trusted with much of the loop's time, a publisher: half of a large picture.
LARGE_READ_BYTES = 64 * 1024
# Bytes that a peer may send without content: key updates, empty records, alerts. A peer renews its keys after some
# gigabytes. The largest record alone has 16,645 bytes, and its content appears with the last of them.
SILENT_BYTES_MAX = 20 * 1024
# Each byte of content pays for so many: a record of one byte has 23, a record of a request hardly more than the
# request. A peer that writes requests a byte at a time is heard for a kilobyte.
BYTES_SPOKEN_FOR = 8
# While many reads have no content, every peer is read this much at a time: a thousand peers that renew their keys at
# once then hold the loop for a sixth of a second.
SHORT_READ_BYTES = 512
# So many reads without content in a tenth of a second are many.
SILENT_READS_MAX = 16
SILENT_READS_S = 0.1
# OpenSSL's own answers, of which a peer may take none.
UNASKED_BYTES_MAX = 64 * 1024


class SlicedTls:
    """Makes TLS connections that share their buffers; one object for each loop."""

    def __init__(self) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.read_buffer = memoryview(bytearray(LARGE_READ_BYTES))
        self._usual_buffer = self.read_buffer[:READ_BYTES]
        self._short_buffer = self.read_buffer[:SHORT_READ_BYTES]
        self._silent_reads = 0

    def get_buffer(self, is_large: bool = False) -> memoryview:
        """The place of the next bytes of any connection: the one buffer, or the beginning of it.

        Args:
            is_large: For a peer that is trusted.
        """
        if is_large:
            return self.read_buffer
        return self._usual_buffer if self._silent_reads < SILENT_READS_MAX else self._short_buffer

    def note_silent_read(self) -> None:
        """Count a read without content."""
        if not self._silent_reads:
            asyncio.get_running_loop().call_later(SILENT_READS_S, self._forget_silent_reads)
        self._silent_reads += 1

    def _forget_silent_reads(self) -> None:
        self._silent_reads = 0

    async def accept(
        self,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        sock: socket.socket,
        *,
        ssl: ssl.SSLContext,
        ssl_handshake_timeout: float,
        ssl_shutdown_timeout: float,
    ) -> None:
        """Shake hands on an accepted socket, as ``loop.connect_accepted_socket`` does.

        Args:
            make_protocol: Makes the protocol of a connection after its handshake.
            sock: The socket, ours from here on.
            ssl: The certificate.
            ssl_handshake_timeout: Seconds for the handshake.
            ssl_shutdown_timeout: Seconds for which the peer may take nothing of the bytes left when we close, and for
                which it may leave its side open then.

        Raises:
            ConnectionAbortedError: The handshake took too long.
            OSError: It failed.
        """
        loop = asyncio.get_running_loop()
        through: asyncio.Future[None] = loop.create_future()
        bound_kernel_bytes(sock)
        connection = SlicedTransport(self, sock, ssl, make_protocol, through, ssl_shutdown_timeout)
        try:
            await loop.connect_accepted_socket(lambda: connection.plain_side, sock)
        except BaseException:
            sock.close()
            raise
        try:
            async with asyncio.timeout(ssl_handshake_timeout):
                await through
        except TimeoutError as exc:
            connection.abort()
            raise ConnectionAbortedError("the TLS handshake took too long") from exc
        except BaseException:
            connection.abort()
            raise


class _Handshake(NamedTuple):
    """What a connection has until its handshake is over."""

    make_protocol: Callable[[], asyncio.BaseProtocol]
    through: asyncio.Future[None]


class SlicedTransport:
    """The ``asyncio.Transport`` of one connection, as its protocol sees it.

    It inherits nothing: the compiler makes a type of C of it.

    Args:
        shared: The buffers, empty between two steps.
        sock: The socket below.
        context: The certificate.
        make_protocol: Makes the protocol when the handshake is through.
        through: Learns of the handshake's end.
        shutdown_timeout_s: As ``ssl_shutdown_timeout``.

    Attributes:
        plain_side: The protocol of the plain connection below.
    """

    __slots__ = (
        "_handshake",
        "_is_at_end",
        "_is_buffered",
        "_is_closing",
        "_is_goodbye_said",
        "_is_read_large",
        "_is_reading_paused",
        "_plain",
        "_protocol",
        "_sending",
        "_shared",
        "_shutdown_timeout_s",
        "_shutdown_timer",
        "_silent_bytes",
        "_ssl",
        "_unheard",
        "plain_side",
    )

    def __init__(
        self,
        shared: SlicedTls,
        sock: socket.socket,
        context: ssl.SSLContext,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        through: asyncio.Future[None],
        shutdown_timeout_s: float,
    ) -> None:
        self._shared = shared
        # None when it is through, or has failed.
        self._handshake: _Handshake | None = _Handshake(make_protocol, through)
        self._shutdown_timeout_s = shutdown_timeout_s
        self._ssl = context.wrap_bio(shared.incoming, shared.outgoing, server_side=True)
        self._plain: asyncio.Transport
        self._protocol: asyncio.Protocol | None = None
        self._is_buffered = self._is_read_large = False
        self.plain_side = _PlainSide(self)
        self._sending = TlsSending(self._ssl, shared.outgoing, sock, self._fail, self._say_goodbye)
        # The bytes that were decrypted after the protocol paused reading.
        self._unheard = b""
        self._is_reading_paused = self._is_at_end = False
        self._silent_bytes = 0
        self._is_closing = self._is_goodbye_said = False
        self._shutdown_timer: asyncio.TimerHandle | None = None

    # -- asyncio.Transport: calls of the protocol ------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Facts about the connection."""
        if name == "sslcontext":
            return self._ssl.context
        if name == "ssl_object":
            return self._ssl
        return self._plain.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have another protocol from here on."""
        self._protocol = self._sending.protocol = cast("asyncio.Protocol", protocol)
        self._is_buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol."""
        assert self._protocol is not None, "the handshake is not through"
        return self._protocol

    def is_closing(self) -> bool:
        """Tell whether writing is over."""
        return self._is_closing or self._plain.is_closing()

    def is_reading(self) -> bool:
        """Tell whether the protocol reads."""
        return not self._is_reading_paused

    def pause_reading(self) -> None:
        """Pause reading."""
        if not self._is_reading_paused and not self.is_closing():
            self._is_reading_paused = True
            self._plain.pause_reading()

    def resume_reading(self) -> None:
        """Read again, beginning with the bytes that came meanwhile."""
        if self._is_reading_paused and not self.is_closing():
            self._is_reading_paused = False
            self._plain.resume_reading()
            if self._unheard:
                asyncio.get_running_loop().call_soon(self._tell_unheard)

    def set_read_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Read much at a time where nothing is said, as the loop's TLS reads ahead then; else little."""
        self._is_read_large = high is None and low is None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Call ``pause_writing`` when more than ``high`` bytes wait, ``resume_writing`` at ``low``."""
        self._sending.set_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Both of them, the lower one first."""
        return self._sending.limits()

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken; most of them are shared with other connections."""
        return self._sending.waiting_bytes()

    @property
    def unsent_bytes(self) -> int:
        """The encrypted ones of them."""
        return self._plain.get_write_buffer_size()

    def own_bytes(self) -> int:
        """Bytes that the connection has for itself beside its state."""
        return len(self._unheard) + self._sending.own_bytes()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, now or when the peer has taken the bytes before."""
        if not self.is_closing():
            self._sending.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send several pieces, as one."""
        if not self.is_closing():
            self._sending.writelines(list_of_data)

    def can_write_eof(self) -> bool:
        """TLS connections are closed on both sides at once."""
        return False

    def close(self) -> None:
        """Close when all is sent, and the peer has had time to take it."""
        if self.is_closing():
            return
        self._is_closing = True
        self._watch_shutdown(self.get_write_buffer_size())
        self._sending.end_when_sent()

    def abort(self) -> None:
        """Close at once."""
        self._is_closing = True
        self._sending.forget()
        self._plain.abort()

    # -- the plain side: acts of the peer ----------------------------------------------------------

    def _connection_made(self, plain: asyncio.Transport) -> None:
        self._plain = plain
        self._sending.begin(plain)

    def _connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        self._sending.forget()
        self._unheard = b""
        if self._shutdown_timer is not None:
            self._shutdown_timer.cancel()
            self._shutdown_timer = None
        self._end_handshake(exc or ConnectionResetError("the peer left in the TLS handshake"))
        protocol = self._protocol
        if protocol is not None:
            self._protocol = self._sending.protocol = None
            protocol.connection_lost(exc)

    def _get_buffer(self) -> memoryview:
        """The one buffer, or as much of it as is read at once."""
        return self._shared.get_buffer(self._is_read_large)

    def _received(self, count: int) -> None:
        """Decrypt the read buffer, and pass on its content."""
        if self._is_goodbye_said or self._is_closing:
            # Bytes that arrive now are dropped; a few of them were under way.
            self._silent_bytes += count
            if self._silent_bytes > SILENT_BYTES_MAX:
                self.abort()
            return
        shared = self._shared
        pieces: list[bytes] = []
        is_end = False
        place: memoryview | None = None
        if self._is_buffered and not self._is_reading_paused and not self._unheard:
            # Before its bytes are deciphered, which is part of what its protocol makes us do.
            place = self._place()
        try:
            shared.incoming.write(shared.read_buffer[:count])
            if self._protocol is None and not self._shake_hands():
                return
            read = self._ssl.read
            while data := read(RECORD_BYTES_MAX):
                pieces.append(data)
                # A read takes all of a record. Asking for one more, which is not there, costs as much as a request did.
                if not shared.incoming.pending:
                    break
            else:
                is_end = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            is_end = True
        except (ssl.SSLError, ValueError) as exc:
            self._fail(exc)
            return
        finally:
            # The next connection must not read bytes of this one, nor send them.
            if shared.incoming.pending:
                shared.incoming.read()
            if shared.outgoing.pending:
                self._sending.send_own()
        self._hear(b"".join(pieces), count, place, is_end)

    def _hear(self, data: bytes, count: int, place: memoryview | None, is_end: bool) -> None:
        self._silent_bytes = max(0, self._silent_bytes + count - BYTES_SPOKEN_FOR * len(data))
        if self._silent_bytes > SILENT_BYTES_MAX or (not data and self.unsent_bytes > UNASKED_BYTES_MAX):
            self.abort()
            return
        if data:
            if self._is_closing:
                return
            self._tell(data, place)
        if is_end and not self.is_closing():
            self._is_at_end = True
            self._end_if_heard()
            return
        if not data and count >= SHORT_READ_BYTES:
            self._shared.note_silent_read()
        if (
            count in (READ_BYTES, SHORT_READ_BYTES, LARGE_READ_BYTES)
            and not self._is_reading_paused
            and not self._plain.is_closing()
        ):
            # There is more. The loop would read on; the others have their turn first.
            self._plain.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if not self._is_reading_paused and not self._plain.is_closing():
            self._plain.resume_reading()

    def _tell_unheard(self) -> None:
        if self._unheard and not self._is_reading_paused and not self.is_closing():
            data, self._unheard = self._unheard, b""
            self._tell(data, None)
            self._end_if_heard()

    def _end_if_heard(self) -> None:
        """Close after the peer's close_notify, when all before it was heard."""
        if self._is_at_end and not self._unheard and not self.is_closing():
            self._eof_received()
            self.close()

    def _place(self) -> memoryview:
        """Where a buffered protocol wants its next bytes."""
        return cast("memoryview", cast("asyncio.BufferedProtocol", self._protocol).get_buffer(-1))

    def _tell(self, data: bytes, place: memoryview | None) -> None:
        """Tell the protocol what the peer says; what it pauses for waits.

        Args:
            data: The content.
            place: Where a buffered protocol wants it, if it was asked.
        """
        if self._unheard:
            # It was told to read on, and hears first what came first.
            self._unheard += data
            return
        if not self._is_buffered and not self._is_reading_paused:
            self.get_protocol().data_received(data)  # type: ignore[attr-defined]
            return
        start = 0
        while start < len(data) and not self.is_closing():
            if self._is_reading_paused:
                self._unheard += data[start:]
                return
            if place is None:
                place = self._place()
            end = min(len(data), start + len(place))
            place[: end - start] = data[start:end]
            place = None
            cast("asyncio.BufferedProtocol", self._protocol).buffer_updated(end - start)
            start = end

    def _eof_received(self) -> None:
        if self._protocol is not None and not self.is_closing():
            self._protocol.eof_received()

    # -- the handshake ------------------------------------------------------------------------------

    def _shake_hands(self) -> bool:
        """Go on with the handshake; return whether it is complete."""
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        assert self._handshake is not None
        # The last of the handshake is on its way before the protocol speaks.
        self._sending.send_own()
        self.set_protocol(self._handshake.make_protocol())
        self._end_handshake(None)
        self.get_protocol().connection_made(cast("asyncio.Transport", self))
        return True

    def _end_handshake(self, exc: Exception | None) -> None:
        handshake, self._handshake = self._handshake, None
        if handshake is None or handshake.through.done():
            return
        if exc is None:
            handshake.through.set_result(None)
        else:
            handshake.through.set_exception(exc)

    def _fail(self, exc: Exception) -> None:
        """Close a connection whose TLS is broken, with OpenSSL's alert where it could be sent."""
        self._sending.send_own()
        self._end_handshake(exc if isinstance(exc, OSError) else ConnectionError(str(exc)))
        self._is_closing = True
        self._sending.forget()
        self._plain.abort() if self.unsent_bytes else self._plain.close()

    # -- the end ----------------------------------------------------------------------------------------

    def _say_goodbye(self) -> None:
        """Send close_notify, and read on until the peer closes.

        With unread input the kernel would send RST; and a FIN right behind takes unread bytes from uvloop's TLS at the
        other end.
        """
        if self._is_goodbye_said or self._plain.is_closing():
            return
        # RFC 8446 6.1: there is no need to wait for the peer's close_notify.
        with contextlib.suppress(ssl.SSLError, ValueError):
            self._ssl.unwrap()
        self._sending.send_own()
        self._is_goodbye_said = True
        if self._is_reading_paused:
            self._is_reading_paused = False
            self._plain.resume_reading()

    def _watch_shutdown(self, size_before: int) -> None:
        self._shutdown_timer = asyncio.get_running_loop().call_later(
            self._shutdown_timeout_s, self._check_shutdown, size_before
        )

    def _check_shutdown(self, size_before: int) -> None:
        size = self.get_write_buffer_size()
        if self._is_goodbye_said or size >= size_before:
            self.abort()
        else:
            self._watch_shutdown(size)


class _PlainSide(asyncio.BufferedProtocol):
    """The protocol of the plain connection, which the loop calls. asyncio wants it to inherit."""

    __slots__ = ("_tls",)

    def __init__(self, tls: SlicedTransport) -> None:
        self._tls = tls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._tls._connection_made(cast("asyncio.Transport", transport))

    def get_buffer(self, sizehint: int) -> memoryview:
        """The one buffer."""
        return self._tls._get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes that were read."""
        self._tls._received(nbytes)

    def eof_received(self) -> bool:
        """Take the peer's FIN: TLS has no half of a connection."""
        self._tls._eof_received()
        return False

    def pause_writing(self) -> None:
        """The kernel takes no more."""
        self._tls._sending.pause()

    def resume_writing(self) -> None:
        """The kernel has taken all of it."""
        self._tls._sending.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._tls._connection_lost(exc)

"""Connections to the RTMP servers that broadcasts are passed on to.

A name is looked up and every address of it checked before the connection, which goes to those very addresses; TLS
checks the certificate against the name.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import ssl
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, cast

from streamd.doors.outgoing.http_sender import LOOKUPS_AT_ONCE_MAX, AddressForbiddenError, check_address
from streamd.errors import ProtocolError
from streamd.formats.rtmp.client_connection import ClientConnection
from streamd.formats.rtmp.client_events import PublishRefused, PublishStarted, ReconnectAsked
from streamd.services.restream.link import LinkSigns

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.doors.outgoing.address_guard import AddressGuard
    from streamd.formats.amf.values import Value
    from streamd.formats.payload import Payload
    from streamd.services.restream.link import LinkOwner
    from streamd.services.restream.target import TargetRecord

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 10.0
"""For the look-up, the connection and TLS together."""
ADDRESS_TIMEOUT_S: Final = 4.0
"""For one address of a name, so that its next one is tried within that time: IPv6 may lead nowhere."""
ANSWER_TIMEOUT_S: Final = 10.0
"""From there until the target takes media. Encoders wait as long or longer."""
SILENCE_TIMEOUT_MS: Final = 15_000
"""A target whose machine acknowledges nothing for so long is gone (tcp(7), TCP_USER_TIMEOUT)."""
# Past it the transport says that it is full; the push hands it no more than it says that it has room for.
_HIGH_WATER_BYTES: Final = 64 * 1024
# The end of a goodbye that the target does not take.
_GOODBYE_S: Final = 2.0

# Linux' ``struct tcp_info``: tcpi_unacked is the fifth number behind eight bytes, tcpi_bytes_acked a number of 64 bits
# at 120, and tcpi_notsent_bytes at 144.
_TCP_INFO_BYTES: Final = 148
_UNACKED: Final = struct.Struct("=24xI")
_BYTES_ACKED: Final = struct.Struct("=120xQ")
_NOT_SENT: Final = struct.Struct("=144xI")


class RtmpDialer:
    """Makes connections to targets.

    Args:
        guard: Judges the addresses.
        flash_version: Our name.
        own_ports: Those of this server's own RTMP doors: a target there, on this machine, is a loop.
    """

    def __init__(self, guard: AddressGuard, flash_version: str, own_ports: Callable[[], frozenset[int]]) -> None:
        self.guard = guard
        self.flash_version = flash_version
        self.own_ports = own_ports
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE_MAX, "lookup")
        self._tls: ssl.SSLContext | None = None

    def dial(self, target: TargetRecord, owner: LinkOwner, /) -> RtmpLink:
        """Begin a connection (``Dialer``)."""
        return RtmpLink(self, target, owner)

    def tls(self) -> ssl.SSLContext:
        """The context of all connections over TLS; made when the first is."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    async def look_up(self, host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
        """The addresses of a host, all of them allowed.

        Raises:
            OSError: There are none.
            AddressForbiddenError: One of them may not be reached.
        """
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            )
        except UnicodeError as exc:
            # What IDNA has no form for, a label of 64 letters for one, is no name.
            raise OSError("there is no such name") from exc
        addresses: list[tuple[socket.AddressFamily, str]] = [(each[0], str(each[4][0])) for each in found]
        for _, address in addresses:
            try:
                check_address(self.guard, host, address, setting="restream.allow_networks")
            except AddressForbiddenError as exc:
                # The broadcaster reads this: which address a name has behind our firewall is not theirs to learn.
                raise AddressForbiddenError(f"{host} is not on the internet, nor in restream.allow_networks") from exc
        return addresses

    def close(self) -> None:
        """Look nothing up any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class RtmpLink(asyncio.Protocol):
    """One connection to a target (``Link``).

    Args:
        dialer: Has its part of all of them.
        target: Where it goes.
        owner: Is told of it.
    """

    def __init__(self, dialer: RtmpDialer, target: TargetRecord, owner: LinkOwner) -> None:
        self._dialer = dialer
        self._target = target
        self._owner: LinkOwner | None = owner
        self._connection = ClientConnection(
            target.place.address(target.stream_key),
            nonce=secrets.token_bytes(16),
            flash_version=dialer.flash_version,
        )
        self._transport: asyncio.Transport | None = None
        self._taken: list[bytes | memoryview] = []
        self._answer_timer: asyncio.TimerHandle | None = None
        self._task = asyncio.create_task(self._connect())

    # -- Link -------------------------------------------------------------------------------------

    def write(self, tag_type: int, timestamp_ms: int, body: bytes | Payload, /) -> None:
        """Take a message of audio or video."""
        if not self._connection.is_closed:
            self._taken += self._connection.write_media(tag_type, timestamp_ms, body)

    def write_metadata(self, timestamp_ms: int, values: dict[str, Value], /) -> None:
        """Take ``onMetaData``."""
        if not self._connection.is_closed:
            self._taken += self._connection.write_metadata(timestamp_ms, values)

    def flush(self) -> None:
        """Hand what was taken to the transport; slabs are free from here on."""
        taken, self._taken = self._taken, []
        if taken and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(taken))

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait in the transport."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def signs(self) -> LinkSigns:
        """Ask the kernel; where it does not say, what left the transport counts as acknowledged."""
        transport = self._transport
        stand_in = transport.get_extra_info("socket") if transport is not None else None
        if transport is None or stand_in is None:
            return LinkSigns(0, is_waiting=False)
        try:
            info = stand_in.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except (OSError, AttributeError):
            return LinkSigns(self._connection.acknowledged_bytes, is_waiting=self.queued_bytes > 0)
        if len(info) < _TCP_INFO_BYTES:
            return LinkSigns(self._connection.acknowledged_bytes, is_waiting=self.queued_bytes > 0)
        (unacked,) = _UNACKED.unpack_from(info)
        (acked_bytes,) = _BYTES_ACKED.unpack_from(info)
        (not_sent,) = _NOT_SENT.unpack_from(info)
        return LinkSigns(acked_bytes, is_waiting=bool(unacked or not_sent or self.queued_bytes))

    def close(self) -> None:
        """Say goodbye and close."""
        self._owner = None
        self._task.cancel()
        self._stop_timer()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._connection.close()
        transport.write(self._connection.data_to_send())
        transport.close()
        # A target that does not read would keep what waits for as long as it likes.
        asyncio.get_running_loop().call_later(_GOODBYE_S, transport.abort)

    # -- the connection -----------------------------------------------------------------------------

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._connect_to_any()
        except TimeoutError:
            self._end(f"no connection within {CONNECT_TIMEOUT_S:g} s")
        except ssl.SSLCertVerificationError as exc:
            self._end(f"the certificate does not hold: {exc.verify_message}")
        except ssl.SSLError as exc:
            self._end(f"TLS failed: {exc.reason or exc}")
        except AddressForbiddenError as exc:
            self._end(str(exc))
        except OSError as exc:
            # uvloop's have no words where a server hangs up in the middle of TLS.
            self._end(f"no connection: {exc.strerror or str(exc) or 'the target closed it'}")
        except Exception:
            log.exception("target.broken", extra={"target_id": self._target.target_id, "user": self._target.user})
            self._end("internal error")

    async def _connect_to_any(self) -> None:
        """Connect to the first address that answers.

        Raises:
            OSError: None does.
        """
        place, dialer = self._target.place, self._dialer
        loop = asyncio.get_running_loop()
        fault: OSError | None = None
        for family, address in await dialer.look_up(place.host, place.port):
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if hasattr(socket, "TCP_USER_TIMEOUT"):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_TIMEOUT_MS)
                async with asyncio.timeout(ADDRESS_TIMEOUT_S):
                    await loop.sock_connect(connection, (address, place.port))
                if self._leads_back(connection):
                    raise AddressForbiddenError(f"{place.host} is this server itself")
                await loop.create_connection(
                    lambda: self,
                    sock=connection,
                    ssl=dialer.tls() if place.is_tls else None,
                    server_hostname=place.host if place.is_tls else None,
                )
            except (ssl.SSLError, AddressForbiddenError):
                connection.close()
                raise
            except TimeoutError:
                connection.close()
                fault = OSError(f"no answer within {ADDRESS_TIMEOUT_S:g} s")
            except OSError as exc:
                connection.close()
                fault = exc
            except BaseException:
                connection.close()
                raise
            else:
                return
        raise fault or OSError("the name has no address")

    def _leads_back(self, connection: socket.socket) -> bool:
        """Whether the far end is a door of this very server."""
        here, there = connection.getsockname(), connection.getpeername()
        if there[1] not in self._dialer.own_ports():
            return False
        return here[0] == there[0] or _is_of_this_machine(connection.family, there[0])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        # uvloop's is none by its class.
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        self._answer_timer = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT_S, self._give_up_answer)
        transport.write(self._connection.data_to_send())

    def data_received(self, data: bytes) -> None:
        """Act on the target's words."""
        transport = self._transport
        if transport is None or self._owner is None:
            return
        try:
            events = self._connection.receive_data(data)
        except ProtocolError as exc:
            self._end(f"the server breaks RTMP: {exc}")
            return
        if answer := self._connection.data_to_send():
            transport.write(answer)
        for event in events:
            match event:
                case PublishStarted():
                    self._stop_timer()
                    if self._owner is not None:
                        self._owner.link_started(self)
                case PublishRefused():
                    words = ": ".join(filter(None, (event.code, event.description))) or "refused without a word"
                    self._end(words, is_refusal=True)
                case ReconnectAsked():
                    # The target's other address is not followed: nobody has checked it.
                    self._end("the target asks for another connection")

    def resume_writing(self) -> None:
        """The transport has room again."""
        if self._owner is not None:
            self._owner.link_drained(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner, if it does not know."""
        if isinstance(exc, OSError) and exc.errno:
            self._end(f"the connection was lost: {os.strerror(exc.errno)}")
        else:
            self._end("the target closed the connection")

    # -- the end --------------------------------------------------------------------------------------

    def _give_up_answer(self) -> None:
        self._end(f"no answer within {ANSWER_TIMEOUT_S:g} s")

    def _end(self, reason: str, *, is_refusal: bool = False) -> None:
        owner, self._owner = self._owner, None
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()
        if owner is not None:
            owner.link_ended(self, reason, is_refusal=is_refusal)

    def _stop_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None


def _is_of_this_machine(family: socket.AddressFamily, address: str) -> bool:
    """Whether an address is one of ours: we could listen at it."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True

"""TLS handshakes in progress: so many and no more, each for so long.

asyncio shows a listener a TLS connection after its handshake. Until then it is not counted, and one that never finishes
holds a descriptor, OpenSSL's state and our time. So the listeners accept plain connections, count them here, and only
then begin TLS.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from streamd.doors.tls.failures import failure_of
from streamd.formats.address import source_of
from streamd.limits import DEFAULT
from streamd.services.bounds.loop_time import AddressBudgets, LoopTimeBudget, LoopTimeLimit
from streamd.services.bounds.memory_accounts import Standing

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection

    from streamd.services.bounds.memory_accounts import Holder

MakeProtocol: TypeAlias = Callable[[], asyncio.BaseProtocol]
Accept: TypeAlias = Callable[..., Coroutine[Any, Any, object]]
"""Shakes hands on a socket, with the arguments of ``loop.connect_accepted_socket``."""

log = logging.getLogger(__name__)

# Seconds for the peer to take the bytes that TLS still holds when a connection closes, 64 kB at the most.
SHUTDOWN_TIMEOUT_S = 10.0
# Time of the loop for a handshake, which cannot be measured from here: a signature of RSA with 2,048 bits, and the
# rest.
HANDSHAKE_S = 0.0015
# Of the loop's time, for handshakes of one address: 66 a second, and 333 at once, which is a hall full of viewers who
# reconnect. A handshake past it waits, within its time limit.
ADDRESS_SHARE = LoopTimeLimit(seconds_per_second=0.1, burst_s=0.5, overdue_s=math.inf)
# The same for all: 266 a second. The rest of the time is for open connections.
SHARE_OF_ALL = LoopTimeLimit(seconds_per_second=0.4, burst_s=2.0, overdue_s=math.inf)


# Bytes that a handshake makes us hold: OpenSSL's state with its buffers, which it frees at the end, the transport,
# and a task that waits. Measured (``bench/accounts.py``).
HANDSHAKE_BYTES = 48 * 1024


class TlsGuard(Protocol):
    """A guard that a listener puts before its protocols: ``TlsHandshakes.guard`` with a certificate."""

    def __call__(self, make_protocol: MakeProtocol, accept: Accept | None = None, /) -> MakeProtocol:
        """As ``TlsHandshakes.guard``."""


@dataclass(frozen=True, slots=True)
class TlsEntry:
    """One port that speaks TLS."""

    context: ssl.SSLContext
    """Its certificate."""
    port: str = ""
    """Its name in the log and the metrics: ``rtmps`` or ``https``."""
    failure_level: int = logging.DEBUG
    """Level of the lines about handshakes that fail: an encoder's is worth one, and browsers leave many."""


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    """Bounds of the handshakes in progress. The reasons stand in the configuration's ``[limits]``."""

    tls_handshakes_max: int = DEFAULT.tls_handshakes_max
    tls_handshakes_per_address_max: int = DEFAULT.tls_handshakes_per_address_max
    tls_handshake_timeout_s: float = DEFAULT.tls_handshake_timeout_s
    address_share: LoopTimeLimit = ADDRESS_SHARE
    """Processor time of the handshakes of one address."""
    share_of_all: LoopTimeLimit = SHARE_OF_ALL
    """Processor time of all handshakes."""


class _Handshake:
    """One in progress, as the account of the process sees it (``Holder``).

    Args:
        task: Shakes hands.
        opened_at: Loop time, seconds.
    """

    __slots__ = ("opened_at", "task")

    standing = Standing.STRANGER
    held_bytes = HANDSHAKE_BYTES

    def __init__(self, task: asyncio.Task[None], opened_at: float) -> None:
        self.task = task
        self.opened_at = opened_at

    def shed(self) -> None:
        """Close at once: memory is short."""
        self.task.cancel()


class TlsHandshakes:
    """The TLS handshakes in progress, of all listeners together.

    Args:
        limits: Their number, and the time for each.
        count_limit: Gets the name of a limit when it acts.
        count_failure: Gets the name of the port and the reason of a handshake that fails.
    """

    def __init__(
        self,
        limits: HandshakeLimits,
        count_limit: Callable[[str], None],
        count_failure: Callable[[str, str], None] = lambda _, __: None,
    ) -> None:
        self.limits = limits
        self._count_limit = count_limit
        self._count_failure = count_failure
        self._by_source: Counter[str] = Counter()
        # In the order in which they began.
        self._in_progress: dict[asyncio.Task[None], _Handshake] = {}
        self._time_by_source = AddressBudgets(limits.address_share)
        self._time = LoopTimeBudget(limits.share_of_all, 0.0)

    @property
    def in_progress(self) -> int:
        """Their number now."""
        return len(self._in_progress)

    def holders(self) -> Collection[Holder]:
        """All in progress (``HolderSource``)."""
        return self._in_progress.values()

    def guard(self, entry: TlsEntry, make_protocol: MakeProtocol, accept: Accept | None = None, /) -> MakeProtocol:
        """Put TLS before the protocols that a listener makes.

        Args:
            entry: The port's certificate.
            make_protocol: Makes the protocol of a connection after its handshake.
            accept: Shakes hands; None for the loop's own TLS.

        Returns:
            The factory for a listener of plain connections, in place of ``make_protocol``.
        """
        return lambda: _Accepted(self, entry, make_protocol, accept)

    def begin(
        self,
        entry: TlsEntry,
        sock: socket.socket,
        address: str,
        make_protocol: MakeProtocol,
        accept: Accept | None = None,
    ) -> None:
        """Shake hands on an accepted socket, which is ours from here on.

        One too many of an address is closed. One too many in all replaces the one that began first: an honest peer
        finishes in a tenth of a second, so the oldest handshake most likely only holds its place.
        """
        source = source_of(address)
        limits = self.limits
        if self._by_source[source] >= limits.tls_handshakes_per_address_max:
            self._count_limit("tls_handshakes_per_address_max")
            log.debug("tls.refused", extra={"peer": address, "in_progress": self.in_progress})
            sock.close()
            return
        while self._in_progress and self.in_progress >= limits.tls_handshakes_max:
            self._count_limit("tls_handshakes_max")
            oldest = next(iter(self._in_progress))
            del self._in_progress[oldest]
            oldest.cancel()
        begun: list[bool] = []
        task = asyncio.create_task(self._shake_hands(sock, address, entry, make_protocol, accept, begun))
        self._in_progress[task] = _Handshake(task, asyncio.get_running_loop().time())
        self._by_source[source] += 1

        def end(_: object) -> None:
            if not begun:
                sock.close()
            self._in_progress.pop(task, None)
            self._by_source[source] -= 1
            if not self._by_source[source]:
                del self._by_source[source]

        task.add_done_callback(end)

    async def _shake_hands(
        self,
        sock: socket.socket,
        address: str,
        entry: TlsEntry,
        make_protocol: MakeProtocol,
        accept: Accept | None,
        begun: list[bool],
    ) -> None:
        """Shake hands, when it is its turn; from ``begun`` on the socket is the transport's."""
        await self._take_time(source_of(address))
        begun.append(True)
        try:
            await (accept or asyncio.get_running_loop().connect_accepted_socket)(
                make_protocol,
                sock,
                ssl=entry.context,
                ssl_handshake_timeout=self.limits.tls_handshake_timeout_s,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            )
        except OSError as exc:  # ``ssl.SSLError`` and everything of ``ConnectionError`` among them
            if isinstance(exc, ConnectionAbortedError):
                self._count_limit("tls_handshake_timeout_s")
            failure = failure_of(exc)
            self._count_failure(entry.port, failure)
            log.log(
                entry.failure_level,
                "tls.handshake_failed",
                extra={
                    "peer": address,
                    "port": entry.port,
                    "reason": failure.value,
                    "advice": failure.advice,
                    "detail": str(exc),
                },
            )

    async def _take_time(self, source: str) -> None:
        """Wait until there is time for one handshake more, and take it."""
        now = asyncio.get_running_loop().time
        for budget in (self._time_by_source.of(source, now()), self._time):
            while budget.has_debt(now()):  # noqa: ASYNC110  # time passes, nobody tells
                await asyncio.sleep(budget.pause_s)  # others may have been quicker
            budget.spend(now(), HANDSHAKE_S)


class _Accepted(asyncio.Protocol):
    """A plain connection at the moment when it is accepted.

    The loop would read the peer's first bytes before TLS could be put in front of a transport that there is already,
    so only the socket goes on.
    """

    def __init__(
        self, handshakes: TlsHandshakes, entry: TlsEntry, make_protocol: MakeProtocol, accept: Accept | None
    ) -> None:
        self._handshakes = handshakes
        self._entry = entry
        self._make_protocol = make_protocol
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket and leave the transport, before it has read anything."""
        plain = cast("asyncio.Transport", transport)
        peername = plain.get_extra_info("peername")
        address = peername[0] if peername else "unknown"
        try:
            # The transport closes its own descriptor of it.
            sock = socket.socket(fileno=os.dup(plain.get_extra_info("socket").fileno()))
        except OSError as exc:  # no descriptor is left
            log.warning("tls.failed", extra={"peer": address, "reason": str(exc)})
        else:
            sock.setblocking(False)
            self._handshakes.begin(self._entry, sock, address, self._make_protocol, self._accept)
        plain.abort()

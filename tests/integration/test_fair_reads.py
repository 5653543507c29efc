"""One connection that floods has one read in each turn of the loop, however much the kernel holds for it.

Counted, not timed: on real sockets, on either loop, with TLS and without, as a stranger and as a publisher.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest

from streamd.clock import SystemClock
from streamd.doors.ingest.read_turns import READ_BYTES_MAX, LoopShares, ReadTurns
from streamd.doors.tls.certificate import TlsCertificate
from streamd.doors.tls.handshakes import HandshakeLimits, TlsEntry, TlsHandshakes
from streamd.formats.rtmp.connection_options import LOGIN_READ_BYTES_MAX
from tests.support.certificates import ONE
from tests.support.doors import LOOPS
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.doors.ingest.read_turns import Reading

pytestmark = pytest.mark.integration

CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT.check_hostname = False
CLIENT.verify_mode = ssl.CERT_NONE
FLOOD_BYTES = 8 * 1024 * 1024
# What the loop's TLS has deciphered it hands on in the turn in which it is let on, and then once more.
READS_A_TURN = {False: 1, True: 2}


class Taker(asyncio.BufferedProtocol):
    """Takes what comes, as an RTMP connection does, and counts its reads in each turn."""

    def __init__(self, turns: ReadTurns, *, is_stranger: bool) -> None:
        self._turns = turns
        self._is_stranger = is_stranger
        self._reading: Reading | None = None
        self.received = 0
        self.largest = 0
        self.reads = 0
        """In the turn that runs."""
        self.done = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._reading = self._turns.open(cast("asyncio.Transport", transport), "192.0.2.1", self._step)
        if not self._is_stranger:
            self._reading.admit()

    def _step(self, nbytes: int) -> bool:
        self.received += nbytes
        self.largest = max(self.largest, nbytes)
        self.reads += 1
        if self.received >= FLOOD_BYTES:
            self.done.set()
        return False

    def get_buffer(self, sizehint: int) -> memoryview:
        assert self._reading is not None
        return self._reading.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        assert self._reading is not None
        self._reading.read(nbytes)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("is_stranger", [False, True], ids=["publisher", "stranger"])
def test_a_flood_has_one_read_a_turn(tmp_path: Path, loop: str, *, is_tls: bool, is_stranger: bool) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text(ONE.cert)
    key.write_text(ONE.key)

    async def main() -> tuple[Taker, list[int]]:
        running = asyncio.get_running_loop()
        shares = LoopShares(1000, 1000, 1000, 1000)
        turns = ReadTurns(shares, clock=SystemClock(), timers=running)
        takers: list[Taker] = []

        def make() -> Taker:
            takers.append(Taker(turns, is_stranger=is_stranger))
            return takers[-1]

        handshakes = TlsHandshakes(HandshakeLimits(), lambda _: None)
        context = TlsCertificate(cert, key, ()).context
        server = await running.create_server(
            partial(handshakes.guard, TlsEntry(context))(make) if is_tls else make, "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        taken = threading.Event()
        flood = threading.Thread(target=send_flood, args=(port, taken), kwargs={"is_tls": is_tls})
        flood.start()
        while not takers:  # noqa: ASYNC110  # what is waited for offers no event
            await asyncio.sleep(0)
        (taker,) = takers
        reads: list[int] = []
        while not taker.done.is_set():
            # A turn; what is to be called soon is called once in it.
            await asyncio.sleep(0)
            reads.append(taker.reads)
            taker.reads = 0
        taken.set()
        flood.join()
        server.close()
        return taker, reads

    taker, reads = LOOPS[loop](asyncio.wait_for(main(), PATIENCE_S))
    assert taker.largest <= (LOGIN_READ_BYTES_MAX if is_stranger else READ_BYTES_MAX)
    assert sum(reads) >= FLOOD_BYTES // READ_BYTES_MAX
    assert max(reads) <= READS_A_TURN[is_tls]


def send_flood(port: int, taken: threading.Event, *, is_tls: bool) -> None:
    """Send it all at once; the connection stays until it has been taken."""
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
        sock: socket.socket = stack.enter_context(CLIENT.wrap_socket(plain)) if is_tls else plain
        sock.sendall(bytes(FLOOD_BYTES))
        taken.wait(PATIENCE_S)

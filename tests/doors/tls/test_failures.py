"""Handshakes that fail over real sockets, on either loop: each leaves its reason."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from functools import partial
from typing import TYPE_CHECKING

import pytest

from streamd.doors.tls.certificate import TlsCertificate
from streamd.doors.tls.failures import HandshakeFailure, failure_of
from streamd.doors.tls.handshakes import HandshakeLimits, TlsEntry, TlsHandshakes
from tests.support.certificates import ONE
from tests.support.doors import LOOPS
from tests.support.patience import PATIENCE_S
from tests.support.rtmp_wire import SIMPLE_HANDSHAKE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    # Speaks to a port in a way that TLS does not take.
    Client = Callable[[int], Awaitable[None]]


def says(data: bytes) -> Client:
    async def say(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    return say


def shakes_hands(context: ssl.SSLContext) -> Client:
    """A client on a blocking socket: those of asyncio close without an alert."""

    def shake(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain, contextlib.suppress(OSError):
            context.wrap_socket(plain, server_hostname="localhost").close()

    return lambda port: asyncio.to_thread(shake, port)


async def leaves(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


def old_client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.options &= ~(ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:ssl.OP_NO_:DeprecationWarning")
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("client", "failure"),
    [
        (lambda: shakes_hands(ssl.create_default_context()), HandshakeFailure.UNTRUSTED_CERTIFICATE),
        (lambda: shakes_hands(old_client()), HandshakeFailure.OLD_VERSION),
        (lambda: says(SIMPLE_HANDSHAKE), HandshakeFailure.NOT_TLS),
        (lambda: says(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), HandshakeFailure.NOT_TLS),
        (lambda: says(b"\xff" * 2000), HandshakeFailure.NOT_TLS),
        (lambda: leaves, HandshakeFailure.CLOSED),
    ],
    ids=["an issuer that is not trusted", "TLS 1.1", "plain RTMP", "plain HTTP", "noise", "a client that leaves"],
)
def test_leaves_a_line_and_a_count_with_its_reason(
    loop: str,
    client: Callable[[], Client],
    failure: HandshakeFailure,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text(ONE.cert)
    key.write_text(ONE.key)
    entry = TlsEntry(TlsCertificate(cert, key, ()).context, "rtmps", logging.INFO)
    failures: list[tuple[str, str]] = []

    async def main() -> None:
        handshakes = TlsHandshakes(HandshakeLimits(), lambda _: None, lambda *each: failures.append(each))
        make = partial(handshakes.guard, entry)(asyncio.Protocol)
        server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
        async with asyncio.timeout(PATIENCE_S):
            await client()(server.sockets[0].getsockname()[1])
            while not failures:  # noqa: ASYNC110  # what is waited for offers no event
                await asyncio.sleep(0.001)
        server.close()

    LOOPS[loop](main())
    if failures == [("rtmps", HandshakeFailure.NO_COMMON_CIPHER)] and failure is HandshakeFailure.OLD_VERSION:
        # An OpenSSL that has switched the old versions' ciphers off says that.
        failure = HandshakeFailure.NO_COMMON_CIPHER
    assert failures == [("rtmps", failure)]
    (line,) = (record for record in caplog.records if record.message == "tls.handshake_failed")
    assert line.__dict__["reason"] == failure.value
    assert line.__dict__["advice"] == failure.advice
    assert line.__dict__["peer"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ConnectionAbortedError("SSL handshake is taking longer than 10 seconds"), HandshakeFailure.TIMEOUT),
        (ConnectionResetError(), HandshakeFailure.CLOSED),
        (ssl.SSLEOFError(), HandshakeFailure.CLOSED),
        (ssl.SSLError(1, "[SSL: A_REASON_OF_TOMORROW] of tomorrow"), HandshakeFailure.OTHER),
        (OSError(5, "Input/output error"), HandshakeFailure.OTHER),
    ],
)
def test_errors_of_the_loop(error: OSError, failure: HandshakeFailure) -> None:
    assert failure_of(error) is failure


def test_each_failure_has_an_advice() -> None:
    assert all(failure.advice for failure in HandshakeFailure)

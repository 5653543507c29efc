from __future__ import annotations

import logging
import os
import ssl
from functools import partial
from typing import TYPE_CHECKING

import pytest

from streamd.doors.tls.certificate import TlsCertificate
from streamd.doors.tls.handshakes import HandshakeLimits, TlsEntry, TlsHandshakes
from tests.support.certificates import ONE, TWO
from tests.support.doors import LOOPS, Client, StandInRegistry, StandInStream, open_doors, request, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.certificates import Pem

PART = "/live/demo/main/part10012.m4s"


class Files:
    """Certificate files; each version of them is a second younger than the last."""

    def __init__(self, folder: Path, pem: Pem) -> None:
        self.cert, self.key = folder / "tls.crt", folder / "tls.key"
        self._version = 1_700_000_000
        self.write(pem.cert, pem.key)

    def write(self, cert: str, key: str) -> None:
        self._version += 1
        for path, text in ((self.cert, cert), (self.key, key)):
            path.write_text(text)
            os.utime(path, (self._version, self._version))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, ONE)


def served(certificate: TlsCertificate) -> str:
    """The certificate that a new connection is served: both ends in memory, no socket."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname = False
    trust.verify_mode = ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trust.wrap_bio(to_client, to_server)
    server = certificate.context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    der = client.getpeercert(binary_form=True)
    assert der is not None
    return ssl.DER_cert_to_PEM_cert(der)


def test_a_renewed_certificate_serves_the_next_connection(files: Files) -> None:
    certificate = TlsCertificate(files.cert, files.key)
    assert served(certificate) == ONE.cert
    assert not certificate.reload_if_changed()
    files.write(TWO.cert, TWO.key)
    assert certificate.reload_if_changed()
    assert served(certificate) == TWO.cert
    assert not certificate.reload_if_changed()


@pytest.mark.parametrize(
    ("cert", "key"),
    [("nonsense", TWO.key), (TWO.cert, "nonsense"), (TWO.cert, ONE.key), ("", ""), (TWO.cert[:200], TWO.key)],
)
def test_a_bad_file_is_logged_once_and_the_old_certificate_stays(
    files: Files, cert: str, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = TlsCertificate(files.cert, files.key)
    files.write(cert, key)
    with caplog.at_level(logging.WARNING):
        assert not certificate.reload_if_changed()
        assert not certificate.reload_if_changed()
    assert [record.message for record in caplog.records] == ["tls.reload_failed"]
    assert served(certificate) == ONE.cert
    files.write(TWO.cert, TWO.key)
    assert certificate.reload_if_changed()


def test_files_that_are_being_replaced_are_looked_at_again(files: Files) -> None:
    certificate = TlsCertificate(files.cert, files.key)
    files.cert.unlink()
    assert not certificate.reload_if_changed()
    files.write(TWO.cert, TWO.key)
    assert certificate.reload_if_changed()
    assert served(certificate) == TWO.cert


def test_what_is_unusable_from_the_start_is_an_error(files: Files) -> None:
    files.write(TWO.cert, ONE.key)
    with pytest.raises(OSError, match=r"(?i)key values mismatch"):
        TlsCertificate(files.cert, files.key)
    files.key.unlink()
    with pytest.raises(FileNotFoundError):
        TlsCertificate(files.cert, files.key)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_door_speaks_it_and_hands_it_over(files: Files, loop: str) -> None:
    async def main() -> None:
        certificate = TlsCertificate(files.cert, files.key)
        stream = StandInStream(payload_bytes=400_000)
        tls = partial(TlsHandshakes(HandshakeLimits(), lambda _: None).guard, TlsEntry(certificate.context))
        async with open_doors(StandInRegistry({"demo": stream}), tls=tls) as doors:
            trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            trust.check_hostname = False
            trust.verify_mode = ssl.CERT_NONE
            async with Client.connected(doors.thin_port, trust) as client:
                await client.send(request(PART) * 2 + request("/live/demo/main/seg1001.m4s"))
                for size in (400_000, 400_000, 1_600_000):
                    assert len((await client.response()).body) == size
                await client.send(request("/live/demo/main/part10014.m4s") + request("/watch/demo") + request(PART))
                await until(lambda: stream.budget.waiting == 1)
                stream.add_segment(0.5)
                assert (await client.response()).field("ETag") == '"part10014"'
                assert (await client.response()).body.startswith(b"<!doctype html>")
                assert len((await client.response()).body) == 400_000
            files.write(TWO.cert, TWO.key)
            assert certificate.reload_if_changed()
            async with Client.connected(doors.thin_port, trust) as client:
                await client.send(request(PART, headers=[("Connection", "close")]))
                assert len((await client.response()).body) == 400_000
                assert await client.rest() == b""
            assert served(certificate) == TWO.cert

    LOOPS[loop](main())

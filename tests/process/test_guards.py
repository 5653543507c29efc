from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, cast

import pytest

from streamd.process.binding import StartError
from streamd.process.guards import Guards
from streamd.process.resources import Descriptors
from streamd.services.bounds.memory_accounts import MemoryAccounts
from streamd.services.metrics import Metrics
from tests.support.built_server import config_of
from tests.support.certificates import ONE, TWO, Pem
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.process.config import Config

pytestmark = pytest.mark.asyncio

DESCRIPTORS = Descriptors(encoders=10, viewers=10, files=10, handshakes=10)
HTTP_1_1 = ("http/1.1",)


class Hello(asyncio.Protocol):
    """Says hello to whoever is let through, and names the peer that it sees."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A proxy's connection has another transport around it.
        writable = cast("asyncio.Transport", transport)
        writable.write(f"hello {transport.get_extra_info('peername')[0]}\n".encode())
        writable.close()


class House:
    """Guards, and a listener behind one."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics = Metrics()
        self.guards = Guards(config, DESCRIPTORS, self.metrics, MemoryAccounts())

    async def greeting(self, first: bytes = b"", tls: ssl.SSLContext | None = None) -> str:
        """What a peer hears that sends ``first``, and then asks for TLS where it is given."""
        proxies = self.config.http.trusted_proxies
        guard = self.guards.make("http", self.config.http, proxies, HTTP_1_1)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Hello if guard is None else guard(Hello), "127.0.0.1", 0)
        async with server, asyncio.timeout(PATIENCE_S):
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(
                host, port, ssl=tls, server_hostname="localhost" if tls else None
            )
            writer.write(first)
            line = await reader.readline()
            writer.close()
        return line.decode()


def write(directory: Path, pem: Pem) -> dict[str, str]:
    (directory / "cert.pem").write_text(pem.cert)
    (directory / "key.pem").write_text(pem.key)
    return {"tls_cert": str(directory / "cert.pem"), "tls_key": str(directory / "key.pem")}


def trusting(pem: Pem) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=pem.cert)


async def test_without_certificate_and_proxy_there_is_nothing_between(tmp_path: Path) -> None:
    house = House(config_of(tmp_path))
    assert house.guards.make("http", house.config.http, (), HTTP_1_1) is None
    assert await house.greeting() == "hello 127.0.0.1\n"


async def test_a_listener_with_a_certificate_speaks_tls(tmp_path: Path) -> None:
    house = House(config_of(tmp_path, http=write(tmp_path, ONE)))
    assert await house.greeting(tls=trusting(ONE)) == "hello 127.0.0.1\n"


async def test_a_certificate_that_was_renewed_is_taken(tmp_path: Path) -> None:
    house = House(config_of(tmp_path, http=write(tmp_path, ONE)))
    guard = house.guards.make("http", house.config.http, (), HTTP_1_1)
    assert guard is not None
    write(tmp_path, TWO)
    house.guards.configure(house.config, DESCRIPTORS)
    server = await asyncio.get_running_loop().create_server(guard(Hello), "127.0.0.1", 0)
    async with server, asyncio.timeout(PATIENCE_S):
        address = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address, ssl=trusting(TWO), server_hostname="localhost")
        assert await reader.readline() == b"hello 127.0.0.1\n"
        writer.close()


async def test_a_certificate_that_does_not_load_is_one_clear_line(tmp_path: Path) -> None:
    files = {"tls_cert": str(tmp_path / "none.pem"), "tls_key": str(tmp_path / "none.pem")}
    house = House(config_of(tmp_path, http=files))
    with pytest.raises(StartError, match=r"http.tls_cert and http.tls_key: the certificate does not load: No such"):
        house.guards.make("http", house.config.http, (), HTTP_1_1)


async def test_a_proxy_says_who_asks(tmp_path: Path) -> None:
    http = {"trusted_proxies": ["127.0.0.0/8"], "proxy_protocol": True}
    house = House(config_of(tmp_path, http=http))
    assert await house.greeting(b"PROXY TCP4 192.0.2.9 127.0.0.1 1000 80\r\n") == "hello 192.0.2.9\n"


async def test_the_time_for_a_proxys_header_is_taken_from_the_configuration(tmp_path: Path) -> None:
    http = {"trusted_proxies": ["127.0.0.0/8"], "proxy_protocol": True}
    house = House(config_of(tmp_path, http=http))
    house.guards.make("http", house.config.http, house.config.http.trusted_proxies, HTTP_1_1)
    sooner = config_of(tmp_path, http=http, limits={"proxy_header_timeout_s": 0.01})
    house.guards.configure(sooner, DESCRIPTORS)
    assert await house.greeting() == ""
    hits = house.metrics.registry.get_sample_value("streamd_limit_hits_total", {"limit": "proxy_header_timeout_s"})
    assert hits == 1

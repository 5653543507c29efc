from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from streamd.clock import SystemClock
from streamd.errors import ServerRestartsError
from streamd.process.binding import StartError
from streamd.process.doors import Addresses, Doors, outgoing
from streamd.process.services import Services
from tests.support.built_server import ANY_PORT, config_of
from tests.support.certificates import ONE
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.process.config import Config

pytestmark = pytest.mark.asyncio

TOKEN = "t" * 32


class House:
    """Doors on their services."""

    def __init__(self, config: Config) -> None:
        self.sender = outgoing(config)
        self.services = Services(config, SystemClock(), self.sender)
        self.not_ready: str | None = None
        self.doors = Doors(config, self.services, lambda: self.not_ready)

    async def get(self, url: str, token: str = "") -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with asyncio.timeout(PATIENCE_S), ClientSession() as session, session.get(url, headers=headers) as answer:
            return answer.status, await answer.text()


@contextlib.asynccontextmanager
async def opened(config: Config) -> AsyncIterator[House]:
    config.data_dir.mkdir(exist_ok=True)
    house = House(config)
    async with contextlib.AsyncExitStack() as resources:
        await house.services.open(resources)
        resources.push_async_callback(house.doors.close, 0)
        resources.push_async_callback(house.doors.close_encoders, ServerRestartsError())
        await house.doors.open(TOKEN)
        yield house


def is_open(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as peer:
        return peer.connect_ex((host, int(port))) == 0


async def test_every_listener_says_where_it_is_bound(tmp_path: Path) -> None:
    (tmp_path / "pem").write_text(ONE.cert + ONE.key)
    rtmps = {"tls_listen": ANY_PORT, "tls_cert": str(tmp_path / "pem"), "tls_key": str(tmp_path / "pem")}
    async with opened(config_of(tmp_path, rtmp=rtmps)) as house:
        addresses = house.doors.addresses
        bound = [addresses.rtmp, addresses.rtmps, addresses.http, addresses.admin]
        assert len({*bound}) == 4
        assert all(map(is_open, bound))
    assert not any(map(is_open, bound))


@pytest.mark.parametrize("section", ["rtmp", "http", "admin"])
async def test_ipv6_on_a_machine_without_it_is_said(
    tmp_path: Path, section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.socket

    def without_ipv6(family: int = socket.AF_INET, *arguments: Any, **options: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return real(family, *arguments, **options)

    monkeypatch.setattr(socket, "socket", without_ipv6)
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    said = rf"{section}.listen = '\[::\]:0': the address is IPv6, which this machine does not have; write :0 for all"
    with pytest.raises(StartError, match=said):
        async with opened(config_of(tmp_path, **{section: {"listen": "[::]:0"}})):
            pass


async def test_what_is_switched_off_is_bound_nowhere(tmp_path: Path) -> None:
    async with opened(config_of(tmp_path, admin={"listen": ""})) as house:
        assert (house.doors.addresses.admin, house.doors.addresses.rtmps) == ("", "")


@pytest.mark.parametrize("section", ["rtmp", "http", "admin"])
async def test_an_address_that_is_taken_is_named(tmp_path: Path, section: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartError, match=rf"{section}.listen = '{listen}'.*in use by another program"):
            async with opened(config_of(tmp_path, **{section: {"listen": listen}})):
                pytest.fail("it was opened")


async def test_they_are_closed_before_they_were_opened(tmp_path: Path) -> None:
    house = House(config_of(tmp_path))
    await house.doors.close(0)
    assert house.doors.addresses == Addresses("", "", "", "")


async def test_the_public_port_tells_who_is_live_and_the_admin_port_asks_for_its_token(tmp_path: Path) -> None:
    async with opened(config_of(tmp_path)) as house:
        http, admin = f"http://{house.doors.addresses.http}", f"http://{house.doors.addresses.admin}"
        status, text = await house.get(f"{http}/api/v1/streams")
        assert (status, "streams" in text) == (200, True)
        assert (await house.get(f"{admin}/api/v1/keys"))[0] == 401
        assert (await house.get(f"{admin}/api/v1/keys", TOKEN))[0] == 200


async def test_a_wrong_token_is_told_to_the_audit_log(tmp_path: Path) -> None:
    async with opened(config_of(tmp_path)) as house:
        await house.get(f"http://{house.doors.addresses.admin}/api/v1/keys", "wrong" * 8)
        (denied,) = house.services.verifier.denials.take()
        assert (denied.action, denied.address) == ("admin.denied", "127.0.0.1")


async def test_who_asks_whether_it_is_ready_hears_why_not(tmp_path: Path) -> None:
    async with opened(config_of(tmp_path)) as house:
        url = f"http://{house.doors.addresses.admin}/readyz"
        assert (await house.get(url))[0] == 200
        house.not_ready = "it is being tested"
        status, text = await house.get(url)
        assert (status, "it is being tested" in text) == (503, True)


async def test_it_is_not_ready_where_no_encoder_can_connect(tmp_path: Path) -> None:
    async with opened(config_of(tmp_path)) as house:
        house.doors.stop_accepting_encoders()
        status, text = await house.get(f"http://{house.doors.addresses.admin}/readyz")
        assert (status, "no listener for broadcasters is open" in text) == (503, True)


async def test_encoders_are_shut_out_while_viewers_go_on(tmp_path: Path) -> None:
    async with opened(config_of(tmp_path)) as house:
        house.doors.stop_accepting_encoders()
        assert not is_open(house.doors.addresses.rtmp)
        assert is_open(house.doors.addresses.http)


async def test_other_limits_hold_for_who_comes_then(tmp_path: Path) -> None:
    async with opened(config_of(tmp_path)) as house:
        url = f"http://{house.doors.addresses.http}/api/v1/streams"
        assert (await house.get(url))[0] == 200
        config = config_of(tmp_path, limits={"requests_per_second_max": 1})
        house.services.configure(config)
        house.doors.configure(config)
        statuses = [(await house.get(url))[0] for _ in range(25)]
        assert statuses[-1] == 429

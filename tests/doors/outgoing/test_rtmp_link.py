"""Where connections to targets may go. The connections themselves are in tests/integration/test_restream.py."""

from __future__ import annotations

import socket
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from streamd.doors.outgoing.address_guard import AddressGuard
from streamd.doors.outgoing.http_sender import AddressForbiddenError
from streamd.doors.outgoing.rtmp_link import RtmpDialer, _is_of_this_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.asyncio


@pytest.fixture
def dialer() -> Iterator[RtmpDialer]:
    dialer = RtmpDialer(AddressGuard(), "FMLE/3.0", frozenset)
    yield dialer
    dialer.close()


class TestLookUp:
    async def test_the_address_that_a_name_has_behind_our_firewall_is_not_told(
        self, dialer: RtmpDialer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 1935))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with pytest.raises(AddressForbiddenError) as caught:
            await dialer.look_up("database.example", 1935)
        assert str(caught.value) == "database.example is not on the internet, nor in restream.allow_networks"
        dialer.guard = AddressGuard([ip_network("10.0.0.0/8")])
        assert await dialer.look_up("database.example", 1935) == [(socket.AF_INET, "10.1.2.3")]

    @pytest.mark.parametrize("host", ["127.0.0.1", "0", "012.1", "3232235777", "::1", "::ffff:10.0.0.1", "fe80::1"])
    async def test_every_way_to_write_an_address_is_judged_by_what_it_means(
        self, dialer: RtmpDialer, host: str
    ) -> None:
        with pytest.raises(AddressForbiddenError):
            await dialer.look_up(host, 1935)

    async def test_what_can_be_no_name_is_as_one_that_there_is_not(self, dialer: RtmpDialer) -> None:
        with pytest.raises(OSError, match="no such name"):
            await dialer.look_up("a" * 64 + ".example", 1935)


async def test_every_address_of_this_machine_is_known_for_one() -> None:
    assert _is_of_this_machine(socket.AF_INET, "127.0.0.1")
    assert _is_of_this_machine(socket.AF_INET, "127.0.0.2")
    assert not _is_of_this_machine(socket.AF_INET, "192.0.2.1")

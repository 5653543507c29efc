from __future__ import annotations

from ipaddress import ip_network

import pytest

from streamd.outgoing.address_guard import AddressGuard

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PRIVATE = [
    *("127.0.0.1", "127.255.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1"),
    *("169.254.169.254", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1"),
    # They lead to an IPv4 address: mapped, translated (RFC 6052), 6to4, Teredo.
    *("::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::a00:1", "2002:7f00:1::1", "2001:0:7f00:1::80ff:fffe"),
    # 6to4 leads nowhere, whatever is in it (RFC 7526).
    "2002:808:808::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_may_be_reached(address: str) -> None:
    assert AddressGuard().allows(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_what_stands_behind_the_firewall_may_not(address: str) -> None:
    assert not AddressGuard().allows(address)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f000001", "2130706433", "127.0.0.1:80", "[::1]"])
def test_what_is_no_address_may_not(text: str) -> None:
    assert not AddressGuard([ip_network("0.0.0.0/0"), ip_network("::/0")]).allows(text)


@pytest.mark.parametrize(
    ("network", "address"),
    [("127.0.0.0/8", "127.0.0.1"), ("127.0.0.0/8", "::ffff:127.0.0.1"), ("fd00::/8", "fd12::1"), ("::1/128", "::1")],
)
def test_a_network_that_is_named_may_be_reached(network: str, address: str) -> None:
    guard = AddressGuard([ip_network(network)])
    assert guard.allows(address)
    assert not guard.allows("10.0.0.1")

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

import pytest

from streamd.doors.outgoing.address_guard import AddressGuard

PUBLIC = [
    *("93.184.216.34", "8.8.8.8", "1.1.1.1", "223.255.255.255", "2606:2800:220:1::1", "2a00:1450::1", "2001:200::1"),
    # They lead to an IPv4 address: mapped, translated (RFC 6052), ISATAP.
    *("::ffff:8.8.8.8", "64:ff9b::808:808", "2606:2800:220:1:200:5efe:808:808"),
]
PRIVATE = [
    *("127.0.0.1", "127.255.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1"),
    *("169.254.169.254", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
    *("192.0.0.8", "192.0.0.9", "192.0.0.10", "192.0.0.170", "192.88.99.1"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "fec0::1", "feff::1"),
]
# Each way of writing an IPv4 address as one of IPv6, with the address in hexadecimal digits, and who goes on to it.
CLOTHES = {
    "mapped (RFC 4291 section 2.5.5.2)": "::ffff:{high:x}:{low:x}",
    "compatible (RFC 4291 section 2.5.5.1)": "::{high:x}:{low:x}",
    "translated (RFC 7915, SIIT)": "::ffff:0:{high:x}:{low:x}",
    "NAT64 (RFC 6052)": "64:ff9b::{high:x}:{low:x}",
    "NAT64 of one's own (RFC 8215), /96": "64:ff9b:1::{high:x}:{low:x}",
    "NAT64 of one's own (RFC 8215), /48": "64:ff9b:1:{high:x}:{low_first:x}:{low_second}00::",
    "6to4 (RFC 3056)": "2002:{high:x}:{low:x}::1",
    "Teredo, the server (RFC 4380)": "2001:0:{high:x}:{low:x}::",
    "Teredo, the client (RFC 4380)": "2001:0:808:808:0:0:{not_high:x}:{not_low:x}",
    "ISATAP (RFC 5214)": "2606:2800:220:1:0:5efe:{high:x}:{low:x}",
    "ISATAP, universal (RFC 5214)": "2606:2800:220:1:200:5efe:{high:x}:{low:x}",
    "ISATAP, link-local (RFC 5214)": "fe80::5efe:{high:x}:{low:x}",
}
# IANA's registries (https://www.iana.org/assignments/iana-ipv4-special-registry, iana-ipv6-special-registry) as of
# 2026-11, and the multicast blocks.
REGISTRIES = [
    *("0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/31"),
    *("192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16"),
    *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    *("255.255.255.255/32", "::1/128", "::/128", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64"),
    *("2001::/23", "2001::/32", "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48", "2001:3::/32"),
    *("2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16"),
    *("2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
]


def dressed(address: str, clothes: str) -> str:
    number = int(IPv4Address(address))
    high, low = number >> 16, number & 0xFFFF
    return clothes.format(
        high=high,
        low=low,
        not_high=high ^ 0xFFFF,
        not_low=low ^ 0xFFFF,
        low_first=low >> 8,
        low_second=f"{low & 0xFF:02x}",
    )


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_may_be_reached(address: str) -> None:
    assert AddressGuard().allows(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_what_stands_behind_the_firewall_may_not(address: str) -> None:
    assert not AddressGuard().allows(address)


@pytest.mark.parametrize("clothes", CLOTHES.values(), ids=CLOTHES)
def test_nor_by_any_way_of_writing_it_as_ipv6(clothes: str) -> None:
    guard = AddressGuard()
    for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "192.0.0.8", "0.0.0.0"):
        assert not guard.allows(dressed(address, clothes)), dressed(address, clothes)


@pytest.mark.parametrize("block", REGISTRIES)
def test_nothing_of_a_block_with_a_purpose_of_its_own_may_be_reached(block: str) -> None:
    network = ip_network(block)
    for address in (network[0], network[-1], network[network.num_addresses // 2]):
        assert not AddressGuard().allows(str(address))
        if isinstance(address, IPv4Address):
            assert not AddressGuard().allows(f"::ffff:{address}")


def test_what_is_given_out_to_nobody_may_not() -> None:
    """RFC 4291 section 2.4: addresses of the internet begin with 001."""
    for first in range(1 << 16):
        if first >> 13 != 1:
            assert not AddressGuard().allows(f"{first:x}::808:808:808:808"), f"{first:x}::/16"


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

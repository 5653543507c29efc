"""The PROXY protocol, versions 1 and 2: what is read, and that nothing else is."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import ProxyProtocolError
from streamd.formats.proxy_protocol import HEADER_BYTES_MAX, V2_REST_BYTES_MAX, Peer, ProxyHeader, read_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(command: int = 0x21, family: int = 0x11, rest: bytes = b"", length: int | None = None) -> bytes:
    size = len(rest) if length is None else length
    return SIGNATURE + bytes((command, family)) + size.to_bytes(2, "big") + rest


def inet(source: str, destination: str = "198.51.100.1", ports: tuple[int, int] = (51234, 1935)) -> bytes:
    packed = IPv4Address(source).packed + IPv4Address(destination).packed
    return packed + b"".join(port.to_bytes(2, "big") for port in ports)


def inet6(source: str, destination: str = "2001:db8::1", ports: tuple[int, int] = (51234, 1935)) -> bytes:
    packed = IPv6Address(source).packed + IPv6Address(destination).packed
    return packed + b"".join(port.to_bytes(2, "big") for port in ports)


# A CRC32C and a unique ID, as HAProxy 2.6 adds them.
TLVS = b"\x03\x00\x04abcd" + b"\x05\x00\x10" + bytes(16)

HEADERS: list[tuple[str, bytes, Peer | None]] = [
    ("v1, IPv4", b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 1935\r\n", Peer("192.0.2.7", 51234)),
    ("v1, IPv6", b"PROXY TCP6 2001:db8::7 2001:db8::1 51234 443\r\n", Peer("2001:db8::7", 51234)),
    ("v1, mapped", b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", Peer("192.0.2.7", 1)),
    ("v1, a proxy's own", b"PROXY UNKNOWN\r\n", None),
    ("v1, unknown and longer", b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    (
        "v1, the longest",
        b"PROXY TCP6 " + b" ".join(2 * [b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]) + b" 65535 65535\r\n",
        Peer("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
    ),
    ("v2, IPv4", v2(rest=inet("192.0.2.7")), Peer("192.0.2.7", 51234)),
    ("v2, IPv4 and TLVs", v2(rest=inet("192.0.2.7") + TLVS), Peer("192.0.2.7", 51234)),
    ("v2, IPv6", v2(family=0x21, rest=inet6("2001:db8::7")), Peer("2001:db8::7", 51234)),
    ("v2, mapped", v2(family=0x21, rest=inet6("::ffff:192.0.2.7")), Peer("192.0.2.7", 51234)),
    ("v2, Unix", v2(family=0x31, rest=bytes(216)), None),
    ("v2, unspecified", v2(family=0x00), None),
    ("v2, unspecified and TLVs", v2(family=0x00, rest=TLVS), None),
    ("v2, local", v2(command=0x20, family=0x00), None),
    ("v2, local, of whatever family", v2(command=0x20, family=0xF7, rest=b"abc"), None),
    ("v2, as long as may be", v2(rest=inet("192.0.2.7") + bytes(V2_REST_BYTES_MAX - 12)), Peer("192.0.2.7", 51234)),
]

BROKEN: list[tuple[str, bytes]] = [
    ("RTMP", b"\x03" + bytes(1536)),
    ("HTTP", b"GET / HTTP/1.1\r\n"),
    ("TLS", b"\x16\x03\x01\x02\x00"),
    ("something like it", b"PROXZ"),
    ("v1 without CR", b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 1935\n"),
    ("v1 without an end", b"PROXY TCP4 " + b"1" * 200),
    ("v1 of another family", b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n"),
    ("v1 of another family, too", b"PROXY TCP6 192.0.2.7 192.0.2.8 1 2\r\n"),
    ("v1 with two spaces", b"PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n"),
    ("v1 with one address", b"PROXY TCP4 192.0.2.7 1 2\r\n"),
    ("v1 with more", b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n"),
    ("v1 with a large port", b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n"),
    ("v1 with a port that is none", b"PROXY TCP4 192.0.2.7 198.51.100.1 1 +2\r\n"),
    ("v1 with a port like an octal one", b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n"),
    ("v1 with a scope", b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"),
    ("v1 that is not ASCII", b"PROXY TCP4 192.0.2.\xb2 198.51.100.1 1 2\r\n"),
    ("v1 of UDP", b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n"),
    ("v1 in small letters", b"PROXY tcp4 192.0.2.7 198.51.100.1 1 2\r\n"),
    ("v2 of version 1", v2(command=0x11)),
    ("v2 with another command", v2(command=0x22)),
    ("v2 of another family", v2(family=0x41)),
    ("v2 of datagrams", v2(family=0x12, rest=inet("192.0.2.7"))),
    ("v2 too short for its addresses", v2(rest=inet("192.0.2.7")[:11])),
    ("v2 too short for its addresses, IPv6", v2(family=0x21, rest=inet("192.0.2.7"))),
    ("v2 that is too long", v2(length=V2_REST_BYTES_MAX + 1)),
]


@pytest.mark.parametrize(("data", "client"), [row[1:] for row in HEADERS], ids=[row[0] for row in HEADERS])
class TestHeaders:
    def test_it_is_read_and_what_follows_is_left(self, data: bytes, client: Peer | None) -> None:
        assert read_header(data) == ProxyHeader(len(data), client)
        assert read_header(data + b"\x03rtmp\r\n") == ProxyHeader(len(data), client)

    def test_any_part_of_it_waits_for_more(self, data: bytes, client: Peer | None) -> None:
        assert {read_header(data[:size]) for size in range(len(data))} == {None}


@pytest.mark.parametrize("data", [row[1] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_what_is_broken_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyProtocolError):
        read_header(data)


@given(st.binary(max_size=3000))
def test_any_bytes_give_a_header_or_an_error(data: bytes) -> None:
    for begin in (b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"):
        try:
            header = read_header(begin + data)
        except ProxyProtocolError:
            continue
        if header is None:
            # It is known of all of it that it is the header's.
            assert len(begin + data) < HEADER_BYTES_MAX
        else:
            assert 0 < header.size <= len(begin + data)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6), st.integers(0, 65535), st.binary(max_size=300))
def test_both_versions_say_the_same(address: Any, port: int, tlvs: bytes) -> None:
    is_v4 = isinstance(address, IPv4Address)
    line = f"PROXY TCP{4 if is_v4 else 6} {address} {'192.0.2.1' if is_v4 else '::1'} {port} 1935\r\n".encode()
    block = (inet if is_v4 else inet6)(str(address), ports=(port, 1935)) + tlvs
    first, second = read_header(line), read_header(v2(family=0x11 if is_v4 else 0x21, rest=block))
    assert first is not None
    assert second is not None
    assert first.client == second.client
    assert first.client is not None
    assert first.client.port == port


@given(st.sampled_from([row[1] for row in HEADERS]), st.data())
def test_a_header_with_a_wrong_byte_is_never_read_past_its_end(data: bytes, draw: st.DataObject) -> None:
    position = draw.draw(st.integers(0, len(data) - 1))
    damaged = data[:position] + bytes((draw.draw(st.integers(0, 255)),)) + data[position + 1 :]
    try:
        header = read_header(damaged + bytes(HEADER_BYTES_MAX))
    except ProxyProtocolError:
        return
    assert header is not None
    assert header.size <= HEADER_BYTES_MAX

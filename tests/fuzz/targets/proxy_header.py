"""What a connection from a proxy begins with: a header, more to come, or the documented error; nothing past its end."""

from __future__ import annotations

import ipaddress

from streamd.errors import ProxyProtocolError
from streamd.proxy_protocol import HEADER_BYTES_MAX, read_header

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_TLVS = b"\x03\x00\x04abcd" + b"\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3"


def seeds() -> list[bytes]:
    inet = bytes((192, 0, 2, 7, 198, 51, 100, 1)) + b"\xc8\x22\x07\x8f"
    inet6 = bytes(range(32)) + b"\xc8\x22\x07\x8f"
    mapped = bytes(10) + b"\xff\xff\xc0\x00\x02\x07" + bytes(16) + b"\x00\x01\x00\x02"
    blocks = ((0x21, 0x11, inet), (0x21, 0x11, inet + _TLVS), (0x21, 0x21, inet6), (0x21, 0x21, mapped))
    others = ((0x21, 0x31, bytes(216)), (0x21, 0x00, b""), (0x20, 0x00, b""), (0x20, 0xF7, b"abc"), (0x21, 0x12, inet))
    return [
        b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 1935\r\n\x03",
        b"PROXY TCP6 2001:db8::7 2001:db8::1 51234 443\r\n",
        b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n",
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 00 65536\r\n",
        *(
            _SIGNATURE + bytes((version, family)) + len(block).to_bytes(2, "big") + block
            for version, family, block in (*blocks, *others)
        ),
    ]


def run(data: bytes) -> None:
    """Args: data: What has come of a connection."""
    try:
        header = read_header(data)
    except ProxyProtocolError as exc:
        assert str(exc).isprintable()
        return
    if header is None:
        # All of it is the header's, and that has an end.
        assert len(data) < HEADER_BYTES_MAX
        return
    assert 0 < header.size <= len(data)
    # What follows is nobody's business, and what is cut off waits.
    assert read_header(data[: header.size]) == header
    assert read_header(data[: header.size - 1]) is None
    if header.client is not None:
        address = ipaddress.ip_address(header.client.address)
        assert str(address) == header.client.address
        assert getattr(address, "ipv4_mapped", None) is None
        assert 0 <= header.client.port <= 65_535

"""What a connection from a proxy begins with: a header, more to come, or ``ProxyProtocolError``; however it is cut."""

from __future__ import annotations

from ipaddress import ip_address

from streamd.errors import ProxyProtocolError
from streamd.formats.proxy_protocol import HEADER_BYTES_MAX, ProxyHeader, read_header


def seeds() -> list[bytes]:
    signature = b"\r\n\r\n\x00\r\nQUIT\n"
    return [
        b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 1935\r\n\x03",
        b"PROXY TCP6 2001:db8::7 ::ffff:192.0.2.1 0 65535\r\n",
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        signature + b"\x21\x11\x00\x0c" + bytes(12) + b"rest",
        signature + b"\x21\x21\x00\x2b" + bytes(36) + b"\x03\x00\x04abcd",
        signature + b"\x21\x31\x00\xd8" + bytes(216),
        signature + b"\x20\x00\x00\x00",
        signature + b"\x21\x00\xff\xff",
        b"GET / HTTP/1.1\r\n",
    ]


def run(data: bytes) -> None:
    """Args: data: What the connection says."""
    whole = _read(data)
    for size in (len(data) // 2, len(data) - 1):
        part = _read(data[: max(size, 0)])
        # What is decided of a part holds for the whole.
        assert part is None or part == whole
    if isinstance(whole, ProxyHeader):
        assert 0 < whole.size <= min(len(data), HEADER_BYTES_MAX)
        if whole.client is not None:
            assert str(ip_address(whole.client.address)) == whole.client.address
            assert 0 <= whole.client.port <= 65_535
    elif whole is None:
        assert len(data) < HEADER_BYTES_MAX


def _read(data: bytes) -> ProxyHeader | str | None:
    try:
        return read_header(data)
    except ProxyProtocolError:
        return "refused"

"""The PROXY protocol: the header in which a proxy names a connection's client.

Spec: "The PROXY protocol, versions 1 & 2", W. Tarreau, HAProxy Technologies, 2020/03/05.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

from streamd.errors import ProxyProtocolError

# 2.1: "a 107-byte buffer is always enough to store all the line and a trailing zero".
V1_BYTES_MAX = 107
# 2.2: the signature, version and command, family and protocol, and the length of the rest.
V2_PREFIX_BYTES = 16
# The rest of version 2: addresses, and TLVs, which streamd ignores. The length field allows 65,535; the longest TLV
# that proxies add is a certificate's name.
V2_REST_BYTES_MAX = 2048
HEADER_BYTES_MAX = V2_PREFIX_BYTES + V2_REST_BYTES_MAX

_V1_SIGNATURE = b"PROXY "
_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_VERSION_2 = 2
_LOCAL, _PROXY = 0, 1
_UNSPEC, _INET, _INET6, _UNIX = 0, 1, 2, 3
_STREAM = 1
_PORT_MAX = 65_535
# Bytes of both addresses and of one, in a version 2 header, by family.
_ADDRESSES = {_INET: (12, 4), _INET6: (36, 16)}


class Peer(NamedTuple):
    """An end of a connection."""

    address: str
    """IP address, as a socket tells it; of an IPv4 address mapped to IPv6 the IPv4 address."""
    port: int


class ProxyHeader(NamedTuple):
    """A header that is whole."""

    size: int
    """Its length in bytes; the bytes behind it are the connection's."""
    client: Peer | None
    """The proxy's peer; None where the connection is the proxy's own, or the client has no IP address."""


def read_header(data: bytes) -> ProxyHeader | None:
    """Read the header at the start of a connection from a proxy.

    Args:
        data: The bytes so far, of which ``HEADER_BYTES_MAX`` are read at the most.

    Returns:
        None where more has to come: then all of ``data`` is the header's.

    Raises:
        ProxyProtocolError: It begins with something else, or with a header that breaks the specification.
    """
    if data.startswith(_V1_SIGNATURE):
        return _read_v1(data)
    if data.startswith(_V2_SIGNATURE):
        return _read_v2(data)
    if _V1_SIGNATURE.startswith(data) or _V2_SIGNATURE.startswith(data):
        return None
    raise ProxyProtocolError("the connection does not begin with a PROXY header")


def _read_v1(data: bytes) -> ProxyHeader | None:
    """Section 2.1, "Human-readable header format"."""
    line, end, _ = data[:V1_BYTES_MAX].partition(b"\n")
    if not end:
        if len(data) >= V1_BYTES_MAX:
            raise ProxyProtocolError(f"a PROXY line of more than {V1_BYTES_MAX} bytes")
        return None
    size = len(line) + 1
    if not line.endswith(b"\r"):
        raise ProxyProtocolError("a PROXY line that does not end in CR LF")
    _, protocol, *rest = line[:-1].split(b" ")
    if protocol == b"UNKNOWN":
        # "the receiver must ignore anything presented before the CRLF".
        return ProxyHeader(size, None)
    if protocol not in (b"TCP4", b"TCP6") or len(rest) != 4:
        raise ProxyProtocolError("a PROXY line that cannot be read")
    source, destination, source_port, destination_port = rest
    family = IPv4Address if protocol == b"TCP4" else IPv6Address
    client = Peer(_read_text_address(family, source), _read_text_port(source_port))
    _read_text_address(family, destination)
    _read_text_port(destination_port)
    return ProxyHeader(size, client)


def _read_text_address(family: type[IPv4Address | IPv6Address], text: bytes) -> str:
    try:
        # Digits, letters, dots and colons: a scope of IPv6 ("%eth0") is none of them.
        if b"%" in text:
            raise AddressValueError
        return _told(family(text.decode("ascii")))
    except (AddressValueError, UnicodeDecodeError):
        raise ProxyProtocolError("a PROXY line with an address that is none of its family") from None


def _read_text_port(text: bytes) -> int:
    # "the TCP source port represented as a decimal integer in the range [0..65535] inclusive. Heading zeroes are not
    # permitted".
    port = int(text) if text.isdigit() and len(text) <= len(str(_PORT_MAX)) else -1
    if not 0 <= port <= _PORT_MAX or str(port).encode() != text:
        raise ProxyProtocolError("a PROXY line with a port that is none")
    return port


def _read_v2(data: bytes) -> ProxyHeader | None:
    """Section 2.2, "Binary header format"."""
    if len(data) < V2_PREFIX_BYTES:
        return None
    version, command = data[12] >> 4, data[12] & 0xF
    if version != _VERSION_2 or command not in (_LOCAL, _PROXY):
        raise ProxyProtocolError(f"a PROXY header of version {version} with command {command}")
    length = int.from_bytes(data[14:16], "big")
    if length > V2_REST_BYTES_MAX:
        raise ProxyProtocolError(f"a PROXY header of {length} bytes, {V2_REST_BYTES_MAX} are allowed")
    family, protocol = data[13] >> 4, data[13] & 0xF
    # LOCAL: "must discard the protocol block including the family which is ignored".
    if command == _PROXY and (family > _UNIX or (family != _UNSPEC and protocol != _STREAM)):
        raise ProxyProtocolError(f"a PROXY header of family {family} and protocol {protocol}")
    addresses_bytes, address_bytes = _ADDRESSES.get(family, (0, 0)) if command == _PROXY else (0, 0)
    if length < addresses_bytes:
        raise ProxyProtocolError(f"a PROXY header whose addresses have {length} bytes, not {addresses_bytes}")
    size = V2_PREFIX_BYTES + length
    if len(data) < size:
        return None
    if not addresses_bytes:
        # A Unix socket's client has no IP address: it is on the proxy's machine.
        return ProxyHeader(size, None)
    source = data[V2_PREFIX_BYTES : V2_PREFIX_BYTES + address_bytes]
    ports = V2_PREFIX_BYTES + 2 * address_bytes
    address = IPv4Address(source) if family == _INET else IPv6Address(source)
    return ProxyHeader(size, Peer(_told(address), int.from_bytes(data[ports : ports + 2], "big")))


def _told(address: IPv4Address | IPv6Address) -> str:
    # A client is one address, whichever family the proxy listens on.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)

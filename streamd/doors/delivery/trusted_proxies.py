"""Proxies in front of us: which are believed when they name the viewer that they ask for.

Any peer can write ``X-Forwarded-For``, ``X-Forwarded-Proto`` and ``X-Forwarded-Prefix``. They are read from connections
of networks that the operator names, and from no others: otherwise each viewer could choose the address that limits
count them by.

The fields have no specification; RFC 7239 section 5.2 describes the same chain of addresses for ``Forwarded``.
"""

from __future__ import annotations

import functools
import re
import socket
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Addresses whose trust is remembered: proxies are few, and viewers come back.
ADDRESSES_REMEMBERED = 1024
# Proxies of ours that a request has come through: a network's edge, a balancer, a cache and the web server, twice over.
# Addresses beyond them are not looked at: the cost of a field does not grow with its length.
PROXIES_MAX = 16
# An IPv6 address with its brackets and a port, and room for blanks.
_ADDRESS_CHARS_MAX = 64
# RFC 4291 2.5.5.2: the prefix that maps an IPv4 address to IPv6.
_MAPPED = bytes(10) + b"\xff\xff"
_SCHEMES = ("http", "https")
# A path that stands in pages and playlists as it is: nothing in it that HTML, JSON or a URL would read otherwise.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_PREFIX_CHARS_MAX = 128


class TrustedProxies:
    """The networks of the proxies in front of us.

    Args:
        networks: In CIDR notation; none where no proxy is believed.
    """

    def __init__(self, networks: Sequence[str] = ()) -> None:
        # By the bytes of an address: its mask, and what is left of it under that.
        self._networks: dict[int, list[tuple[int, int]]] = {4: [], 16: []}
        for network in map(ip_network, networks):
            values = (int(network.netmask), int(network.network_address))
            self._networks[network.max_prefixlen // 8].append(values)
        self._has_any = bool(networks)
        self._is_trusted = functools.lru_cache(ADDRESSES_REMEMBERED)(self._look_up)

    def trusts(self, address: str) -> bool:
        """Whether an IP address, as a socket tells it, is a proxy's."""
        return self._has_any and self._is_trusted(address)

    def client(self, peer: str, forwarded_for: str) -> str:
        """Find the viewer that a request is made for.

        Each proxy appends the address that it has been asked from, so the last that is no proxy of ours is the first
        that none of ours vouches for: the addresses before it may be invented.

        Args:
            peer: IP address of the connection.
            forwarded_for: All values of ``X-Forwarded-For``, joined by commas.

        Returns:
            An IP address; that of the last proxy where it names none, and where it names more than ``PROXIES_MAX``, of
            the first that is looked at. ``peer``, whatever the field has, where that is not trusted.
        """
        if not forwarded_for or not self.trusts(peer):
            return peer
        client: bytes | None = None
        for said in reversed(forwarded_for.rsplit(",", PROXIES_MAX)[-PROXIES_MAX:]):
            address = _parse(said)
            if address is None:
                break
            client = address
            if not self._includes(address):
                break
        return peer if client is None else str(ip_address(client))

    def scheme(self, peer: str, forwarded_proto: str) -> str | None:
        """The scheme of a viewer's address, as a trusted proxy tells it; None where none does.

        Args:
            peer: IP address of the connection.
            forwarded_proto: All values of ``X-Forwarded-Proto``, joined by commas.
        """
        scheme = forwarded_proto.strip().lower()
        return scheme if scheme in _SCHEMES and self.trusts(peer) else None

    def prefix(self, peer: str, forwarded_prefix: str) -> str:
        """The path at which a trusted proxy has put the server, without a slash at the end; empty where none says so.

        Args:
            peer: IP address of the connection.
            forwarded_prefix: All values of ``X-Forwarded-Prefix``, joined by commas.
        """
        if len(forwarded_prefix) > _PREFIX_CHARS_MAX or not self.trusts(peer):
            return ""
        path = forwarded_prefix.strip().rstrip("/")
        return path if _PREFIX.fullmatch(path) else ""

    def _look_up(self, address: str) -> bool:
        parsed = _parse(address)
        return parsed is not None and self._includes(parsed)

    def _includes(self, address: bytes) -> bool:
        value = int.from_bytes(address, "big")
        return any(value & mask == network for mask, network in self._networks[len(address)])


def _parse(text: str) -> bytes | None:
    """Read an address, with the port that some proxies append.

    Returns:
        Its 4 or 16 bytes, of an IPv4 address mapped to IPv6 the 4; None for what is none ("unknown").
    """
    text = text.strip()
    if len(text) > _ADDRESS_CHARS_MAX:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        return None
    # A listener for both families sees IPv4 peers as ::ffff:a.b.c.d.
    return address[12:] if address.startswith(_MAPPED) else address

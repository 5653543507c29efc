"""Proxies in front of us: who is believed when he says for whom he asks.

Anybody can write ``X-Forwarded-For`` and ``X-Forwarded-Proto``. They are read from connections of networks that the
operator names, and from no others: otherwise every viewer could choose the address that limits count him by.

The fields have no specification; RFC 7239 section 5.2 describes the same chain of addresses for ``Forwarded``.
"""

from __future__ import annotations

import functools
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Addresses of which it is remembered whether they are trusted: proxies are few, and viewers come back.
ADDRESSES_REMEMBERED = 1024
_SCHEMES = ("http", "https")


class TrustedProxies:
    """The networks of the proxies in front of us.

    Args:
        networks: In CIDR notation; none where nobody is believed.
    """

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._networks = tuple(map(ip_network, networks))
        self._is_trusted = functools.lru_cache(ADDRESSES_REMEMBERED)(self._look_up)

    def trusts(self, address: str) -> bool:
        """Whether an IP address, as a socket tells it, is a proxy's."""
        return bool(self._networks) and self._is_trusted(address)

    def client(self, peer: str, forwarded_for: str) -> str:
        """Find for whom a request is made.

        Each proxy appends the address that it has been asked from, so the last that is no proxy of ours is the first
        that nobody of ours vouches for: what stands before it may be invented.

        Args:
            peer: IP address of the connection.
            forwarded_for: All values of ``X-Forwarded-For``, joined by commas.

        Returns:
            An IP address; that of the last proxy where it names none. ``peer``, whatever is said, where that is not
            trusted.
        """
        client = peer
        for said in reversed(forwarded_for.split(",")):
            if not self.trusts(client):
                break
            address = _parse(said)
            if address is None:
                break
            client = str(address)
        return client

    def scheme(self, peer: str, forwarded_proto: str) -> str | None:
        """What a viewer's address begins with, as a trusted proxy says; None where none says so.

        Args:
            peer: IP address of the connection.
            forwarded_proto: All values of ``X-Forwarded-Proto``, joined by commas.
        """
        scheme = forwarded_proto.strip().lower()
        return scheme if scheme in _SCHEMES and self.trusts(peer) else None

    def _look_up(self, address: str) -> bool:
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._networks)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address, with the port that some proxies append; None for what is none ("unknown")."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A listener for both families sees IPv4 peers as ::ffff:a.b.c.d.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address

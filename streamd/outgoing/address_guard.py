"""Which addresses a request of ours may go to: those of the internet, and those that the operator names.

Whoever writes a URL must not reach what stands behind our firewall with it: the metadata of a cloud, a database, the
admin API (Standard Webhooks 1.0.0, "Server side request forgery"). IPv6 addresses that carry an IPv4 address are judged
by both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_Address = IPv4Address | IPv6Address

# RFC 6052: a translator's prefix; the last 32 bits are the IPv4 address that it goes on to.
NAT64 = IPv6Network("64:ff9b::/96")
# RFC 3056, 6to4: leads to the IPv4 address in it, over relays that RFC 7526 has abolished. Python says since 3.12.4,
# and in 3.11 as Debian mends it, that it is not the internet's; before, that it is.
SIX_TO_FOUR = IPv6Network("2002::/16")


class AddressGuard:
    """Judges addresses.

    Args:
        allowed: Networks that may be reached although they are not the internet's.
    """

    def __init__(self, allowed: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def allows(self, address: str) -> bool:
        """Whether a request may go to an IP address; one that cannot be read may not be reached."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            # The kernel connects to the IPv4 address itself.
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._allowed) or all(map(_is_public, (parsed, *_inner(parsed))))


def _is_public(address: _Address) -> bool:
    return address.is_global and not address.is_multicast and address not in SIX_TO_FOUR


def _inner(address: _Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, IPv4Address):
        return
    if address in NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        yield from address.teredo

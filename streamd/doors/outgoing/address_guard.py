"""The addresses that a request of ours may go to: those of the internet, and those that the operator names.

The writer of a URL must not reach machines behind our firewall with it: the metadata of a cloud, a database, the admin
API (Standard Webhooks 1.0.0, "Server side request forgery"). IPv6 addresses that carry an IPv4 address are judged by
both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_Address = IPv4Address | IPv6Address

# IANA's registries of special-purpose addresses (RFC 6890) and multicast, whole: their reachable addresses (anycast of
# AS112, say) are no place for a receiver either. Python knows the registries of its day, and leaves the holes in them
# that "globally reachable" makes: 192.0.0.9, 192.88.99.1.
SPECIAL_IPV4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carriers' own
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local: clouds' metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocols' own: DS-Lite, NAT64 discovery, 192.0.0.8 for nobody
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # relays of 6to4, which RFC 7526 has abolished
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # for later, and broadcast
        ),
    )
)
# RFC 4291 section 2.4, as IANA gives addresses out. Every other address is loopback, link-local, site-local
# (fec0::/10), private, multicast, SRv6, or an IPv4 address in other clothes: compatible (::a.b.c.d), translated
# (::ffff:0:a.b.c.d, RFC 7915), behind a translator of one's own (64:ff9b:1::/48, RFC 8215).
GLOBAL_UNICAST = IPv6Network("2000::/3")
SPECIAL_IPV6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocols' own: Teredo, benchmarks, ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: leads to the IPv4 address in it
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
# RFC 6052: a translator's prefix, of the whole internet; the last 32 bits are the IPv4 address that it goes on to.
NAT64 = IPv6Network("64:ff9b::/96")
# RFC 5214, ISATAP: the lower half is 0000:5efe or 0200:5efe (the IPv4 address is a network's own, or the internet's)
# and the IPv4 address that it goes on to.
_ISATAP = 0x0000_5EFE
_ISATAP_MASK = 0xFDFF_FFFF


class AddressGuard:
    """Judges addresses.

    Args:
        allowed: Networks beside the internet that may be reached.
    """

    def __init__(self, allowed: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def allows(self, address: str) -> bool:
        """Tell whether a request may go to an IP address; text that is no address is refused."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            # The kernel connects to the IPv4 address itself.
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._allowed) or _is_public(parsed)


def _is_public(address: _Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in SPECIAL_IPV4)
    inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in NAT64:
        return _is_public(inner)
    if int(address) >> 32 & _ISATAP_MASK == _ISATAP and not _is_public(inner):
        return False
    return address.is_global and address in GLOBAL_UNICAST and not any(address in network for network in SPECIAL_IPV6)

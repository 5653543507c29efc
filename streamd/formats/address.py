"""An IP address, and the peer that it is counted as."""

from __future__ import annotations

import functools
import ipaddress

# Readings of an address, each of which a publish needs three times.
ADDRESSES_CACHED_MAX = 1_024
# RFC 6177: the smallest network that an end site is given.
IPV6_SITE_PREFIX = 64


@functools.lru_cache(maxsize=ADDRESSES_CACHED_MAX)
def source_of(address: str) -> str:
    """Return the peer that an address is counted as: an IPv4 address, or the /64 of an IPv6 address, as text.

    Args:
        address: IP address as the socket tells it; any other text stands for itself.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:  # a listener for both families sees IPv4 peers as ::ffff:a.b.c.d
        return str(parsed.ipv4_mapped)
    host_bits = parsed.max_prefixlen - IPV6_SITE_PREFIX
    return f"{ipaddress.IPv6Address(int(parsed) >> host_bits << host_bits)}/{IPV6_SITE_PREFIX}"

"""Where something may be shown: the viewer's country, their network, and the page that embeds it.

Spec: RFC 7725 (451, with the ``Link`` to who ordered it).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from streamd.services.playback.claims import allows_host
from streamd.services.playback.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.errors import PlaybackRefusedError
    from streamd.services.playback.claims import Claims, Network
    from streamd.services.playback.countries import Countries
    from streamd.services.playback.gate_options import GateOptions
    from streamd.services.playback.visitor import Visitor


class Places:
    """Says whether something may be shown where a viewer is.

    Args:
        options: The operator's rules; those of another configuration may be put in their place.
        countries: Tells the country of an address.
    """

    def __init__(self, options: GateOptions, countries: Countries) -> None:
        self.options = options
        self._countries = countries

    def check(self, claims: Claims | None, visitor: Visitor) -> None:
        """See that nothing forbids it there.

        Args:
            claims: The claims of the token that was shown, which may forbid more; None for none.
            visitor: The viewer who asks.

        Raises:
            PlaybackRefusedError: Something does.
        """
        self._check_country(claims, visitor.address)
        if claims is not None and claims.networks and not is_within(visitor.address, claims.networks):
            raise Refusal.NETWORK.error()
        host = visitor.host
        for allowed in (self.options.referrers, claims.referrers if claims is not None else ()):
            # Players that are no pages, and pages that hide where they are, say nothing; a page cannot pretend to be
            # another one.
            if allowed and host is not None and not allows_host(allowed, host):
                raise Refusal.REFERRER.error()

    def blocked_error(self) -> PlaybackRefusedError:
        """The error of what is kept from viewers in a place."""
        by = self.options.blocked_by
        return Refusal.BLOCKED.error(f'<{by}>; rel="blocked-by"' if by else "")

    def _check_country(self, claims: Claims | None, address: str) -> None:
        options = self.options
        blocked, wanted = options.blocked_countries, claims.countries if claims is not None else frozenset()
        if not blocked and not wanted:
            return
        country = self._countries.of(address)
        is_unknown = not country and options.unknown_country != "allow"
        if blocked and (is_unknown or country in blocked):
            raise self.blocked_error()
        if wanted and country not in wanted and (country or is_unknown):
            raise Refusal.COUNTRY.error()


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks; an IPv4 address may be written as IPv6 has it (RFC 4291 2.5.5.2).

    Args:
        address: As text; what is none is in no network.
        networks: Some.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)

"""Bars: broadcasters who may not publish although their key is good, and dark channels; by takedowns, and by blocks.

Each bar is held by the acts that put it there, and falls with the last of them: two orders on one channel are two acts,
and taking back one leaves the other. Where nothing is barred, a look costs one test of an empty set.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, TypeAlias

from streamd.services.keys.admission import Denial

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.services.keys.admission import Admission

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# Addresses whose country was looked up lately, 150 bytes each.
_COUNTRIES_KNOWN_MAX: Final = 16_384


class Held:
    """Things by name, each with the acts that hold it.

    Attributes:
        names: The things, by name, in the one dictionary that there is: a door looks there without a call.
    """

    __slots__ = ("names",)

    def __init__(self) -> None:
        self.names: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def add(self, name: str, act: str) -> None:
        """Have an act hold a thing; again is no error."""
        self.names.setdefault(name, set()).add(act)

    def remove(self, name: str, act: str) -> None:
        """An act holds a thing no more; the others go on."""
        holders = self.names.get(name)
        if holders is not None:
            holders.discard(act)
            if not holders:
                del self.names[name]

    def holders(self, name: str) -> frozenset[str]:
        """The acts that hold a thing."""
        return frozenset(self.names.get(name, ()))


class Networks:
    """Networks, each with the acts that hold it; one look-up for each length of prefix that occurs."""

    def __init__(self) -> None:
        self._held = Held()
        # How many networks there are of each version and length of prefix.
        self._lengths: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, network: Network, act: str) -> None:
        """Have an act hold a network."""
        if str(network) not in self._held:
            length = network.version, network.prefixlen
            self._lengths[length] = self._lengths.get(length, 0) + 1
        self._held.add(str(network), act)

    def remove(self, network: Network, act: str) -> None:
        """An act holds a network no more."""
        if str(network) not in self._held:
            return
        self._held.remove(str(network), act)
        if str(network) not in self._held:
            length = network.version, network.prefixlen
            self._lengths[length] -= 1
            if not self._lengths[length]:
                del self._lengths[length]

    def holds(self, address: str) -> bool:
        """Whether an address is in one of them; text that is no address is in none."""
        if not self._lengths:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        held = self._held
        for version, length in self._lengths:
            if version == parsed.version:
                network = ipaddress.ip_network((parsed, length), strict=False)
                if str(network) in held:
                    return True
        return False


class KnownCountries:
    """The countries of addresses, each looked up once in a while.

    Args:
        of: Tells the country of an address; empty where it is not known.
    """

    def __init__(self, of: Callable[[str], str]) -> None:
        self._of = of
        self._known: dict[str, str] = {}

    def of(self, address: str) -> str:
        """The country of an address; empty where it is not known."""
        country = self._known.get(address)
        if country is None:
            while len(self._known) >= _COUNTRIES_KNOWN_MAX:
                del self._known[next(iter(self._known))]
            country = self._known[address] = self._of(address)
        return country


class Bars:
    """The users, keys and channels that are barred, in memory.

    Attributes:
        channels: Dark channels: none of their keys publishes, and nothing of them is shown.
        keys: Ids of keys that publish nothing.
        networks: From which nobody publishes.
        countries: Likewise.
    """

    def __init__(self) -> None:
        self.channels = Held()
        self.keys = Held()
        self.networks = Networks()
        self.countries = Held()
        self._country_of: Callable[[str], str] = lambda _: ""

    def know_countries(self, of: Callable[[str], str]) -> None:
        """Have the country of an address told by this."""
        self._country_of = KnownCountries(of).of

    def bars(self, admission: Admission) -> bool:
        """Whether a stream with this admission may not go on."""
        return self.denial(admission.user, admission.key_id, admission.address) is not None

    def denial(self, user: str, key_id: str, address: str) -> Denial | None:
        """Why a publish is refused whose key is good; None where it is not.

        Args:
            user: Name of the user, and so of the channel.
            key_id: Id of the key.
            address: IP address that it came from; empty where that is not known.
        """
        if user in self.channels or key_id in self.keys:
            return Denial.TAKEN_DOWN
        if address and (len(self.networks) or len(self.countries)):
            if self.networks.holds(address):
                return Denial.BLOCKED
            if len(self.countries) and self._country_of(address) in self.countries:
                return Denial.BLOCKED
        return None

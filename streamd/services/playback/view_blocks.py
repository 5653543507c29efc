"""Channels that may not be shown to everybody although everybody may watch them: by country, by network, or at all.

An authority's order holds in its country alone. Where there is none, the gate is open, and nobody asks here.

Spec: RFC 7725 (451).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from streamd.services.keys.bars import Held, KnownCountries, Network, Networks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# In place of the name of a channel or recording: all of them.
EVERYTHING: Final = ""
# In place of a country: all of them.
EVERYWHERE: Final = ""


class ViewBlock(NamedTuple):
    """A channel, a recording or everything that one act keeps from viewers."""

    subject: str = EVERYTHING
    """The channel, recording or clip."""
    countries: tuple[str, ...] = (EVERYWHERE,)
    """The countries in which it is kept from viewers."""
    network: Network | None = None
    """The network that alone is blocked; None for all."""


class ViewBlocks:
    """The blocks that hold, in memory.

    Args:
        country_of: Tells the country of an address; empty where it is not known.
        is_unknown_blocked: Whether what is blocked in a country is kept from an address of an unknown one.

    Attributes:
        epoch: Counts blocks so far: viewers who were let in before are asked about again.
    """

    def __init__(self, country_of: Callable[[str], str], is_unknown_blocked: Callable[[], bool]) -> None:
        self._country_of = KnownCountries(country_of).of
        self._is_unknown_blocked = is_unknown_blocked
        self._countries: dict[str, Held] = {}
        self._networks: dict[str, Networks] = {}
        self.epoch = 0

    def __len__(self) -> int:
        """How many subjects are blocked somewhere."""
        return len(self._countries) + len(self._networks)

    def add(self, block: ViewBlock, act: str) -> None:
        """Have an act keep something from viewers."""
        self.epoch += 1
        if block.network is not None:
            self._networks.setdefault(block.subject, Networks()).add(block.network, act)
            return
        held = self._countries.setdefault(block.subject, Held())
        for country in block.countries:
            held.add(country, act)

    def remove(self, block: ViewBlock, act: str) -> None:
        """An act keeps it no more; others may."""
        networks = self._networks.get(block.subject)
        if block.network is not None and networks is not None:
            networks.remove(block.network, act)
            if not len(networks):
                del self._networks[block.subject]
        held = self._countries.get(block.subject)
        if block.network is None and held is not None:
            for country in block.countries:
                held.remove(country, act)
            if not len(held):
                del self._countries[block.subject]

    def blocks(self, subjects: Iterable[str], address: str) -> bool:
        """Whether something may not be shown to an address.

        Args:
            subjects: The names under which it may be blocked: the channel; of a recording its id and its channel.
            address: IP address of the viewer.
        """
        for subject in (EVERYTHING, *subjects):
            held = self._countries.get(subject)
            if held is not None:
                if EVERYWHERE in held:
                    return True
                country = self._country_of(address)
                if country in held if country else self._is_unknown_blocked():
                    return True
            networks = self._networks.get(subject)
            if networks is not None and networks.holds(address):
                return True
        return False

    def blocked_among(self, subjects: Iterable[str], address: str) -> frozenset[str]:
        """Those of some channels that may not be shown to an address; of many, few are blocked anywhere.

        Args:
            subjects: Names of channels.
            address: IP address of the viewer.
        """
        if self.blocks((), address):
            return frozenset(subjects)
        countries, networks = self._countries, self._networks
        return frozenset(
            name for name in subjects if (name in countries or name in networks) and self.blocks((name,), address)
        )

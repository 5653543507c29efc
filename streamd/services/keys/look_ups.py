"""A bound for the look-ups in the store that are under way at once, by peer.

A look-up takes a millisecond, and where the store is slow, as long as its time-outs let it: then they pile up, one for
each publish and each opened page. Peers without a known good key share a bounded number of places, of which each
address has a bounded share; a known good key has places of its own, so that strangers take none of them.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from streamd.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Look-ups of keys not known to be good, from all addresses. They end within ``verify_timeout_s``, so a store that hangs
# is asked some fifty times a second at most; one that does not answers thousands.
STRANGERS_MAX = 256
# From one address: as many as it may have RTMP connections (``connections_per_address_max``), so that the encoders of
# one studio come in together.
STRANGERS_PER_SOURCE_MAX = 64
# With one key that is known to be good: an encoder, a second one that is set up with the same key, and a page or two.
PER_KEY_MAX = 8


class LookUps:
    """The look-ups that are under way."""

    def __init__(self) -> None:
        self._by_source: Counter[str] = Counter()
        self._by_key: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many there are."""
        return self._by_source.total() + self._by_key.total()

    @contextlib.contextmanager
    def of_key(self, key_id: str) -> Iterator[None]:
        """A look-up with a key that is known to be good.

        Raises:
            StoreUnavailableError: Too many with this key wait for the store already.
        """
        with _counted(self._by_key, key_id, PER_KEY_MAX):
            yield

    @contextlib.contextmanager
    def of_stranger(self, source: str) -> Iterator[None]:
        """A look-up with an unknown key.

        Args:
            source: The peer that the address is counted as (``address.source_of``).

        Raises:
            StoreUnavailableError: Too many wait for the store already, from there or from everywhere.
        """
        if self._by_source.total() >= STRANGERS_MAX:
            raise StoreUnavailableError(f"{STRANGERS_MAX} look-ups wait for the key store already")
        with _counted(self._by_source, source, STRANGERS_PER_SOURCE_MAX):
            yield


@contextlib.contextmanager
def _counted(counter: Counter[str], name: str, at_once_max: int) -> Iterator[None]:
    if counter[name] >= at_once_max:
        raise StoreUnavailableError(f"{at_once_max} look-ups wait for the key store already, all alike")
    counter[name] += 1
    try:
        yield
    finally:
        counter[name] -= 1
        if not counter[name]:
            # A name without look-ups is dropped: names come from outside.
            del counter[name]

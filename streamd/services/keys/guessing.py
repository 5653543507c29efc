"""Budgets against guessing: the look-ups of stream keys that may still be made after failed ones.

A secret has 190 random bits (stream_key.py), so guessing is hopeless by itself. This module bounds the work of a guess:
over its budget it is refused at once, without a look-up in the store, and costs one hash. There is no sleep, no queue,
no task.

Two budgets, for two ways of guessing
-------------------------------------
A publish that fails costs one token of its *address* (an IPv4 address; in IPv6 the /64 of one customer, RFC 6177) and
one of the *key id* that it showed. Tokens come back evenly over a minute. A token is spent when the look-up has failed
and not before it, so that encoders which come all at once from one studio never refuse each other; the connections
allowed to one address bound the look-ups at the same time past an empty budget. A publish that is refused here spends
no token, so a budget refills under any load.

Whom it must not lock out
-------------------------
- *The user whose key id is being guessed.* A key id is no secret: whoever knows it can empty its budget,
  from any number of addresses. Hence an empty budget never refuses the right secret. Each look-up of a living key
  leaves the store's hash of it here, and over budget the secret is compared with that: a right one is looked up as
  ever, a wrong one is refused without a look-up. Every token that was spent on a key id was spent by such a look-up, so
  the hash is there.
- *A studio behind one address*, with one encoder that is set up wrongly or with a guest who guesses. Keys
  that live get in as above: their hashes are read when the process starts, those lately used first, and every few
  seconds those that another process has issued (living_hashes.py). The rest: a key past ``HASHES_MAX`` of them, or
  one in the seconds before its hash is read, shown for the first time from an address over its budget, is refused until
  a token is back, a second at the default. Otherwise every guess would have to be looked up, which the limit exists to
  avoid. The budget is wide enough for dozens of encoders with wrong keys, retrying as OBS does (2 s, 3 s, 4.5 s …).

A key that is dead leaves no hash, so its holder, whose encoder may go on retrying for hours, is limited
like a guesser. One that comes alive again (its user is restored) is read again.

An attacker sees only a faster refusal, which they caused themselves: an unknown id over budget is hashed and compared
like a known one.

The holder of a good key
------------------------
may not make us work without end either: a publish that is admitted costs a token of its key, and over
that budget the key is refused without a look-up, in words that its holder understands.

The limits below bound memory, whatever peers send. The entry used least lately is pushed out: a forgotten budget is a
full one, and a forgotten hash makes its key one that was not seen yet.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from streamd.formats.address import source_of
from streamd.limits import DEFAULT
from streamd.services.keys.imported_key import ShownKey
from streamd.services.keys.secret import secret_matches

# Budgets that are not full, of addresses and of key ids each: about 150 bytes a piece, 10 MB together. An attacker
# with more addresses than this is not stopped by counting them.
BUDGETS_MAX = 32_768
# Hashes of living keys: about 200 bytes a piece, 7 MB. More users than one server carries in days.
HASHES_MAX = 32_768
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class GuessLimits:
    """Failed publishes in a row, and in each minute after them. The reasons stand in the configuration."""

    failed_publishes_per_address_max: int = DEFAULT.failed_publishes_per_address_max
    failed_publishes_per_key_max: int = DEFAULT.failed_publishes_per_key_max


class Budgets:
    """Token buckets by name: full at first, a token less for each failure, full again after a window without.

    Kept as the generic cell rate algorithm keeps it (ITU-T I.371): one number for each name, the time at
    which its bucket is full again. A bucket that is full needs no number.

    Args:
        size: Tokens of a full bucket, all of which come back within the window.
        names_max: Buckets kept that are not full.
        window_s: The window, seconds.
    """

    def __init__(self, size: int, names_max: int = BUDGETS_MAX, window_s: float = _MINUTE_S) -> None:
        self._window_s = window_s
        self.resize(size)
        self._names_max = names_max
        # Least lately spent from first, so that full buckets and old ones come first.
        self._full_at: dict[str, float] = {}

    def resize(self, size: int) -> None:
        """Take another size of buckets; spent tokens stay spent."""
        self._size = size
        self._token_s = self._window_s / size

    def __len__(self) -> int:
        """Buckets kept."""
        return len(self._full_at)

    def has_token(self, name: str, now: float) -> bool:
        """Whether there is a whole token left.

        Args:
            name: Whose bucket.
            now: Loop time, seconds.
        """
        missing_s = self._full_at.get(name, now) - now
        return missing_s <= (self._size - 1) * self._token_s

    def spend(self, name: str, now: float) -> None:
        """Take a token; an empty bucket stays empty and fills as before."""
        full_at = max(self._full_at.pop(name, now), now) + self._token_s
        self._full_at[name] = min(full_at, now + self._size * self._token_s)
        # Two out for one in: buckets that are full again leave before they are in the way.
        for _ in range(2):
            oldest = next(iter(self._full_at))
            if len(self._full_at) > self._names_max or self._full_at[oldest] <= now:
                del self._full_at[oldest]


class GuessGuard:
    """Decides which publish is looked up and which is refused without (see the module's docstring).

    Args:
        limits: Size of the budgets.
        hashes_max: Hashes of living keys that are remembered.
    """

    def __init__(self, limits: GuessLimits | None = None, *, hashes_max: int = HASHES_MAX) -> None:
        limits = limits or GuessLimits()
        self._by_address = Budgets(limits.failed_publishes_per_address_max)
        self._by_key = Budgets(limits.failed_publishes_per_key_max)
        self.hashes_max = hashes_max
        """Hashes of living keys that are remembered."""
        # Least lately shown first.
        self._living: OrderedDict[str, bytes] = OrderedDict()

    def set_limits(self, limits: GuessLimits) -> None:
        """Take other sizes of the budgets."""
        self._by_address.resize(limits.failed_publishes_per_address_max)
        self._by_key.resize(limits.failed_publishes_per_key_max)

    def lets_through(self, shown: ShownKey, address: str, now: float) -> bool:
        """Whether a publish is worth a look-up.

        Args:
            shown: The publisher's key.
            address: IP address it came from.
            now: Loop time, seconds.
        """
        if self._by_address.has_token(source_of(address), now) and self._by_key.has_token(shown.key_id, now):
            return True
        return self.proves(shown)

    def proves(self, shown: ShownKey) -> bool:
        """Whether this is a living key, as far as is known without the store; the work is the same for both answers."""
        return secret_matches(shown.key_id, shown.secret, self._living.get(shown.key_id))

    def knows(self, key_id: str) -> bool:
        """Whether this is the id of a living key, as far as is known without the store."""
        return key_id in self._living

    def remember(self, key_id: str, secret_hash: bytes) -> None:
        """Take note of a key that lives."""
        self._living[key_id] = secret_hash
        self._living.move_to_end(key_id)
        if len(self._living) > self.hashes_max:
            self._living.popitem(last=False)

    def learn(self, key_id: str, secret_hash: bytes) -> None:
        """Take note of a key that lives and has not shown itself, and is less lately used than all that are known."""
        if key_id not in self._living and len(self._living) < self.hashes_max:
            self._living[key_id] = secret_hash
            self._living.move_to_end(key_id, last=False)

    def forget(self, key_id: str) -> None:
        """Take note that a key is dead."""
        self._living.pop(key_id, None)

    def note_failure(self, key_id: str | None, address: str, now: float) -> None:
        """Spend the tokens of a failed publish.

        Args:
            key_id: Id of the key that was shown; None for text that is no key here.
            address: IP address it came from.
            now: Loop time, seconds.
        """
        self._by_address.spend(source_of(address), now)
        if key_id is not None:
            self._by_key.spend(key_id, now)

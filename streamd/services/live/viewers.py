"""The number of a live stream's viewers over HLS, without any fact about a person.

A player of HLS has no connection of its own: it comes back for the playlist, at least once in a target duration. The
count is that of different pairs of address and user agent that did so lately. No mark is set on the player's side, and
neither of the two is kept here, but a hash, keyed with random bytes that this process forgets with its end. So the hash
says nothing of a person and cannot be compared with another server's, or with yesterday's. Viewers behind one address
with the same browser count as one, for anybody can make up names of browsers; an address counts as
``AGENTS_PER_ADDRESS_MAX`` at the most, and an IPv6 address is its /64; one who changes networks counts twice for some
seconds; those whom a cache in front of us serves are not seen.

Beyond ``SESSIONS_MAX`` the count is an estimate by adaptive sampling (Flajolet, "On Adaptive Sampling", 1990): only
hashes that end in a number of zero bits are kept, and each stands for as many as the bits leave out. Its standard error
is about 1.2 / sqrt(SESSIONS_MAX), 1.3 %.
"""

from __future__ import annotations

import secrets

# Per stream. Up to here the count is exact; 1 MB of dictionary at the most.
SESSIONS_MAX = 8_192
# A count this small would be exact with a bit less.
_SESSIONS_LOW = SESSIONS_MAX // 4
# Browsers behind one address that are told apart. A school's have a dozen kinds in a dozen versions; of ten different
# ones, all ten count in five cases of six.
AGENTS_PER_ADDRESS_MAX = 256
# A player may skip a reload and still play from its buffer; after three it does not.
WINDOW_TARGETS = 3
# The window before the playlist has a target duration: the longest that it can have is 10 s.
_FIRST_WINDOW_S = 30.0


class HlsViewers:
    """Counts the viewers of one live stream over HLS.

    Attributes:
        window_s: Seconds without a request for a playlist after which a viewer is gone: ``WINDOW_TARGETS`` target
            durations.
    """

    def __init__(self) -> None:
        self.window_s = _FIRST_WINDOW_S
        self._key = secrets.token_bytes(16)
        self._seen: dict[int, float] = {}
        # Hashes are kept that have none of these bits. Those that have none of the wider mask are counted, until
        # enough time has passed for everyone whom the narrower one lets in to be seen.
        self._kept_mask = 0
        self._counted_mask = 0
        self._counted_from = 0.0

    @property
    def marks(self) -> frozenset[int]:
        """The hashes of viewers, the only record of them."""
        return frozenset(self._seen)

    def note(self, source: str, user_agent: str, now: float) -> None:
        """Note a request for a media playlist.

        Args:
            source: The peer that the address is counted as (``address.source_of``).
            user_agent: The header, empty if there was none.
            now: Loop time, seconds.
        """
        # SipHash of the strings, keyed by the interpreter, mixed with a key of our own.
        key = self._key
        session = hash((key, source, hash((key, user_agent)) % AGENTS_PER_ADDRESS_MAX))
        if session & self._kept_mask:
            return
        seen = self._seen
        if len(seen) >= SESSIONS_MAX and session not in seen:
            self._make_room(now)
            if session & self._kept_mask:
                return
        seen[session] = now

    def count(self, now: float) -> int:
        """Return the number of viewers that asked within the window; called about once a second.

        Args:
            now: Loop time, seconds.
        """
        self._forget_before(now - self.window_s)
        if self._counted_mask != self._kept_mask and now >= self._counted_from:
            self._counted_mask = self._kept_mask
        elif self._kept_mask and self._counted_mask == self._kept_mask and len(self._seen) < _SESSIONS_LOW:
            self._kept_mask >>= 1
            self._counted_from = now + self.window_s
        mask = self._counted_mask
        if not mask:
            return len(self._seen)
        return sum(1 for session in self._seen if not session & mask) * (mask + 1)

    def _make_room(self, now: float) -> None:
        self._forget_before(now - self.window_s)
        while len(self._seen) >= SESSIONS_MAX:
            self._kept_mask = self._kept_mask << 1 | 1
            self._counted_mask = max(self._counted_mask, self._kept_mask)
            self._forget_hashes()

    def _forget_before(self, since: float) -> None:
        if not self._seen:
            return
        stale = [session for session, seen_at in self._seen.items() if seen_at < since]
        for session in stale:
            del self._seen[session]

    def _forget_hashes(self) -> None:
        for session in [session for session in self._seen if session & self._kept_mask]:
            del self._seen[session]

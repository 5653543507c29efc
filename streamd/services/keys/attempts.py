"""The last attempts to publish with each key, for its holder: their outcome, and the reason.

Encoders say little when they are refused (OBS: "Could not access the specified channel or stream key", whatever the
reason), so the broadcaster's page says it. Between two broadcasts, refusals for one reason are one attempt with a
count: an encoder whose key was revoked tries 25 times, and a guesser must not push the holder's attempts out of the
log.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

# Attempts of a key that are kept: enough to read why it does not work.
ATTEMPTS_MAX = 10
# Keys whose attempts are remembered, the lately used ones. About 2 KB each, 8 MB in all.
KEYS_MAX = 4_096
# A demuxer's words may be longer than a person reads.
DETAIL_LENGTH_MAX = 300

LIVE = "live"
"""The result of an attempt that was accepted and is not over."""


@dataclass(eq=False, slots=True)
class Attempt:
    """One attempt to publish, or several that were refused for one reason."""

    at: datetime
    """When it began; the last of them, where there are several."""
    address: str
    """IP address it came from; the last of them, where there are several."""
    result: str
    """``live``, the reason of its refusal (``Denial``, ``PublishError.result``) or of its end (``EndReason``)."""
    detail: str = ""
    """Its fault in words, if the result does not say all."""
    count: int = 1
    ended_at: datetime | None = None
    """Time of its end; None for one that was refused, or is live."""

    def end(self, result: str, detail: str, at: datetime) -> None:
        """Note that it is over.

        Args:
            result: Why.
            detail: The fault, in words.
            at: Wall time.
        """
        self.result, self.detail, self.ended_at = result, detail[:DETAIL_LENGTH_MAX], at


class AttemptLog:
    """Remembers the attempts of keys that the store has; ids that a guesser made up are not noted."""

    def __init__(self) -> None:
        # Least lately tried first.
        self._by_key: dict[str, deque[Attempt]] = {}

    def __len__(self) -> int:
        """Keys whose attempts are remembered."""
        return len(self._by_key)

    def refuse(self, key_id: str, result: str, address: str, at: datetime, detail: str = "") -> None:
        """Note a refusal.

        Args:
            key_id: A key that there is.
            result: Why.
            address: IP address it came from.
            at: Wall time.
            detail: The fault, in words.
        """
        attempts = self._attempts_of(key_id)
        attempt = next((known for known in _refused_lately(attempts) if known.result == result), None)
        if attempt is None:
            attempts.append(Attempt(at, address, result, detail[:DETAIL_LENGTH_MAX]))
            return
        attempts.remove(attempt)
        attempts.append(attempt)
        attempt.at, attempt.address, attempt.detail = at, address, detail[:DETAIL_LENGTH_MAX]
        attempt.count += 1

    def accept(self, key_id: str, address: str, at: datetime) -> Attempt:
        """Note that a stream has begun, and return the attempt to be ended with it."""
        attempt = Attempt(at, address, LIVE)
        self._attempts_of(key_id).append(attempt)
        return attempt

    def forget(self, key_id: str) -> None:
        """Remember nothing of a key that was deleted."""
        self._by_key.pop(key_id, None)

    def of(self, key_id: str) -> Sequence[Attempt]:
        """The last attempts with a key, oldest first."""
        return tuple(self._by_key.get(key_id, ()))

    def _attempts_of(self, key_id: str) -> deque[Attempt]:
        attempts = self._by_key.pop(key_id, None)
        if attempts is None:
            attempts = deque(maxlen=ATTEMPTS_MAX)
            if len(self._by_key) >= KEYS_MAX:
                del self._by_key[next(iter(self._by_key))]
        self._by_key[key_id] = attempts
        return attempts


def _refused_lately(attempts: Sequence[Attempt]) -> Iterator[Attempt]:
    """The refusals since the last broadcast, newest first."""
    return itertools.takewhile(lambda attempt: attempt.result != LIVE and attempt.ended_at is None, reversed(attempts))

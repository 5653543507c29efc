"""A key set elsewhere (``jwks_url``), read again now and then; while it is down, the keys that it had stay good.

Spec: RFC 7517 section 5.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Final

from streamd.errors import ReceiverUnreachableError
from streamd.services.playback.key_ring import REMOTE_KEYS_MAX

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.services.events.sender import Getter
    from streamd.services.playback.key_ring import KeyRing
    from streamd.services.playback.verifying_key import VerifyingKey

log = logging.getLogger(__name__)

# A new key is published before it signs; an issuer that rotates by the day is followed in time.
REFRESH_S: Final = 300.0
# After a failure, and for a token whose key is not known yet, but not more often.
RETRY_S: Final = 10.0
TIMEOUT_S: Final = 5.0
# 64 keys of 2 kB.
ANSWER_BYTES_MAX: Final = 256 * 1024


class RemoteKeySet:
    """Keeps the keys of an issuer at hand.

    Args:
        url: The address at which they are published; empty for none.
        sender: Makes the requests.
        clock: Measures their age.
        ring: Told of them.
    """

    def __init__(self, url: str, sender: Getter, clock: Clock, ring: KeyRing) -> None:
        self.url = url
        self._sender = sender
        self._clock = clock
        self._ring = ring
        self._due_at = float("-inf")
        self._asked_at = float("-inf")
        self._is_down = False

    def move(self, url: str) -> None:
        """Read another one from now on; the keys of the one before are good no more."""
        self.url = url
        self._due_at = float("-inf")
        self._ring.set_remote(())

    def hurry(self) -> None:
        """A token names a key that is not known: look soon, as an issuer may have a new one."""
        self._due_at = min(self._due_at, self._asked_at + RETRY_S)

    async def look(self) -> None:
        """Read it if it is time to."""
        now = self._clock.monotonic()
        if not self.url or now < self._due_at:
            return
        self._asked_at, self._due_at = now, now + RETRY_S
        try:
            answer = await self._sender.get(self.url, timeout_s=TIMEOUT_S, answer_bytes_max=ANSWER_BYTES_MAX + 1)
            if not answer.is_success:
                raise ReceiverUnreachableError(f"HTTP {answer.status}")
            keys = read_key_set(answer.body)
        except ReceiverUnreachableError as exc:
            if not self._is_down:
                log.warning("key_set.failed", extra={"reason": str(exc)})
            self._is_down = True
            return
        if self._is_down:
            log.info("key_set.recovered", extra={"keys": len(keys)})
        self._is_down = False
        self._ring.set_remote(keys)
        self._due_at = now + REFRESH_S


def read_key_set(body: bytes) -> list[VerifyingKey]:
    """Read a JWK set; keys that sign no tokens for us are left out.

    Raises:
        ReceiverUnreachableError: It is none.
    """
    if len(body) > ANSWER_BYTES_MAX:
        raise ReceiverUnreachableError("the key set is too long")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ReceiverUnreachableError("what is there is no JWK set") from None
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ReceiverUnreachableError("what is there is no JWK set")
    from streamd.services.playback.playback_key import of_jwk

    found = [of_jwk(each) for each in listed[:REMOTE_KEYS_MAX]]
    return [key for key in found if key is not None]

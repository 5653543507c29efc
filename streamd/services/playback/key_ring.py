"""The keys that tokens are checked with now: the server's own, the operator's, and those of a key set elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from streamd.services.playback.verifying_key import VerifyingKey

# An issuer has a handful; 2 kB each at the most.
REMOTE_KEYS_MAX: Final = 64


class KeyRing:
    """Finds the key that a token names."""

    def __init__(self) -> None:
        self._own: dict[str, tuple[VerifyingKey, datetime | None]] = {}
        self._remote: dict[str, VerifyingKey] = {}
        self._withdrawn: set[str] = set()
        self._server: VerifyingKey | None = None

    def set_server(self, key: VerifyingKey) -> None:
        """Take the key with which the server signs itself."""
        self._server = key

    def set_own(self, keys: Mapping[str, tuple[VerifyingKey, datetime | None]]) -> None:
        """Take the operator's keys, each with the time at which it stops to be good."""
        self._own = dict(keys)

    def set_remote(self, keys: Iterable[VerifyingKey]) -> None:
        """Take the keys of the key set elsewhere, in place of those that it had."""
        self._remote = {key.kid: key for key in [*keys][:REMOTE_KEYS_MAX]}

    def withdraw(self, kid: str) -> None:
        """Take no token of a key any more, whoever publishes it."""
        self._withdrawn.add(kid)

    def find(self, kid: str, now: datetime) -> VerifyingKey | None:
        """The key of an id; None where there is none, or none any more.

        A key of the operator's comes first: nobody elsewhere may put one in its place.

        Args:
            kid: As a token names it.
            now: Wall time.
        """
        if self._server is not None and kid == self._server.kid:
            return self._server
        if kid in self._withdrawn:
            return None
        own = self._own.get(kid)
        if own is not None:
            key, ends_at = own
            return key if ends_at is None or now < ends_at else None
        return self._remote.get(kid)

    def published(self, now: datetime) -> list[VerifyingKey]:
        """The keys that anybody may know, and check tokens of ours with: without secrets."""
        return [
            key
            for key, ends_at in self._own.values()
            if not isinstance(key.material, bytes) and (ends_at is None or now < ends_at)
        ]

"""The supervisor's buckets of named values: what the directory of the workers is kept in.

A write says which revision it replaces, as with NATS JetStream's key-value store, so that both serve one directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Each live or lately ended stream has one, and each worker: ten times `limits.streams_max` by default.
VALUES_MAX = 20_000
VALUE_BYTES_MAX = 16 * 1024


class Stored(NamedTuple):
    """A value, and the revision that it has."""

    value: bytes
    revision: int


class Conflict(Exception):  # noqa: N818  # an answer to a worker, and no fault of ours
    """Another value stands there."""


class Values:
    """One bucket.

    Args:
        on_change: Told of each change, with None for a value that was removed.
    """

    def __init__(self, on_change: Callable[[str, Stored | None], None]) -> None:
        self._on_change = on_change
        self._stored: dict[str, Stored] = {}
        self._revision = 0

    def get(self, key: str) -> Stored | None:
        """Read a value."""
        return self._stored.get(key)

    def all(self) -> Mapping[str, Stored]:
        """Read all of them."""
        return self._stored

    def restore(self, values: Mapping[str, bytes]) -> None:
        """Have the values that the supervisor before this one had; nobody is told."""
        for key, value in values.items():
            self._revision += 1
            self._stored[key] = Stored(value, self._revision)

    @property
    def revision(self) -> int:
        """Grows with each change."""
        return self._revision

    def put(self, key: str, value: bytes, last: int) -> int:
        """Write a value in place of one.

        Args:
            key: Its name.
            value: The new one.
            last: Revision of the old one; 0 for none.

        Returns:
            Its revision.

        Raises:
            Conflict: Another stands there, or there is no room for one more.
        """
        stored = self._stored.get(key)
        if (stored.revision if stored is not None else 0) != last or len(value) > VALUE_BYTES_MAX:
            raise Conflict
        if stored is None and len(self._stored) >= VALUES_MAX:
            raise Conflict
        self._revision += 1
        new = self._stored[key] = Stored(value, self._revision)
        self._on_change(key, new)
        return new.revision

    def delete(self, key: str, last: int | None = None) -> None:
        """Remove a value.

        Args:
            key: Its name.
            last: Its revision; None for whatever it is.

        Raises:
            Conflict: It has another.
        """
        stored = self._stored.get(key)
        if last is not None and stored is not None and stored.revision != last:
            raise Conflict
        if self._stored.pop(key, None) is not None:
            self._revision += 1
            self._on_change(key, None)

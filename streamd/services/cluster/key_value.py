"""What the directory is kept in: names with values, where a write can say which value it replaces.

NATS JetStream's key-value store is one, and a dictionary in a test another. A read may be old; a write that replaces a
revision is the only proof of what stands there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Kept(NamedTuple):
    """A value as it was found."""

    value: bytes
    revision: int
    """Grows with every write to the store."""


class KeyValue(Protocol):
    """One bucket. Every call raises ``ClusterUnavailableError`` where it gets no answer in time."""

    async def get(self, key: str) -> Kept | None:
        """Read a value."""

    async def all(self) -> Mapping[str, Kept]:
        """Read all of them."""

    async def create(self, key: str, value: bytes) -> int:
        """Write a value where there is none.

        Returns:
            Its revision.

        Raises:
            ConflictError: There is one.
        """

    async def update(self, key: str, value: bytes, last: int) -> int:
        """Write a value in place of one.

        Args:
            key: Its name.
            value: The new one.
            last: Revision of the old one.

        Raises:
            ConflictError: Another stands there by now.
        """

    async def delete(self, key: str, last: int) -> None:
        """Remove a value.

        Args:
            key: Its name.
            last: Its revision.

        Raises:
            ConflictError: Another stands there by now.
        """

    def watch(self, on_change: Callable[[str, Kept | None], None]) -> None:
        """Be told of changes from now on, as long as they arrive; None stands for a value that was removed."""

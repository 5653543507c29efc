"""The directory: which node has a channel.

``owner`` tells what was heard last and awaits nothing; it may be old. ``claim`` alone decides: what it returns is the
channel, with an epoch that no owner before had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streamd.services.cluster.entries import NodeEntry, StreamEntry
    from streamd.services.live.restart_record import StreamRecord


class Lease(Protocol):
    """A channel that is this node's (``streamd.services.live.live_stream.Place``)."""

    @property
    def name(self) -> str:
        """The channel."""

    @property
    def epoch(self) -> int:
        """Greater than that of every owner before."""

    @property
    def left(self) -> StreamRecord | None:
        """The stream that the owner before has left, if the same key goes on with it."""

    @property
    def numbers_until_s(self) -> int:
        """No number from here on has been used by an owner before (``Numbering.at``)."""

    def release(self) -> None:
        """Give the channel back: its stream has ended, or begins not at all. Again is the same as once."""


class Directory(Protocol):
    """Knows the nodes, and who has which channel."""

    async def claim(self, name: str, key_id: str) -> Lease:
        """Take a channel, from nobody or from an owner that is gone or gives it to the same key.

        Args:
            name: The channel.
            key_id: Of the key that opens its stream.

        Raises:
            AlreadyPublishingError: Another node has it.
            NameUnknownError: That cannot be known now.
        """

    def owner(self, name: str) -> StreamEntry | None:
        """Who has a channel, as it was heard last; also one that has left it, or whose stream has ended."""

    def streams(self) -> Iterable[StreamEntry]:
        """All channels that are live, as they were heard last."""

    def nodes(self) -> Iterable[NodeEntry]:
        """The nodes whose lease has not run out, this one included."""

    def is_alive(self, node: str, session: str) -> bool:
        """Whether the lease of a process has not run out."""

    def watch(self, on_change: Callable[[str], None]) -> None:
        """Have a function called with the name of each channel whose entry changes, or whose owner is gone."""

"""The channels that the public may see; every door looks names up here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.delivery.answer import Absence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streamd.services.live.channel import Channel
    from streamd.services.live.registry import LiveRegistry


class PublicChannels:
    """The channels, without those whose user is suspended.

    Args:
        registry: The live streams.
        is_taken_down: Tells whether a channel's user is suspended.
        is_listed: Tells whether a channel may be told to somebody who does not know its name.
    """

    def __init__(
        self,
        registry: LiveRegistry,
        is_taken_down: Callable[[str], bool],
        is_listed: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._registry = registry
        self._is_listed = is_listed
        self._is_taken_down = is_taken_down

    def find(self, name: str) -> Channel | Absence:
        """A channel that is live or has lately ended, or why there is none."""
        if self._is_taken_down(name):
            return Absence.TAKEN_DOWN
        return self._registry.find_channel(name) or Absence.UNKNOWN

    def is_listed(self, name: str) -> bool:
        """Whether a channel may be told to somebody, or to a search engine, that does not know its name."""
        return self._is_listed(name)

    def listed(self) -> Iterable[Channel]:
        """The channels that are live now and listed, in the order in which they began."""
        return (channel for channel in self.live() if self._is_listed(channel.name))

    def live(self) -> Iterable[Channel]:
        """The channels that are live now, in the order in which they began; for this server's own use."""
        # Suspending a user has ended the user's stream.
        return self._registry.channels()

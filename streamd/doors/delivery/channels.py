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
    """

    def __init__(self, registry: LiveRegistry, is_taken_down: Callable[[str], bool]) -> None:
        self._registry = registry
        self._is_taken_down = is_taken_down

    def find(self, name: str) -> Channel | Absence:
        """A channel that is live or has lately ended, or why there is none."""
        if self._is_taken_down(name):
            return Absence.TAKEN_DOWN
        return self._registry.find_channel(name) or Absence.UNKNOWN

    def live(self) -> Iterable[Channel]:
        """The channels that are live now, in the order in which they began."""
        # Suspending a user has ended the user's stream.
        return self._registry.channels()

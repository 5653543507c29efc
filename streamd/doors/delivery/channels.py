"""The channels that the public may see; every door looks names up here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.delivery.answer import Absence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streamd.services.live.channel import Channel
    from streamd.services.live.registry import LiveRegistry
    from streamd.services.playback.gate import PlaybackGate


class PublicChannels:
    """The channels, without those whose user is suspended.

    Args:
        registry: The live streams.
        is_taken_down: Tells whether a channel's user is suspended.
        is_listed: Tells whether a channel may be told to somebody who does not know its name.
        gate: Says who may watch; None: everybody.

    Attributes:
        gate: As given.
    """

    def __init__(
        self,
        registry: LiveRegistry,
        is_taken_down: Callable[[str], bool],
        is_listed: Callable[[str], bool] = lambda _: True,
        gate: PlaybackGate | None = None,
    ) -> None:
        self.gate = gate
        self._registry = registry
        self._is_listed = is_listed
        self._is_taken_down = is_taken_down

    def find(self, name: str) -> Channel | Absence:
        """A channel that is live or has lately ended, or why there is none."""
        if self._is_taken_down(name):
            return Absence.TAKEN_DOWN
        return self._registry.find_channel(name) or Absence.UNKNOWN

    def is_locked(self, name: str) -> bool:
        """Whether somebody has to show something to watch a channel."""
        return self.gate is not None and self.gate.is_locked(name)

    def policy(self, name: str) -> str:
        """Who may watch a channel, in a word: ``public`` for everybody."""
        return "public" if self.gate is None else self.gate.policies.of(name).value

    def word(self, channel: Channel) -> str:
        """The word in the names of a channel's media, of this broadcast; empty where everybody may watch it."""
        gate = self.gate
        if gate is None or gate.is_open:
            return ""
        return gate.words.of(channel.name, channel.live_since)

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

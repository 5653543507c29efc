"""The words in the names of locked channels' media, by which a cache in front gives a stranger nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamd.services.playback.policy import Policy

if TYPE_CHECKING:
    from streamd.services.playback.policy import Policies
    from streamd.services.playback.revocations import Revocations
    from streamd.services.playback.ticket import TicketOffice

# Words of channels that were asked for lately: 150 bytes each, and 2 µs to make one anew, as after each change.
WORDS_MAX: Final = 4096


class MediaWords:
    """Keeps the words at hand.

    Args:
        office: Makes them.
        policies: The channels that are locked.
        revocations: Each of a channel's has another word follow.
    """

    def __init__(self, office: TicketOffice, policies: Policies, revocations: Revocations) -> None:
        self._office = office
        self._policies = policies
        self._revocations = revocations
        # By channel: its broadcast, the version of what both others say, and the word.
        self._words: dict[str, tuple[object, int, str]] = {}

    def of(self, channel: str, epoch: object) -> str:
        """The word of a channel; empty where everybody may watch it.

        Args:
            channel: Its name.
            epoch: Its broadcast: another one has another word, and so has what was withdrawn.
        """
        # Neither ever becomes less: where the sum is as before, both are.
        version = self._policies.version + self._revocations.version
        known = self._words.get(channel)
        if known is not None and known[1] == version and known[0] == epoch:
            return known[2]
        while len(self._words) >= WORDS_MAX:
            del self._words[next(iter(self._words))]
        word = ""
        if self._policies.of(channel) is not Policy.PUBLIC:
            word = self._office.word(channel, f"{epoch} {self._revocations.channel_epoch(channel)}")
        self._words[channel] = epoch, version, word
        return word

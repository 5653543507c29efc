"""The words in the names of locked channels' media, by which a cache in front gives a stranger nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamd.services.playback.revocations import Revocations
    from streamd.services.playback.ticket import TicketOffice

# Words of channels that were asked for lately: 150 bytes each, and 2 µs to make one anew.
WORDS_MAX: Final = 4096


class MediaWords:
    """Keeps the words at hand.

    Args:
        office: Makes them.
        revocations: Each of a channel's has another word follow.
    """

    def __init__(self, office: TicketOffice, revocations: Revocations) -> None:
        self._office = office
        self._revocations = revocations
        self._words: dict[str, tuple[object, int, str]] = {}

    def of(self, channel: str, epoch: object) -> str:
        """The word of a channel.

        Args:
            channel: Its name.
            epoch: Its broadcast: another one has another word, and so has what was withdrawn.
        """
        withdrawn_at = self._revocations.channel_epoch(channel)
        known = self._words.get(channel)
        if known is not None and known[0] == epoch and known[1] == withdrawn_at:
            return known[2]
        while len(self._words) >= WORDS_MAX:
            del self._words[next(iter(self._words))]
        word = self._office.word(channel, f"{epoch} {withdrawn_at}")
        self._words[channel] = epoch, withdrawn_at, word
        return word

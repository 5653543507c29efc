"""From a request for media to its answer, or to the media that it waits for; every door asks here.

``decide`` is pure; here it is given the channel as it is now.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from streamd.doors.delivery.answer import NO_STORE, Absence, Answer, MediaRequest, error
from streamd.doors.delivery.decide import decide, decide_absent
from streamd.doors.delivery.media_path import MediaKind
from streamd.doors.delivery.representation import Representations
from streamd.media.packager.reload import PartNumber
from streamd.services.live.waiters import Awaited

if TYPE_CHECKING:
    from streamd.doors.delivery.channels import PublicChannels
    from streamd.doors.delivery.media_path import MediaPath
    from streamd.services.live.channel import Channel
    from streamd.services.live.waiters import Waiters

# A feed is open within a round trip or two; where its owner has just gone, its lease runs out and the next begins.
OPENING_S = 10
# Whatever comes first.
_ANYTHING = Awaited("", PartNumber(0))
# Compared with one by one: a member of an enumeration is hashed in Python, which takes 0.15 us.
_PLAYLIST = MediaKind.PLAYLIST
_MULTIVARIANT = MediaKind.MULTIVARIANT


class Blocked(NamedTuple):
    """There is no answer yet: ask again when the waiters wake, or when the time is over."""

    waiters: Waiters
    awaited: Awaited
    timeout_s: int
    """Seconds from the first time that a request was blocked; after them, ask with ``timed_out``."""


class MediaLookup:
    """Answers requests for media.

    Args:
        channels: Finds the channel of a name.
    """

    def __init__(self, channels: PublicChannels) -> None:
        self._channels = channels
        self._representations = Representations()

    def ask(self, request: MediaRequest, *, timed_out: bool = False, source: str = "") -> Answer | Blocked:
        """Answer a request as things stand now.

        Args:
            request: The request.
            timed_out: It has waited as long as it may.
            source: The peer that the request counts for (``source_of``); empty for a proxy, which asks for many.

        Returns:
            The answer, or what it waits for, where there is room for one more to wait. With ``timed_out`` always
            an answer.
        """
        path = request.path
        channel = self._channels.find(path.name)
        if isinstance(channel, Absence):
            return decide_absent(request, channel)
        presentation = channel.presentation
        if presentation is None:
            return self._without_presentation(request, channel, timed_out=timed_out, source=source)
        word = self._channels.word(channel)
        if word and path.word != word:
            kind = path.kind
            if kind is not _PLAYLIST and kind is not _MULTIVARIANT:
                # A cache in front would keep it under a name that anybody can guess.
                return error(HTTPStatus.NOT_FOUND, NO_STORE)
        waiters = channel.waiters
        choose = partial(decide, presentation=presentation, representations=self._representations, word=word)
        decision = choose(request, timed_out=timed_out and not waiters.is_closed)
        if not isinstance(decision, Answer):
            if waiters.is_closed:
                # The server stops, and the next one goes on with the playlist: a player that is shown it as it is comes
                # back. One that is refused may give up.
                decision = choose(_without_directives(request), timed_out=True)
            elif not waiters.budget.may_wait(source):
                decision = choose(request, timed_out=True)
        if isinstance(decision, Answer):
            return decision
        return Blocked(waiters, Awaited(decision.variant, decision.until), decision.timeout_s)

    def _without_presentation(
        self, request: MediaRequest, channel: Channel, *, timed_out: bool, source: str
    ) -> Answer | Blocked:
        """Have a request wait for what is on the way from another node; there is nothing to fetch otherwise."""
        if not channel.is_opening:
            return decide_absent(request, Absence.UNKNOWN)
        waiters = channel.waiters
        if timed_out or waiters.is_closed or not waiters.budget.may_wait(source):
            return decide_absent(request, Absence.NOT_NOW)
        return Blocked(waiters, _ANYTHING, OPENING_S)

    def note_viewer(self, path: MediaPath, source: str, user_agent: str) -> None:
        """Count a peer that asks for a media playlist as a viewer of its stream.

        Args:
            path: The path of the request, of a playlist or not.
            source: The address that the peer is counted as (``source_of``).
            user_agent: The header, empty if there was none.
        """
        if path.kind is MediaKind.PLAYLIST:
            channel = self._channels.find(path.name)
            if not isinstance(channel, Absence):
                channel.note_viewer(source, user_agent)


def _without_directives(request: MediaRequest) -> MediaRequest:
    """The same request of a player that waits for nothing (rfc8216bis 6.2.5)."""
    return replace(request, query="") if request.path.kind is MediaKind.PLAYLIST else request

"""The subject of a report: a channel that is live, was live or has recordings, a recording, or a clip.

Whether there is such a thing is asked, and told to nobody: a report about a name that never was gets the same answer as
one about a channel that is quiet.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol

from streamd.errors import TargetNotFoundError, TargetRefusedError
from streamd.services.events.event import EventType
from streamd.services.keys.records import USER_NAME
from streamd.services.moderation.target import Target, TargetKind
from streamd.services.recording.recording_id import is_clip_id, is_recording_id

if TYPE_CHECKING:
    from collections.abc import Collection

    from streamd.services.events.event import Event
    from streamd.services.moderation.cases.report_store import ReportStore
    from streamd.services.moderation.target import Targets

# Channels that were live here lately: a service that decides over publishes makes channels that no table has. 120
# bytes each.
LATELY_MAX: Final = 10_000


class ChannelViewers(Protocol):
    """The live streams."""

    def viewers_of(self, channel: str) -> int | None:
        """How many watch a channel; None where it is not live."""


class Subjects:
    """Finds what is reported.

    Args:
        targets: Finds what a text names.
        store: Knows users and recordings.
        viewers: The live streams.
    """

    def __init__(self, targets: Targets, store: ReportStore, viewers: ChannelViewers) -> None:
        self._targets = targets
        self._store = store
        self._viewers = viewers
        self._lately: OrderedDict[str, None] = OrderedDict()

    def note(self, event: Event) -> None:
        """Remember a channel that goes live or ends."""
        if event.type in (EventType.STREAM_STARTED, EventType.STREAM_ENDED) and event.about:
            self._lately[event.about] = None
            self._lately.move_to_end(event.about)
            if len(self._lately) > LATELY_MAX:
                self._lately.popitem(last=False)

    def viewers_of(self, target: Target) -> int:
        """How many watch the channel of a target now."""
        return self._viewers.viewers_of(target.channel) or 0

    async def find(self, text: str, own_hosts: Collection[str] = ()) -> Target | None:
        """Find what a reporter names.

        Args:
            text: A channel, the id of a recording or a clip, or a URL of this server.
            own_hosts: Other hosts that are this server: the one that the request came to.

        Returns:
            The target; None where there is none.

        Raises:
            TargetRefusedError: It is a URL of another site, or names nothing that can be reported.
            StoreUnavailableError: It cannot be looked up.
        """
        if USER_NAME.fullmatch(text) and not is_recording_id(text) and not is_clip_id(text):
            # A channel may be named like the id of a key, which nobody reports.
            target = Target(TargetKind.CHANNEL, text, text)
        else:
            target = self._targets.read(text, own_hosts)
        match target.kind:
            case TargetKind.CHANNEL:
                return target if await self._is_known(target.channel) else None
            case TargetKind.KEY:
                raise TargetRefusedError("name the channel, or the address of what you have seen")
            case TargetKind.RECORDING | TargetKind.CLIP:
                try:
                    return await self._targets.find(target.id)
                except TargetNotFoundError:
                    return None

    async def _is_known(self, channel: str) -> bool:
        # It is asked in any case: the time of the answer does not tell, either.
        is_stored = await self._store.is_known(channel)
        return is_stored or channel in self._lately or self._viewers.viewers_of(channel) is not None

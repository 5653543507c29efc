"""The output of a broadcast that passes its frames on to the targets of its user."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from streamd.media.packager.plain_tags import PlainTags
from streamd.media.packet import TrackKind
from streamd.services.live.outputs import TagOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streamd.formats.flv.tag import FlvTag
    from streamd.services.live.outputs import StreamTracks
    from streamd.services.restream.push import Push

log = logging.getLogger(__name__)


class RestreamOutput(TagOutput):
    """The pushes of one broadcast. A push that breaks is ended alone.

    Args:
        user: The broadcast's user, which is the channel's name too.
        on_end: Called when the broadcast has ended.
    """

    name = "restream"

    def __init__(self, user: str, on_end: Callable[[RestreamOutput], None]) -> None:
        self.user = user
        self._on_end = on_end
        self._pushes: dict[str, Push] = {}
        self._plain: PlainTags | None = None
        self._has_video = False

    @property
    def pushes(self) -> Iterable[Push]:
        """All of them."""
        return self._pushes.values()

    def find(self, target_id: str) -> Push | None:
        """The push to a target; None where it has none."""
        return self._pushes.get(target_id)

    def add(self, push: Push) -> None:
        """Pass the broadcast on to one target more; one that it goes to already is let go first."""
        self.remove(push.target.target_id)
        self._pushes[push.target.target_id] = push
        if self._plain is not None:
            push.start(self._plain, has_video=self._has_video)

    def remove(self, target_id: str) -> None:
        """Let go of a target, at once."""
        if (push := self._pushes.pop(target_id, None)) is not None:
            push.end()

    def start(self, tracks: StreamTracks, /) -> None:
        """Go on with other tracks."""
        direct = tracks.direct.tracks
        self._plain = plain = PlainTags(direct)
        self._has_video = any(track.kind is TrackKind.VIDEO for track in direct)
        self._each(lambda push: push.start(plain, has_video=self._has_video))

    def take_tags(self, tags: Sequence[FlvTag], /) -> None:
        """Pass frames on."""
        if self._pushes:
            self._each(lambda push: push.take(tags))

    def look(self, now: float, /) -> None:
        """Do what is due for each."""
        self._each(lambda push: push.look(now))

    def end(self) -> float:
        """Say goodbye to all."""
        self._each(lambda push: push.end())
        self._on_end(self)
        return 0.0

    @property
    def held_bytes(self) -> int:
        """Bytes that wait in transports."""
        return sum([push.held_bytes for push in self._pushes.values()])

    @property
    def fault(self) -> str:
        """The trouble of those that have any."""
        return "; ".join([fault for push in self._pushes.values() if (fault := push.fault)])

    def _each(self, call: Callable[[Push], None]) -> None:
        for push in [*self._pushes.values()]:
            try:
                call(push)
            except Exception:
                log.exception("target.broken", extra={"target_id": push.target.target_id, "user": self.user})
                push.fail("internal error")

"""Frames on their way to a target that is slower than the broadcast: whole GOPs are left out, never pieces of one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from streamd.formats.flv.tag import FlvTag, TagType

if TYPE_CHECKING:
    from collections.abc import Sequence

# A plain integer: every tag's type is compared with it.
_VIDEO = int(TagType.VIDEO)
# The media of a broadcast without pictures has no GOPs: of it, the older half is left out.
_OLDER_HALF = 2


class TagQueue:
    """The queue of one target.

    Args:
        span_ms_max: How much media may wait, milliseconds.

    Attributes:
        dropped: Frames that were left out.
    """

    def __init__(self, span_ms_max: int) -> None:
        self.dropped = 0
        self._span_ms_max = span_ms_max
        self._tags: deque[FlvTag] = deque()
        self._has_video = True
        # Nothing goes in before the next keyframe: what leads to it is lost.
        self._waits_for_keyframe = True

    def __len__(self) -> int:
        return len(self._tags)

    def begin(self, *, has_video: bool) -> None:
        """Begin with a keyframe, and nothing from before: a connection is new, or the tracks are."""
        self._has_video = has_video
        self._waits_for_keyframe = has_video
        self._tags.clear()

    @property
    def waits_for_keyframe(self) -> bool:
        """Whether nothing is taken before the next keyframe."""
        return self._waits_for_keyframe

    @property
    def held_bytes(self) -> int:
        """Payloads that wait, bytes; others may keep them too."""
        return sum([len(tag.payload) for tag in self._tags])

    def extend(self, tags: Sequence[FlvTag]) -> None:
        """Take frames, in order; older ones are left out where too much waits."""
        for tag in tags:
            if self._waits_for_keyframe:
                if not is_keyframe(tag):
                    continue
                self._waits_for_keyframe = False
            self._tags.append(tag)
        if self._is_too_long:
            self._leave_out()

    def keep_newest(self, tags: Sequence[FlvTag]) -> None:
        """Take frames while there is no connection: those since the last keyframe are what the next one begins with."""
        for tag in tags:
            if is_keyframe(tag):
                self._tags.clear()
                self._waits_for_keyframe = False
            if not self._waits_for_keyframe and self._has_video:
                self._tags.append(tag)
        if self._is_too_long:
            self.begin(has_video=self._has_video)

    def pop(self) -> FlvTag:
        """Take the oldest frame out."""
        return self._tags.popleft()

    @property
    def _is_too_long(self) -> bool:
        return bool(self._tags) and self._tags[-1].timestamp_ms - self._tags[0].timestamp_ms > self._span_ms_max

    def _leave_out(self) -> None:
        """Leave out all before the last keyframe; where that is the first frame, all, up to the next."""
        tags = self._tags
        if not self._has_video:
            for _ in range(len(tags) // _OLDER_HALF):
                tags.popleft()
                self.dropped += 1
            return
        last = max((index for index, tag in enumerate(tags) if is_keyframe(tag)), default=0)
        if last == 0:
            self.dropped += len(tags)
            tags.clear()
            self._waits_for_keyframe = True
            return
        self.dropped += last
        for _ in range(last):
            tags.popleft()


def is_keyframe(tag: FlvTag) -> bool:
    """Whether a frame is a picture that a decoder can begin with, as the gate found."""
    return tag.tag_type == _VIDEO and tag.head is not None and tag.head.is_keyframe

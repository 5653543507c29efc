"""The one look at a frame: its first bytes tell its track, whether it is a keyframe, where it begins and its times.

The findings go with the tag (``FlvTag.head``): nobody looks again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.formats.flv.frame import FrameHead, composition_time, head_sizes, read_composition_time
from streamd.formats.payload import Payload, first_bytes
from streamd.media.intake.limits import COMPOSITION_TIME_MAX_MS
from streamd.media.intake.track import frame_heads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamd.formats.flv.tag import FlvTag
    from streamd.media.intake.missing import Presence
    from streamd.media.intake.track import TrackHeader, TrackKey

_COMPOSITION_TIME_MAX_MS = COMPOSITION_TIME_MAX_MS
# Beginnings that are tried before the table: those of keyframes, other pictures and sound of a publisher, and of two
# tracks of pictures and one of sound beside them.
_USUAL_MAX = 8


class UsualHead:
    """How a frame began that came lately.

    Args:
        first: Its first bytes.
        presence: Of its track.
        head: Their meaning.
    """

    __slots__ = ("first", "head", "presence")

    def __init__(self, first: bytes, presence: Presence, head: FrameHead) -> None:
        self.first = first
        self.presence = presence
        self.head = head


class FrameTable:
    """How the frames of the open tracks can begin."""

    def __init__(self) -> None:
        self._heads: dict[bytes, tuple[Presence, FrameHead]] = {}
        self._sizes: tuple[int, ...] = ()
        # The newest first.
        self._usual: list[UsualHead] = []

    def open(self, tracks: Mapping[TrackKey, TrackHeader], presences: Mapping[TrackKey, Presence]) -> None:
        """Know the frames of these tracks, and of no others.

        Args:
            tracks: In the order in which the demuxer is opened with them.
            presences: Where it is noted that a track had a frame.
        """
        self._heads = {}
        self._usual = []
        for number, (key, header) in enumerate(tracks.items(), 1):
            for first, head in frame_heads(header).items():
                head.track_number = number
                self._heads[first] = (presences[key], head)
        self._sizes = head_sizes(self._heads)

    def count_frames(self, tags: Sequence[FlvTag]) -> int:
        """Note the frames that pass by their first bytes, up to the first tag that may be anything else.

        Returns:
            How many they are.
        """
        frames = 0
        for tag in tags:
            presence = self.look(tag)
            if presence is None or not presence.passes:
                break
            presence.heard_ms = tag.timestamp_ms
            presence.is_new = True
            frames += 1
        return frames

    def look(self, tag: FlvTag) -> Presence | None:
        """Look at a tag, and note in it what is found.

        Returns:
            Its track; None where it is no frame of these tracks, in the form in which the gate lets them through.
        """
        if isinstance(tag.payload, Payload):
            found: Payload = tag.payload
            for usual in self._usual:
                if usual.presence.kind == tag.tag_type and found.starts_with(usual.first):
                    return self._note(tag, usual, found)
        return self._look_up(tag)

    def _note(self, tag: FlvTag, usual: UsualHead, payload: Payload) -> Presence | None:
        """Note in a tag what its first bytes say, which are known."""
        head = usual.head
        if len(payload) <= head.body_at:
            return None
        if head.composition_time_at:
            composition_time_ms = composition_time(payload.read_u24(head.composition_time_at))
            if not -_COMPOSITION_TIME_MAX_MS <= composition_time_ms <= _COMPOSITION_TIME_MAX_MS:
                return None
            tag.composition_time_ms = composition_time_ms
        tag.head = head
        return usual.presence

    def _look_up(self, tag: FlvTag) -> Presence | None:
        """Look for a tag's first bytes among all that there can be."""
        payload = tag.payload
        first = first_bytes(payload)
        for size in self._sizes:
            known = self._heads.get(first[:size])
            if known is not None:
                break
        else:
            return None
        presence, head = known
        if presence.kind == tag.tag_type and isinstance(payload, Payload):
            self._usual.insert(0, UsualHead(first[:size], presence, head))
            del self._usual[_USUAL_MAX:]
        if presence.kind != tag.tag_type or len(payload) <= head.body_at:
            return None
        if head.composition_time_at:
            composition_time_ms = read_composition_time(first, head.composition_time_at)
            if not -_COMPOSITION_TIME_MAX_MS <= composition_time_ms <= _COMPOSITION_TIME_MAX_MS:
                return None
            tag.composition_time_ms = composition_time_ms
        tag.head = head
        return presence

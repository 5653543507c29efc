"""The one look at a frame: its first bytes tell its track, whether it is a keyframe, where it begins and its times.

What is found goes with the tag (``FlvTag.head``): nobody looks again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.formats.flv.frame import FrameHead, head_sizes, read_composition_time
from streamd.formats.payload import first_bytes
from streamd.media.intake.limits import COMPOSITION_TIME_MAX_MS
from streamd.media.intake.track import frame_heads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamd.formats.flv.tag import FlvTag
    from streamd.media.intake.missing import Presence
    from streamd.media.intake.track import TrackHeader, TrackKey

_COMPOSITION_TIME_MAX_MS = COMPOSITION_TIME_MAX_MS


class FrameTable:
    """How the frames of the open tracks can begin."""

    def __init__(self) -> None:
        self._heads: dict[bytes, tuple[Presence, FrameHead]] = {}
        self._sizes: tuple[int, ...] = ()

    def open(self, tracks: Mapping[TrackKey, TrackHeader], presences: Mapping[TrackKey, Presence]) -> None:
        """Know the frames of these tracks, and of no others.

        Args:
            tracks: In the order in which the demuxer is opened with them.
            presences: Where it is noted that a track had a frame.
        """
        self._heads = {}
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
        payload = tag.payload
        first = first_bytes(payload)
        for size in self._sizes:
            known = self._heads.get(first[:size])
            if known is not None:
                break
        else:
            return None
        presence, head = known
        if presence.kind != tag.tag_type or len(payload) <= head.body_at:
            return None
        if head.composition_time_at:
            composition_time_ms = read_composition_time(first, head.composition_time_at)
            if not -_COMPOSITION_TIME_MAX_MS <= composition_time_ms <= _COMPOSITION_TIME_MAX_MS:
                return None
            tag.composition_time_ms = composition_time_ms
        tag.head = head
        return presence

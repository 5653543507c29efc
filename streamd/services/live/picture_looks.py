"""The looks into the pictures of one publisher: where a decoder can start, and which captions they carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.formats.codecs.captions import find_captions
from streamd.formats.codecs.random_access import can_start, is_start, unit_length_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.media.packet import MediaPacket, Track

# Frames between two that are looked into for captions, which costs 5 µs, about a second of most streams: captions of
# broadcasters are in every frame, or every second one, those of OBS in one frame of each line.
FRAMES_BEFORE_CAPTIONS = 28
# The same once there are some.
FRAMES_BESIDE_CAPTIONS = 100
# Where the publisher has called no frame a keyframe for longer than the longest interval that a playlist has room for,
# each is looked at, which costs 2 µs: there are encoders that flag their first picture alone.
UNFLAGGED_MS = 10_000


class PictureLooks:
    """The looks into a publisher's pictures, and their findings.

    Attributes:
        tracks: How many tracks of pictures there are, which have the first track ids.
        captions: The channels of captions that have been found.
    """

    def __init__(self) -> None:
        self.tracks = 0
        self.captions: frozenset[str] = frozenset()
        # Of each track, the codec and the bytes of a unit's length.
        self._forms: tuple[tuple[str, int], ...] = ()
        # Frames until the next look for captions.
        self._frames = 0
        # Of each track, when its publisher called a frame a keyframe, by the publisher's clock, milliseconds.
        self._flagged_ms: list[int] = []

    def start(self, tracks: Sequence[Track]) -> None:
        """Look into other tracks from here on.

        Args:
            tracks: Those of pictures, in the order of their ids.
        """
        codecs = [track.codec.partition(".")[0] for track in tracks]
        self._forms = tuple(
            (codec, unit_length_bytes(codec, track.codec_config)) for codec, track in zip(codecs, tracks, strict=True)
        )
        self.tracks = len(tracks)
        self._flagged_ms = [0] * len(tracks)

    def can_start(self, packet: MediaPacket) -> bool:
        """Whether a decoder can start with a keyframe, or whatever its publisher calls one."""
        self._flagged_ms[packet.track_id - 1] = packet.dts_ms
        codec, length_bytes = self._forms[packet.track_id - 1]
        return can_start(codec, packet.payload, packet.body_at, length_bytes)

    def is_unflagged_start(self, packet: MediaPacket) -> bool:
        """Whether a decoder can start with a frame that its publisher does not call a keyframe."""
        track = packet.track_id - 1
        flagged_ms = self._flagged_ms[track]
        if packet.dts_ms - flagged_ms <= UNFLAGGED_MS:
            return False
        codec, length_bytes = self._forms[track]
        return is_start(codec, packet.payload, packet.body_at, length_bytes)

    def finds_captions(self, packet: MediaPacket) -> bool:
        """Look into one frame of some; say whether there are captions that were not there before.

        Once there are captions, fewer are looked into, for those of other languages.
        """
        self._frames -= 1
        if self._frames >= 0:
            return False
        codec, length_bytes = self._forms[packet.track_id - 1]
        found = self.captions | find_captions(codec, packet.payload, packet.body_at, length_bytes)
        is_more = found != self.captions
        self.captions = found
        self._frames = FRAMES_BESIDE_CAPTIONS if found else FRAMES_BEFORE_CAPTIONS
        return is_more

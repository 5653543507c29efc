"""The parts of the Enhanced RTMP header that audio and video share: ModEx and multitrack.

Enhanced RTMP v2, "Extended VideoTagHeader", "Extended AudioTagHeader", "Multitrack". Everything here takes the
whole tag body and an offset, and checks each length against the end of the body before it is used.

Nanosecond offsets are read and checked, and go no further: the media line counts video in RTMP's milliseconds, whose
rounding the segmenter absorbs, and audio in samples. So we do not claim ``TimestampNanoOffset`` in ``connect``.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from streamd.errors import FlvError
from streamd.formats.codecs.codec import FOURCC_BYTES, fourcc_name

NANOSECONDS_MAX = 999_999

_MOD_EX_TIMESTAMP_OFFSET_NANO = 0
# One ModEx exists so far. The spec chains them without an end; the limit stops a message of nothing else.
_MOD_EX_MAX = 4
# As many as an operator may allow of a kind (``[limits] tracks_max``), and one more, which is refused as such. A
# message of nothing but empty tracks would otherwise name two million.
TRACKS_READ_MAX = 33


class MultitrackType(enum.IntEnum):
    """AvMultitrackType: how the tracks of one message are laid out."""

    ONE_TRACK = 0
    MANY_TRACKS = 1
    MANY_TRACKS_MANY_CODECS = 2


def one_track(packet_type: int) -> int:
    """Write the byte behind the packet type Multitrack, for a message of one track."""
    return MultitrackType.ONE_TRACK << 4 | packet_type


class TrackBody(NamedTuple):
    """Where one track's body lies in a tag."""

    codec: str
    """FourCC."""
    track_id: int
    """0 is the track that players without multitrack play."""
    start: int
    """Offset of the body's first byte in the payload."""
    end: int
    """Offset behind its last byte."""


def read_mod_ex(payload: bytes, offset: int, mod_ex_type: int) -> tuple[int, int, int]:
    """Read the ModEx prefixes of a header.

    Args:
        payload: The tag's body.
        offset: Where the first ModEx size stands, behind a packet type of ``mod_ex_type``.
        mod_ex_type: The packet type ModEx.

    Returns:
        The packet type that the prefixes lead to, the offset behind them, and the nanoseconds to add to the
        presentation time.
    """
    packet_type = mod_ex_type
    offset_ns = 0
    for _ in range(_MOD_EX_MAX):
        # "modExDataSize = UI8 + 1; if (modExDataSize == 256) modExDataSize = UI16 + 1".
        size = _byte(payload, offset) + 1
        offset += 1
        if size == 256:
            size = int.from_bytes(_slice(payload, offset, offset + 2), "big") + 1
            offset += 2
        data = _slice(payload, offset, offset + size)
        offset += size
        types = _byte(payload, offset)
        offset += 1
        packet_type = types & 0x0F
        if types >> 4 == _MOD_EX_TIMESTAMP_OFFSET_NANO:
            nanoseconds = int.from_bytes(data[:3], "big")
            if len(data) < 3 or nanoseconds > NANOSECONDS_MAX:
                raise FlvError("ModEx with a nanosecond offset of a millisecond or more")
            offset_ns = nanoseconds
        if packet_type != mod_ex_type:
            return packet_type, offset, offset_ns
    raise FlvError(f"more than {_MOD_EX_MAX} ModEx prefixes")


def read_tracks(payload: bytes, offset: int, tracks_read_max: int) -> tuple[int, list[TrackBody]]:
    """Read a multitrack message.

    Args:
        payload: The tag's body.
        offset: Where the byte of multitrack type and packet type stands.
        tracks_read_max: Tracks that are read; the rest of the message is ignored.

    Returns:
        The packet type of every track, and the tracks, in order.
    """
    types = _byte(payload, offset)
    offset += 1
    packet_type = types & 0x0F
    try:
        multitrack_type = MultitrackType(types >> 4)
    except ValueError as exc:
        raise FlvError(f"multitrack type {types >> 4}") from exc
    codec = ""
    if multitrack_type is not MultitrackType.MANY_TRACKS_MANY_CODECS:
        codec, offset = read_fourcc(payload, offset)
    tracks: list[TrackBody] = []
    while True:
        if multitrack_type is MultitrackType.MANY_TRACKS_MANY_CODECS:
            codec, offset = read_fourcc(payload, offset)
        track_id = _byte(payload, offset)
        offset += 1
        if any(track.track_id == track_id for track in tracks):
            raise FlvError(f"track {track_id} twice in a message")
        end = len(payload)
        if multitrack_type is not MultitrackType.ONE_TRACK:
            size = int.from_bytes(_slice(payload, offset, offset + 3), "big")
            offset += 3
            end = offset + size
            if end > len(payload):
                raise FlvError(f"a track of {size} bytes in a tag of {len(payload)}")
        tracks.append(TrackBody(codec, track_id, offset, end))
        offset = end
        if offset == len(payload) or len(tracks) == tracks_read_max:
            return packet_type, tracks


def read_fourcc(payload: bytes, offset: int) -> tuple[str, int]:
    """Read a FourCC; return its name and the offset behind it."""
    end = offset + FOURCC_BYTES
    return fourcc_name(_slice(payload, offset, end)), end


def _byte(payload: bytes, offset: int) -> int:
    if offset >= len(payload):
        raise FlvError(f"a tag of {len(payload)} bytes ends inside its header")
    return payload[offset]


def _slice(payload: bytes, start: int, end: int) -> bytes:
    if end > len(payload):
        raise FlvError(f"a tag of {len(payload)} bytes ends inside its header")
    return payload[start:end]

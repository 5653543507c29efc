"""Tags and headers of tracks, for the tests of the gate's parts."""

from __future__ import annotations

from streamd.formats.codecs.codec import parse_config
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media.intake.track import TrackHeader, TrackKey

AVCC = bytes.fromhex("0142c01fffe1000b6742c01fd900780227e54001000568cb83cb20")
OTHER_AVCC = bytes.fromhex("014d401fffe1000b674d401fd900780227e54001000568cb83cb20")
ASC = b"\x11\x90"
OTHER_ASC = b"\x12\x10"
MP3_FRAME = b"\xff\xfb\x94\x64x"
OTHER_MP3_FRAME = b"\xff\xfb\x90\x64y"

PICTURE: TrackKey = (TagType.VIDEO, 0)
OTHER_PICTURE: TrackKey = (TagType.VIDEO, 1)
SOUND: TrackKey = (TagType.AUDIO, 0)
OTHER_SOUND: TrackKey = (TagType.AUDIO, 3)


def video_header(record: bytes = AVCC, track_id: int = 0) -> TrackHeader:
    return TrackHeader(TagType.VIDEO, "avc1", record, parse_config("avc1", record), track_id)


def audio_header(record: bytes = ASC, track_id: int = 0) -> TrackHeader:
    return TrackHeader(TagType.AUDIO, "mp4a", record, parse_config("mp4a", record), track_id)


def key(timestamp_ms: int, size: int = 1) -> FlvTag:
    return FlvTag(TagType.VIDEO, timestamp_ms, b"\x17\x01\x00\x00\x00" + b"k" * size)


def inter(timestamp_ms: int) -> FlvTag:
    return FlvTag(TagType.VIDEO, timestamp_ms, b"\x27\x01\x00\x00\x00p")


def sound(timestamp_ms: int) -> FlvTag:
    return FlvTag(TagType.AUDIO, timestamp_ms, b"\xaf\x01a")

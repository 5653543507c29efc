"""Keyframes that say what their pictures are: a size that a level allows, or none."""

from __future__ import annotations

import functools

from streamd.formats.codecs.codec import AV1, VP9, read_picture_format
from streamd.formats.flv.tag import TagType
from streamd.formats.flv.video import parse_video
from tests.fuzz.targets.codec_records import VIDEO, records
from tests.support.codec_media import encoded

CODECS = (VP9, AV1)
PIXELS_MAX = 139_264 * 256
FRAME_BYTES = 400
_FRAMES = (1, 3)


@functools.cache
def _keyframes() -> list[bytes]:
    found: dict[str, bytes] = {}
    for tag in encoded(VIDEO, (), 1):
        payload = bytes(tag.payload)
        for packet in parse_video(payload) if tag.tag_type == TagType.VIDEO else ():
            if packet.codec in CODECS and packet.packet_type in _FRAMES:
                found.setdefault(packet.codec, payload[packet.start : packet.end][:FRAME_BYTES])
    return [bytes((CODECS.index(codec),)) + frame for codec, frame in found.items()]


def seeds() -> list[bytes]:
    """Each begins with which of ``CODECS`` it is a frame of."""
    return _keyframes()


def run(data: bytes) -> None:
    """Args: data: Which codec, and a frame."""
    if not data:
        return
    codec = CODECS[data[0] % len(CODECS)]
    picture = read_picture_format(codec, records()[codec], data[1:])
    if picture is not None:
        assert 0 < picture.width * picture.height <= PIXELS_MAX

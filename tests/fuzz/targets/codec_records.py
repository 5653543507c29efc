"""Codec configuration records: a codec string and sizes within bounds, or the documented error."""

from __future__ import annotations

import functools

from streamd.errors import CodecConfigError, UnsupportedCodecError
from streamd.formats.codecs.codec import (
    AAC,
    AUDIO_CODECS,
    CODECS_WITHOUT_HEADER,
    H264,
    VIDEO_CODECS,
    canonical_record,
    parse_config,
)
from streamd.formats.codecs.picture_format import shown_width
from streamd.formats.flv.audio import parse_audio
from streamd.formats.flv.tag import TagType
from streamd.formats.flv.video import parse_video
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.flv_media import h264_aac

CODECS = sorted((*VIDEO_CODECS, *AUDIO_CODECS))
PIXELS_MAX = 139_264 * 256
SHOWN_WIDTH_MAX = 2**15 - 1
SAMPLE_RATE_MAX = 192_000
RECORD_BYTES = 400
VIDEO = tuple(VideoTrack(encoder) for encoder in ("libx265", "libsvtav1", "libvpx-vp9"))
AUDIO = tuple(AudioTrack(encoder) for encoder in ("libopus", "flac", "ac3", "eac3", "libmp3lame"))
_CODED_FRAMES = 1


@functools.cache
def records() -> dict[str, bytes]:
    """A record of each codec, as an encoder wrote it; a frame, where it has none."""
    found = {H264: bytes(h264_aac(1, bframes=2)[0].payload)[5:], AAC: b"\x11\x90\x56\xe5\x00"}
    for tag in (*encoded(VIDEO, (), 1), *encoded((), AUDIO, 1)):
        packets = parse_video(bytes(tag.payload)) if tag.tag_type == TagType.VIDEO else parse_audio(bytes(tag.payload))
        for packet in packets:
            wanted = _CODED_FRAMES if packet.codec in CODECS_WITHOUT_HEADER else 0
            if packet.packet_type == wanted:
                found.setdefault(packet.codec, bytes(tag.payload)[packet.start : packet.end])
    return found


def seeds() -> list[bytes]:
    """Each begins with which of ``CODECS`` it is a record of."""
    return [bytes((CODECS.index(codec),)) + record[:RECORD_BYTES] for codec, record in sorted(records().items())]


def run(data: bytes) -> None:
    """Args: data: Which codec, and its record."""
    if not data:
        return
    codec, record = CODECS[data[0] % len(CODECS)], data[1:]
    try:
        config = parse_config(codec, canonical_record(codec, record))
    except (CodecConfigError, UnsupportedCodecError) as exc:
        assert str(exc).isprintable()
        return
    assert config.codec_string.isascii()
    picture = config.picture
    if picture is not None:
        assert 0 < picture.width * picture.height <= PIXELS_MAX
        assert 0 < shown_width(picture.width, picture.aspect) <= SHOWN_WIDTH_MAX
    assert 0 <= config.sample_rate <= SAMPLE_RATE_MAX
    assert 0 <= config.channels <= 255

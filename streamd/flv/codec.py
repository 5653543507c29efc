"""Which codecs we carry, and what each one's configuration record says of it.

One table, ``CODECS``: a codec that is not in it is dropped by the gate, with its name. Codecs are named by
their FourCC (Enhanced RTMP v2, "Enhanced Video", "Enhanced Audio"); the ids of the older FLV header
(FLV 10.1 E.4.2.1, E.4.3.1) are translated to FourCCs where one exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streamd.errors import UnsupportedCodecError
from streamd.flv import audio_specific_config, avc_configuration

H264 = "avc1"
HEVC = "hvc1"
AAC = "mp4a"
MP3 = ".mp3"


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """What a codec configuration record says that playlists and the timeline need."""

    codec_string: str
    """RFC 6381 codecs parameter, for example ``avc1.640028``."""
    width: int = 0
    """Picture width in pixels; 0 for audio, and where only the decoder knows."""
    height: int = 0
    """Picture height in pixels, likewise."""
    sample_rate: int = 0
    """Audio samples a second at the decoder's output; 0 for video."""
    channels: int = 0
    """Audio channels; 0 for video, and where only the decoder knows."""
    frame_ticks: int = 0
    """Output samples in one audio frame; 0 for video."""


def _h264(record: bytes) -> CodecConfig:
    config = avc_configuration.parse(record)
    size = config.picture_size
    return CodecConfig(config.codec_string, width=size.width, height=size.height)


def _aac(record: bytes) -> CodecConfig:
    config = audio_specific_config.parse(record)
    return CodecConfig(
        config.codec_string,
        sample_rate=config.output_rate,
        channels=config.channels,
        frame_ticks=config.frame_ticks,
    )


CODECS: Mapping[str, Callable[[bytes], CodecConfig]] = {H264: _h264, AAC: _aac}
"""Codecs that we carry, and how each one's sequence header is read."""


def parse_config(codec: str, record: bytes) -> CodecConfig:
    """Read the body of a sequence header.

    Args:
        codec: FourCC.
        record: Decoder configuration as it stands in the tag: avcC, AudioSpecificConfig…

    Raises:
        UnsupportedCodecError: The codec, or this form of it, is not one that we carry.
        CodecConfigError: The record breaks its specification.
    """
    parse = CODECS.get(codec)
    if parse is None:
        raise UnsupportedCodecError(codec)
    return parse(record)


def fourcc_name(fourcc: bytes) -> str:
    """Spell a FourCC that came off the wire, so that a log can carry it whatever its bytes are."""
    if all(0x20 < byte < 0x7F for byte in fourcc):
        return fourcc.decode("ascii")
    return f"0x{fourcc.hex()}"

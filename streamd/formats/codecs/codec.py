"""The codecs that streamd carries, and the reader of each one's configuration record.

Two tables, ``VIDEO_CODECS`` and ``AUDIO_CODECS``: a codec that is not in them is dropped by the gate, with its name.
Codecs are named by their FourCC (Enhanced RTMP v2, "Enhanced Video", "Enhanced Audio"); the ids of the older FLV header
(FLV 10.1 E.4.2.1, E.4.3.1) are translated to FourCCs where one exists.

VP8 and VVC have a FourCC and are not carried: no player of HLS takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from streamd.errors import CodecConfigError, UnsupportedCodecError
from streamd.formats.codecs import aac as audio_specific_config
from streamd.formats.codecs import ac3 as ac3_frame
from streamd.formats.codecs import av1 as av1_configuration
from streamd.formats.codecs import avc as avc_configuration
from streamd.formats.codecs import flac as flac_stream_info
from streamd.formats.codecs import hevc as hevc_configuration
from streamd.formats.codecs import mpeg_audio as mpeg_audio_frame
from streamd.formats.codecs import opus as opus_header
from streamd.formats.codecs import vp9 as vp9_configuration
from streamd.formats.codecs import vp9_frame
from streamd.formats.codecs.ac3 import Ac3Frame
from streamd.formats.codecs.picture_format import PictureFormat

H264 = "avc1"
HEVC = "hvc1"
AV1 = "av01"
VP9 = "vp09"
AAC = "mp4a"
OPUS = "Opus"
FLAC = "fLaC"
AC3 = "ac-3"
EAC3 = "ec-3"
MP3 = ".mp3"

FOURCC_BYTES = 4

CODECS_WITHOUT_HEADER = frozenset({AC3, EAC3, MP3})
"""Codecs whose every frame holds the facts of a sequence header: a frame is read as their record."""


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """The facts in a codec configuration record that playlists and the timeline need."""

    codec_string: str
    """RFC 6381 codecs parameter, for example ``avc1.640028``."""
    picture: PictureFormat | None = None
    """The format of the pictures; None for audio, and where only keyframes say it (``read_picture_format``)."""
    sample_rate: int = 0
    """Audio samples a second at the decoder's output; 0 for video."""
    channels: int = 0
    """Audio channels; 0 for video."""
    frame_ticks: int = 0
    """Output samples in one audio frame; 0 for video, and where frames differ in length."""


def _h264(record: bytes) -> CodecConfig:
    config = avc_configuration.parse(record)
    return CodecConfig(config.codec_string, config.picture)


def _hevc(record: bytes) -> CodecConfig:
    config = hevc_configuration.parse(record)
    return CodecConfig(config.codec_string, config.picture)


def _av1(record: bytes) -> CodecConfig:
    config = av1_configuration.parse(record)
    return CodecConfig(config.codec_string, config.picture)


def _vp9(record: bytes) -> CodecConfig:
    return CodecConfig(vp9_configuration.parse(record).codec_string)


def _aac(record: bytes) -> CodecConfig:
    config = audio_specific_config.parse(record)
    if config.browsers_refuse:
        # Pictures without sound are better than nothing.
        raise UnsupportedCodecError(f"{config.codec_string} with {config.browsers_refuse}, which no browser plays")
    return CodecConfig(
        config.codec_string,
        sample_rate=config.output_rate,
        channels=config.channels,
        frame_ticks=config.frame_ticks,
    )


def _opus(record: bytes) -> CodecConfig:
    # An Opus packet is 2.5 to 120 ms long and the next one may differ (RFC 6716, 3.2): they are not counted.
    return CodecConfig(OPUS, sample_rate=opus_header.SAMPLE_RATE, channels=opus_header.parse(record))


def _flac(record: bytes) -> CodecConfig:
    info = flac_stream_info.parse(record)
    return CodecConfig(FLAC, sample_rate=info.sample_rate, channels=info.channels, frame_ticks=info.frame_samples)


def _ac3(frame: bytes) -> CodecConfig:
    return _dolby(AC3, ac3_frame.parse_ac3(frame))


def _eac3(frame: bytes) -> CodecConfig:
    return _dolby(EAC3, ac3_frame.parse_eac3(frame))


def _dolby(codec: str, frame: Ac3Frame) -> CodecConfig:
    return CodecConfig(
        codec, sample_rate=frame.sample_rate, channels=frame.channels, frame_ticks=ac3_frame.FRAME_SAMPLES
    )


def _mp3(frame: bytes) -> CodecConfig:
    header = mpeg_audio_frame.parse(frame)
    return CodecConfig(
        header.codec_string,
        sample_rate=header.sample_rate,
        channels=header.channels,
        frame_ticks=header.frame_samples,
    )


VIDEO_CODECS: Mapping[str, Callable[[bytes], CodecConfig]] = {H264: _h264, HEVC: _hevc, AV1: _av1, VP9: _vp9}
"""Video codecs that we carry, and how each one's sequence header is read."""

AUDIO_CODECS: Mapping[str, Callable[[bytes], CodecConfig]] = {
    AAC: _aac,
    OPUS: _opus,
    FLAC: _flac,
    AC3: _ac3,
    EAC3: _eac3,
    MP3: _mp3,
}
"""Audio codecs that we carry, and how each one's sequence header, or a frame, is read."""

_CODECS = {**VIDEO_CODECS, **AUDIO_CODECS}


def parse_config(codec: str, record: bytes) -> CodecConfig:
    """Read the body of a sequence header.

    Args:
        codec: FourCC.
        record: Decoder configuration as it stands in the tag: avcC, AudioSpecificConfig…; for
            ``CODECS_WITHOUT_HEADER`` a frame.

    Raises:
        UnsupportedCodecError: The codec, or this form of it, is not one that we carry.
        CodecConfigError: The record breaks its specification.
    """
    parse = _CODECS.get(codec)
    if parse is None:
        raise UnsupportedCodecError(codec)
    return parse(record)


def read_picture_format(codec: str, record: bytes, keyframe: bytes) -> PictureFormat | None:
    """Read the picture format in a keyframe, for a codec whose sequence header lacks it.

    Args:
        codec: FourCC.
        record: Its sequence header, which ``parse_config`` took.
        keyframe: As in a sample.

    Returns:
        The picture format; None where the keyframe lacks it, or it is out of range.
    """
    try:
        if codec == VP9:
            return vp9_frame.read_picture_format(keyframe, vp9_configuration.parse(record).colours)
        if codec == AV1:
            return av1_configuration.read_picture_format(keyframe)
    except CodecConfigError:
        pass
    return None


def canonical_record(codec: str, record: bytes) -> bytes:
    """Write the body of a sequence header in the one form that ``parse_config`` and libavformat take.

    Args:
        codec: FourCC.
        record: As it stands in the tag: FLAC's with or without what stands in front of STREAMINFO, Opus' perhaps empty.

    Raises:
        CodecConfigError: The record breaks its specification.
    """
    if codec == FLAC:
        return flac_stream_info.parse(record).stream_info
    if codec == OPUS:
        return record or opus_header.DEFAULT
    return record


def fourcc_name(fourcc: bytes) -> str:
    """Spell a FourCC that came off the wire, so that a log can carry it whatever its bytes are."""
    if all(0x20 < byte < 0x7F for byte in fourcc):
        return fourcc.decode("ascii")
    return f"0x{fourcc.hex()}"


def fourcc_bytes(name: str) -> bytes:
    """Spell a FourCC as it came off the wire: the other way round of ``fourcc_name``."""
    return name.encode("ascii") if len(name) == FOURCC_BYTES else bytes.fromhex(name[2:])

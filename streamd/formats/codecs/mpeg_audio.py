"""The header of an MP3 frame: MP3 has no sequence header.

ISO/IEC 11172-3 section 2.4.2.3; ISO/IEC 13818-3 for the lower sample rates.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import CodecConfigError

_HEADER_BYTES = 4
_SYNC = 0x7FF
_LAYER_III = 1
_MPEG_1 = 3
# Sample rates by version: 2.5 (no standard), reserved, 2 and 1.
_SAMPLE_RATES = ((11_025, 12_000, 8_000), (), (22_050, 24_000, 16_000), (44_100, 48_000, 32_000))
_MODE_SINGLE_CHANNEL = 3


@dataclass(frozen=True, slots=True)
class MpegAudioFrame:
    """The facts in the header of an MP3 frame."""

    codec_string: str
    """RFC 6381: ``mp4a.`` and the objectTypeIndication of 14496-1 that stands in ``esds``."""
    sample_rate: int
    channels: int
    frame_samples: int


def parse(frame: bytes) -> MpegAudioFrame:
    """Read the header of an MP3 frame.

    Raises:
        CodecConfigError: It is none.
    """
    header = int.from_bytes(frame[:_HEADER_BYTES], "big")
    version, layer, rate_index = header >> 19 & 3, header >> 17 & 3, header >> 10 & 3
    rates = _SAMPLE_RATES[version]
    if len(frame) < _HEADER_BYTES or header >> 21 != _SYNC or layer != _LAYER_III or rate_index >= len(rates):
        raise CodecConfigError("no header of an MP3 frame")
    is_mpeg_1 = version == _MPEG_1
    return MpegAudioFrame(
        # 0x6B is "Audio ISO/IEC 11172-3", 0x69 "Audio ISO/IEC 13818-3".
        codec_string="mp4a.6B" if is_mpeg_1 else "mp4a.69",
        sample_rate=rates[rate_index],
        channels=1 if header >> 6 & 3 == _MODE_SINGLE_CHANNEL else 2,
        frame_samples=1152 if is_mpeg_1 else 576,
    )

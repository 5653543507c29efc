"""Frames of silence, for a publisher whose sound stops and whose pictures go on.

ISO/IEC 14496-3 (AAC), RFC 6716 (Opus). Only for codecs whose frame of silence fits behind any other frame.
"""

from __future__ import annotations

from typing import NamedTuple

from streamd.formats.codecs.codec import AAC, OPUS, CodecConfig

_AAC_LC = "mp4a.40.2"
# 4.4.2.1: a raw_data_block with one single_channel_element, or one channel_pair_element, without a spectrum.
_AAC_FRAMES = {1: bytes.fromhex("00c800802380"), 2: bytes.fromhex("210049900219002380")}
# 3.1: CELT at full bandwidth, one frame of 20 ms in mono, which goes with streams of any number of channels up to 2.
_OPUS_FRAME = bytes.fromhex("f8fffe")
_OPUS_TICKS = 960
_OPUS_CHANNELS_MAX = 2


class SilentFrame(NamedTuple):
    """An access unit that decodes to silence."""

    access_unit: bytes
    ticks: int
    """Samples."""
    sample_rate: int
    """Samples a second."""


def silent_frame(codec: str, config: CodecConfig) -> SilentFrame | None:
    """Find the frame of silence of a track; None where we know none.

    Args:
        codec: FourCC.
        config: Of its sequence header.
    """
    if codec == AAC and config.codec_string == _AAC_LC and config.channels in _AAC_FRAMES:
        return SilentFrame(_AAC_FRAMES[config.channels], config.frame_ticks, config.sample_rate)
    if codec == OPUS and config.channels <= _OPUS_CHANNELS_MAX:
        return SilentFrame(_OPUS_FRAME, _OPUS_TICKS, config.sample_rate)
    return None

"""STREAMINFO, the body of a FLAC sequence header (RFC 9639, 8.2)."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import CodecConfigError

_MAGIC = b"fLaC"
_STREAM_INFO_BYTES = 34
# 8.1: a last-metadata-block flag, the block's type (0 is STREAMINFO) and its length.
_BLOCK_HEADER_BYTES = 4
_BLOCK_TYPE = 0x7F
# 8.2: "The minimum block size … MUST be in the range of 16-65535".
_BLOCK_SAMPLES_MIN = 16
# As for AAC; the field holds 1 Hz to 1 MHz.
_SAMPLE_RATES_ALLOWED = range(7_350, 192_001)


@dataclass(frozen=True, slots=True)
class FlacStreamInfo:
    """The facts in a STREAMINFO about the frames that follow."""

    stream_info: bytes
    """Its 34 bytes alone, without other metadata before and behind them."""
    sample_rate: int
    channels: int
    frame_samples: int
    """Samples in a frame; 0 where frames differ in length."""


def parse(record: bytes) -> FlacStreamInfo:
    """Read a STREAMINFO.

    Args:
        record: As Enhanced RTMP v2 has it, the start of a FLAC file: ``fLaC``, block header, STREAMINFO, and perhaps
            more blocks. FFmpeg 8 sends STREAMINFO alone.

    Raises:
        CodecConfigError: Truncated, or with values that RFC 9639 forbids.
    """
    start = 0
    if record.startswith(_MAGIC):
        start = len(_MAGIC) + _BLOCK_HEADER_BYTES
        if len(record) < start or record[len(_MAGIC)] & _BLOCK_TYPE:
            raise CodecConfigError("a FLAC header that does not begin with STREAMINFO")
    stream_info = record[start : start + _STREAM_INFO_BYTES]
    if len(stream_info) < _STREAM_INFO_BYTES:
        raise CodecConfigError(f"a FLAC header of {len(record)} bytes is too short for STREAMINFO")
    shortest, longest = int.from_bytes(stream_info[:2], "big"), int.from_bytes(stream_info[2:4], "big")
    # Sample rate (20 bits), channels - 1 (3), bits a sample - 1 (5), number of samples (36).
    fields = int.from_bytes(stream_info[10:18], "big")
    sample_rate, channels = fields >> 44, (fields >> 41 & 0x07) + 1
    if not _BLOCK_SAMPLES_MIN <= shortest <= longest or sample_rate not in _SAMPLE_RATES_ALLOWED:
        raise CodecConfigError(f"STREAMINFO with blocks of {shortest} to {longest} samples at {sample_rate} Hz")
    return FlacStreamInfo(stream_info, sample_rate, channels, shortest if shortest == longest else 0)


def sample_bits(stream_info: bytes) -> int:
    """Read how many bits a sample has, of a STREAMINFO that ``parse`` took."""
    return (int.from_bytes(stream_info[10:18], "big") >> 36 & 0x1F) + 1

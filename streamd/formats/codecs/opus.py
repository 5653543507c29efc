"""The identification header of Opus, the body of its sequence header (RFC 7845, 5.1)."""

from __future__ import annotations

from streamd.errors import CodecConfigError

# RFC 6716, 2: Opus counts time at 48 kHz, whatever the sample rate of the encoder's input.
SAMPLE_RATE = 48_000

_MAGIC = b"OpusHead"
_FIXED_BYTES = 19
# 5.1: "The upper 4 bits … MUST be 0 … an implementation SHOULD reject" other major versions.
_MAJOR_VERSION = 0xF0
_CHANNELS = 9
_MAPPING_FAMILY = 18
# 5.1.1: family 0 is mono or stereo, family 1 the speaker orders of Vorbis for up to eight channels.
_CHANNELS_MAX = {0: 2, 1: 8}

# Enhanced RTMP v2 allows an empty body. It stands for the header of a stereo encoder, with libopus' 6.5 ms of pre-skip.
DEFAULT = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00"


def parse(record: bytes) -> int:
    """Read an identification header.

    Returns:
        How many channels it has.

    Raises:
        CodecConfigError: Truncated, of another version, or with a channel mapping that no player takes.
    """
    if len(record) < _FIXED_BYTES or not record.startswith(_MAGIC):
        raise CodecConfigError(f"no OpusHead in {len(record)} bytes")
    if record[8] & _MAJOR_VERSION:
        raise CodecConfigError(f"OpusHead of version {record[8]}")
    channels, family = record[_CHANNELS], record[_MAPPING_FAMILY]
    if not 0 < channels <= _CHANNELS_MAX.get(family, 0):
        raise CodecConfigError(f"OpusHead with {channels} channels in mapping family {family}")
    # 5.1.1: behind a family other than 0 stand two counts and a byte for each channel.
    if family and len(record) < _FIXED_BYTES + 2 + channels:
        raise CodecConfigError("OpusHead ends inside its channel mapping")
    return channels

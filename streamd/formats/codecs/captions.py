"""Closed captions in the pictures of H.264 and HEVC: CEA-608 and CEA-708 in user data that belongs to a frame.

ITU-T T.35 user data (ITU-T H.264 D.1.6, H.265 D.2.36) of ATSC: A/53 part 4 (2009) 6.2.3, and CTA-708 4.4 (cc_data). OBS
puts it behind the slices of a frame, encoders for broadcast before them, in every frame.
"""

from __future__ import annotations

from streamd.formats.codecs.codec import H264, HEVC
from streamd.formats.payload import Payload, read_bytes, read_unit

# NAL units of a frame that are looked at: slices, and what stands around them.
UNITS_READ_MAX = 32
# Bytes of a message that are looked at: 31 caption packets of 3 bytes, behind other messages in the same unit.
MESSAGE_BYTES_READ_MAX = 512

# Compiled, an integer of C.
_UNITS_READ_MAX = UNITS_READ_MAX
_H264_SEI = 6
_HEVC_SEI = (39, 40)
_USER_DATA_T35 = 4
# itu_t_t35_country_code (United States), itu_t_t35_provider_code (ATSC), user_identifier, user_data_type_code.
_ATSC_CAPTIONS = b"\xb5\x00\x31GA94\x03"
_PROCESS_CC_DATA = 0x40
# cc_type: the fields of CEA-608, with one channel each in use as a rule, and CEA-708.
_CHANNELS = ("CC1", "CC3", "SERVICE1", "SERVICE1")


def find_captions(codec: str, payload: bytes | Payload, at: int, length_bytes: int = 4) -> frozenset[str]:
    """Find the captions in a frame.

    A few bytes are read, of each NAL unit, and the messages among them.

    Args:
        codec: FourCC.
        payload: Ends with the frame, as in a sample.
        at: Offset of the frame.
        length_bytes: ``random_access.unit_length_bytes``.

    Returns:
        The channels in which the frame has text, as INSTREAM-ID of EXT-X-MEDIA names them (rfc8216bis 4.4.6.1); none
        where what is sent is only padding.
    """
    is_h264 = codec == H264
    if not is_h264 and codec != HEVC:
        return frozenset()
    found: set[str] = set()
    for index in range(_UNITS_READ_MAX):  # noqa: B007  # compiled, it is an integer of C
        unit = read_unit(payload, at, length_bytes)
        if not unit:
            break
        size, first = unit >> 8, unit & 0xFF
        at += length_bytes
        header_bytes = 0
        if is_h264:
            if first & 0x1F == _H264_SEI:
                header_bytes = 1
        elif first >> 1 & 0x3F in _HEVC_SEI:
            header_bytes = 2
        if header_bytes and size > header_bytes:
            message = read_bytes(payload, at + header_bytes, min(size - header_bytes, MESSAGE_BYTES_READ_MAX))
            # Most messages are others: nothing is looked for among those.
            if _ATSC_CAPTIONS in message:
                found |= _in_messages(message)
        at += size
    return frozenset(found)


def _in_messages(unit: bytes) -> set[str]:
    """Find the captions in the SEI messages of a NAL unit, of which the end may be cut off."""
    # 7.4.1: emulation_prevention_three_byte.
    data = unit.replace(b"\x00\x00\x03", b"\x00\x00")
    found: set[str] = set()
    at = 0
    # The last byte is rbsp_trailing_bits.
    while at + 2 < len(data):
        payload_type, at = _read_number(data, at)
        payload_size, at = _read_number(data, at)
        if payload_type == _USER_DATA_T35 and data.startswith(_ATSC_CAPTIONS, at):
            found |= _in_cc_data(data[at + len(_ATSC_CAPTIONS) : at + payload_size])
        at += payload_size
    return found


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    """Read payload_type or payload_size, a sum of bytes up to the first that is not 255 (7.3.2.3.1)."""
    number = 0
    while at < len(data):
        byte = data[at]
        at += 1
        number += byte
        if byte != 0xFF:
            break
    return number, at


def _in_cc_data(data: bytes) -> set[str]:
    if len(data) < 2 or not data[0] & _PROCESS_CC_DATA:
        return set()
    packets = data[2 : 2 + 3 * (data[0] & 0x1F)]
    return {
        _CHANNELS[packets[at] & 0x03]
        for at in range(0, len(packets) - 2, 3)
        # cc_valid. The highest bit of CEA-608's bytes is parity: 0x80 0x80 is padding, as zeros are of CEA-708.
        if packets[at] & 0x04 and (packets[at + 1] | packets[at + 2]) & 0x7F
    }

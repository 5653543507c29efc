"""Whether a decoder can begin with a picture that its encoder calls a keyframe.

Encoders with intra refresh flag recovery points, from which a picture builds up over a second; others flag any picture
without references, behind which others go back further. A browser begins with neither: it waits for the next picture
that says in its own bytes that nothing before it is needed.

H.264 (ITU-T H.264 table 7-1), HEVC (ITU-T H.265 table 7-1), AV1 (AV1 bitstream specification 5.3 and 5.9.2), VP9 (VP9
bitstream specification 6.2).
"""

from __future__ import annotations

from streamd.formats.codecs.codec import AV1, H264, HEVC, VP9
from streamd.formats.payload import Payload, read_bytes, read_unit

# Units before a picture's first slice, or its frame: parameter sets, and messages beside it. Encoders have five.
UNITS_READ_MAX = 32
# Compiled, an integer of C.
_UNITS_READ_MAX = UNITS_READ_MAX
# Offset in avcC and hvcC of the byte whose lowest bits are lengthSizeMinusOne.
_LENGTH_SIZE_AT = {H264: 4, HEVC: 21}

# Slices have the types from the one to the other.
_H264_SLICE_FIRST = 1
_H264_IDR = 5
_HEVC_SLICE_LAST = 31
# BLA, IDR and CRA pictures: all that random access may begin with (3.65, "IRAP picture").
_HEVC_IRAP = range(16, 24)

_OBU_FRAME_HEADER = 3
_OBU_FRAME = 6
_OBU_REDUNDANT_FRAME_HEADER = 7
_OBU_HEADERS = frozenset({_OBU_FRAME_HEADER, _OBU_FRAME, _OBU_REDUNDANT_FRAME_HEADER})
# show_existing_frame 0, frame_type KEY_FRAME, show_frame 1.
_AV1_HEAD_MASK, _AV1_SHOWN_KEYFRAME = 0xF0, 0x10
# obu_header, an extension and obu_size, of 8 bytes at most (4.10.5), and the first byte behind them.
_OBU_READ_BYTES = 11


def unit_length_bytes(codec: str, record: bytes) -> int:
    """Read from a configuration record how many bytes of length stand before each unit of a picture.

    Args:
        codec: FourCC.
        record: Of H.264 or HEVC; for other codecs the answer means nothing.
    """
    at = _LENGTH_SIZE_AT.get(codec)
    return (record[at] & 0x03) + 1 if at is not None and len(record) > at else 4


def can_start(codec: str, payload: bytes | Payload, at: int, length_bytes: int = 4) -> bool:
    """Say whether a decoder can begin with a picture, and show it and all that follow.

    A few bytes are read, of each unit up to the picture's first slice.

    Args:
        codec: FourCC.
        payload: Ends with the picture, as in a sample.
        at: Offset of the picture.
        length_bytes: ``unit_length_bytes``.

    Returns:
        False where its bytes say that it is none; True where they say that it is one, or cannot be read.
    """
    if codec == H264:
        unit_type = _first_slice(payload, at, length_bytes, 0x1F, 0, _H264_SLICE_FIRST, _H264_IDR)
        return unit_type in (-1, _H264_IDR)
    if codec == HEVC:
        unit_type = _first_slice(payload, at, length_bytes, 0x3F, 1, 0, _HEVC_SLICE_LAST)
        return unit_type == -1 or unit_type in _HEVC_IRAP
    if codec == AV1:
        return _is_av1_keyframe(payload, at)
    if codec == VP9:
        return _is_vp9_keyframe(read_bytes(payload, at, 1))
    return True


def is_start(codec: str, payload: bytes | Payload, at: int, length_bytes: int = 4) -> bool:
    """Say whether a picture's bytes say that a decoder can begin with it, whatever its encoder calls it.

    Read as by ``can_start``, of H.264 and HEVC alone: with other codecs a keyframe that is not called one is not known.

    Returns:
        False also where they cannot be read.
    """
    if codec == H264:
        return _first_slice(payload, at, length_bytes, 0x1F, 0, _H264_SLICE_FIRST, _H264_IDR) == _H264_IDR
    if codec == HEVC:
        return _first_slice(payload, at, length_bytes, 0x3F, 1, 0, _HEVC_SLICE_LAST) in _HEVC_IRAP
    return False


def _first_slice(
    payload: bytes | Payload, at: int, length_bytes: int, mask: int, shift: int, first: int, last: int
) -> int:
    """Find the type of a picture's first slice, from ``first`` to ``last``; -1 where no unit that is read is one."""
    for index in range(_UNITS_READ_MAX):  # noqa: B007  # compiled, it is an integer of C
        unit = read_unit(payload, at, length_bytes)
        if not unit:
            return -1
        unit_type = (unit & 0xFF) >> shift & mask
        if first <= unit_type <= last:
            return unit_type
        at += length_bytes + (unit >> 8)
    return -1


def _is_av1_keyframe(payload: bytes | Payload, at: int) -> bool:
    for _ in range(UNITS_READ_MAX):
        head = read_bytes(payload, at, _OBU_READ_BYTES)
        if not head:
            return True
        # obu_header: forbidden bit, four bits of type, extension, has_size_field, reserved.
        body = 2 if head[0] & 0x04 else 1
        has_size = bool(head[0] & 0x02)
        size = 0
        for index in range(8 if has_size else 0):
            if body >= len(head):
                return True
            byte = head[body]
            body += 1
            size |= (byte & 0x7F) << 7 * index
            if not byte & 0x80:
                break
        if head[0] >> 3 & 0x0F in _OBU_HEADERS:
            return body >= len(head) or head[body] & _AV1_HEAD_MASK == _AV1_SHOWN_KEYFRAME
        if not has_size:
            return True
        at += body + size
    return True


def _is_vp9_keyframe(head: bytes) -> bool:
    # uncompressed_header: frame_marker 2, two bits of profile, reserved_zero in profile 3, show_existing_frame and
    # frame_type, 0 of a key frame.
    if not head or head[0] >> 6 != 2:
        return True
    is_profile_3 = head[0] >> 4 & 3 == 3
    return not head[0] >> (1 if is_profile_3 else 2) & 3

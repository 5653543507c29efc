"""AV1CodecConfigurationRecord, the body of an AV1 sequence header (AV1 in ISO BMFF 1.2, 2.3; AV1 specification 5.5).

Where the record has no sequence header OBU, the first frame has one (AV1 in ISO BMFF 2.4), which describes the
pictures. The shape of a sample stands only in frames' headers, as a render size, and is left aside.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import CodecConfigError
from streamd.formats.codecs.bits import BitReader
from streamd.formats.codecs.picture_format import NO_COLOURS, UNSPECIFIED, Colours, PictureFormat, known_colours

_FIXED_BYTES = 4
# marker 1, version 1.
_MARKER_AND_VERSION = 0x81
_PROFILE_444 = 1
_PROFILE_MAX = 2
# 5.5.2: CP_BT_709, TC_SRGB, MC_IDENTITY.
_SRGB = (1, 13, 0)
_OBU_SEQUENCE_HEADER = 1
# AV1 in ISO BMFF 2.3.3: a sequence header "SHALL be the first OBU"; in a frame, a temporal delimiter stands before it,
# and metadata may. A sequence header later than this is not looked for.
_OBUS_READ_MAX = 8
# AV1 specification 4.10.5: a leb128 has at most 8 bytes.
_LEB128_BYTES_MAX = 8
# Annex A.3, level 6.3: MaxPicSize, MaxHSize and MaxVSize; the record may lie about its level.
_PICTURE_SAMPLES_MAX = 35_651_584
_WIDTH_MAX = 16_384
_HEIGHT_MAX = 8_704
# Fields before the colours: 32 operating points of up to 90 bits, timing information, and some 20 flags.
_SEQUENCE_HEADER_BYTES_READ_MAX = 512


@dataclass(frozen=True, slots=True)
class Av1Configuration:
    """The facts in an AV1CodecConfigurationRecord that playlists need."""

    codec_string: str
    """RFC 6381: ``av01.`` and profile, level and tier, bit depth (AV1 in ISO BMFF, 5)."""
    picture: PictureFormat | None
    """The picture format of its sequence header OBU; None where the record has none, and only keyframes have it."""


def parse(record: bytes) -> Av1Configuration:
    """Read an av1C.

    Raises:
        CodecConfigError: Truncated, of another version, or with reserved values.
    """
    if len(record) < _FIXED_BYTES:
        raise CodecConfigError(f"av1C of {len(record)} bytes, at least {_FIXED_BYTES} needed")
    if record[0] != _MARKER_AND_VERSION:
        raise CodecConfigError(f"av1C that begins with 0x{record[0]:02x}")
    profile, level = record[1] >> 5, record[1] & 0x1F
    if profile > _PROFILE_MAX:
        raise CodecConfigError(f"av1C with profile {profile}")
    tier = "H" if record[2] & 0x80 else "M"
    has_high_bit_depth, is_twelve_bit = record[2] & 0x40, record[2] & 0x20
    # AV1 specification 5.5.2, color_config: twelve_bit counts in profile 2 alone.
    bit_depth = 8 if not has_high_bit_depth else 12 if is_twelve_bit and profile == _PROFILE_MAX else 10
    codec_string = f"av01.{profile}.{level:02}{tier}.{bit_depth:02}"
    return Av1Configuration(codec_string, _picture_format(record))


def read_picture_format(frame: bytes) -> PictureFormat | None:
    """Read the picture format in a frame's sequence header OBU, with the largest size that it allows.

    Args:
        frame: A temporal unit, as in a sample.

    Returns:
        None where no sequence header stands at the frame's begin.

    Raises:
        CodecConfigError: An OBU is broken, or the picture is larger than any level allows.
    """
    return _find_picture_format(frame, 0)


def _picture_format(record: bytes) -> PictureFormat | None:
    """Find the sequence header among configOBUs and read it."""
    return _find_picture_format(record, _FIXED_BYTES)


def _find_picture_format(data: bytes, offset: int) -> PictureFormat | None:
    for _ in range(_OBUS_READ_MAX):
        if offset >= len(data):
            break
        # 5.3.2: obu_forbidden_bit, obu_type (4), obu_extension_flag, obu_has_size_field, obu_reserved_1bit.
        header = data[offset]
        offset += 2 if header & 0x04 else 1
        if header & 0x80 or not header & 0x02:
            # AV1 in ISO BMFF 2.3.3: in configOBUs "the obu_has_size_field SHALL be set to 1"; in samples, but for the
            # last OBU, too (2.4).
            raise CodecConfigError("an AV1 record or frame with a broken OBU header")
        size, offset = _read_leb128(data, offset)
        if offset + size > len(data):
            raise CodecConfigError("an AV1 record or frame with an OBU that is cut off")
        if header >> 3 & 0x0F == _OBU_SEQUENCE_HEADER:
            end = offset + min(size, _SEQUENCE_HEADER_BYTES_READ_MAX)
            return _read_sequence_header(BitReader(data[offset:end]))
        offset += size
    return None


def _read_leb128(record: bytes, offset: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(record[offset : offset + _LEB128_BYTES_MAX]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, offset + index + 1
    raise CodecConfigError("an AV1 record or frame with an OBU size that does not end")


def _read_sequence_header(reader: BitReader) -> PictureFormat:
    """Read a sequence header OBU up to its colours (5.5.1)."""
    profile = reader.read(3)  # seq_profile
    reader.skip(1)  # still_picture
    is_reduced = bool(reader.read(1))  # reduced_still_picture_header
    if is_reduced:
        reader.read(5)  # seq_level_idx
    else:
        _skip_operating_points(reader)
    width_bits, height_bits = reader.read(4) + 1, reader.read(4) + 1
    width, height = reader.read(width_bits) + 1, reader.read(height_bits) + 1
    if width * height > _PICTURE_SAMPLES_MAX or width > _WIDTH_MAX or height > _HEIGHT_MAX:
        raise CodecConfigError(f"an AV1 sequence header with a picture of {width} by {height}")
    try:
        colours = _read_to_colours(reader, profile, is_reduced=is_reduced)
    except CodecConfigError:
        colours = NO_COLOURS
    return PictureFormat(width, height, colours=colours)


def _read_to_colours(reader: BitReader, profile: int, *, is_reduced: bool) -> Colours:
    """Read on from behind the picture size."""
    if not is_reduced and reader.read(1):  # frame_id_numbers_present_flag
        reader.skip(7)  # lengths of two fields
    reader.skip(3)  # use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    if not is_reduced:
        _skip_tools(reader)
    reader.skip(3)  # enable_superres, enable_cdef, enable_restoration
    return _read_colours(reader, profile)


def _skip_tools(reader: BitReader) -> None:
    reader.skip(4)  # enable_interintra_compound, _masked_compound, _warped_motion, _dual_filter
    has_order_hint = reader.read(1)  # enable_order_hint
    reader.skip(2 * has_order_hint)  # enable_jnt_comp, enable_ref_frame_mvs
    # seq_choose_screen_content_tools, seq_force_screen_content_tools; seq_choose_integer_mv
    if (reader.read(1) or reader.read(1)) and not reader.read(1):
        reader.skip(1)  # seq_force_integer_mv
    reader.skip(3 * has_order_hint)  # order_hint_bits_minus_1


def _read_colours(reader: BitReader, profile: int) -> Colours:
    """Read color_config (5.5.2)."""
    if reader.read(1) and profile == _PROFILE_MAX:  # high_bitdepth
        reader.skip(1)  # twelve_bit
    is_monochrome = profile != _PROFILE_444 and reader.read(1)  # mono_chrome
    points = (UNSPECIFIED, UNSPECIFIED, UNSPECIFIED)
    if reader.read(1):  # color_description_present_flag
        points = (reader.read(8), reader.read(8), reader.read(8))
    # sRGB is full range, and has no flag for it.
    is_full_range = (not is_monochrome and points == _SRGB) or bool(reader.read(1))  # color_range
    return known_colours(*points, is_full_range=is_full_range)


def _skip_operating_points(reader: BitReader) -> None:
    buffer_delay_bits = 0
    if reader.read(1):  # timing_info_present_flag
        reader.skip(64)  # num_units_in_display_tick, time_scale
        if reader.read(1):  # equal_picture_interval
            reader.read_ue()  # num_ticks_per_picture_minus_1
        if reader.read(1):  # decoder_model_info_present_flag
            buffer_delay_bits = reader.read(5) + 1
            reader.skip(42)  # num_units_in_decoding_tick, lengths of two more fields
    has_display_delay = reader.read(1)
    for _ in range(reader.read(5) + 1):  # operating_points_cnt_minus_1
        reader.skip(12)  # operating_point_idc
        if reader.read(5) > 7:  # seq_level_idx
            reader.read(1)  # seq_tier
        if buffer_delay_bits and reader.read(1):  # decoder_model_present_for_this_op
            reader.skip(2 * buffer_delay_bits + 1)
        if has_display_delay and reader.read(1):  # initial_display_delay_present_for_this_op
            reader.read(4)

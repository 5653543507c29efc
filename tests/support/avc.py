"""H.264 parameter sets of any content, bit by bit."""

from __future__ import annotations


def ue(value: int) -> str:
    """Unsigned Exp-Golomb (ITU-T H.264 section 9.1)."""
    text = f"{value + 1:b}"
    return "0" * (len(text) - 1) + text


def nal(header: bytes, bits: str) -> bytes:
    """A NAL unit of these bits, with emulation prevention (section 7.4.1)."""
    padded = (bits + "1").ljust(-(-(len(bits) + 1) // 8) * 8, "0")
    payload = bytearray()
    for byte in header + int(padded, 2).to_bytes(len(padded) // 8, "big"):
        if byte <= 3 and payload.endswith(b"\x00\x00"):
            payload.append(3)
        payload.append(byte)
    return bytes(payload)


def sequence_parameter_set(
    width_mbs: int,
    height_map_units: int,
    *,
    profile: bytes = b"\x42\xc0\x3e",
    chroma: str = "",
    order_count: str = ue(2),
    frame_mbs_only: bool = True,
    crop: tuple[int, int, int, int] | None = None,
    usability: str | None = None,
) -> bytes:
    """An SPS (section 7.3.2.1.1).

    Args:
        width_mbs: Width in macroblocks.
        height_map_units: Height in macroblocks, or in pairs of them for fields.
        profile: profile_idc, constraint flags, level_idc.
        chroma: Bits of what the High profiles put behind the id.
        order_count: Bits from pic_order_cnt_type on.
        frame_mbs_only: No fields.
        crop: Left, right, top and bottom offsets.
        usability: Bits of the VUI.
    """
    bits = ue(0) + chroma + ue(0) + order_count + ue(1) + "0"
    bits += ue(width_mbs - 1) + ue(height_map_units - 1)
    bits += "1" if frame_mbs_only else "00"
    bits += "1" + ("0" if crop is None else "1" + "".join(map(ue, crop)))
    bits += "0" if usability is None else "1" + usability
    return nal(b"\x67" + profile, bits)


def usability(
    aspect: int | tuple[int, int] | None = None,
    colours: tuple[int, int, int] | None = None,
    *,
    full_range: bool | None = None,
    overscan: str = "0",
) -> str:
    """VUI up to its colours (section E.1.1).

    Args:
        aspect: aspect_ratio_idc, or the Extended_SAR's width and height.
        colours: colour_primaries, transfer_characteristics, matrix_coefficients.
        full_range: video_full_range_flag; without it and colours, there is no video_signal_type.
        overscan: Bits from overscan_info_present_flag on.
    """
    bits = "0" if aspect is None else f"1{aspect:08b}" if isinstance(aspect, int) else "1" + "1" * 8
    if isinstance(aspect, tuple):
        bits += "".join(f"{side:016b}" for side in aspect)
    bits += overscan
    if colours is None and full_range is None:
        return bits + "0"
    bits += "1" + "101" + ("1" if full_range else "0")
    return bits + ("0" if colours is None else "1" + "".join(f"{point:08b}" for point in colours))

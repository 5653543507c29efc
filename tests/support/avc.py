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
    """
    bits = ue(0) + chroma + ue(0) + order_count + ue(1) + "0"
    bits += ue(width_mbs - 1) + ue(height_map_units - 1)
    bits += "1" if frame_mbs_only else "00"
    bits += "1" + ("0" if crop is None else "1" + "".join(map(ue, crop))) + "0"
    return nal(b"\x67" + profile, bits)

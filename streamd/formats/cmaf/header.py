"""The CMAF header's codec-agnostic half: ``ftyp``, shown widths, and the boxes that ``moov`` must not have.

libavformat writes the rest of it (``streamd.media.cmaf_header``). ISO/IEC 14496-12 (2022) sections 4.3, 8.2, 8.3.2 and
8.6.6; ISO/IEC 23000-19 (2020) section 7.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streamd.formats.cmaf.box import box

# Default-base-is-moof and signed composition offsets came with iso5 and iso6; mp41 for the esds of AAC.
_MAJOR_BRAND = b"iso6"
_COMPATIBLE_BRANDS = b"iso6mp41"
# 23000-19 section 7.2: a CMAF track file has one track. A header with several must not claim it.
_CMAF_BRAND = b"cmfc"

_CONTAINERS = frozenset({b"moov", b"trak"})
# Edit lists shift the times in ``tfdt``, and players disagree about them; user data names the muxer.
_LEFT_OUT = frozenset({b"edts", b"udta", b"meta"})

# 8.3.2: the last two fields of tkhd are width and height, 16.16 each.
_TKHD_WIDTH_AT = -8
_TKHD_HEIGHT_AT = -4


def write_header(movie: bytes, shown_widths: Sequence[int]) -> bytes:
    """Write a CMAF header from a fragmented file's first boxes.

    Args:
        movie: Top-level boxes with one ``moov`` among them, as libavformat wrote it.
        shown_widths: How wide each track is shown, in square pixels, in the order of their ``trak`` boxes; 0 for sound.

    Returns:
        ``ftyp`` with our brands, and the ``moov`` with these widths and without edit lists and user data.
    """
    movies = [content for box_type, content in boxes(movie) if box_type == b"moov"]
    assert len(movies) == 1, "libavformat writes one moov"
    compatible_brands = _COMPATIBLE_BRANDS + (_CMAF_BRAND if len(shown_widths) == 1 else b"")
    widths = iter(shown_widths)
    content = b"".join(
        box(box_type, _with_width(inner, next(widths)) if box_type == b"trak" else inner)
        for box_type, inner in boxes(_cleaned(movies[0]))
    )
    return box(b"ftyp", _MAJOR_BRAND, bytes(4), compatible_brands) + box(b"moov", content)


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Walk the boxes that ``data`` consists of; yield the type and the content of each (4.2.2)."""
    start = 0
    while start < len(data):
        size = int.from_bytes(data[start : start + 4], "big")
        assert 8 <= size <= len(data) - start, "a box of ours or libavformat's fits its container"
        yield data[start + 4 : start + 8], data[start + 8 : start + size]
        start += size


def _cleaned(content: bytes) -> bytes:
    return b"".join(
        box(box_type, _cleaned(inner) if box_type in _CONTAINERS else inner)
        for box_type, inner in boxes(content)
        if box_type not in _LEFT_OUT
    )


def _with_width(track: bytes, shown_width: int) -> bytes:
    """Write into a track's header how wide it is shown; libavformat knows the shape of its samples too late."""
    return b"".join(
        box(
            box_type,
            content[:_TKHD_WIDTH_AT] + (shown_width << 16).to_bytes(4, "big") + content[_TKHD_HEIGHT_AT:]
            if box_type == b"tkhd"
            else content,
        )
        for box_type, content in boxes(track)
    )

"""What a codec's headers say of its pictures: their size, the shape of a sample, and what its numbers mean as colours.

ITU-T H.273 (the code points that H.264, H.265, AV1, VP9 and MP4's ``colr`` share).
"""

from __future__ import annotations

from dataclasses import dataclass

UNSPECIFIED = 2
"""H.273: "Image characteristics are unknown or are determined by the application", in each of the three tables."""
# H.273 tables 2, 3 and 4; the rest is reserved.
_PRIMARIES = frozenset({1, *range(4, 13), 22})
_TRANSFERS = frozenset({1, *range(4, 19)})
_MATRICES = frozenset({0, 1, *range(4, 18)})

# The longest side of a picture that Chromium shows: what claims a larger one is not played at all.
_SHOWN_SIDE_MAX = 2**15 - 1


@dataclass(frozen=True, slots=True)
class Colours:
    """What the numbers of a picture mean as colours."""

    primaries: int = UNSPECIFIED
    """ColourPrimaries (H.273, table 2)."""
    transfer: int = UNSPECIFIED
    """TransferCharacteristics (table 3)."""
    matrix: int = UNSPECIFIED
    """MatrixCoefficients (table 4)."""
    is_full_range: bool = False
    """VideoFullRangeFlag: luma from 0 to 255, and not from 16 to 235."""


@dataclass(frozen=True, slots=True)
class SampleAspect:
    """How much wider than high a sample is shown. Zeros where nobody said; samples are square then."""

    width: int = 0
    height: int = 0


NO_COLOURS = Colours()
NO_ASPECT = SampleAspect()


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """The pictures of a track."""

    width: int
    """Of what a decoder shows, in samples."""
    height: int
    """Likewise."""
    aspect: SampleAspect = NO_ASPECT
    colours: Colours = NO_COLOURS


def known_colours(primaries: int, transfer: int, matrix: int, *, is_full_range: bool) -> Colours:
    """Make colours of code points as they stand in a header; those that are reserved are unspecified."""
    return Colours(
        primaries if primaries in _PRIMARIES else UNSPECIFIED,
        transfer if transfer in _TRANSFERS else UNSPECIFIED,
        matrix if matrix in _MATRICES else UNSPECIFIED,
        is_full_range,
    )


def showable_aspect(aspect: SampleAspect, width: int, height: int) -> SampleAspect:
    """Return the aspect, or none where it would make of a picture what nobody can show.

    Args:
        aspect: As it stands in a header.
        width: Of the picture, in samples.
        height: Likewise.
    """
    across, down = aspect.width, aspect.height
    if not across or not down:
        return NO_ASPECT
    # HTML 4.8.9 has "increasing one dimension and leaving the other unchanged"; MP4's tkhd says the width (8.3.2).
    if not down <= width * across <= _SHOWN_SIDE_MAX * down or height * down > _SHOWN_SIDE_MAX * across:
        return NO_ASPECT
    return aspect


def shown_width(width: int, aspect: SampleAspect) -> int:
    """Return how wide a picture is shown whose height stays as it is, in square pixels, rounded to the nearest."""
    if not aspect.width:
        return width
    return (2 * width * aspect.width + aspect.height) // (2 * aspect.height)

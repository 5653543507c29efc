"""The picture format in a codec's headers: size, the shape of a sample, and the colours that its numbers mean.

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

# The longest side of a picture that Chromium shows: Chromium does not play a picture that claims a larger one.
_SHOWN_SIDE_MAX = 2**15 - 1


@dataclass(frozen=True, slots=True)
class Colours:
    """The colours that the numbers of a picture mean."""

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
    """How much wider than high a sample is shown. Zeros where no header says it; samples are square then."""

    width: int = 0
    height: int = 0


NO_COLOURS = Colours()
NO_ASPECT = SampleAspect()


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """The pictures of a track."""

    width: int
    """Size of the picture that a decoder shows, in samples."""
    height: int
    """Likewise."""
    aspect: SampleAspect = NO_ASPECT
    colours: Colours = NO_COLOURS


def known_colours(primaries: int, transfer: int, matrix: int, *, is_full_range: bool) -> Colours:
    """Make colours of code points as they stand in a header; reserved ones become unspecified."""
    return Colours(
        primaries if primaries in _PRIMARIES else UNSPECIFIED,
        transfer if transfer in _TRANSFERS else UNSPECIFIED,
        matrix if matrix in _MATRICES else UNSPECIFIED,
        is_full_range,
    )


def showable_aspect(aspect: SampleAspect, width: int, height: int) -> SampleAspect:
    """Return the aspect, or none where it would make a picture that no player can show.

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
    """Return the shown width of a picture, in square pixels of its own height, rounded to the nearest."""
    if not aspect.width:
        return width
    return (2 * width * aspect.width + aspect.height) // (2 * aspect.height)

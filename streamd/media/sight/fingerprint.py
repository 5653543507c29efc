"""The fingerprint of a picture, PDQ, and a search for those that are near it.

Spec: PDQ (Meta, 2019), sections 4 and 5; computed by its reference implementation (``pdqhash``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy
import pdqhash

if TYPE_CHECKING:
    from numpy.typing import NDArray

HASH_BYTES = 32
# PDQ itself reduces a picture to 64 x 64; below that there is nothing to reduce.
SIDE_MIN = 64
_WORDS = HASH_BYTES // 8


def fingerprint(picture: NDArray[numpy.uint8]) -> tuple[bytes, int]:
    """Compute the PDQ hash of a picture.

    Args:
        picture: Rows, columns, and red, green and blue.

    Returns:
        The hash, and its quality, 0 to 100; a picture that is smaller than ``SIDE_MIN`` has none, of quality 0.
    """
    if min(picture.shape[:2]) < SIDE_MIN:
        return bytes(HASH_BYTES), 0
    # Its binding takes the same bytes as signed ones.
    bits, quality = pdqhash.compute(numpy.ascontiguousarray(picture))
    return numpy.packbits(bits).tobytes(), int(quality)


class HashIndex:
    """Hashes that are searched whole: a pass over a million takes 25 ms, whatever the picture is.

    Args:
        hashes: One behind the other, ``HASH_BYTES`` each.
    """

    def __init__(self, hashes: bytes | bytearray) -> None:
        self._words = numpy.frombuffer(hashes, dtype=numpy.uint64).reshape(-1, _WORDS)

    def __len__(self) -> int:
        return len(self._words)

    def near(self, wanted: bytes, distance_max: int, count_max: int) -> list[tuple[int, int]]:
        """Find the hashes that differ from one in few bits.

        Args:
            wanted: The one.
            distance_max: How many bits.
            count_max: How many are found at most, the nearest first.

        Returns:
            For each its number, from 0, and in how many bits it differs.
        """
        if not len(self):
            return []
        differing = numpy.bitwise_count(self._words ^ numpy.frombuffer(wanted, dtype=numpy.uint64))
        distances = differing.sum(axis=1, dtype=numpy.uint16)
        (found,) = numpy.nonzero(distances <= distance_max)
        nearest = found[numpy.argsort(distances[found], kind="stable")][:count_max]
        return [(int(number), int(distances[number])) for number in nearest]

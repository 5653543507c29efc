"""PDQ, and the search of lists."""

from __future__ import annotations

import random

from tests.support.extra import require

require("numpy", "pdqhash")

import numpy  # noqa: E402

from streamd.media.sight.fingerprint import HashIndex, fingerprint  # noqa: E402 - of an extra
from streamd.services.moderation.machine.hash_lists import DISTANCE_MAX, QUALITY_MIN, distance  # noqa: E402 - of an extra
from tests.support.pictures import reencoded, scene  # noqa: E402 - of an extra


class TestTheFingerprint:
    def test_of_a_picture_encoded_anew_at_480p_and_thirty_percent_is_near(self) -> None:
        for number in range(6):
            picture = scene(number, 1280, 720)
            original, quality = fingerprint(picture)
            assert quality >= QUALITY_MIN
            again, _ = fingerprint(reencoded(picture, 854, 480, 30))
            assert distance(original, again) <= DISTANCE_MAX

    def test_of_other_pictures_is_far(self) -> None:
        hashes = [fingerprint(scene(number, 320, 180))[0] for number in range(150)]
        index = HashIndex(b"".join(hashes))
        for number, each in enumerate(hashes):
            assert index.near(each, DISTANCE_MAX, 10) == [(number, 0)]

    def test_of_a_blank_picture_says_nothing(self) -> None:
        assert fingerprint(numpy.zeros((180, 320, 3), dtype=numpy.uint8))[1] < QUALITY_MIN

    def test_of_a_picture_with_next_to_no_pixels_says_nothing(self) -> None:
        for height, width in ((1, 1), (63, 640), (640, 16)):
            assert fingerprint(numpy.full((height, width, 3), 7, dtype=numpy.uint8)) == (bytes(32), 0)

    def test_has_the_bits_that_lists_have(self) -> None:
        """The order of bits in the hexadecimal digits is that of threatexchange."""
        import pdqhash

        picture = scene(3, 512, 512)
        bits, _ = pdqhash.compute(picture)
        text = "".join(f"{int(''.join(map(str, bits[at : at + 4])), 2):x}" for at in range(0, 256, 4))
        assert fingerprint(picture)[0].hex() == text


class TestTheSearch:
    def test_finds_what_differs_in_so_many_bits_and_nothing_beyond(self) -> None:
        generator = random.Random(7)
        wanted = generator.randbytes(32)
        for bits in (0, 1, 31, 32, 33, 256):
            other = int.from_bytes(wanted)
            for place in generator.sample(range(256), bits):
                other ^= 1 << place
            found = HashIndex(other.to_bytes(32)).near(wanted, 31, 5)
            assert found == ([(0, bits)] if bits <= 31 else [])

    def test_names_the_nearest_first_and_no_more_than_are_wanted(self) -> None:
        near = [(1 << bits) - 1 for bits in (5, 2, 9, 0, 1)]
        index = HashIndex(b"".join(each.to_bytes(32) for each in near))
        assert len(index) == 5
        assert index.near(bytes(32), 31, 3) == [(3, 0), (4, 1), (1, 2)]

    def test_of_no_hashes_finds_none(self) -> None:
        assert HashIndex(b"").near(bytes(32), 256, 5) == []

from __future__ import annotations

import itertools

import pytest

from streamd.formats.codecs.hevc_parameter_set import read_sequence_parameter_set
from streamd.formats.codecs.picture_format import NO_ASPECT, Colours, PictureFormat, SampleAspect
from tests.support.avc import nal, ue, usability
from tests.support.work import count_calls

MAIN = f"{0x016000000090000000000078:096b}"
SIZE = ue(0) + ue(1) + ue(1920) + ue(1080) + "0"
"""Ids, 4:2:0, and no conformance window."""
BLOCKS = ue(0) + ue(3) + ue(0) + ue(3) + ue(1) + ue(1)
NO_SETS = ue(0)
PQ = Colours(9, 16, 9)
PICTURE = PictureFormat(1920, 1080, SampleAspect(4, 3), PQ)
USABILITY = usability(14, (9, 16, 9))
SILENT = PictureFormat(1920, 1080)


def sps(
    *,
    depths: str = ue(2) + ue(2),
    order_count: str = ue(4),
    ordering: str = "0" + ue(4) + ue(2) + ue(0),
    scaling: str = "0",
    pcm: str = "0",
    sets: str = NO_SETS,
    long_term: str = "0",
    vui: str | None = USABILITY,
    sub_layers: int = 0,
) -> bytes:
    """A sequence parameter set, each part from its flag or count on."""
    bits = f"0000{sub_layers:03b}1" + MAIN
    if sub_layers:
        # Each has its own profile and level.
        bits += "11" * sub_layers + "00" * (8 - sub_layers) + "0" * 96 * sub_layers
    bits += SIZE + depths + order_count + ordering + BLOCKS + scaling + "11" + pcm + sets + long_term + "11"
    return nal(b"\x42\x01", bits + ("0" if vui is None else "1" + vui) + "0")


def said_by(unit: bytes) -> PictureFormat:
    return read_sequence_parameter_set(unit).picture


def scaling_lists(difference: str) -> str:
    """Every list in full: those for blocks of 16x16 and 32x32 have one value more (H.265 section 7.3.4)."""
    return "11" + "".join(("1" + difference * codes) * lists for codes, lists in ((16, 6), (64, 6), (65, 6), (65, 2)))


def told(before: int, behind: int) -> str:
    """A set that says its pictures itself, behind its first flag (section 7.3.7)."""
    return ue(before) + ue(behind) + (ue(0) + "1") * (before + behind)


class TestUsability:
    """ITU-T H.265 sections 7.3.2.2 and E.2.1."""

    @pytest.mark.parametrize(
        "unit",
        [
            sps(),
            sps(order_count=ue(12), long_term="1" + ue(2) + ("0" * 16 + "1") * 2),
            sps(ordering="1" + ue(4) + ue(2) + ue(0)),
            sps(sub_layers=2, ordering="1" + (ue(4) + ue(2) + ue(0)) * 3),
            sps(sub_layers=6, ordering="0" + ue(4) + ue(2) + ue(0)),
            sps(scaling="10"),
            sps(scaling=scaling_lists(ue(0))),
            sps(scaling=scaling_lists(ue(256))),
            sps(scaling="11" + ("0" + ue(1)) * 20),
            sps(pcm="1" + "01110111" + ue(0) + ue(2) + "1"),
            sps(long_term="1" + ue(0)),
            sps(long_term="1" + ue(32) + ("10101010" + "0") * 32),
        ],
        ids=[
            "plain",
            "long picture order counts",
            "ordering",
            "ordering of three sub-layers",
            "seven sub-layers",
            "default scaling lists",
            "scaling lists",
            "scaling lists of long codes",
            "scaling lists that refer",
            "PCM",
            "no long-term pictures",
            "long-term pictures",
        ],
    )
    def test_is_read_behind_all_that_may_stand_before(self, unit: bytes) -> None:
        assert said_by(unit) == PICTURE

    @pytest.mark.parametrize(
        "sets",
        [
            ue(2) + told(2, 1) + "0" + told(0, 0),
            # All four of -1, -2, 1 and 0 move by -2; none of them becomes 0.
            ue(2) + told(2, 1) + "1" + "1" + ue(1) + "1111",
            # By 3, to 2, 1, 4 and 3: of the first and the last alone.
            ue(3) + told(2, 1) + "1" + "0" + ue(2) + "1" + "00" + "00" + "01"
            # Which are 2 and 3, by 1, and 1 itself; the next one has four pictures to choose from.
            + "1" + "0" + ue(0) + "111",
            # Pictures behind become pictures before, in another order: their number counts.
            ue(3) + told(0, 3) + "1" + "1" + ue(4) + "1" + "00" + "1" + "1" + "1" + "0" + ue(5) + "1" * 4,
            ue(64) + told(1, 0) + ("0" + told(1, 0)) * 63,
        ],
        ids=["told", "all moved", "some taken", "turned round", "64"],
    )  # fmt: skip
    def test_is_read_behind_sets_of_reference_pictures(self, sets: str) -> None:
        assert said_by(sps(sets=sets)) == PICTURE

    def test_there_need_be_none(self) -> None:
        assert said_by(sps(vui=None)) == SILENT

    def test_shape_that_nobody_can_show_is_left_aside(self) -> None:
        assert said_by(sps(vui=usability((65_535, 1), (9, 16, 9)))) == PictureFormat(1920, 1080, NO_ASPECT, PQ)

    def test_what_x265_writes(self) -> None:
        unit = bytes.fromhex("42010101600000030090000003000003003ca00a080c16595912930b9a020000030002000003003c10")
        assert said_by(unit) == PictureFormat(320, 192)


class TestBeyondTheBounds:
    """Nothing is said of shape and colours; the picture is what it is."""

    @pytest.mark.parametrize(
        "unit",
        [
            sps(order_count=ue(13)),
            sps(order_count=ue(2**32 - 2)),
            sps(scaling=scaling_lists(ue(511))),
            sps(sets=ue(65) + told(0, 0) + ("0" + told(0, 0)) * 64),
            sps(sets=ue(2**31)),
            sps(sets=ue(1) + told(16, 0)),
            sps(sets=ue(1) + ue(0) + ue(2**32 - 2)),
            sps(sets=ue(16) + told(9, 0) + ("0" + told(9, 0)) * 15),
            sps(sets=ue(3) + told(15, 0) + ("1" + "1" + ue(0) + "1" * 16) * 2),
            sps(sets=ue(2) + told(2, 1) + "1" + "1" + ue(0) + "1111"),
            sps(long_term="1" + ue(33) + ("10101010" + "0") * 33),
            sps(depths=ue(2)[:1] + "0" * 40 + "1" + "0" * 41),
        ],
        ids=[
            "picture order counts of 17 bits",
            "picture order counts of 2**32",
            "differences of a scaling list",
            "65 sets",
            "2**31 sets",
            "16 pictures in a set",
            "2**32 pictures in a set",
            "144 pictures",
            "16 pictures in a set that refers",
            "a picture that refers to itself",
            "33 long-term pictures",
            "a code without an end",
        ],
    )
    def test_nothing_is_said(self, unit: bytes) -> None:
        assert said_by(unit) == SILENT

    def test_cut_off_anywhere(self) -> None:
        whole = sps(scaling=scaling_lists(ue(1)), sets=ue(2) + told(2, 1) + "1" + "1" + ue(1) + "1111")
        # The picture size ends in byte 22; the last byte is behind the colours.
        pictures = [said_by(whole[:length]) for length in range(24, len(whole) - 1)]
        assert pictures == [SILENT] * len(pictures)


class TestWork:
    """What the dearest parameter sets cost, in calls: each byte of a message is to be a few."""

    @pytest.mark.parametrize(
        "unit",
        [
            sps(scaling=scaling_lists(ue(0))),
            sps(scaling=scaling_lists(ue(256))),
            sps(sets=ue(64) + told(1, 0) + ("1" + "1" + ue(20) + "1" + "00") * 63),
            sps(sets=ue(8) + told(15, 0) + ("0" + told(15, 0)) * 7),
            sps(sets=ue(64) + told(15, 0) + "0" * 30_000),
            sps(vui="1" * 100_000),
        ],
        ids=["scaling lists", "scaling lists of long codes", "sets that refer", "sets that are told", "lies", "long"],
    )
    def test_is_bounded(self, unit: bytes) -> None:
        assert count_calls(lambda: said_by(unit)) < 3_000


def test_profile_is_that_of_the_stream() -> None:
    assert read_sequence_parameter_set(sps()).profile.hex() == "016000000090000000000078"


def test_sets_are_counted_as_they_are_derived() -> None:
    """Section 7.4.8: how many flags a set has is how many pictures the one before it came to."""
    pictures = itertools.count(1)
    sets = ue(6) + told(1, 0)
    for _ in range(5):
        # -1, -2, …: one more each time.
        sets += "1" + "1" + ue(0) + "1" * (next(pictures) + 1)
    assert said_by(sps(sets=sets)) == PICTURE

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from streamd.clock import EPOCH_2020
from streamd.media.packager.numbering import Numbering


class TestNumbering:
    """No count ever goes back."""

    def test_counts_begin_with_the_seconds_since_2020(self) -> None:
        numbering = Numbering.at(EPOCH_2020 + timedelta(seconds=5, milliseconds=999))
        assert numbering == Numbering(msn=5, part_number=50, discontinuity_sequence=0)

    def test_a_clock_before_2020_counts_from_nothing(self) -> None:
        assert Numbering.at(datetime(1970, 1, 1, tzinfo=UTC)) == Numbering(0, 0, 0)

    def test_a_wall_clock_that_was_set_back_does_not_matter(self) -> None:
        previous = Numbering(100, 1000, 50)
        assert Numbering(20, 200, 20).no_earlier_than(previous) == previous
        assert Numbering(200, 2000, 200).no_earlier_than(previous) == Numbering(200, 2000, 200)

    def test_the_seconds_from_which_on_the_clock_begins_no_earlier_are_rounded_up(self) -> None:
        for numbering in (Numbering(7, 10, 0), Numbering(1, 70, 0), Numbering(1, 61, 0)):
            assert numbering.seconds == 7
            begun = Numbering.at(EPOCH_2020 + timedelta(seconds=numbering.seconds))
            assert begun.no_earlier_than(numbering) == begun

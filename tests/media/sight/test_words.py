"""Words in pictures."""

from __future__ import annotations

import pytest

from tests.support.extra import require

require("numpy", "cv2", "rapidocr")

import cv2  # noqa: E402
import numpy  # noqa: E402

from streamd.media.sight.words import LINES_MAX, Reader  # noqa: E402 - of an extra


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def test_words_are_read_from_above(reader: Reader) -> None:
    picture = numpy.full((540, 960, 3), 40, dtype=numpy.uint8)
    cv2.putText(picture, "PILLS WITHOUT PRESCRIPTION", (40, 120), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 255), 3)
    cv2.putText(picture, "write to example.org", (40, 400), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 220, 0), 3)
    lines = reader.lines(picture)
    assert [line.replace(" ", "").lower() for line in lines] == ["pillswithoutprescription", "writetoexample.org"]


def test_a_picture_without_words_has_none(reader: Reader) -> None:
    assert reader.lines(numpy.full((540, 960, 3), 40, dtype=numpy.uint8)) == []
    assert reader.lines(numpy.zeros((16, 16, 3), dtype=numpy.uint8)) == []


def test_a_picture_full_of_words_has_so_many_lines(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        txts = (*(f"line {number}\u202e" for number in range(LINES_MAX * 2)), "\u200b")
        scores = (0.9,) * (LINES_MAX * 2) + (0.9,)

    monkeypatch.setattr(reader, "_read", lambda _: Found)
    lines = reader.lines(numpy.zeros((64, 64, 3), dtype=numpy.uint8))
    assert len(lines) == LINES_MAX
    assert lines[0] == "line 0", "what turns the direction of writing is left out"


def test_what_is_guessed_is_left_out(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        txts, scores = ("sure", "guessed"), (0.9, 0.4)

    monkeypatch.setattr(reader, "_read", lambda _: Found)
    assert reader.lines(numpy.zeros((64, 64, 3), dtype=numpy.uint8)) == ["sure"]

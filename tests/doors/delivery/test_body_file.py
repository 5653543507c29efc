from __future__ import annotations

import gc
import os
from http import HTTPStatus

import pytest

from streamd.doors.delivery.answer import Answer
from streamd.doors.delivery.body_file import FILE_BYTES_MIN, SENT_BEFORE, BodyFiles

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="files in memory are Linux's")

PIECES = (b"a" * FILE_BYTES_MIN, b"", b"b" * 100)


def answer(*body: bytes) -> Answer:
    return Answer(HTTPStatus.OK, (), body)


def made(files: BodyFiles, popular: Answer) -> int | None:
    for _ in range(SENT_BEFORE):
        assert files.find(popular) is None
    return files.find(popular)


def test_a_body_that_is_asked_for_again_and_again_becomes_a_file() -> None:
    files, popular = BodyFiles(), answer(*PIECES)
    file = made(files, popular)
    assert file is not None
    assert os.pread(file, 2 * FILE_BYTES_MIN, 0) == b"".join(PIECES)
    assert files.find(popular) == file


def test_a_file_lasts_as_long_as_its_answer() -> None:
    files, popular = BodyFiles(), answer(*PIECES)
    file = made(files, popular)
    assert file is not None
    del popular
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


def test_there_are_no_more_files_than_may_be() -> None:
    files, first, second = BodyFiles(files_max=1), answer(*PIECES), answer(*PIECES)
    assert made(files, first) is not None
    assert made(files, second) is None
    del first
    gc.collect()
    assert files.find(second) is not None


def test_a_small_body_is_copied() -> None:
    assert made(BodyFiles(), answer(b"a" * (FILE_BYTES_MIN - 1))) is None


def test_without_a_file_descriptor_left_there_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(24, "Too many open files")

    files, popular = BodyFiles(), answer(*PIECES)
    monkeypatch.setattr(os, "memfd_create", fail)
    assert made(files, popular) is None
    monkeypatch.undo()
    assert files.find(popular) is not None


def test_a_file_that_cannot_be_filled_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "writev", fail)
    assert made(BodyFiles(), answer(*PIECES)) is None

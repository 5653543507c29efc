"""The journal of an upload: written, cut off, and of another bucket."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from streamd.services.recording.documents import RecordedFile
from streamd.services.storage.upload_journal import (
    JOURNAL_NAME,
    UploadJournal,
    note_completed,
    note_file,
    note_media_deleted,
    read_journal,
)
from tests.support.recordings import folder_in

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.services.recording.folder import RecordingFolder

PLACE = "s3://bucket/prefix"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
A = RecordedFile("media/hls/main/000000.m4s", 10, "a" * 64)
B = RecordedFile("media/hls/main/000001.m4s", 20, "b" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> RecordingFolder:
    folder = folder_in(tmp_path)
    folder.events.mkdir(parents=True)
    return folder


def test_what_was_noted_is_read(folder: RecordingFolder) -> None:
    assert read_journal(folder, PLACE) == UploadJournal()
    note_file(folder, PLACE, A)
    note_file(folder, PLACE, B)
    assert read_journal(folder, PLACE) == UploadJournal({A.path: A, B.path: B})
    note_completed(folder, PLACE, NOW)
    note_media_deleted(folder, PLACE)
    assert read_journal(folder, PLACE) == UploadJournal(
        {A.path: A, B.path: B}, NOW, is_media_deleted=True, was_completed=True
    )


def test_what_comes_later_is_to_be_completed_anew(folder: RecordingFolder) -> None:
    note_file(folder, PLACE, A)
    note_completed(folder, PLACE, NOW)
    note_file(folder, PLACE, B)
    journal = read_journal(folder, PLACE)
    assert journal.completed_at is None
    assert journal.was_completed


def test_another_bucket_has_nothing_of_it(folder: RecordingFolder) -> None:
    note_file(folder, "s3://other", A)
    note_completed(folder, "s3://other", NOW)
    assert read_journal(folder, PLACE) == UploadJournal()
    note_file(folder, PLACE, B)
    assert read_journal(folder, PLACE) == UploadJournal({B.path: B})


def test_any_end_of_it_names_only_what_was_sent(folder: RecordingFolder) -> None:
    note_file(folder, PLACE, A)
    note_file(folder, PLACE, B)
    path = folder.events / JOURNAL_NAME
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        files = read_journal(folder, PLACE).files
        assert files in ({}, {A.path: A}, {A.path: A, B.path: B})
        # The next server goes on behind it.
        note_file(folder, PLACE, B)
        assert read_journal(folder, PLACE).files[B.path] == B


def test_a_folder_that_is_gone_takes_no_note(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        note_file(folder_in(tmp_path), PLACE, A)

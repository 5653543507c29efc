"""The journal of a recording's upload: which of its files the bucket has, a line each, in the recording's own folder.

A server that was killed goes on behind the last line. A line that is cut off names nothing, so that its file is sent
again; no bucket is listed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from streamd.services.recording.documents import RecordedFile

if TYPE_CHECKING:
    from streamd.services.recording.folder import RecordingFolder

JOURNAL_NAME = "uploads.jsonl"
JOURNAL_MODE = 0o600


@dataclass(frozen=True, slots=True)
class _Line:
    place: str
    """The bucket that the line is about, and its prefix."""
    file: RecordedFile | None = None
    """A file that the bucket has, with the SHA-256 of what was sent."""
    completed_at: datetime | None = None
    """It has all of them."""
    is_media_deleted: bool = False
    """The media files on the disk are deleted."""


_LINE = TypeAdapter(_Line)


@dataclass
class UploadJournal:
    """The files of one recording that the bucket has."""

    files: dict[str, RecordedFile] = field(default_factory=dict)
    completed_at: datetime | None = None
    """Since when the bucket has all of it; None while something is left."""
    is_media_deleted: bool = False
    was_completed: bool = False
    """The bucket had all that there was before more came to it."""


def read_journal(folder: RecordingFolder, place: str) -> UploadJournal:
    """Read the journal of a recording; one of another bucket says nothing of this one.

    Args:
        folder: The recording's.
        place: The bucket and its prefix.

    Raises:
        OSError: It cannot be read.
    """
    journal = UploadJournal()
    try:
        data = (folder.events / JOURNAL_NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return journal
    for text in data.split(b"\n")[:-1]:
        try:
            line = _LINE.validate_json(text)
        except ValidationError:
            continue
        if line.place != place:
            continue
        if line.file is not None:
            journal.files[line.file.path] = line.file
            # More came to it, such as a picture.
            journal.completed_at = None
        elif line.completed_at is not None:
            journal.completed_at = line.completed_at
            journal.was_completed = True
        elif line.is_media_deleted:
            journal.is_media_deleted = True
    return journal


def note_file(folder: RecordingFolder, place: str, file: RecordedFile) -> None:
    """Note that the bucket has a file.

    Raises:
        OSError: The disk does not take it.
    """
    _append(folder, _Line(place, file=file))


def note_completed(folder: RecordingFolder, place: str, at: datetime) -> None:
    """Note that the bucket has all of a recording.

    Raises:
        OSError: The disk does not take it.
    """
    _append(folder, _Line(place, completed_at=at))


def note_media_deleted(folder: RecordingFolder, place: str) -> None:
    """Note that a recording's media is in the bucket alone.

    Raises:
        OSError: The disk does not take it.
    """
    _append(folder, _Line(place, is_media_deleted=True))


def _append(folder: RecordingFolder, line: _Line) -> None:
    descriptor = os.open(
        folder.events / JOURNAL_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, JOURNAL_MODE
    )
    with open(descriptor, "ab", buffering=0) as file:
        # A line that a crash has cut off becomes a line of its own, which says nothing.
        file.write(b"\n" + _LINE.dump_json(line, exclude_defaults=True) + b"\n")

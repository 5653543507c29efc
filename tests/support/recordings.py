"""Recordings that are written without a stream, and what a strict reader finds in them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from streamd.services.recording.documents import (
    RecordedRendition,
    RecordingDocument,
    RecordingStatus,
    read_document,
)
from streamd.services.recording.folder import RecordingFolder, folder_name
from streamd.services.recording.playlist_file import parse_playlist
from streamd.services.recording.recording_writer import RecordingWriter, WriterOptions

if TYPE_CHECKING:
    from pathlib import Path

STARTED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
RECORDING_ID = "rec_01kjmg3m00aaaaaaaaaaaaaaaa"
MAIN = RecordedRendition("main", codecs=("avc1.640028", "mp4a.40.2"), resolution_width=1280, resolution_height=720)
OPTIONS = WriterOptions(min_free_bytes=0)


def folder_in(directory: Path, recording_id: str = RECORDING_ID) -> RecordingFolder:
    """Where Alice's recording lies."""
    return RecordingFolder(directory / folder_name("alice", recording_id, STARTED_AT))


def new_document(recording_id: str = RECORDING_ID) -> RecordingDocument:
    """What is known of it when it begins."""
    return RecordingDocument(recording_id, "alice", STARTED_AT, RecordingStatus.STARTED)


def new_writer(folder: RecordingFolder, options: WriterOptions = OPTIONS) -> RecordingWriter:
    """A writer of a new recording."""
    return RecordingWriter(folder, new_document(folder.id), options)


def append(
    writer: RecordingWriter,
    content: bytes,
    *,
    variant: str = "main",
    seconds: float = 2,
    at_ms: int = 0,
    is_discontinuous: bool = False,
) -> None:
    """Append a segment of two parts."""
    middle = len(content) // 2
    writer.append(
        variant,
        (content[:middle], content[middle:]),
        duration_us=round(seconds * 1_000_000),
        program_date_time_ms=1_772_366_400_000 + at_ms,
        is_discontinuous=is_discontinuous,
    )


def media_of(folder: RecordingFolder, variant: str = "main") -> list[bytes]:
    """The bytes of every segment, by the playlist."""
    playlist = parse_playlist(folder.playlist(variant).read_text())
    found = []
    for segment in playlist.segments:
        with (folder.variant(variant) / f"{segment.file_number:06d}.m4s").open("rb") as file:
            file.seek(segment.offset)
            found.append(file.read(segment.size_bytes))
    return found


def assert_hashed(folder: RecordingFolder, path: Path) -> None:
    """Every file but the documents is in a document, with its hash."""
    document = read_document(path)
    assert document is not None
    media = folder.hls.parent
    files = {file.relative_to(folder.path).as_posix(): file for file in media.rglob("*") if file.is_file()}
    assert {file.path: (file.bytes, file.sha256) for file in document.files} == {
        name: (file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()) for name, file in files.items()
    }

"""Checks a recording against the hashes of its document, and tells what an index would say of it.

It runs in a thread that may wait for the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.services.recording.documents import RecordedFile, RecordingDocument, RecordingStatus
from streamd.services.recording.file_hash import file_sha256
from streamd.services.recording.folder import RecordingFolder, media_name
from streamd.services.recording.playlist_file import parse_playlist
from streamd.services.recording.records import RecordingRecord, RecordingState
from streamd.services.recording.recovery import recorded_document

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

# events/ and below: the documents are found by their place.
_DOCUMENTS = "events/recording-started.json"


@dataclass(frozen=True, slots=True)
class FileFault:
    """A file of a recording that is not as its document has it."""

    path: str
    """Under the folder of the recording."""
    fault: str


def verify(folder: RecordingFolder, elsewhere: Container[str] = ()) -> list[FileFault]:
    """Compare every file with the document, and every playlist with its media files.

    Args:
        folder: The recording's.
        elsewhere: Paths of files that need not be here: a bucket has them.

    Returns:
        The faults; none for a recording that is whole.

    Raises:
        OSError: The folder cannot be read.
    """
    document = recorded_document(folder)
    if document is None:
        return [FileFault("events", "there is no document of a recording")]
    if document.recording_status is RecordingStatus.STARTED:
        return [FileFault("events", "it has not ended")]
    faults: list[FileFault] = []
    for listed in document.files:
        path = folder.path / listed.path
        # A document that somebody has changed names no file elsewhere.
        if ".." in Path(listed.path).parts or listed.path.startswith("/"):
            faults.append(FileFault(listed.path, "is no place in a recording"))
        else:
            faults += _verify_file(path, listed, elsewhere)
    for rendition in document.media.hls.renditions:
        faults += _verify_playlist(folder, rendition.path, elsewhere)
    return faults


def find_recordings(directory: Path) -> Iterator[RecordingRecord]:
    """All recordings under a directory, as their documents have them, for an index that is to be made anew.

    Raises:
        OSError: The directory cannot be read.
    """
    for found in sorted(directory.glob(f"*/*/*/*/*/{_DOCUMENTS}")):
        folder = RecordingFolder(found.parent.parent)
        document = recorded_document(folder)
        if document is not None and document.recording_id == folder.id:
            yield record_of(document, folder, directory)


def record_of(document: RecordingDocument, folder: RecordingFolder, directory: Path) -> RecordingRecord:
    """The facts of a recording by its document."""
    state = {
        RecordingStatus.STARTED: RecordingState.RECORDING,
        RecordingStatus.ENDED: RecordingState.READY,
        RecordingStatus.FAILED: RecordingState.FAILED,
    }[document.recording_status]
    if state is RecordingState.READY and document.recording_status_message:
        state = RecordingState.PARTIAL
    return RecordingRecord(
        id=document.recording_id,
        user=document.channel,
        state=state,
        started_at=document.recording_started_at,
        path=folder.path.relative_to(directory).as_posix(),
        reason=document.recording_status_message if state is RecordingState.FAILED else "",
        ended_at=document.recording_ended_at,
        duration_ms=document.media.hls.duration_ms,
        size_bytes=sum(file.bytes for file in document.files if file.path.endswith(".m4s")),
    )


def _verify_file(path: Path, listed: RecordedFile, elsewhere: Container[str]) -> list[FileFault]:
    try:
        if listed.path in elsewhere and not path.exists():
            return []
        if not path.is_file():
            return [FileFault(listed.path, "is missing")]
        if (size_bytes := path.stat().st_size) != listed.bytes:
            return [FileFault(listed.path, f"has {size_bytes} bytes in place of {listed.bytes}")]
        if file_sha256(path) != listed.sha256:
            return [FileFault(listed.path, "has other bytes than were written")]
    except OSError as exc:
        # A bad block of one file is no reason to leave the others unread.
        return [FileFault(listed.path, f"cannot be read: {exc.strerror}")]
    return []


def _verify_playlist(folder: RecordingFolder, variant: str, elsewhere: Container[str]) -> list[FileFault]:
    path = folder.playlist(variant)
    if not path.is_file():
        return []
    playlist = parse_playlist(path.read_text(errors="replace"))
    faults = []
    for segment in playlist.segments:
        media = folder.variant(variant) / media_name(segment.file_number)
        name = f"media/hls/{variant}/{media.name}"
        if name in elsewhere and not media.exists():
            continue
        if not media.is_file() or media.stat().st_size < segment.end:
            faults.append(FileFault(name, f"ends before byte {segment.end}, which the playlist names"))
            break
    return faults

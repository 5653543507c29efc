"""Finds the files of a recording that are not in the bucket yet, by its own documents and the journal of its upload.

It runs in a thread that may wait for the disk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from streamd.services.recording.documents import RecordedFile, RecordingStatus, read_file_lines
from streamd.services.recording.recovery import recorded_document
from streamd.services.storage.upload_journal import read_journal

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.services.recording.documents import RecordingDocument
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.storage.upload_journal import UploadJournal

# A picture or a list that the document does not name is read whole for its hash; media is named.
_UNNAMED_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Left:
    """The files that are left to be sent, in the order in which they go."""

    files: tuple[RecordedFile, ...]
    document: RecordingDocument | None
    """The document of the end, of which the file goes last; None while it records."""
    is_completed: bool
    """The bucket had all of it before, and has it."""
    was_completed: bool = False
    """It had all that there was before more came to it."""

    @property
    def size_bytes(self) -> int:
        """Size of all files, bytes."""
        return sum(file.bytes for file in self.files)


def left_of(folder: RecordingFolder, place: str) -> Left | None:
    """Compare a recording with the journal of its upload.

    While it records, files that are closed are to be sent. Afterwards all are: media and its headers, pictures,
    playlists, and the document of the end behind all that it names, so that a bucket that has it has the recording.

    Args:
        folder: The recording's.
        place: The bucket and its prefix.

    Returns:
        The files that are left; None where the folder holds no recording.

    Raises:
        OSError: The folder cannot be read.
    """
    document = recorded_document(folder)
    if document is None:
        return None
    journal = read_journal(folder, place)
    if document.recording_status is RecordingStatus.STARTED:
        closed = [RecordedFile(_path(folder, folder.started), 0, ""), *read_file_lines(folder.files).values()]
        return Left(tuple(file for file in closed if not _has(journal, file)), None, is_completed=False)
    end = folder.failed if document.recording_status is RecordingStatus.FAILED else folder.ended
    named = {file.path: file for file in document.files if is_inside(file.path)}
    files = [*sorted(named.values(), key=_order)]
    files[:0] = [*_unnamed(folder, named)]
    last = [_hashed(folder, path) for path in (folder.started, end) if path.exists()]
    files = [file for file in (*files, *last) if not _has(journal, file)]
    return Left(tuple(files), document, not files and journal.completed_at is not None, journal.was_completed)


def is_inside(path: str) -> bool:
    """Whether a path of a document, which somebody may have changed, is a place in its folder."""
    return not path.startswith("/") and ".." not in PurePosixPath(path).parts and bool(path)


def _has(journal: UploadJournal, file: RecordedFile) -> bool:
    known = journal.files.get(file.path)
    # The document of the beginning is sent as it is, and again with the end where it has changed.
    return known is not None and (not file.sha256 or known.sha256 == file.sha256)


def _order(file: RecordedFile) -> tuple[bool, str]:
    """Playlists behind the media that they name."""
    return file.path.endswith(".m3u8"), file.path


def _unnamed(folder: RecordingFolder, named: dict[str, RecordedFile]) -> list[RecordedFile]:
    """Files beside the media that the document does not name: pictures that were drawn later."""
    media = folder.path / "media"
    found = []
    for path in sorted(media.rglob("*")):
        relative = _path(folder, path)
        is_ours = path.suffix not in {".m4s", ".mp4", ".new"} and relative not in named
        if is_ours and path.is_file() and not path.is_symlink() and path.stat().st_size <= _UNNAMED_BYTES_MAX:
            found.append(_hashed(folder, path))
    return found


def _hashed(folder: RecordingFolder, path: Path) -> RecordedFile:
    data = path.read_bytes()
    return RecordedFile(_path(folder, path), len(data), hashlib.sha256(data).hexdigest())


def _path(folder: RecordingFolder, path: Path) -> str:
    return path.relative_to(folder.path).as_posix()

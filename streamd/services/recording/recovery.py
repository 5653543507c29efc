"""A recording that a server left unfinished: what of it is whole, and a writer that goes on behind that.

It runs in a thread that may wait for the disk.
"""

from __future__ import annotations

import errno
import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from streamd.services.recording.documents import (
    RecordedFile,
    RecordingDocument,
    file_line,
    read_document,
    read_file_lines,
)
from streamd.services.recording.file_hash import file_sha256
from streamd.services.recording.folder import claim_folder, init_name, media_name
from streamd.services.recording.playlist_file import RecordedPlaylist, parse_playlist
from streamd.services.recording.recording_writer import RecordingWriter, WriterOptions

if TYPE_CHECKING:
    from streamd.services.recording.file_hash import file_sha256
from streamd.services.recording.folder import RecordingFolder

log = logging.getLogger(__name__)


def recover(folder: RecordingFolder, options: WriterOptions) -> RecordingWriter | None:
    """Take up a recording whose server stopped or was killed.

    Media that no line of a playlist names is cut off, and lines whose media is missing are taken out: a power cut may
    have kept one and lost the other.

    Args:
        folder: Its folder.
        options: Bounds of its files.

    Returns:
        A writer that goes on, or finishes it; None where the folder holds no recording that was begun.

    Raises:
        FolderTakenError: Another server writes it.
        OSError: The disk cannot be read or written.
    """
    document = read_document(folder.started)
    if document is None:
        return None
    claim = claim_folder(folder.path)
    try:
        return _recover(folder, document, options, claim)
    except BaseException:
        os.close(claim)
        raise


def _recover(
    folder: RecordingFolder, document: RecordingDocument, options: WriterOptions, claim: int
) -> RecordingWriter:
    known = read_file_lines(folder.files)
    playlists: dict[str, RecordedPlaylist] = {}
    found: list[RecordedFile] = []
    segments_lost = 0
    for rendition in document.media.hls.renditions:
        playlist, files, lost = _recover_variant(
            folder, rendition.path, known, hashes_files=options.hash_file is not None
        )
        segments_lost += lost
        if playlist.segments:
            playlists[rendition.path] = playlist
        found += files
    if found:
        with open(os.open(folder.files, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as journal:
            # The last line may be half of one.
            journal.write(b"\n" + b"".join(map(file_line, found)))
    began = replace(document, media=replace(document.media, hls=replace(document.media.hls, duration_ms=0)))
    return RecordingWriter(folder, began, options, playlists, has_gap=segments_lost > 0, claim=claim)


def recorded_document(folder: RecordingFolder) -> RecordingDocument | None:
    """The newest document of a recording; None where the folder holds none.

    Raises:
        OSError: It cannot be read.
    """
    return read_document(folder.ended) or read_document(folder.failed) or read_document(folder.started)


def _recover_variant(
    folder: RecordingFolder, name: str, known: dict[str, RecordedFile], *, hashes_files: bool
) -> tuple[RecordedPlaylist, list[RecordedFile], int]:
    """Cut a variant down to its whole segments.

    Returns:
        These, the files that are complete now and were not listed, and the number of segments that are lost.
    """
    path = folder.variant(name)
    if not path.exists():
        return RecordedPlaylist(0), [], 0
    sizes = {file.name: file.stat().st_size for file in path.iterdir() if file.suffix in {".m4s", ".mp4"}}
    try:
        text = folder.playlist(name).read_text(errors="replace")
    except FileNotFoundError:
        if any(size_bytes for file_name, size_bytes in sizes.items() if file_name.endswith(".m4s")):
            # Without it none of the media is known to be whole, and none is ours to delete.
            raise OSError(errno.ENOENT, f"the playlist of {name} is gone") from None
        text = ""
    playlist = parse_playlist(text)
    whole = tuple(
        segment
        for segment in playlist.segments
        if segment.end <= sizes.get(media_name(segment.file_number), 0) and sizes.get(init_name(segment.init_number), 0)
    )
    lost = len(playlist.segments) - len(whole)
    if lost and hashes_files:
        # Of one that nobody keeps, the oldest files were removed.
        log.warning("recording.segments_lost", extra={"recording_id": folder.id, "variant": name, "segments": lost})
    ends: dict[str, int] = {}
    for segment in whole:
        file_name = media_name(segment.file_number)
        ends[file_name] = max(ends.get(file_name, 0), segment.end)
        ends[init_name(segment.init_number)] = sizes[init_name(segment.init_number)]
    complete: list[RecordedFile] = []
    for file_name, size_bytes in sizes.items():
        file = path / file_name
        if file_name not in ends:
            file.unlink()
            continue
        if size_bytes > ends[file_name]:
            os.truncate(file, ends[file_name])
        relative = f"media/hls/{name}/{file_name}"
        listed = known.get(relative)
        if not hashes_files:
            continue
        if listed is None or listed.bytes != ends[file_name]:
            complete.append(RecordedFile(relative, ends[file_name], file_sha256(file)))
    return RecordedPlaylist(playlist.target_duration_s, whole), complete, lost

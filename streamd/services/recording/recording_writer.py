"""The files of one recording: its variants' media, its playlists, and the documents of its beginning and its end.

It runs in a thread that may wait for the disk, one call at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from streamd.errors import RecordingError
from streamd.formats.hls.multivariant_playlist import VariantStream
from streamd.limits import RECORDING
from streamd.media.packager.multivariant import ListedAudio, render_presentation
from streamd.services.recording.documents import (
    HlsFacts,
    MediaFacts,
    RecordedFile,
    RecordedRendition,
    RecordingDocument,
    RecordingStatus,
    file_line,
    read_file_lines,
    write_document,
)
from streamd.services.recording.file_hash import file_sha256
from streamd.services.recording.folder import claim_folder, make_folder
from streamd.services.recording.playlist_file import RecordedPlaylist
from streamd.services.recording.variant_writer import VariantWriter
from streamd.services.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.playlist_file import RecordedSegment


# Bytes that a recording writes before it asks for the disk's space again: 27 s at 2.5 Mb/s, one second at 64. Each
# question gives the interpreter up, and has to win it back from the loop.
UNASKED_BYTES_MAX = 8 * 1024 * 1024
# Others write as well: of what is free above the reserve a recording takes its share before it asks again.
WRITERS_EXPECTED = 256
# The fault of a recording that is complete but for this.
GAP = "a crash has cost media"


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """Bounds of a recording's files."""

    file_s: int = RECORDING.file_s
    """Media in one file at most, seconds."""
    fsync_s: float = RECORDING.fsync_s
    """The media that a power cut may cost, seconds (``DiskSync``)."""
    hash_file: Callable[[Path], str] | None = file_sha256
    """Says the SHA-256 of a complete file, for the documents; None for a recording that nobody keeps."""
    keeps_claim: bool = False
    """Its folder is this process's after it is closed, too, until ``release``: somebody reads there, and removes it."""
    min_free_bytes: int = RECORDING.min_free_bytes
    """Space that stays free on the disk; a recording that would take it fails."""


@dataclass(frozen=True, slots=True)
class RecordingTotals:
    """The size of a recording so far."""

    duration_ms: int = 0
    """Length of the longest variant."""
    size_bytes: int = 0
    """Media of all variants."""


class RecordingWriter:
    """Writes one recording.

    Args:
        folder: Its folder; made with the first file.
        document: Its document as it is known at its beginning.
        options: Bounds of its files.
        recovered: The playlists that an earlier server has left in the folder, by variant; None for a new recording.
        has_gap: A crash has cost media that was recorded.
        claim: The descriptor by which the folder is this process's (``claim_folder``), which it closes; None for a new
            recording.

    Attributes:
        has_gap: As given.
        folder: As given.
        device: The file system that the folder lies on; 0 before there is a folder.

    Raises:
        OSError: The disk does not take something; like every method.
    """

    def __init__(
        self,
        folder: RecordingFolder,
        document: RecordingDocument,
        options: WriterOptions,
        recovered: Mapping[str, RecordedPlaylist] | None = None,
        *,
        has_gap: bool = False,
        claim: int | None = None,
    ) -> None:
        self.has_gap = has_gap
        self.folder = folder
        self.device = 0
        self._document = document
        self._options = options
        self._recovered = dict(recovered or {})
        self._renditions = {each.path: each for each in document.media.hls.renditions}
        self._variants: dict[str, VariantWriter] = {}
        self._files: dict[str, RecordedFile] = {}
        # The variants that index.m3u8 names.
        self._indexed: frozenset[str] = frozenset()
        self._is_begun = False
        self._claim = claim
        # Bytes that may be written before the disk is asked for its space again.
        self._unasked_bytes = 0

    @property
    def recovered(self) -> Mapping[str, RecordedPlaylist]:
        """The files that an earlier server has left, by variant; empty once it goes on."""
        return self._recovered

    @property
    def totals(self) -> RecordingTotals:
        """Its size so far."""
        variants = [self._written(name) for name in self._renditions]
        return RecordingTotals(
            max((variant.duration_us // 1000 for variant in variants), default=0),
            sum(variant.size_bytes for variant in variants),
        )

    def set_header(self, rendition: RecordedRendition, header: bytes, target_duration_s: int) -> None:
        """Begin a variant, or go on with it under another CMAF header.

        Args:
            rendition: Its facts, as the header has them.
            header: ``ftyp`` and ``moov``.
            target_duration_s: EXT-X-TARGETDURATION, whole seconds.
        """
        self._begin()
        if self._renditions.get(rendition.path) != rendition:
            self._renditions[rendition.path] = rendition
            self._write_started()
        self._variant(rendition.path, target_duration_s).set_header(header)

    def append(
        self,
        variant: str,
        pieces: Sequence[bytes | memoryview],
        *,
        duration_us: int,
        program_date_time_ms: int,
        is_discontinuous: bool,
    ) -> RecordedSegment:
        """Append one whole segment to a variant (``VariantWriter.append``).

        Raises:
            RecordingError: The disk is nearly full.
        """
        size_bytes = sum(map(len, pieces))
        if self._options.min_free_bytes:
            if self._unasked_bytes < size_bytes:
                self._check_space(size_bytes)
            self._unasked_bytes -= size_bytes
        segment = self._variants[variant].append(
            pieces,
            size_bytes=size_bytes,
            duration_us=duration_us,
            program_date_time_ms=program_date_time_ms,
            is_discontinuous=is_discontinuous,
        )
        if variant not in self._indexed:
            self._write_index()
        return segment

    def cut(self, variant: str, first_file: int) -> None:
        """Remove the media files of a variant before one: their playlist goes on to name them, as nobody reads it."""
        self._variants[variant].cut(first_file)

    def sync(self) -> None:
        """Have all of it on the disk."""
        for variant in self._variants.values():
            variant.sync()

    def finish(self, ended_at: datetime, failure: str = "") -> RecordingTotals:
        """Complete every file, and write the document of the end.

        Args:
            ended_at: Aware.
            failure: The reason why it failed; empty where it did not.

        Returns:
            Its size.
        """
        self._begin()
        for name, playlist in tuple(self._recovered.items()):
            self._variant(name, playlist.target_duration_s)
        # Of one that failed as much as can be is completed.
        passed_over = (OSError, RecordingError) if failure else ()
        for variant in self._variants.values():
            with contextlib.suppress(*passed_over):
                variant.finish()
            variant.close()
        with contextlib.suppress(*passed_over):
            self._write_index()
        totals = self.totals
        document = replace(
            self._document,
            recording_status=RecordingStatus.FAILED if failure else RecordingStatus.ENDED,
            recording_status_message=failure or (GAP if self.has_gap else ""),
            recording_ended_at=ended_at,
            media=self._media_facts(totals),
            files=tuple(self._files[path] for path in sorted(self._files)),
        )
        write_document(self.folder.failed if failure else self.folder.ended, document)
        self.folder.files.unlink(missing_ok=True)
        return totals

    def close(self) -> None:
        """Close every file as it is, for another server to go on with; again changes nothing."""
        for variant in self._variants.values():
            variant.close()
        if not self._options.keeps_claim:
            self.release()

    def release(self) -> None:
        """Let other servers have its folder, which is closed; again changes nothing."""
        claim, self._claim = self._claim, None
        if claim is not None:
            os.close(claim)

    def _check_space(self, size_bytes: int) -> None:
        assert self._claim is not None
        if not os.fstat(self._claim).st_nlink:
            raise RecordingError("its folder is gone")
        left_bytes = shutil.disk_usage(self._claim).free
        if left_bytes - size_bytes < self._options.min_free_bytes:
            raise RecordingError(
                f"the disk has {left_bytes >> 20} MiB free, and [recording] min_free_bytes keeps "
                f"{self._options.min_free_bytes >> 20} MiB"
            )
        room_bytes = left_bytes - self._options.min_free_bytes
        self._unasked_bytes = size_bytes + min(room_bytes // WRITERS_EXPECTED, UNASKED_BYTES_MAX)

    def _variant(self, name: str, target_duration_s: int) -> VariantWriter:
        """The writer of a variant, behind what an earlier server has left of it."""
        if name not in self._variants:
            self._variants[name] = VariantWriter(
                self.folder.variant(name),
                target_duration_s=target_duration_s,
                file_s=self._options.file_s,
                hash_file=self._options.hash_file,
                note_file=lambda file: self._note_file(f"media/hls/{name}/{file.path}", file),
                recovered=self._recovered.get(name),
            )
            self._recovered.pop(name, None)
        return self._variants[name]

    def _begin(self) -> None:
        if self._is_begun:
            return
        make_folder(self.folder.events)
        make_folder(self.folder.hls)
        if self._claim is None:
            self._claim = claim_folder(self.folder.path)
        self.device = os.fstat(self._claim).st_dev
        self._files = read_file_lines(self.folder.files)
        self._write_started()
        self._is_begun = True

    def _write_started(self) -> None:
        write_document(self.folder.started, replace(self._document, media=self._media_facts(RecordingTotals())))

    def _media_facts(self, totals: RecordingTotals) -> MediaFacts:
        return MediaFacts(HlsFacts(totals.duration_ms, renditions=tuple(self._renditions.values())))

    def _note_file(self, path: str, file: RecordedFile) -> None:
        noted = replace(file, path=path)
        self._files[path] = noted
        with open(os.open(self.folder.files, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as journal:
            journal.write(file_line(noted))

    def _written(self, name: str) -> VariantWriter | RecordedPlaylist:
        """The playlist of a variant so far."""
        return self._variants.get(name) or self._recovered.get(name) or RecordedPlaylist(0)

    def _write_index(self) -> None:
        """Name the variants that have a segment; without one there is nothing to name."""
        variants: list[VariantStream] = []
        audio: list[ListedAudio] = []
        named: set[str] = set()
        alternatives = 0
        for rendition in self._renditions.values():
            alternatives += rendition.is_alternative
            peak, average = self._written(rendition.path).bit_rates()
            if not average:
                continue
            named.add(rendition.path)
            stream = VariantStream(
                uri=f"{rendition.path}/{rendition.playlist}",
                bandwidth=peak,
                average_bandwidth=average,
                codecs=rendition.codecs,
                width=rendition.resolution_width,
                height=rendition.resolution_height,
                frame_rate_millihertz=rendition.frame_rate_millihertz,
            )
            if rendition.is_alternative:
                audio.append(ListedAudio(alternatives, stream, rendition.channels))
            else:
                variants.append(stream)
        if variants:
            data = render_presentation(variants, audio)
            replace_file(self.folder.index, data)
            path = f"media/hls/{self.folder.index.name}"
            self._files[path] = RecordedFile(path, len(data), hashlib.sha256(data).hexdigest())
        self._indexed = frozenset(named)

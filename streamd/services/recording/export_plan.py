"""The sources of an export: the files of a recording, and the bytes of each that go into the worker's pipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamd.errors import ExportRefusedError
from streamd.services.recording.clip_file import runs_of
from streamd.services.recording.clip_records import ClipRendition
from streamd.services.recording.clip_times import ClipRange, same_time
from streamd.services.recording.folder import init_name
from streamd.services.recording.playlist_file import parse_playlist
from streamd.services.recording.recovery import recorded_document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streamd.services.recording.clip_file import Run
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.playlist_file import RecordedSegment


@dataclass(frozen=True, slots=True)
class ExportSource:
    """The bytes that go into one pipe."""

    pieces: tuple[tuple[Path, int, int], ...]
    """Files, and the bytes of each: begin and end."""

    @property
    def size_bytes(self) -> int:
        """Size of all pieces, bytes."""
        return sum(stop - start for _, start, stop in self.pieces)


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """The sources of one exported file."""

    sources: tuple[ExportSource, ...]
    duration_s: float

    @property
    def size_bytes(self) -> int:
        """Size of all sources, bytes."""
        return sum(source.size_bytes for source in self.sources)


def find_sources(folder: RecordingFolder, variant: str, number: int) -> ExportPlan:
    """Find what a file is made of; in a thread that may wait for the disk.

    Raises:
        ExportRefusedError: There is no such piece.
        OSError: The recording cannot be read.
    """
    document = recorded_document(folder)
    if document is None:
        raise FileNotFoundError(folder.path)
    renditions = document.media.hls.renditions
    pictures = [each for each in renditions if not each.is_alternative]
    found = next((each for each in pictures if each.path == variant or not variant), None)
    if found is None:
        raise ExportRefusedError(f"there is no variant {variant}" if pictures else "nothing is recorded in it")
    main = parse_playlist(folder.playlist(found.path).read_text(errors="replace")).segments
    runs = runs_of(ClipRendition(found, 0, main, _header_bytes(folder, found.path, main)))
    if number >= len(runs):
        raise ExportRefusedError(f"it has {len(runs)} pieces, from 0: the encoder changed its tracks in between")
    run = runs[number]
    first = sum(len(each.segments) for each in runs[:number])
    sources = [_source(folder, found.path, run)]
    sound = next((each for each in renditions if each.is_alternative), None)
    if sound is not None:
        segments = parse_playlist(folder.playlist(sound.path).read_text(errors="replace")).segments
        begin, end = same_time(segments, main, ClipRange(first, first + len(run.segments), 0, 0, 0, 0))
        of_time = segments[begin:end]
        sound_runs = runs_of(ClipRendition(sound, 0, of_time, _header_bytes(folder, sound.path, of_time)))
        if sound_runs:
            sources.append(_source(folder, sound.path, max(sound_runs, key=lambda each: len(each.segments))))
    return ExportPlan(tuple(sources), sum(segment.duration_us for segment in run.segments) / 1e6)


def _header_bytes(folder: RecordingFolder, variant: str, segments: Sequence[RecordedSegment]) -> dict[int, int]:
    path = folder.variant(variant)
    return {
        number: (path / init_name(number)).stat().st_size
        for number in dict.fromkeys(segment.init_number for segment in segments)
    }


def _source(folder: RecordingFolder, variant: str, run: Run) -> ExportSource:
    """The files of a run, each once."""
    pieces: list[tuple[Path, int, int]] = []
    for piece in run.pieces:
        path = folder.variant(variant) / piece.name
        if pieces and pieces[-1][0] == path and pieces[-1][2] == piece.start:
            pieces[-1] = path, pieces[-1][1], piece.stop
        else:
            pieces.append((path, piece.start, piece.stop))
    if missing := next((path for path, _, _ in pieces if not path.exists()), None):
        raise FileNotFoundError(missing)
    return ExportSource(tuple(pieces))

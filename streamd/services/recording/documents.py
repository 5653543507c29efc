"""The documents beside a recording's media: what it is, and the hash of every file.

Field names are those of Amazon IVS' recording events where it has them; the others are ours. A recording is complete in
its folder: the index in the database can be built anew from these.

Spec: https://docs.aws.amazon.com/ivs/latest/LowLatencyUserGuide/record-to-s3.html (JSON Metadata Files).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from streamd.services.recording.folder import (
    INDEX_NAME,
    PLAYLIST_NAME,
    STORYBOARD_NAME,
    THUMBNAIL_NAME,
    THUMBNAILS_PATH,
)
from streamd.services.whole_file import replace_file

if TYPE_CHECKING:
    from pathlib import Path

# A document of a recording of 12 hours with four renditions has 3,000 files, 0.4 MB.
DOCUMENT_BYTES_MAX = 64 * 1024 * 1024


class RecordingStatus(enum.StrEnum):
    """``recording_status``: how far a recording has come."""

    STARTED = "RECORDING_STARTED"
    ENDED = "RECORDING_ENDED"
    FAILED = "RECORDING_ENDED_WITH_FAILURE"


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A file of a recording that is not written any more."""

    path: str
    """Under the folder of the recording, with slashes."""
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class RecordedRendition:
    """A variant or an audio rendition of a recording, as its newest CMAF header has it."""

    path: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    """Its name, and its folder under ``media/hls``."""
    playlist: str = PLAYLIST_NAME
    codecs: tuple[str, ...] = ()
    """RFC 6381."""
    resolution_width: int = 0
    """Square pixels; 0 for audio."""
    resolution_height: int = 0
    frame_rate_millihertz: int = 0
    """Thousandths of a frame a second; 0 where it is not known."""
    channels: int = 0
    """Channels of audio; 0 for a variant with video."""
    is_alternative: bool = False
    """An audio rendition to play variants with."""


@dataclass(frozen=True, slots=True)
class HlsFacts:
    """``media.hls``: the way to the playlists."""

    duration_ms: int = 0
    path: str = "media/hls"
    playlist: str = INDEX_NAME
    renditions: tuple[RecordedRendition, ...] = ()


@dataclass(frozen=True, slots=True)
class ThumbnailFacts:
    """``media.thumbnails``: the way to the pictures of a recording that has ended."""

    resolution_width: int = 0
    """Width of a picture of the storyboard, pixels."""
    resolution_height: int = 0
    pictures: int = 0
    """Number of pictures of the storyboard; 0 where there was nothing to draw, or nothing that decodes."""
    path: str = THUMBNAILS_PATH
    thumbnail: str = THUMBNAIL_NAME
    storyboard: str = STORYBOARD_NAME


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """``media``."""

    hls: HlsFacts = HlsFacts()
    thumbnails: ThumbnailFacts | None = None
    """None before they are drawn."""


@dataclass(frozen=True, slots=True)
class RecordingDocument:
    """All that is said of a recording."""

    recording_id: str
    channel: str
    """Name of the user, which is the channel's."""
    recording_started_at: datetime
    recording_status: RecordingStatus
    version: Literal["v1"] = "v1"
    recording_ended_at: datetime | None = None
    recording_status_message: str = ""
    """The reason why it failed, or the part that is missing; empty otherwise."""
    media: MediaFacts = field(default_factory=MediaFacts)
    files: tuple[RecordedFile, ...] = ()
    """Every file but the documents; empty while it records."""


_DOCUMENT = TypeAdapter(RecordingDocument)
_FILE = TypeAdapter(RecordedFile)


def write_document(path: Path, document: RecordingDocument) -> None:
    """Write a document in one step.

    Raises:
        OSError: The disk does not take it.
    """
    replace_file(path, _DOCUMENT.dump_json(document, indent=1) + b"\n")


def read_document(path: Path) -> RecordingDocument | None:
    """Read a document; None where there is none, or none that is ours.

    Raises:
        OSError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(DOCUMENT_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    return parse_document(data)


def parse_document(data: bytes) -> RecordingDocument | None:
    """Read the bytes of a document; None where they are none that is ours."""
    try:
        return _DOCUMENT.validate_json(data) if len(data) <= DOCUMENT_BYTES_MAX else None
    except ValidationError:
        return None


def file_line(file: RecordedFile) -> bytes:
    """A line of the list of complete files."""
    return _FILE.dump_json(file) + b"\n"


def read_file_lines(path: Path) -> dict[str, RecordedFile]:
    """The list of complete files, by path; a line that is cut off, or damaged, is passed over.

    Raises:
        OSError: It cannot be read.
    """
    found: dict[str, RecordedFile] = {}
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return found
    for line in data.split(b"\n")[:-1]:
        try:
            file = _FILE.validate_json(line)
        except ValidationError:
            continue
        found[file.path] = file
    return found

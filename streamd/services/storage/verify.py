"""Compares recordings in the bucket with the hashes of their documents, and finds those that the bucket alone has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from streamd.errors import StorageError
from streamd.services.recording.documents import DOCUMENT_BYTES_MAX, parse_document
from streamd.services.recording.folder import RecordingFolder
from streamd.services.recording.verify import FileFault, record_of
from streamd.services.storage.bucket import PART_BYTES
from streamd.services.storage.faults import StorageFault
from streamd.services.storage.left import is_inside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.services.recording.documents import RecordingDocument
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.storage.bucket import Bucket

_END = re.compile(
    r"(?P<path>[^/.][^/]*/\d{4}/\d\d/\d\d/(?P<id>rec_[0-9a-z]{26}))/events/recording-(?:ended|failed)\.json"
)


async def find_stored(bucket: Bucket, directory: Path) -> AsyncIterator[tuple[RecordingRecord, RecordingDocument]]:
    """All recordings of which the bucket has the document of the end, whatever else is in it.

    Args:
        bucket: The bucket.
        directory: The directory of recordings, in which they would lie.

    Raises:
        StorageError: The bucket cannot be read.
    """
    async for path in bucket.paths(""):
        found = _END.fullmatch(path)
        if found is None:
            continue
        document = await _document(bucket, path)
        if document is not None and document.recording_id == found["id"]:
            yield record_of(document, RecordingFolder(directory / found["path"]), directory), document


async def verify_stored(bucket: Bucket, path: str, document: RecordingDocument) -> list[FileFault]:
    """Read every object of a recording, and compare it with the document.

    Args:
        bucket: The bucket.
        path: The folder of the recording, under the prefix.
        document: The document of its end.

    Returns:
        The faults; none for a recording that is whole.

    Raises:
        StorageError: The bucket cannot be read.
    """
    faults = []
    for file in document.files:
        if not is_inside(file.path):
            faults.append(FileFault(file.path, "is no place in a recording"))
            continue
        name = f"{path}/{file.path}"
        try:
            size_bytes = await bucket.size_bytes(name)
            if size_bytes is None:
                faults.append(FileFault(file.path, "is missing in the bucket"))
            elif size_bytes != file.bytes:
                faults.append(FileFault(file.path, f"has {size_bytes} bytes in the bucket in place of {file.bytes}"))
            elif await bucket.sha256(name, size_bytes) != file.sha256:
                faults.append(FileFault(file.path, "has other bytes in the bucket than were written"))
        except StorageError as exc:
            if exc.reason != StorageFault.DAMAGED:
                raise
            faults.append(FileFault(file.path, "cannot be read from the bucket"))
    return faults


async def _document(bucket: Bucket, path: str) -> RecordingDocument | None:
    size_bytes = await bucket.size_bytes(path)
    if not size_bytes or size_bytes > DOCUMENT_BYTES_MAX:
        return None
    pieces = [
        await bucket.read(path, start, min(start + PART_BYTES, size_bytes))
        for start in range(0, size_bytes, PART_BYTES)
    ]
    return parse_document(b"".join(pieces))

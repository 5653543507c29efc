"""The place that keeps recordings beside this machine's disk: a bucket, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streamd.services.recording.records import RecordingRecord


class Elsewhere(Protocol):
    """A place to which recordings go from the disk."""

    is_there: bool
    """Whether there is one."""

    @property
    def delay(self) -> str:
        """The reason why nothing has come there for a while; empty where media comes."""

    def has_ended(self, record: RecordingRecord) -> RecordingRecord:
        """Take a recording whose files are complete; the recording as it is from here on."""

    async def remove(self, record: RecordingRecord) -> bool:
        """Delete all that is there of a recording; whether nothing of it is left. It is called again until then."""

    async def make_room(self, record: RecordingRecord) -> bool:
        """Have the disk of a recording have more space; whether the recording is to stay however little there is."""


class NowhereElse:
    """Recordings lie on the disk alone."""

    is_there = False
    delay = ""

    def has_ended(self, record: RecordingRecord) -> RecordingRecord:
        """It stays as it is."""
        return record

    async def remove(self, record: RecordingRecord) -> bool:
        """There is nothing of it."""
        del record
        return True

    async def make_room(self, record: RecordingRecord) -> bool:
        """Only its deletion makes room."""
        del record
        return False

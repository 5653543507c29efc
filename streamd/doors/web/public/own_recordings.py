"""A broadcaster's own recordings, for their studio: listed, named, shown or hidden, and deleted; nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.json_api import ConflictError, NotFoundError
from streamd.doors.web.models.recordings import OwnRecording, OwnRecordings
from streamd.doors.web.shared_reads import SharedReads
from streamd.errors import RecordingError
from streamd.services.audit.records import Actor, AuditEntry
from streamd.services.bounds.allowance import Allowance
from streamd.services.recording.recording_id import is_recording_id
from streamd.services.recording.records import RecordingFilter, RecordingState

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.doors.web.models.recordings import OwnRecordingChange, OwnRecordingsQuery
    from streamd.services.keys.admission import Admission
    from streamd.services.recording.recorder import Recorder
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.store.page import Page

STUDIO_ACTOR = "studio"
# The page shows some at once, and has a button for more.
PAGE_RECORDINGS = 24
# Each act of a broadcaster is a row of the audit log, which is kept: as many as somebody clicks who tidies up.
ACTS_AT_ONCE_MAX = 30
ACTS_PER_SECOND = 0.5
# Broadcasters whose acts are counted: as many as have sessions.
COUNTED_MAX = 2_048


class TooManyActsError(Exception):
    """A broadcaster changes more than anybody does by hand."""


class OwnRecordingDesk:
    """Does with a recording what its broadcaster may.

    Args:
        recorder: The server's.
        clock: For the audit log, and for the pace of acts.
    """

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._pages = SharedReads(self._read, lambda: recorder.index.edits, clock)
        self._allowances: dict[str, Allowance] = {}

    async def page(self, user: str, query: OwnRecordingsQuery) -> OwnRecordings:
        """A broadcaster's recordings, the newest first.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        page = await self._pages.get((user, query.state, query.before))
        return OwnRecordings(
            recordings=[OwnRecording.of(record) for record in page.items],
            next_before=page.items[-1].id if page.has_more else None,
            is_recorded=self._recorder.is_recorded(user),
            is_off=not self._recorder.may_record(user),
        )

    async def change(self, by: Admission, address: str, recording_id: str, change: OwnRecordingChange) -> OwnRecording:
        """Give a recording of the broadcaster's a title or a visibility.

        Args:
            by: The broadcaster.
            address: Where they are.
            recording_id: Its id.
            change: What to change.

        Raises:
            NotFoundError: They have no such recording.
            TooManyActsError: They change too much.
            StoreUnavailableError: It could not be written.
        """
        record = await self._find(by, recording_id)
        shown = f"visibility {change.visibility.value}" if change.visibility is not None else "title"
        entry = AuditEntry(
            self._clock.now(), STUDIO_ACTOR, "recording.changed", address, user=record.user, key_id=by.key_id,
            stream=record.user, reason=f"{record.id}: {shown}",
        )  # fmt: skip
        changed = await self._recorder.index.change(record.id, entry, title=change.title, visibility=change.visibility)
        return OwnRecording.of(changed)

    async def delete(self, by: Admission, address: str, recording_id: str) -> OwnRecording:
        """Delete a recording of the broadcaster's.

        Args:
            by: The broadcaster.
            address: Where they are.
            recording_id: Its id.

        Raises:
            NotFoundError: They have no such recording.
            ConflictError: It is still recorded, or an operator has pinned it.
            TooManyActsError: They change too much.
            StoreUnavailableError: It could not be written.
        """
        record = await self._find(by, recording_id)
        if record.is_kept:
            raise ConflictError("whoever runs this server has pinned it: ask them")
        try:
            reason = f"{record.id}, by its broadcaster"
            await self._recorder.retention.delete(record, Actor(STUDIO_ACTOR, address), reason)
        except RecordingError as exc:
            raise ConflictError(str(exc)) from exc
        deleted = await self._recorder.index.find(record.id)
        assert deleted is not None, "a deleted recording stays in the index"
        return OwnRecording.of(deleted)

    async def _find(self, by: Admission, recording_id: str) -> RecordingRecord:
        self.spend(by.user)
        record = await self._recorder.index.find(recording_id) if is_recording_id(recording_id) else None
        # Another user's is as none: nobody learns here what others have.
        if record is None or record.user != by.user or record.state is RecordingState.DELETED:
            raise NotFoundError("you have no such recording")
        return record

    def spend(self, user: str) -> None:
        """Count an act of a broadcaster's.

        Raises:
            TooManyActsError: They do too much.
        """
        now = self._clock.monotonic()
        allowance = self._allowances.pop(user, None) or Allowance(ACTS_PER_SECOND, ACTS_AT_ONCE_MAX, now)
        self._allowances[user] = allowance
        while len(self._allowances) > COUNTED_MAX:
            del self._allowances[next(iter(self._allowances))]
        if not allowance.take(now):
            raise TooManyActsError

    async def _read(self, asked: tuple[str, RecordingState | None, str]) -> Page[RecordingRecord]:
        user, state, before = asked
        return await self._recorder.index.page(
            RecordingFilter(user=user, state=state), before=before, limit=PAGE_RECORDINGS
        )

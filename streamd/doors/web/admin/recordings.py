"""The calls of the admin API about recordings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from streamd.doors.web.admin.guards import ACTOR
from streamd.doors.web.json_api import ConflictError, NotFoundError, answer
from streamd.doors.web.models.playback import NO_POLICIES
from streamd.doors.web.models.recordings import (
    DeleteQuery,
    RecordAnswer,
    Recording,
    RecordingChange,
    RecordingPage,
    RecordingPath,
    RecordingQuery,
    RecordRequest,
)
from streamd.doors.web.models.users import UserPath
from streamd.doors.web.openapi import Operation
from streamd.errors import RecordingError, RecordingNotFoundError, RecordingOffError
from streamd.services.audit.records import AuditEntry
from streamd.services.operators.roles import Right
from streamd.services.recording.records import RecordingFilter, RecordingState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from aiohttp import web

    from streamd.clock import Clock
    from streamd.doors.web.admin.playback import PlaybackDesk
    from streamd.services.audit.records import Actor
    from streamd.services.recording.recorder import Recorder
    from streamd.services.recording.records import RecordingRecord


async def _unnoted(_: Collection[AuditEntry]) -> str:
    """Write nothing: there is no audit log."""
    return ""


class RecordingDesk:
    """Lists, changes and deletes recordings, and begins and ends them.

    Args:
        recorder: The server's.
        clock: For the audit log.
        note: Writes rows of the audit log, now or as soon as the store can.
        playback: Decides who may watch one.
    """

    def __init__(
        self,
        recorder: Recorder,
        clock: Clock,
        note: Callable[[Collection[AuditEntry]], Awaitable[str]] = _unnoted,
        playback: PlaybackDesk | None = None,
    ) -> None:
        self._playback = playback
        self._recorder = recorder
        self._clock = clock
        self._note = note

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        one = "/api/v1/recordings/{id}"
        return [
            Operation(
                "GET", "/api/v1/recordings", self.list_recordings, RecordingPage,
                query=RecordingQuery, problems=(503,), right=Right.READ,
            ),
            Operation(
                "GET", one, self.get_recording, Recording, path_model=RecordingPath, problems=(503,), right=Right.READ
            ),
            Operation(
                "PATCH", one, self.change_recording, Recording,
                path_model=RecordingPath, body=RecordingChange, problems=(409, 503), right=Right.RECORDINGS,
            ),
            Operation(
                "DELETE", one, self.delete_recording, Recording,
                path_model=RecordingPath, query=DeleteQuery, problems=(409, 503), right=Right.TAKEDOWN,
            ),
            Operation(
                "POST", "/api/v1/streams/{name}/record", self.record_stream, RecordAnswer,
                path_model=UserPath, body=RecordRequest, problems=(409,), right=Right.STREAMS,
            ),
        ]  # fmt: skip

    def recording_of(self, name: str) -> str:
        """The id of the recording that a channel's broadcast goes into now; empty where it is not recorded."""
        return self._recorder.recording_of(name)

    @property
    def wishes(self) -> Mapping[str, bool]:
        """Users for whom it is decided whether they are recorded."""
        return self._recorder.wishes

    async def wish(self, user: str, *, record: bool | None, reason: str, by: Actor) -> None:
        """Decide whether a user's broadcasts are recorded; None leaves it to the configuration.

        Raises:
            UserNotFoundError: There is no such user.
            StoreUnavailableError: It could not be written.
        """
        said = {True: "recorded", False: "not recorded", None: "recorded as the configuration says"}[record]
        entry = AuditEntry(
            self._clock.now(), by.name, "user.recorded", by.address, user=user, reason=f"{said}. {reason}".rstrip(". ")
        )
        await self._recorder.wish(user, record=record, entry=entry)

    async def forget_user(self, user: str, *, reason: str, by: Actor) -> None:
        """Delete the recordings of a user who is deleted, and the decision over them.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        await self._recorder.forget_user(user, by, reason)

    async def list_recordings(self, _: web.Request, query: RecordingQuery) -> web.Response:
        """List recordings, the newest first."""
        found = RecordingFilter(user=query.user or "", state=query.state)
        page = await self._recorder.index.page(found, before=query.before, limit=query.limit)
        items = [self._recorder.books.newest(each) for each in page.items]
        return answer(RecordingPage.of(replace(page, items=items), self._recorder.options.mode, self._policies))

    async def get_recording(self, request: web.Request) -> web.Response:
        """Show a recording."""
        return answer(Recording.of(await self._find(request), self._policies))

    async def change_recording(self, request: web.Request, body: RecordingChange) -> web.Response:
        """Give a recording a title or a visibility, pin it, or decide who may watch it."""
        record = await self._find(request)
        by = request[ACTOR]
        # A recording is locked before it is shown to more people.
        if "playback" in body.model_fields_set and self._playback is not None:
            if record.state is RecordingState.DELETED:
                raise ConflictError("it is deleted: nobody may watch it")
            await self._playback.decide(record.id, body.playback, reason=body.reason, by=by, of_recording=True)
        if not body.changes_record:
            return answer(Recording.of(record, self._policies))
        changes = ", ".join(
            f"{name} {value}"
            for name, value in body.model_dump(include={"visibility", "keep"}, exclude_none=True, mode="json").items()
        )
        entry = AuditEntry(
            self._clock.now(), by.name, "recording.changed", by.address, user=record.user, stream=record.user,
            reason=f"{record.id}: {changes or 'title'}. {body.reason}".rstrip(". "),
        )  # fmt: skip
        changed = await self._recorder.index.change(
            record.id, entry, title=body.title, visibility=body.visibility, is_kept=body.keep
        )
        return answer(Recording.of(changed, self._policies))

    async def delete_recording(self, request: web.Request, query: DeleteQuery) -> web.Response:
        """Delete a recording: when this is answered, nobody finds it, and its files are gone."""
        record = await self._find(request)
        try:
            await self._recorder.retention.delete(record, request[ACTOR], query.reason)
        except RecordingError as exc:
            raise ConflictError(str(exc)) from exc
        deleted = await self._recorder.index.find(record.id)
        assert deleted is not None
        return answer(Recording.of(deleted))

    async def record_stream(self, request: web.Request, body: RecordRequest) -> web.Response:
        """Record a live stream, or complete its recording."""
        name, by, is_wanted = request.match_info["name"], request[ACTOR], body.action == "start"
        try:
            self._recorder.ask(name, is_wanted=is_wanted)
        except RecordingOffError as exc:
            raise ConflictError(str(exc)) from exc
        except RecordingError as exc:
            raise NotFoundError(str(exc)) from exc
        action = "recording.wanted" if is_wanted else "recording.unwanted"
        await self._note([AuditEntry(self._clock.now(), by.name, action, by.address, stream=name)])
        return answer(RecordAnswer(name=name, recording_id=self._recorder.recording_of(name) or None))

    @property
    def _policies(self) -> Mapping[str, str]:
        """Who may watch the channels and recordings for which that is decided."""
        return self._playback.policies if self._playback is not None else NO_POLICIES

    async def _find(self, request: web.Request) -> RecordingRecord:
        recording_id = request.match_info["id"]
        record = await self._recorder.index.find(recording_id)
        if record is None:
            raise NotFoundError(str(RecordingNotFoundError(recording_id)))
        return self._recorder.books.newest(record)

"""The calls of the admin API about clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs

from streamd.doors.web.admin.guards import ACTOR
from streamd.doors.web.json_api import ConflictError, NotFoundError, answer
from streamd.doors.web.models.clips import ClipChange, ClipPage, ClipPath, ClipQuery, ClipRequest, ClipShown
from streamd.doors.web.models.recordings import DeleteQuery
from streamd.doors.web.openapi import Operation
from streamd.errors import ClipNotFoundError, RecordingNotFoundError
from streamd.services.operators.roles import Right
from streamd.services.recording.clip_records import ClipFilter, ClipMaker

if TYPE_CHECKING:
    from aiohttp import web

    from streamd.doors.web.models.clips import ClipRequest as Request
    from streamd.services.recording.clip_records import Clip
    from streamd.services.recording.clips import Clips
    from streamd.services.recording.recorder import Recorder
    from streamd.services.recording.records import RecordingRecord


class ClipDesk:
    """Makes, lists and deletes clips for operators.

    Args:
        clips: The server's.
        recorder: Has the recordings.
    """

    def __init__(self, clips: Clips, recorder: Recorder) -> None:
        self._clips = clips
        self._recorder = recorder

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        one = "/api/v1/clips/{id}"
        return [
            Operation(
                "POST", "/api/v1/clips", self.make_clip, ClipShown, 201,
                body=ClipRequest, problems=(404, 409, 503), right=Right.RECORDINGS,
            ),
            Operation(
                "GET", "/api/v1/clips", self.list_clips, ClipPage,
                query=ClipQuery, problems=(503,), right=Right.READ,
            ),
            Operation("GET", one, self.get_clip, ClipShown, path_model=ClipPath, problems=(503,), right=Right.READ),
            Operation(
                "PATCH", one, self.change_clip, ClipShown,
                path_model=ClipPath, body=ClipChange, problems=(503,), right=Right.RECORDINGS,
            ),
            Operation(
                "DELETE", one, self.delete_clip, ClipShown,
                path_model=ClipPath, query=DeleteQuery, problems=(503,), right=Right.RECORDINGS,
            ),
        ]  # fmt: skip

    async def make_clip(self, request: web.Request, body: Request) -> web.Response:
        """Make a clip of a recording, or of a broadcast that is being recorded.

        It can be watched when this is answered, and is whole segments: `start_actual` and `end_actual` say which. No
        media is copied, so that no rule deletes its recording from then on. Two clips a second may be made, and 120 at
        once.
        """
        if not self._clips.options.who.may(ClipMaker.OPERATORS):
            raise ConflictError("clips are off: set [clips] who to operators, broadcasters or viewers")
        record = await self._recording(body)
        clip = await self._clips.make(record, body.times, body.title, request[ACTOR])
        return answer(ClipShown.of(clip), status=201, headers={hdrs.LOCATION: f"/api/v1/clips/{clip.id}"})

    async def list_clips(self, _: web.Request, query: ClipQuery) -> web.Response:
        """List clips, the newest first; those that can be watched, where no state is asked for."""
        found = ClipFilter(query.user or "", query.recording or "", query.state)
        return answer(ClipPage.of(await self._clips.index.page(found, before=query.before, limit=query.limit)))

    async def get_clip(self, request: web.Request) -> web.Response:
        """Show a clip."""
        return answer(ClipShown.of(await self._find(request)))

    async def change_clip(self, request: web.Request, body: ClipChange) -> web.Response:
        """Give a clip another title."""
        clip = await self._find(request)
        try:
            return answer(ClipShown.of(await self._clips.rename(clip, request[ACTOR], body.title)))
        except ClipNotFoundError as exc:
            raise NotFoundError(str(exc)) from exc

    async def delete_clip(self, request: web.Request, query: DeleteQuery) -> web.Response:
        """Delete a clip: when this is answered, nobody finds it, and its recording is pinned by it no more."""
        clip = await self._find(request)
        return answer(ClipShown.of(await self._clips.delete(clip, request[ACTOR], query.reason)))

    async def _recording(self, body: Request) -> RecordingRecord:
        if body.stream is not None:
            return await self._clips.recording_of(body.stream)
        assert body.recording is not None
        record = await self._recorder.index.find(body.recording)
        if record is None:
            raise NotFoundError(str(RecordingNotFoundError(body.recording)))
        return record

    async def _find(self, request: web.Request) -> Clip:
        clip_id = request.match_info["id"]
        clip = await self._clips.index.find(clip_id)
        if clip is None:
            raise NotFoundError(str(ClipNotFoundError(clip_id)))
        return clip

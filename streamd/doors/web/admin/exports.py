"""The calls of the admin API about exports of recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from streamd.doors.web.json_api import ConflictError, NotFoundError, answer
from streamd.doors.web.models.exports import ExportRequest, ExportShown
from streamd.doors.web.models.recordings import RecordingPath
from streamd.doors.web.openapi import Operation
from streamd.errors import ExportRefusedError, RecordingNotFoundError
from streamd.services.operators.roles import Right
from streamd.services.recording.records import RecordingState

if TYPE_CHECKING:
    from streamd.services.recording.export_records import Export
    from streamd.services.recording.exports import Exports
    from streamd.services.recording.recorder import Recorder
    from streamd.services.recording.records import RecordingRecord


class ExportDesk:
    """Has recordings exported, and hands out the files.

    Args:
        exports: The server's.
        recorder: Has the recordings.
    """

    def __init__(self, exports: Exports, recorder: Recorder) -> None:
        self._exports = exports
        self._recorder = recorder

    def operations(self) -> list[Operation]:
        """Every call, with its input, its answer and its errors."""
        one = "/api/v1/recordings/{id}/export"
        return [
            Operation(
                "POST", one, self.export_recording, ExportShown, 202,
                path_model=RecordingPath, body=ExportRequest, problems=(404, 409, 503),
                right=Right.RECORDINGS,
            ),
            Operation(
                "GET", one, self.get_export, ExportShown, path_model=RecordingPath, problems=(503,), right=Right.READ
            ),
            Operation(
                "DELETE", one, self.delete_export, ExportShown,
                path_model=RecordingPath, problems=(503,), right=Right.RECORDINGS,
            ),
            Operation(
                "GET", f"{one}.mp4", self.get_export_file, "video/mp4",
                path_model=RecordingPath, problems=(503,), right=Right.RECORDINGS,
            ),
        ]  # fmt: skip

    async def export_recording(self, request: web.Request, body: ExportRequest) -> web.Response:
        """Have a recording made into one progressive MP4, with its index first; nothing is encoded again.

        It is made behind everything else on the machine, one recording at a time. Asking again says how far it has
        come. The file is there for a day, or until the server stops.
        """
        record = await self._find(request)
        try:
            export = await self._exports.make(record, body.variant, body.run)
        except ExportRefusedError as exc:
            raise ConflictError(str(exc)) from exc
        return answer(ExportShown.of(export), status=202)

    async def get_export(self, request: web.Request) -> web.Response:
        """Show how far an export has come."""
        return answer(ExportShown.of(await self._export(request)))

    async def delete_export(self, request: web.Request) -> web.Response:
        """Remove an export and its file; one that is being made ends."""
        export = await self._export(request)
        await self._exports.forget(export.recording_id)
        return answer(ExportShown.of(export))

    async def get_export_file(self, request: web.Request) -> web.StreamResponse:
        """The MP4, with Range."""
        record = await self._find(request)
        path = self._exports.file(record.id)
        if path is None or record.state is RecordingState.DELETED:
            raise NotFoundError(f"{record.id} has no export that is ready")
        name = f"{record.user} {record.started_at:%Y-%m-%d %H.%M}.mp4"
        headers: dict[str, str] = {
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"',
            hdrs.CACHE_CONTROL: "no-store",
        }
        return web.FileResponse(path, headers=headers)

    async def _export(self, request: web.Request) -> Export:
        record = await self._find(request)
        export = self._exports.find(record.id)
        if export is None or record.state is RecordingState.DELETED:
            raise NotFoundError(f"{record.id} has no export")
        return export

    async def _find(self, request: web.Request) -> RecordingRecord:
        recording_id = request.match_info["id"]
        record = await self._recorder.index.find(recording_id)
        if record is None:
            raise NotFoundError(str(RecordingNotFoundError(recording_id)))
        return record

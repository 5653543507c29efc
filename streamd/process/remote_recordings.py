"""Recordings for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.models.exports import ExportShown
from streamd.doors.web.models.recordings import Recording, RecordingPage
from streamd.process.admin_connection import AdminApiError
from streamd.services.keys.request import PAGE_LIMIT_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.process.admin_connection import AdminConnection


class RemoteRecordings:
    """A server's recordings.

    Args:
        connection: To its admin API.
    """

    def __init__(self, connection: AdminConnection) -> None:
        self._connection, self._call = connection, connection.call

    async def list_recordings(self, *, user: str | None, state: str | None) -> list[Recording]:
        """All recordings, or those of a user or in a state, the newest first."""
        found: list[Recording] = []
        chosen = ({"user": user} if user else {}) | ({"state": state} if state else {})
        before: str | None = ""
        while before is not None:
            query = {"before": before, "limit": str(PAGE_LIMIT_MAX)} | chosen
            page = RecordingPage.model_validate_json(await self._call("GET", "/api/v1/recordings", query=query))
            found += page.recordings
            before = page.next_before
        return found

    async def get_recording(self, recording_id: str) -> Recording:
        """One recording."""
        return Recording.model_validate_json(await self._call("GET", f"/api/v1/recordings/{recording_id}"))

    async def delete_recording(self, recording_id: str, *, reason: str) -> Recording:
        """Delete a recording and its files."""
        answer = await self._call("DELETE", f"/api/v1/recordings/{recording_id}", query={"reason": reason})
        return Recording.model_validate_json(answer)

    async def export_recording(self, recording_id: str, *, variant: str, run: int) -> ExportShown:
        """Have a recording made into one MP4."""
        body = {"variant": variant, "run": run}
        answer = await self._call("POST", f"/api/v1/recordings/{recording_id}/export", body)
        return ExportShown.model_validate_json(answer)

    async def get_export(self, recording_id: str) -> ExportShown:
        """How far that has come."""
        return ExportShown.model_validate_json(await self._call("GET", f"/api/v1/recordings/{recording_id}/export"))

    async def fetch_export(self, recording_id: str, write: Callable[[bytes], object]) -> None:
        """Fetch the MP4, a piece at a time, however long that takes.

        Args:
            recording_id: Id of the recording.
            write: Takes each piece; called in a thread.

        Raises:
            AdminUnreachableError: The server does not answer.
            AdminApiError: There is no such file, or the server stopped before its end.
        """
        try:
            await self._connection.fetch(f"/api/v1/recordings/{recording_id}/export.mp4", write)
        except AdminApiError as exc:
            if exc.status == 404:
                raise AdminApiError(404, f"{recording_id} has no export that is ready") from exc
            raise

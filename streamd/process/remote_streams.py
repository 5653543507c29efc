"""Live streams for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.models.streams import Kick, Stream, StreamList

if TYPE_CHECKING:
    from streamd.process.admin_connection import Call


class RemoteStreams:
    """A server's live streams.

    Args:
        call: Asks its admin API.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def list_streams(self) -> list[Stream]:
        """The streams that are live."""
        return StreamList.model_validate_json(await self._call("GET", "/api/v1/streams")).streams

    async def kick(self, name: str, *, reason: str) -> Kick:
        """Close a stream's publisher."""
        return Kick.model_validate_json(await self._call("POST", f"/api/v1/streams/{name}/kick", {"reason": reason}))

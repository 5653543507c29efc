"""The calls about live streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from streamd.doors.web.admin.guards import ACTOR
from streamd.doors.web.described import Described
from streamd.doors.web.json_api import NotFoundError, answer, answer_bytes
from streamd.doors.web.models.common import ReasonRequest
from streamd.doors.web.models.streams import Kick, PreviewTicket, Stream, StreamList
from streamd.doors.web.models.users import UserPath
from streamd.doors.web.openapi import Operation
from streamd.services.keys.records import USER_NAME
from streamd.services.keys.request import checked_reason
from streamd.services.operators.roles import Right

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.doors.web.admin.recordings import RecordingDesk
    from streamd.doors.web.live_streams import LiveStreams
    from streamd.services.keys.service import KeyService


KickElsewhere = Callable[[str], Awaitable[Mapping[str, str] | None]]
"""Closes the publisher of a stream that another node has; returns what became of it by node, or None where none has
it."""


class StreamDesk:
    """Shows them, looks at them and closes their publishers.

    Args:
        streams: The live streams.
        keys: The key service, which writes the audit log.
        clock: For all times.
        recordings: Knows which of them are recorded; None where nothing is.
        preview_ticket: Makes a ticket for a look at a channel that counts as no viewer.
        kick_elsewhere: Closes the publisher of a stream that another node has; None for a server that is alone.
    """

    def __init__(
        self,
        streams: LiveStreams,
        keys: KeyService,
        clock: Clock,
        recordings: RecordingDesk | None,
        preview_ticket: Callable[[str], str],
        kick_elsewhere: KickElsewhere | None = None,
    ) -> None:
        self._kick_elsewhere = kick_elsewhere
        self._streams = streams
        self._keys = keys
        self._recordings = recordings
        self._preview_ticket = preview_ticket
        self._list = Described(clock)

    def operations(self) -> list[Operation]:
        """The calls."""
        return [
            Operation("GET", "/api/v1/streams", self.list_streams, StreamList, right=Right.READ),
            Operation(
                "GET", "/api/v1/streams/{name}", self.get_stream, Stream, path_model=UserPath, right=Right.READ
            ),
            Operation(
                "POST", "/api/v1/streams/{name}/kick", self.kick_stream, Kick,
                path_model=UserPath, body=ReasonRequest, other_answers={202: Kick}, problems=(503,),
                right=Right.KICK,
            ),
            Operation(
                "POST", "/api/v1/streams/{name}/preview", self.preview_stream, PreviewTicket, 201,
                path_model=UserPath, right=Right.READ,
            ),
        ]  # fmt: skip

    async def list_streams(self, _: web.Request) -> web.Response:
        """List the streams that are live now."""
        summaries = self._streams.summaries()
        return answer_bytes(
            self._list.body(
                [(summary.name, summary.key_id) for summary in summaries],
                lambda: StreamList.of(summaries, self._recording_of).model_dump_json().encode(),
            )
        )

    async def get_stream(self, request: web.Request) -> web.Response:
        """Show a live stream."""
        summary = self._streams.summary(request.match_info["name"])
        if summary is None:
            raise _StreamNotLiveError(request.match_info["name"])
        return answer(Stream.of(summary, self._recording_of))

    async def kick_stream(self, request: web.Request, body: ReasonRequest) -> web.Response:
        """Close a stream's publisher.

        Its key stays good: most encoders come back within seconds.
        """
        name = request.match_info["name"]
        reason = checked_reason(body.reason)
        nodes: Mapping[str, str] | None = {}
        # The kick does not wait for the log, which may not take its row before the disk has room again.
        if self._streams.summary(name) is not None:
            kicked = await self._streams.kick(name)
        else:
            nodes = await self._kick_elsewhere(name) if self._kick_elsewhere is not None else None
            if nodes is None:
                raise _StreamNotLiveError(name)
            kicked = True
        unwritten = await self._keys.record_kick(name, reason=reason, by=request[ACTOR])
        kick = Kick(name=name, kicked=kicked, unwritten=unwritten, nodes=nodes or {})
        return answer(kick, status=202 if unwritten else 200)

    async def preview_stream(self, request: web.Request) -> web.Response:
        """Look at a live stream without being counted as a viewer.

        The address is one of the public port, for one connection that begins within a minute.
        """
        name = request.match_info["name"]
        if self._streams.summary(name) is None:
            raise _StreamNotLiveError(name)
        return answer(PreviewTicket(mp4=f"/live/{name}.mp4?preview={self._preview_ticket(name)}"), status=201)

    def _recording_of(self, name: str) -> str:
        return self._recordings.recording_of(name) if self._recordings is not None else ""


class _StreamNotLiveError(NotFoundError):
    def __init__(self, name: str) -> None:
        super().__init__(f"no stream named {name} is live" if USER_NAME.fullmatch(name) else "no such stream is live")

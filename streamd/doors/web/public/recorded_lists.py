"""The public recordings of a channel, for its page: they are there also while the channel is off the air."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from streamd.doors.web.json_api import InvalidRequestError, problem, read_query
from streamd.doors.web.models.recordings import ChannelRecordings, ChannelRecordingsQuery
from streamd.doors.web.models.users import UserPath
from streamd.doors.web.openapi import JSON_TYPE, Operation
from streamd.doors.web.public.forwarded import root_of
from streamd.doors.web.public.web_entrance import TICKET_FIELD, visitor_of
from streamd.doors.web.shared_reads import SharedReads
from streamd.errors import PlaybackRefusedError, StoreUnavailableError
from streamd.services.keys.records import USER_NAME
from streamd.services.playback.claims import Audience
from streamd.services.recording.records import RecordingFilter, Visibility
from streamd.services.store.page import Page

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.services.playback.gate import PlaybackGate
    from streamd.services.recording.recorder import Recorder

# A page of a channel shows some at once, and has a button for more.
PAGE_RECORDINGS = 24
_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    # As the list of live channels: a cache in front may take a crowd.
    hdrs.CACHE_CONTROL: "max-age=1",
    "X-Content-Type-Options": "nosniff",
}


class RecordedLists:
    """Lists what a channel has recorded, for everybody.

    Args:
        recorder: Knows the recordings.
        is_taken_down: Says whether a channel's user is suspended.
        clock: Measures for how long an answer of the index holds.
        root: Path of the viewers' URL of this server, without a slash at the end: addresses begin with it.
        gate: Says who may watch a channel; None where everybody may.
        is_hidden: Says whether a recording was taken down by itself.
    """

    def __init__(
        self,
        recorder: Recorder,
        is_taken_down: Callable[[str], bool],
        clock: Clock,
        root: str = "",
        gate: PlaybackGate | None = None,
        is_hidden: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._is_hidden = is_hidden
        self._gate = gate
        self._root = root
        self._recorder = recorder
        self._is_taken_down = is_taken_down
        self._bodies = SharedReads(self._describe, lambda: recorder.index.edits, clock)

    def operations(self) -> list[Operation]:
        """Its calls, with input, answer and errors."""
        return [
            Operation(
                "GET", "/api/v1/streams/{name}/recordings", self.list_recordings, ChannelRecordings,
                path_model=UserPath, query=ChannelRecordingsQuery, problems=(410, 503), plain_problems=(451,),
                needs_token=False,
            )
        ]  # fmt: skip

    async def list_recordings(self, request: web.Request) -> web.Response:
        """List the public recordings of a channel, the newest first, whether it is live or not.

        Of a channel that is not for everybody they are shown to who may watch it. One that goes on is among them, and
        one that failed once there is something of it to see. A channel without any has an empty list.
        """
        name = request.match_info["name"]
        if not USER_NAME.fullmatch(name):
            return problem(HTTPStatus.NOT_FOUND, "There is no such channel.", headers=_HEADERS)
        if self._is_taken_down(name):
            return problem(HTTPStatus.GONE, "This channel has been taken down.", headers=_HEADERS)
        headers = _HEADERS
        if self._gate is not None:
            self._gate.check_blocked(visitor_of(request).address, name)
        if self._gate is not None and self._gate.is_locked(name):
            # A cache in front must not give a stranger what a viewer was told.
            headers = _HEADERS | {hdrs.VARY: TICKET_FIELD, hdrs.CACHE_CONTROL: "no-store"}
            if not self._may_watch(request, name):
                nothing = ChannelRecordings(recordings=[], next_before=None)
                return web.Response(body=nothing.model_dump_json().encode(), content_type=JSON_TYPE, headers=headers)
        try:
            query = read_query(request, ChannelRecordingsQuery)
            body = await self._bodies.get((name, query.before, root_of(request, self._root)))
        except InvalidRequestError as exc:
            return problem(exc.status, str(exc), exc.errors, headers=_HEADERS)
        except StoreUnavailableError:
            detail = "Recordings cannot be looked up at the moment."
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={**_HEADERS, hdrs.CACHE_CONTROL: "no-store"})
        return web.Response(body=body, content_type=JSON_TYPE, headers=headers)

    def _may_watch(self, request: web.Request, name: str) -> bool:
        ticket = request.headers.get(TICKET_FIELD, "")
        if not ticket or self._gate is None:
            return False
        try:
            self._gate.enter(name, ticket, Audience.VIDEO, visitor_of(request).address, watches=False)
        except PlaybackRefusedError:
            return False
        return True

    async def _describe(self, asked: tuple[str, str, str]) -> bytes:
        name, before, root = asked
        found = RecordingFilter(user=name, visibility=Visibility.PUBLIC)
        page = await self._recorder.index.page(found, before=before, limit=PAGE_RECORDINGS)
        shown = [record for record in page.items if not self._is_hidden(record.id)]
        listed = ChannelRecordings.of(Page(shown, has_more=False), root)
        # The next page begins behind the last of this one, whether that is shown or not.
        if page.has_more:
            listed = listed.model_copy(update={"next_before": page.items[-1].id})
        return listed.model_dump_json().encode()

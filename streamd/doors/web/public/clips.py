"""Clips for viewers: ``/vod/{clip id}/…`` as HLS and as one MP4, and a call by which they make some of their own.

The media of a clip is ranges of the files of its recording, which are sent under the clip's name: its address says
nothing of the recording, and gives nothing of it but the clip. Access to the recording is decided with each
request: a clip of one that is deleted or of a suspended user is gone with it, and one of a private recording is none.
"""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from streamd.doors.delivery.decide import accepts_gzip
from streamd.doors.delivery.entrance import ticketed
from streamd.doors.web.assets import gzipped
from streamd.doors.web.json_api import ForbiddenError, NotFoundError, answer, problem, problems, read_body
from streamd.doors.web.models.clips import ClipFacts, ClipPath, ClipRequest
from streamd.doors.web.openapi import Operation
from streamd.doors.web.public.piecewise import MP4_TYPE, PLAYLIST_TYPE, VIEWING
from streamd.doors.web.public.recorded_playlists import Span
from streamd.doors.web.public.vod import OPEN_CACHE, PUBLIC_HEADERS, absent, unreadable
from streamd.doors.web.request_budget import RequestBudget
from streamd.errors import StorageError, StoreUnavailableError
from streamd.services.audit.records import Actor
from streamd.services.recording.clip_file import render_index, render_media_playlist, run_name, runs_of, times_from_zero
from streamd.services.recording.clip_records import VIEWER, ClipMaker, ClipState
from streamd.services.recording.folder import INDEX_NAME
from streamd.services.recording.recording_id import is_clip_id

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from streamd.clock import Clock
    from streamd.doors.web.public.vod import VodRoutes
    from streamd.services.recording.clip_file import Run
    from streamd.services.recording.clip_records import Clip, ClipRendition
    from streamd.services.recording.clips import Clips
    from streamd.services.recording.recorder import Recorder
    from streamd.services.recording.records import RecordingRecord

HOUR_S: Final = 3600.0
# The index's answer about a clip holds for a moment, as with recordings; a clip is up to 20 kB.
KNOWN_S: Final = 1.0
KNOWN_MAX: Final = 256
LOOK_UPS_MAX: Final = 16
# A segment of a clip in memory.
_SEGMENT_BYTES: Final = 270
GZIP_LEVEL: Final = 1

_ID: Final = "{id:clip_[0-9a-z]*}"


class ClipRoutes:
    """The routes of clips.

    Args:
        clips: The server's.
        vod: Finds their recordings, and sends files.
        recorder: Knows where these are.
        clock: Measures for how long an answer of the index holds, and the pace of viewers.
        is_hidden: Says whether a clip was taken down by itself.
    """

    def __init__(
        self,
        clips: Clips,
        vod: VodRoutes,
        recorder: Recorder,
        clock: Clock,
        is_hidden: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._is_hidden = is_hidden
        self._clips = clips
        self._vod = vod
        self._recorder = recorder
        self._clock = clock
        self._per_hour = clips.options.per_address_per_hour
        self._budget = RequestBudget(self._per_hour / HOUR_S, clock, HOUR_S) if self._per_hour else None
        self._known: dict[str, tuple[float, Clip | None]] = {}
        self._edits = recorder.index.edits
        self._look_ups: dict[str, asyncio.Task[Clip | None]] = {}

    @property
    def held_bytes(self) -> int:
        """Memory of what the index has said, bytes."""
        clips = [clip for _, clip in self._known.values() if clip is not None]
        return _SEGMENT_BYTES * sum(len(each.segments) for clip in clips for each in clip.media.renditions)

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the public application, before those of recordings."""
        add = app.router.add_get
        add(f"/vod/~{{ticket}}/{_ID}.mp4", self._get_mp4)
        add(f"/vod/{_ID}.mp4", self._get_mp4)
        # With a viewer's ticket, before names that could be taken for one.
        for at in (f"/vod/{_ID}/~{{ticket}}", f"/vod/{_ID}"):
            add(f"{at}/{INDEX_NAME}", self._get_index)
            add(f"{at}/{{variant}}.m3u8", self._get_playlist)
            add(f"{at}/{{variant}}/{{file}}", self._get_file)
        add("/api/v1/clips/{id}", self.get_clip)
        app.router.add_post("/api/v1/clips", self.make_clip)

    def operations(self) -> list[Operation]:
        """Its calls, with input, answer and errors."""
        return [
            Operation(
                "POST", "/api/v1/clips", self.make_clip, ClipFacts, 201,
                body=ClipRequest, problems=(401, 404, 409, 503), plain_problems=(451,), needs_token=False,
            ),
            Operation(
                "GET", "/api/v1/clips/{id}", self.get_clip, ClipFacts,
                path_model=ClipPath, problems=(410, 503), needs_token=False,
            ),
        ]  # fmt: skip

    async def find(self, clip_id: str) -> tuple[Clip, RecordingRecord] | HTTPStatus:
        """A clip that the public may see and its recording, or why there is none."""
        if not is_clip_id(clip_id):
            return HTTPStatus.NOT_FOUND
        try:
            clip = await self._look_up(clip_id)
        except StoreUnavailableError:
            return HTTPStatus.SERVICE_UNAVAILABLE
        if clip is None:
            return HTTPStatus.NOT_FOUND
        if clip.state is ClipState.DELETED or self._is_hidden(clip.id):
            return HTTPStatus.GONE
        record = await self._vod.find(clip.recording_id)
        return record if isinstance(record, HTTPStatus) else (clip, record)

    async def _seen(self, request: web.Request) -> tuple[Clip, RecordingRecord] | HTTPStatus:
        """The clip that a request is for, which its viewer may see: whoever may watch the recording.

        Raises:
            PlaybackRefusedError: There is one, and the viewer may not see it.
        """
        found = await self.find(request.match_info["id"])
        if not isinstance(found, HTTPStatus):
            await self._vod.let_in(request, found[1])
        return found

    # -- handlers -----------------------------------------------------------------------------------

    async def get_clip(self, request: web.Request) -> web.StreamResponse:
        """Show a clip: its times, and where it is watched."""
        found = await self.find(request.match_info["id"])
        if isinstance(found, HTTPStatus):
            return _absent(found)
        self._vod.check_blocked(request, found[1])
        shown = ClipFacts.of(found[0], self._vod.root_of(request))
        return answer(shown, headers={**PUBLIC_HEADERS, hdrs.CACHE_CONTROL: OPEN_CACHE})

    async def _get_index(self, request: web.Request) -> web.StreamResponse:
        """The multivariant playlist."""
        found = await self._seen(request)
        if isinstance(found, HTTPStatus):
            return _absent(found)
        viewing, text = request.get(VIEWING), render_index(found[0].media)
        if viewing is not None and "ticket" not in request.match_info:
            text = ticketed(text, viewing)
        return _playlist(request, text)

    async def _get_playlist(self, request: web.Request) -> web.StreamResponse:
        """The media playlist of a rendition."""
        found = await self._seen(request)
        if isinstance(found, HTTPStatus):
            return _absent(found)
        rendition = _rendition(found[0], request.match_info["variant"])
        if rendition is None:
            return _absent(HTTPStatus.NOT_FOUND)
        return _playlist(request, render_media_playlist(rendition).encode())

    async def _get_file(self, request: web.Request) -> web.StreamResponse:
        """The media of a rendition, as it was recorded."""
        found = await self._seen(request)
        if isinstance(found, HTTPStatus):
            return _absent(found)
        rendition = _rendition(found[0], request.match_info["variant"])
        for number, run in enumerate(runs_of(rendition) if rendition is not None else ()):
            if rendition is not None and request.match_info["file"] == run_name(number):
                return await self._send(request, *found, self._spans(found[1], rendition, run))
        return _absent(HTTPStatus.NOT_FOUND)

    async def _get_mp4(self, request: web.Request) -> web.StreamResponse:
        """All of a rendition as one MP4 whose times begin at 0."""
        found = await self._seen(request)
        if isinstance(found, HTTPStatus):
            return _absent(found)
        clip, record = found
        first = clip.media.renditions[0].facts.path if clip.media.renditions else ""
        rendition = _rendition(clip, request.query.get("variant", first))
        runs = runs_of(rendition) if rendition is not None else ()
        chosen = request.query.get("run", "0" if len(runs) == 1 else "")
        if rendition is None or not (
            chosen.isascii() and chosen.isdigit() and len(chosen) < 5 and int(chosen) < len(runs)
        ):
            detail = f"The encoder changed its tracks: ask for one of the {len(runs)} pieces with ?run=0 and up."
            return _absent(HTTPStatus.CONFLICT, detail) if runs else _absent(HTTPStatus.NOT_FOUND)
        run = runs[int(chosen)]
        folder = self._recorder.folder(record).variant(rendition.facts.path)
        spans: Sequence[Span | bytes] = self._spans(record, rendition, run)
        changes: list[tuple[int, bytes]] = []
        try:
            try:
                changes = await self._recorder.read(lambda: times_from_zero(run, folder))
            except FileNotFoundError:
                # The media is in the bucket: players are told where to begin, as its parts are not looked through.
                spans = await self._vod.from_zero(record, self._spans(record, rendition, run))
        except (OSError, StorageError) as exc:
            return unreadable(exc)
        name = f"{clip.user} {clip.began_at:%Y-%m-%d %H.%M.%S}.mp4"
        disposition: dict[str, str] = {hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"'}
        return await self._send(request, clip, record, spans, disposition, changes)

    async def make_clip(self, request: web.Request) -> web.StreamResponse:
        """Make a clip of a recording, or of a broadcast that is being recorded, where viewers may: `[clips] who`.

        It can be watched when this is answered, and is whole segments: `start_actual` and `end_actual` say which.
        """
        return await problems(request, self._make)

    async def _make(self, request: web.Request) -> web.StreamResponse:
        if not self._clips.options.who.may(ClipMaker.VIEWERS):
            raise ForbiddenError("viewers make no clips on this server")
        asked = await read_body(request, ClipRequest)
        if asked.recording is not None:
            recording_id = asked.recording
        else:
            assert asked.stream is not None
            recording_id = (await self._clips.recording_of(asked.stream)).id
        record = await self._vod.find(recording_id)
        if record is HTTPStatus.SERVICE_UNAVAILABLE:
            raise StoreUnavailableError("recordings cannot be looked up")
        if isinstance(record, HTTPStatus):
            raise NotFoundError("There is no such recording.")
        await self._vod.let_in(request, record)
        address = request.remote or ""
        if not self._spend(address):
            return problem(
                429,
                f"{self._per_hour} clips an hour are made for an address ([clips] per_address_per_hour)",
                headers={hdrs.RETRY_AFTER: str(round(HOUR_S / max(self._per_hour, 1)))},
            )
        clip = await self._clips.make(record, asked.times, asked.title, Actor(VIEWER, address))
        root = self._vod.root_of(request)
        return answer(ClipFacts.of(clip, root), status=201, headers={hdrs.LOCATION: f"{root}/api/v1/clips/{clip.id}"})

    # -- inside -------------------------------------------------------------------------------------

    def _spend(self, address: str) -> bool:
        per_hour = self._clips.options.per_address_per_hour
        if per_hour != self._per_hour:
            self._per_hour = per_hour
            if self._budget is not None and per_hour:
                self._budget.configure(per_hour / HOUR_S)
            else:
                self._budget = RequestBudget(per_hour / HOUR_S, self._clock, HOUR_S) if per_hour else None
        return self._budget is not None and self._budget.spend(address)

    def _spans(self, record: RecordingRecord, rendition: ClipRendition, run: Run) -> list[Span]:
        folder = self._recorder.folder(record).variant(rendition.facts.path)
        return [Span(folder / piece.name, piece.start, piece.stop) for piece in run.pieces]

    async def _send(
        self,
        request: web.Request,
        clip: Clip,
        record: RecordingRecord,
        spans: Sequence[Span | bytes],
        more: dict[str, str] | None = None,
        changes: Sequence[tuple[int, bytes]] = (),
    ) -> web.StreamResponse:
        async def is_gone() -> bool:
            found = await self.find(clip.id)
            return isinstance(found, HTTPStatus) and found is not HTTPStatus.SERVICE_UNAVAILABLE

        return await self._vod.send(
            request, spans, MP4_TYPE, record, more, tag=clip.id, is_gone=is_gone, edit=_editor(changes)
        )

    async def _look_up(self, clip_id: str) -> Clip | None:
        """Ask the index, once for all who ask for the same; what it said a moment ago is said again.

        Raises:
            StoreUnavailableError: It could not be asked, or is asked too much.
        """
        if self._edits != self._recorder.index.edits:
            # A clip that somebody has deleted is gone at once.
            self._edits = self._recorder.index.edits
            self._known.clear()
        known_at, clip = self._known.get(clip_id, (float("-inf"), None))
        if self._clock.monotonic() - known_at <= KNOWN_S:
            return clip
        key = f"{clip_id} {self._edits}"
        task = self._look_ups.get(key)
        if task is None:
            if len(self._look_ups) >= LOOK_UPS_MAX:
                raise StoreUnavailableError(f"{LOOK_UPS_MAX} clips are being looked up already")
            task = self._look_ups[key] = asyncio.create_task(self._ask(clip_id))
            task.add_done_callback(lambda done: self._end_look_up(key, done))
        return await asyncio.shield(task)

    async def _ask(self, clip_id: str) -> Clip | None:
        edits = self._recorder.index.edits
        clip = await self._clips.index.find(clip_id)
        if edits == self._recorder.index.edits:
            self._known.pop(clip_id, None)
            while len(self._known) >= KNOWN_MAX:
                del self._known[next(iter(self._known))]
            self._known[clip_id] = self._clock.monotonic(), clip
        return clip

    def _end_look_up(self, key: str, task: asyncio.Task[Clip | None]) -> None:
        del self._look_ups[key]
        if not task.cancelled():
            # It is read: all who asked may have left.
            task.exception()


def _rendition(clip: Clip, name: str) -> ClipRendition | None:
    return next((each for each in clip.media.renditions if each.facts.path == name), None)


def _editor(
    changes: Sequence[tuple[int, bytes]],
) -> Callable[[AsyncGenerator[bytes | memoryview], int], AsyncGenerator[bytes | memoryview]] | None:
    """Put other bytes into what is sent, by their places in the file; None where there are none."""
    if not changes:
        return None

    async def edit(pieces: AsyncGenerator[bytes | memoryview], start: int) -> AsyncGenerator[bytes | memoryview]:
        at = start
        number = 0
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                end = at + len(piece)
                while number < len(changes) and changes[number][0] + len(changes[number][1]) <= at:
                    number += 1
                edited = None
                upcoming = number
                while upcoming < len(changes) and changes[upcoming][0] < end:
                    place, data = changes[upcoming]
                    edited = edited if edited is not None else bytearray(piece)
                    # A number may lie on the edge of two pieces.
                    first, last = max(place, at), min(place + len(data), end)
                    edited[first - at : last - at] = data[first - place : last - place]
                    upcoming += 1
                yield piece if edited is None else bytes(edited)
                at = end

    return edit


def _playlist(request: web.Request, data: bytes) -> web.Response:
    caching = OPEN_CACHE if request.get(VIEWING) is None else f"private, {OPEN_CACHE}"
    headers = {**PUBLIC_HEADERS, hdrs.CACHE_CONTROL: caching, hdrs.VARY: hdrs.ACCEPT_ENCODING}
    if accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        data = gzipped(data, GZIP_LEVEL)
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=data, content_type=PLAYLIST_TYPE, headers=headers)


def _absent(status: HTTPStatus, detail: str = "") -> web.Response:
    told = {
        HTTPStatus.NOT_FOUND: "There is no such clip.",
        HTTPStatus.GONE: "This clip has been taken down.",
        HTTPStatus.SERVICE_UNAVAILABLE: "Clips cannot be looked up at the moment.",
    }
    return absent(status, detail or told.get(status, ""))

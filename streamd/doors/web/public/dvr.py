"""The past of live streams for viewers: playlists and media below ``/live/{name}/dvr/``.

Playlists are made of what the loop knows of a recording that goes on, and media are ranges of its files. Who may see
the live stream may see its past: a suspension makes both dark at once, and what is being sent ends.

Spec: rfc8216bis-22 section 6.2.5 (delivery directives).
"""

from __future__ import annotations

import asyncio
import gzip
import re
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO, Final

from aiohttp import hdrs, web

from streamd.doors.delivery.byte_range import UnsatisfiableRangeError
from streamd.doors.delivery.decide import accepts_gzip
from streamd.doors.delivery.entrance import ticketed
from streamd.doors.web.public.piecewise import (
    MP4_TYPE,
    PLAYLIST_TYPE,
    VIEWING,
    PiecewiseAnswers,
    answered_range,
    file_pieces,
)
from streamd.doors.web.public.web_entrance import Cut, visitor_of
from streamd.doors.web.slices import slices
from streamd.errors import DirectiveError, LocalStateError
from streamd.formats.address import source_of
from streamd.formats.hls.directives import parse_directives
from streamd.media.packager.reload import Position, ReloadVerdict, decide_reload
from streamd.services.live.waiters import Awaited
from streamd.services.playback.claims import Audience
from streamd.services.playback.refusal import Refusal
from streamd.services.recording.folder import INDEX_NAME, PLAYLIST_NAME, init_name, media_name

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable
    from pathlib import Path

    from streamd.doors.web.public.media import MediaTimeouts
    from streamd.doors.web.public.piecewise import Pieces
    from streamd.doors.web.public.web_entrance import WebEntrance
    from streamd.services.metrics import Metrics
    from streamd.services.recording.past import Past, Pasts
    from streamd.services.recording.past_playlist import PastText
    from streamd.services.recording.recorder import Recorder

_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}
_PLAYLIST_CACHE: Final = "max-age=1"
# A range of a media file never changes; what is taken down is gone from caches in a minute.
_MEDIA_CACHE: Final = "max-age=60"
# Playlists that viewers have asked for, by variant: those of the streams that are looked back at now.
KEPT_MAX: Final = 64
# 6.2.5.2: a request is held for three target durations at most.
_HELD_TARGETS: Final = 3
_VARIANT: Final = re.compile(r"[a-z0-9_-]{1,64}")
_FILE: Final = re.compile(r"(?P<media>\d{6,9})\.m4s|init(?P<init>\d{1,9})\.mp4")


@dataclass
class _Kept:
    """The playlists of a variant, as they are until the next segment."""

    edge: tuple[int, bool]
    text: PastText
    gzipped: asyncio.Task[bytes] | None = None
    delta: tuple[bytes, bytes] | None = None
    """As text, and compressed."""

    @property
    def held_bytes(self) -> int:
        """Memory of what was made for viewers; the pieces of the text are the past's."""
        is_packed = self.gzipped is not None and self.gzipped.done() and not self.gzipped.cancelled()
        packed = self.gzipped.result() if self.gzipped is not None and is_packed else b""
        return len(packed) + (sum(map(len, self.delta)) if self.delta is not None else 0)


class DvrRoutes:
    """The routes of the past.

    Args:
        pasts: The past of every stream.
        recorder: Reads files in a thread.
        is_taken_down: Says whether a channel is dark.
        is_hidden: Says whether a recording was taken down by itself.
        metrics: Counted into.
        timeouts: Times after which a viewer's connection is closed; asked for with each answer.
        entrance: Asks who may watch; None: everybody.
    """

    def __init__(
        self,
        *,
        pasts: Pasts,
        recorder: Recorder,
        is_taken_down: Callable[[str], bool],
        metrics: Metrics,
        timeouts: Callable[[], MediaTimeouts],
        is_hidden: Callable[[str], bool] = lambda _: False,
        entrance: WebEntrance | None = None,
    ) -> None:
        self._is_hidden = is_hidden
        self._entrance = entrance
        self._pasts = pasts
        self._recorder = recorder
        self._is_taken_down = is_taken_down
        self._answers = PiecewiseAnswers("dvr", metrics, timeouts, recorder.watched, entrance)
        # The one that was asked for last stands last.
        self._kept: dict[tuple[str, str], _Kept] = {}

    @property
    def held_bytes(self) -> int:
        """Memory of playlists that are kept for viewers to come, bytes."""
        return sum(kept.held_bytes for kept in self._kept.values())

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the public application."""
        add = app.router.add_get
        # With a viewer's ticket, behind the channel as the page has it, or where the multivariant playlist puts it.
        for at in ("/live/{name}/~{ticket}/dvr", "/live/{name}/dvr/~{ticket}", "/live/{name}/dvr"):
            add(f"{at}/{INDEX_NAME}", self._get_index)
            add(f"{at}/{{variant}}.m3u8", self._get_playlist)
            add(f"{at}/{{id}}/{{variant}}/{{file}}", self._get_file)

    def past_of(self, name: str) -> Past | None:
        """What viewers of a channel can go back to."""
        return self._pasts.find(name)

    # -- handlers ---------------------------------------------------------------------------------

    async def _get_index(self, request: web.Request) -> web.StreamResponse:
        """The multivariant playlist."""
        past = await self._find(request)
        if isinstance(past, HTTPStatus):
            return _absent(past)
        index = past.folder.index
        try:
            text = await self._recorder.read(lambda: index.read_text(errors="replace"))
        except OSError:
            return _absent(HTTPStatus.NOT_FOUND)
        playlist = text.replace(f"/{PLAYLIST_NAME}", ".m3u8").encode()
        viewing = request.get(VIEWING)
        if viewing is not None and "ticket" not in request.match_info:
            playlist = ticketed(playlist, viewing)
        return await self._send_text(request, past, playlist)

    async def _get_playlist(self, request: web.Request) -> web.StreamResponse:
        """The media playlist of a variant, once it has what is asked for."""
        past = await self._find(request)
        variant = request.match_info["variant"]
        if isinstance(past, HTTPStatus):
            return _absent(past)
        playlist = past.playlists.get(variant)
        if playlist is None or not playlist.duration_us:
            return _absent(HTTPStatus.NOT_FOUND)
        try:
            directives = parse_directives(request.query_string)
        except DirectiveError as exc:
            return _absent(HTTPStatus.BAD_REQUEST, str(exc))
        verdict = decide_reload(directives, playlist.edge)
        if verdict is ReloadVerdict.BAD_REQUEST:
            return _absent(HTTPStatus.BAD_REQUEST, "The playlist is not that far.")
        if isinstance(verdict, Position):
            if not await self._wait(request, past, variant, verdict):
                return _absent(HTTPStatus.SERVICE_UNAVAILABLE, "The next segment has not come.")
            # Much may have been decided meanwhile.
            if self._is_taken_down(past.name) or self._is_hidden(past.id):
                return _absent(HTTPStatus.GONE)
            if past.id not in self._pasts:
                return _absent(HTTPStatus.NOT_FOUND)
            await self._let_in(request)
        kept = self._keep(past, variant)
        if directives.skip and not playlist.is_ended and (delta := self._delta(past, variant, kept)) is not None:
            return await self._send_text(request, past, *delta)
        if not accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            return await self._send_playlist(request, past, kept.text.size_bytes, kept.text.unpacked())
        if kept.gzipped is None:
            # Once for all who come before the next segment.
            kept.gzipped = asyncio.create_task(self._pack(kept.text))
        packed = await asyncio.shield(kept.gzipped)
        return await self._send_playlist(request, past, len(packed), slices(packed), is_packed=True)

    async def _get_file(self, request: web.Request) -> web.StreamResponse:
        """A range of a media file, or a CMAF header."""
        name, variant = request.match_info["name"], request.match_info["variant"]
        if self._is_taken_down(name):
            return _absent(HTTPStatus.GONE)
        await self._let_in(request)
        if self._is_hidden(request.match_info["id"]):
            return _absent(HTTPStatus.GONE)
        past = self._pasts.get(name, request.match_info["id"])
        found = _FILE.fullmatch(request.match_info["file"])
        if past is None or found is None or not _VARIANT.fullmatch(variant):
            return _absent(HTTPStatus.NOT_FOUND)
        if found["media"] is not None:
            if not past.may_be_read(variant, int(found["media"])):
                return _absent(HTTPStatus.NOT_FOUND)
            file_name = media_name(int(found["media"]))
        else:
            file_name = init_name(int(found["init"]))
        path = past.folder.variant(variant) / file_name
        try:
            with await self._recorder.read(partial(_open, path)) as file:
                size_bytes = await self._recorder.read(lambda: path.stat().st_size)
                return await self._send_file(request, past, file, size_bytes)
        except FileNotFoundError:
            if past.is_ended:
                # It lies in the bucket by now, where there is one, and is the recording's.
                up = "../" * (request.path.count("/") - 1)
                at = f"{past.id}/{self._lent(request, past)}{variant}/{file_name}"
                place: dict[str, str] = {hdrs.LOCATION: f"{up}vod/{at}", hdrs.CACHE_CONTROL: "no-store"}
                return web.Response(status=HTTPStatus.FOUND, headers={**_HEADERS, **place})
            return _absent(HTTPStatus.NOT_FOUND)
        except OSError:
            return _absent(HTTPStatus.NOT_FOUND)

    # -- inside -------------------------------------------------------------------------------------

    async def _find(self, request: web.Request) -> Past | HTTPStatus:
        """The past that a request is for, which its viewer may see, or why there is none.

        Raises:
            PlaybackRefusedError: The viewer may not see it.
        """
        name = request.match_info["name"]
        if self._is_taken_down(name):
            return HTTPStatus.GONE
        await self._let_in(request)
        past = self._pasts.find(name)
        if past is None:
            return HTTPStatus.NOT_FOUND
        if self._is_hidden(past.id):
            return HTTPStatus.GONE
        if self._entrance is not None:
            self._entrance.gate.check_blocked(visitor_of(request).address, past.id)
        return past

    async def _let_in(self, request: web.Request) -> None:
        if self._entrance is not None:
            watches = request.path.endswith(".m3u8")
            part = request.match_info.get("id", "")
            viewing = request[VIEWING] = await self._entrance.let_in(
                request, request.match_info["name"], Audience.VIDEO, part=part, watches=watches
            )
            if viewing is not None and not viewing.ticket.may_go_back:
                raise self._entrance.gate.refused(Refusal.FORBIDDEN)

    def _lent(self, request: web.Request, past: Past) -> str:
        """The folder of a ticket for the recording, where a viewer was let into its channel by one of that."""
        viewing = request.get(VIEWING)
        if viewing is None or self._entrance is None:
            return ""
        gate = self._entrance.gate
        if past.id in gate.policies.rules:
            # A policy of the recording alone is shown there.
            return ""
        return f"~{gate.lend(viewing, past.id)}/"

    async def _wait(self, request: web.Request, past: Past, variant: str, position: Position) -> bool:
        """Wait for a segment; whether the playlist is to be sent as it is then."""
        waiters = past.waiters
        if waiters.is_closed:
            # The server stops, and the next one goes on: a player that is shown the playlist as it is comes back.
            return True
        source = source_of(request.remote or "unknown")
        if not waiters.budget.may_wait(source):
            return False
        timeout_s = _HELD_TARGETS * past.playlists[variant].target_duration_s
        viewing = request.get(VIEWING)
        has_come = False
        cut = Cut()
        if viewing is not None:
            viewing.hold(cut)
        try:
            async with cut:
                has_come = await waiters.wait(Awaited(variant, position), timeout_s, source)
        except LocalStateError:
            return False
        finally:
            if viewing is not None:
                viewing.let_go(cut)
        if cut.refusal is not None and self._entrance is not None:
            raise self._entrance.gate.refused(cut.refusal)
        return has_come

    def _keep(self, past: Past, variant: str) -> _Kept:
        """The playlists of a variant at this moment, made once for all who ask before the next segment."""
        playlist = past.playlists[variant]
        edge = playlist.last_msn, playlist.is_ended
        kept = self._kept.pop((past.id, variant), None)
        if kept is None or kept.edge != edge:
            for key in [key for key in self._kept if key[0] not in self._pasts]:
                del self._kept[key]
            kept = _Kept(edge, playlist.full())
        while len(self._kept) >= KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[past.id, variant] = kept
        return kept

    def _delta(self, past: Past, variant: str, kept: _Kept) -> tuple[bytes, bytes] | None:
        if kept.delta is None and (text := past.playlists[variant].delta()) is not None:
            kept.delta = text, gzip.compress(text, mtime=0)
        return kept.delta

    async def _pack(self, text: PastText) -> bytes:
        return await self._recorder.read(text.gzipped)

    async def _send_text(
        self, request: web.Request, past: Past, text: bytes, packed: bytes | None = None
    ) -> web.StreamResponse:
        if packed is not None and accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
            return await self._send_playlist(request, past, len(packed), slices(packed), is_packed=True)
        return await self._send_playlist(request, past, len(text), slices(text))

    async def _send_playlist(
        self,
        request: web.Request,
        past: Past,
        size_bytes: int,
        pieces: Iterable[bytes | memoryview],
        *,
        is_packed: bool = False,
    ) -> web.StreamResponse:
        headers: dict[str, str] = {
            **_HEADERS,
            hdrs.CONTENT_TYPE: PLAYLIST_TYPE,
            hdrs.CACHE_CONTROL: _caching(request, _PLAYLIST_CACHE),
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
        }
        if is_packed:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        response = web.StreamResponse(headers=headers)
        response.content_length = size_bytes

        async def each() -> AsyncGenerator[bytes | memoryview]:
            for piece in pieces:
                yield piece

        return await self._stream(request, response, each(), past)

    async def _send_file(self, request: web.Request, past: Past, file: BinaryIO, size_bytes: int) -> web.StreamResponse:
        headers: dict[str, str] = {
            **_HEADERS,
            hdrs.CONTENT_TYPE: MP4_TYPE,
            hdrs.ACCEPT_RANGES: "bytes",
            hdrs.CACHE_CONTROL: _caching(request, _MEDIA_CACHE),
        }
        try:
            start, stop, status = answered_range(request, size_bytes, headers)
        except UnsatisfiableRangeError:
            return _absent(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = stop - start
        return await self._stream(request, response, file_pieces(self._recorder.read, file, start, stop), past)

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, pieces: Pieces, past: Past
    ) -> web.StreamResponse:
        """Send an answer a piece at a time, for as long as the past may be seen."""

        async def is_gone() -> bool:
            return self._is_taken_down(past.name) or self._is_hidden(past.id) or past.id not in self._pasts

        return await self._answers.send(
            request, response, pieces, recording_id=past.id, owner=past.name, locked=(past.name, ""), is_gone=is_gone
        )


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _caching(request: web.Request, age: str) -> str:
    """For how long an answer may be kept, and where: what not everybody may see is kept by its viewer alone."""
    return f"private, {age}" if request.get(VIEWING) is not None else age


def _absent(status: HTTPStatus, detail: str = "") -> web.Response:
    told = {
        HTTPStatus.NOT_FOUND: "There is no such past of a live stream.",
        HTTPStatus.GONE: "This channel has been taken down.",
    }
    return web.json_response(
        {"title": status.phrase, "status": status.value, "detail": detail or told.get(status, status.phrase)},
        status=status,
        headers={**_HEADERS, hdrs.CACHE_CONTROL: _PLAYLIST_CACHE},
        content_type="application/problem+json",
    )

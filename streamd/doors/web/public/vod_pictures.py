"""The pictures of recordings: ``/vod/{id}/poster.jpg``, and the storyboard that a player shows while a viewer seeks."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from streamd.doors.web.public.vod import absent, unreadable
from streamd.errors import StorageError
from streamd.services.playback.claims import Audience
from streamd.services.recording.folder import STORYBOARD_NAME, THUMBNAIL_NAME, sheet_name

if TYPE_CHECKING:
    from aiohttp import web

    from streamd.doors.web.public.vod import VodRoutes

JPEG_TYPE: Final = "image/jpeg"
VTT_TYPE: Final = "text/vtt; charset=utf-8"


class VodPictures:
    """The routes of a recording's pictures.

    Args:
        vod: Finds recordings, and sends files.
    """

    def __init__(self, vod: VodRoutes) -> None:
        self._vod = vod

    def add_to(self, app: web.Application) -> None:
        """Add the routes to the public application."""
        for at in ("/vod/{id}/~{ticket}", "/vod/{id}"):
            app.router.add_get(f"{at}/poster.jpg", self._get_poster)
            app.router.add_get(f"{at}/{STORYBOARD_NAME}", self._get_storyboard)
            app.router.add_get(at + r"/storyboard-{number:\d{1,4}}.jpg", self._get_sheet)

    async def _get_poster(self, request: web.Request) -> web.StreamResponse:
        """A picture of the recording, from its middle."""
        return await self._send(request, THUMBNAIL_NAME, JPEG_TYPE, Audience.THUMBNAIL)

    async def _get_storyboard(self, request: web.Request) -> web.StreamResponse:
        """The times of the storyboard's pictures, as WebVTT."""
        return await self._send(request, STORYBOARD_NAME, VTT_TYPE, Audience.STORYBOARD)

    async def _get_sheet(self, request: web.Request) -> web.StreamResponse:
        """A sheet of the storyboard."""
        return await self._send(request, sheet_name(int(request.match_info["number"])), JPEG_TYPE, Audience.STORYBOARD)

    async def _send(self, request: web.Request, name: str, media_type: str, wanted: Audience) -> web.StreamResponse:
        record = await self._vod.seen(request, wanted)
        if isinstance(record, HTTPStatus):
            return absent(record)
        try:
            picture = await self._vod.picture(record, name)
        except OSError:
            return absent(HTTPStatus.NOT_FOUND, "This recording has no such picture.")
        except StorageError as exc:
            return unreadable(exc)
        return await self._vod.send(request, [picture], media_type, record)

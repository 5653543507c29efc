"""``/live/{name}/poster.jpg``: the picture of a channel, which pages show before it plays."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import ETag, hdrs, web

from streamd.doors.delivery.answer import Absence
from streamd.errors import PostersBusyError
from streamd.services.playback.claims import Audience
from streamd.services.posters.posters import RENEW_AFTER_S

if TYPE_CHECKING:
    from streamd.doors.delivery.channels import PublicChannels
    from streamd.doors.web.public.web_entrance import WebEntrance
    from streamd.services.metrics import Metrics
    from streamd.services.playback.viewing import Viewing
    from streamd.services.posters.posters import Posters

# A page shows it beside others, and a network that unfurls a link fetches it from anywhere.
_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}
# Seconds in which no newer one is drawn.
_FRESH: Final = f"public, max-age={RENEW_AFTER_S:.0f}"
_LOCKED: Final = f"private, max-age={RENEW_AFTER_S:.0f}"
# A stream that has just begun has a picture a moment later.
_ABSENT: Final = "max-age=1"


class PosterRoutes:
    """The route of poster pictures.

    Args:
        channels: Finds the channel of a name.
        posters: Draws.
        metrics: Counted into.
        entrance: Asks who may see them; None: everybody.
    """

    def __init__(
        self,
        *,
        channels: PublicChannels,
        posters: Posters,
        metrics: Metrics,
        entrance: WebEntrance | None = None,
    ) -> None:
        self._entrance = entrance
        self._channels = channels
        self._posters = posters
        self._metrics = metrics

    def add_to(self, app: web.Application) -> None:
        """Add the route to the public application, before those of media."""
        app.router.add_get("/live/{name}/poster.jpg", self._get)
        app.router.add_get("/live/{name}/~{ticket}/poster.jpg", self._get)

    async def _get(self, request: web.Request) -> web.Response:
        response = await self._find(request)
        self._metrics.viewing.http_responses_total.labels("poster", str(response.status)).inc()
        if request.method == "GET":
            self._metrics.viewing.http_egress_bytes_total.inc(response.content_length or 0)
        return response

    async def _find(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        channel = self._channels.find(name)
        if isinstance(channel, Absence):
            return _refusal(channel.value)
        viewing: Viewing | None = None
        if self._entrance is not None:
            viewing = await self._entrance.let_in(request, name, Audience.THUMBNAIL)
        try:
            poster = await self._posters.find(channel)
        except PostersBusyError:
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, {hdrs.RETRY_AFTER: f"{RENEW_AFTER_S:.0f}"})
        # The channel may have been taken down or locked meanwhile, and the viewer be let in no more.
        if self._channels.find(name) is Absence.TAKEN_DOWN:
            return _refusal(HTTPStatus.GONE)
        if self._entrance is not None:
            self._entrance.check_still(viewing, name)
        if poster is None:
            return _refusal(HTTPStatus.NOT_FOUND)
        fields = {**_HEADERS, hdrs.CACHE_CONTROL: _FRESH if viewing is None else _LOCKED, hdrs.ETAG: f'"{poster.etag}"'}
        wanted = request.if_match
        if wanted is not None and not any(tag.value in (poster.etag, ETag("*").value) for tag in wanted):
            return web.Response(status=HTTPStatus.PRECONDITION_FAILED, headers=fields)
        # RFC 9110 13.1.2: "*" matches any content.
        if any(tag.value in (poster.etag, ETag("*").value) for tag in request.if_none_match or ()):
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=fields)
        return web.Response(body=poster.jpeg, content_type="image/jpeg", headers=fields)


def _refusal(status: HTTPStatus, more: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, headers={**_HEADERS, hdrs.CACHE_CONTROL: _ABSENT, **(more or {})})

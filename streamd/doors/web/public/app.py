"""The public port: media, the viewer's pages, and the live channels as JSON. No key, key id or admin fact is here."""

from __future__ import annotations

import functools
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from streamd import __version__
from streamd.doors.delivery.answer import Absence
from streamd.doors.delivery.decide import accepts_gzip
from streamd.doors.web.assets import gzipped
from streamd.doors.web.described import Described
from streamd.doors.web.headers import harden
from streamd.doors.web.models.channels import Channel as ShownChannel
from streamd.doors.web.models.channels import ChannelList, ChannelProblem, ChannelQuery
from streamd.doors.web.models.users import UserPath
from streamd.doors.web.openapi import PUBLIC_GUARDS, Operation, openapi_document
from streamd.doors.web.port import over_https_from_now_on, without_entity_tags
from streamd.doors.web.public import slashes
from streamd.doors.web.public.arrivals import Arrivals, ChannelState, state_of
from streamd.doors.web.public.forwarded import as_forwarded, root_of
from streamd.doors.web.public.web_entrance import TICKET_FIELD, refusals, visitor_of
from streamd.doors.web.request_id import name_requests
from streamd.formats.address import source_of
from streamd.services.playback.claims import Audience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from streamd.clock import Clock
    from streamd.doors.delivery.channels import PublicChannels
    from streamd.doors.delivery.trusted_proxies import TrustedProxies
    from streamd.doors.web.port import Port
    from streamd.doors.web.public.clips import ClipRoutes
    from streamd.doors.web.public.dvr import DvrRoutes
    from streamd.doors.web.public.media import MediaRoutes
    from streamd.doors.web.public.obs import ObsDesk
    from streamd.doors.web.public.pages import Pages
    from streamd.doors.web.public.posters import PosterRoutes
    from streamd.doors.web.public.recorded_lists import RecordedLists
    from streamd.doors.web.public.report_pages import ReportPages
    from streamd.doors.web.public.reports import ReportRoutes
    from streamd.doors.web.public.studio import Studio
    from streamd.doors.web.public.transparency import TransparencyRoutes
    from streamd.doors.web.public.vod import VodRoutes
    from streamd.doors.web.public.vod_pictures import VodPictures
    from streamd.services.live.channel import Channel
    from streamd.services.recording.past import Past

# The list of live channels changes by the second; a cache in front may still take the crowd of pollers.
API_CACHE_CONTROL = "max-age=1"
# Two hundred streams are 100 KB, of which the fast level leaves an eighth in a millisecond; a few are one packet.
LIST_GZIP_LEVEL = 1
GZIP_FROM_BYTES = 1024
# Lists that are kept without what is blocked somewhere: as many as there are countries with an order of their own.
NARROWED_MAX = 64
# OBS posts some 3 KB, most of it the names of its encoders and graphics cards.
REQUEST_BODY_BYTES_MAX = 32 * 1024

# A key that was withdrawn is checked with for a minute more by others; here it is dead at once.
KEY_SET_CACHE_CONTROL = "max-age=60"
# A channel that everybody may watch.
OPEN = "public"
# This waits for a stream that is to begin, and beside a picture of one for its end. A player learns from the playlist
# how things stand.
_AWAITABLE = {state.value for state in ChannelState if state is not ChannelState.GONE}
_CORS = {"Access-Control-Allow-Origin": "*", "Cache-Control": API_CACHE_CONTROL, "X-Content-Type-Options": "nosniff"}


def public_app(
    *,
    channels: PublicChannels,
    media: MediaRoutes,
    posters: PosterRoutes | None = None,
    vod: VodRoutes | None = None,
    recorded: RecordedLists | None = None,
    vod_pictures: VodPictures | None = None,
    clips: ClipRoutes | None = None,
    dvr: DvrRoutes | None = None,
    pages: Pages,
    studio: Studio | None = None,
    obs: ObsDesk,
    reports: ReportRoutes | None = None,
    report_pages: ReportPages | None = None,
    transparency: TransparencyRoutes | None = None,
    proxies: TrustedProxies,
    port: Port,
    clock: Clock,
    public_url: str = "",
    hsts_max_age_s: int = 0,
    key_set: Callable[[], Sequence[Mapping[str, object]]] | None = None,
) -> web.Application:
    """Put the public port together.

    Args:
        channels: The live channels.
        media: Routes of media.
        posters: Route of poster pictures, where they are drawn.
        vod: Routes of recordings.
        recorded: The call that lists a channel's recordings.
        vod_pictures: Routes of their pictures.
        clips: Routes of clips.
        dvr: Routes of the past of live streams.
        pages: Routes of the viewer's pages.
        studio: Routes of the broadcaster's page.
        obs: The route of OBS's configuration.
        reports: The calls about reports, where moderation is on.
        report_pages: Their pages.
        transparency: Routes of what the public can count, and of points of contact.
        proxies: The proxies whose word about their clients is believed.
        port: The bounds of peers.
        clock: For descriptions that many requests share.
        public_url: How browsers reach this port, where a proxy in front rewrites Host; may be empty.
        hsts_max_age_s: Seconds for which a browser that came over HTTPS uses only HTTPS; 0 leaves the field out.
        key_set: The public keys of viewers' tokens, as JWKs; None where there are no tokens.

    Returns:
        The aiohttp application.
    """
    app = web.Application(
        client_max_size=REQUEST_BODY_BYTES_MAX,
        middlewares=[
            port.faultless(),
            as_forwarded(proxies),
            over_https_from_now_on(hsts_max_age_s),
            port.within_budget(),
            port.named(),
            port.own_pages_only(public_url),
            without_entity_tags,
            pages.found_by_people(),
            refusals,
            port.whole(),
        ],
    )
    harden(app)
    name_requests(app)
    if posters is not None:
        posters.add_to(app)
    if dvr is not None:
        # Before those of media, which take all below /live/.
        dvr.add_to(app)
    media.add_to(app)
    if clips is not None:
        clips.add_to(app)
    if vod is not None:
        vod.add_to(app)
    if vod_pictures is not None:
        vod_pictures.add_to(app)
    pages.add_to(app)
    slashes.add_to(app)
    if transparency is not None:
        transparency.add_to(app)
    if studio is not None:
        studio.add_to(app)
    api = PublicApi(
        channels,
        clock,
        has_posters=posters is not None,
        past_of=dvr.past_of if dvr is not None else lambda _: None,
        root=urlsplit(public_url).path,
        has_list=pages.has_list,
    )
    app.on_shutdown.append(api.wake_all)
    described = [*api.operations(), *(recorded.operations() if recorded is not None else ())]
    app.add_routes([web.get(operation.path, operation.handler) for operation in described])
    obs.add_to(app)
    if reports is not None:
        reports.add_to(app)
    if report_pages is not None:
        report_pages.add_to(app)
    of_reports = reports.operations() if reports is not None else ()
    recorded_calls: list[Operation] = []
    for desk in (vod, clips):
        recorded_calls += desk.operations() if desk is not None else ()
    # Few ask for it, and it takes as long to make as a tenth of a second's media.
    document = functools.cache(
        lambda: json.dumps(public_document([*described, *recorded_calls, obs.operation(), *of_reports]))
    )

    async def openapi(_: web.Request) -> web.Response:
        return web.json_response(text=document(), headers=_CORS)

    app.router.add_get("/api/v1/openapi.json", openapi)
    if key_set is not None:
        listed = key_set

        async def get_key_set(_: web.Request) -> web.Response:
            """The keys that check tokens of this server (RFC 7517 section 5)."""
            return web.json_response(
                {"keys": [*listed()]}, headers=_CORS | {hdrs.CACHE_CONTROL: KEY_SET_CACHE_CONTROL},
                content_type="application/jwk-set+json",
            )  # fmt: skip

        app.router.add_get("/.well-known/streamd/jwks.json", get_key_set)
    return app


def public_document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The OpenAPI document of the public API.

    Args:
        operations: Its calls.
    """
    return openapi_document(
        operations,
        title="streamd public API",
        version=__version__,
        description="The channels that are live, and what they have recorded. Every web page may ask "
        "(CORS); no call needs a token.",
        problem=ChannelProblem,
        guards=PUBLIC_GUARDS,
    )


class PublicApi:
    """The live channels, for pages and scripts.

    Args:
        channels: The live channels.
        clock: Measures the age of a description.
        has_posters: There are poster pictures.
        past_of: What viewers of a channel can go back to.
        root: Path of the viewers' URL of this server, without a slash at the end: addresses begin with it.
        has_list: Everybody may know which channels are live.
    """

    def __init__(
        self,
        channels: PublicChannels,
        clock: Clock,
        *,
        has_posters: bool,
        past_of: Callable[[str], Past | None] = lambda _: None,
        root: str = "",
        has_list: bool = True,
    ) -> None:
        self._channels = channels
        self._clock = clock
        self._list = Described(clock)
        self._packed = (b"", b"")
        self._rooted = ("", b"", b"")
        # The list without what is blocked somewhere, by what is left out of it.
        self._narrowed_of = b""
        self._narrowed: dict[frozenset[str], bytes] = {}
        self._has_posters = has_posters
        self._past_of = past_of
        self._root = root
        self._has_list = has_list
        self._arrivals = Arrivals.of(channels, clock)

    def operations(self) -> list[Operation]:
        """Its calls, with input, answer and errors."""
        return [
            Operation("GET", "/api/v1/streams", self.list_streams, ChannelList, needs_token=False),
            Operation(
                "GET", "/api/v1/streams/{name}", self.get_stream, ShownChannel,
                path_model=UserPath, query=ChannelQuery, problems=(410,), plain_problems=(403, 451), needs_token=False,
                refuses_misfits=False,
            ),
        ]  # fmt: skip

    async def wake_all(self, _: web.Application) -> None:
        """Answer those who wait for a channel; the server stops."""
        self._arrivals.close()

    def _show(self, request: web.Request, channel: Channel) -> web.Response:
        """Show a channel to a viewer of it, or to a stranger what they may know."""
        gate, name, root = self._channels.gate, channel.name, root_of(request, self._root)
        if gate is not None:
            gate.check_blocked(visitor_of(request).address, name)
        if gate is None or not gate.is_locked(name):
            return web.json_response(self._describe(channel, root), headers=_CORS)
        # A cache in front must not give the one what the other was told.
        headers = _CORS | {hdrs.VARY: TICKET_FIELD}
        ticket = request.headers.get(TICKET_FIELD, "")
        if not ticket:
            return web.json_response(self._describe(channel, root), headers=headers)
        visitor = visitor_of(request)
        viewing = gate.enter(name, ticket, Audience.VIDEO, visitor.address, watches=False)
        facts = self._describe(channel, root, ticket)
        if not viewing.ticket.may_go_back:
            facts["past"] = None
        return web.json_response(facts, headers=headers | {hdrs.CACHE_CONTROL: "no-store"})

    async def list_streams(self, request: web.Request) -> web.Response:
        """List the listed channels that can be watched now, the first that went live first.

        There are none where the server has no list (``[http] list = false``). What is not shown where you are (451) is
        left out.
        """
        listed = self._channels.listed() if self._has_list else ()
        channels = [channel for channel in listed if channel.presentation is not None]
        body = self._list.body(
            [(channel.name, self._channels.policy(channel.name)) for channel in channels],
            lambda: json.dumps({"streams": [self._describe(channel, self._root) for channel in channels]}).encode(),
        )
        headers = _CORS | {hdrs.VARY: hdrs.ACCEPT_ENCODING}
        gate = self._channels.gate
        if gate is not None and gate.is_blocking:
            # A cache in front must not give the one what the other was told.
            headers[hdrs.CACHE_CONTROL] = f"private, {API_CACHE_CONTROL}"
            names = [channel.name for channel in channels]
            body = self._without(body, gate.view_blocks.blocked_among(names, visitor_of(request).address))
        root = root_of(request, self._root)
        if root != self._root:
            # Under the path of a proxy: the same description with other addresses, for those who come that way.
            if self._rooted[:2] != (root, body):
                self._rooted = root, body, _rebased(body, root)
            body = self._rooted[2]
        if accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")) and len(body) >= GZIP_FROM_BYTES:
            # Packed once for all who ask for this description.
            if self._packed[0] is not body:
                self._packed = (body, gzipped(body, LIST_GZIP_LEVEL))
            body = self._packed[1]
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(body=body, content_type="application/json", charset="utf-8", headers=headers)

    def _without(self, body: bytes, blocked: frozenset[str]) -> bytes:
        """The list without what is not shown where whoever asks is; made once for all who are there."""
        if not blocked:
            return body
        if self._narrowed_of is not body or len(self._narrowed) >= NARROWED_MAX:
            self._narrowed_of, self._narrowed = body, {}
        found = self._narrowed.get(blocked)
        if found is None:
            shown = [each for each in json.loads(body)["streams"] if each["name"] not in blocked]
            found = self._narrowed[blocked] = json.dumps({"streams": shown}).encode()
        return found

    async def get_stream(self, request: web.Request) -> web.Response:
        """Show a channel, or say why it cannot be watched: 404 not live, 410 taken down.

        With ``unless`` the answer waits until the channel is in another state, for 20 s at the most. 64 such requests
        of one address and 4,096 in all wait; others are answered at once, as is one with another word.
        """
        name = request.match_info["name"]
        known = request.query.get("unless", "")
        if known in _AWAITABLE:
            await self._arrivals.wait(name, ChannelState(known), source_of(request.remote or "unknown"))
        channel = self._channels.find(name)
        if channel is Absence.TAKEN_DOWN:
            return _problem(HTTPStatus.GONE, "This channel has been taken down.", ChannelState.GONE)
        if isinstance(channel, Absence) or not channel.is_live:
            return _problem(HTTPStatus.NOT_FOUND, "This channel is not live.", ChannelState.OFFLINE)
        if channel.presentation is None:
            detail = "This channel is about to go live: nothing of it can be played yet."
            return _problem(HTTPStatus.NOT_FOUND, detail, ChannelState.STARTING)
        return self._show(request, channel)

    def _describe(self, channel: Channel, root: str, ticket: str = "") -> dict[str, object]:
        """The public facts about a live channel; without a ticket, of a locked one what a stranger may know.

        ``variants`` are empty until the first segment is complete, and ``push_codecs`` null where a server that has
        started again waits for the publisher.
        """
        policy = self._channels.policy(channel.name)
        is_locked = policy != OPEN and not ticket
        media = f"{root}/live/{channel.name}" + (f"/~{ticket}" if ticket else "")
        variants: list[dict[str, object]] = []
        renditions = channel.presentation.listed if channel.presentation is not None else ()
        if is_locked:
            renditions = ()
        for rendition in renditions:
            variant = rendition.variant_stream()
            if variant is not None:
                variants.append(
                    {
                        "name": rendition.name,
                        "codecs": ",".join(variant.codecs),
                        "resolution": f"{variant.width}x{variant.height}" if variant.width else None,
                        "frame_rate": variant.frame_rate_millihertz / 1000 or None,
                        "bandwidth": variant.bandwidth,
                    }
                )
        has_picture = any(variant["resolution"] for variant in variants)
        past = self._past_of(channel.name)
        return {
            "name": channel.name,
            "state": state_of(self._channels, channel.name, self._clock.monotonic()),
            "live_since": channel.live_since.isoformat(timespec="milliseconds"),
            "viewers": sum(channel.viewers.values()),
            "playback": policy,
            "variants": variants,
            "push_codecs": (",".join(channel.push_codecs) or None) if not is_locked else None,
            "playlist": f"{media}/index.m3u8",
            "past": f"{media}/dvr/index.m3u8" if past is not None and not is_locked else None,
            "past_s": past.duration_s if past is not None else 0,
            "watch": f"{root}/watch/{channel.name}",
            "poster": f"{media}/poster.jpg" if self._has_posters and has_picture else None,
        }


def _rebased(body: bytes, root: str) -> bytes:
    """A list whose addresses begin at the root of a site, under another root."""
    for field in ("playlist", "past", "watch", "poster"):
        start = f'"{field}": "'
        body = body.replace(f"{start}/".encode(), f"{start}{root}/".encode())
    return body


def _problem(status: HTTPStatus, detail: str, state: ChannelState) -> web.Response:
    return web.json_response(
        {"title": status.phrase, "status": status.value, "detail": detail, "state": state},
        status=status,
        headers=_CORS,
        content_type="application/problem+json",
    )

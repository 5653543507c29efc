"""The viewer's pages: ``/``, ``/watch/{name}``, ``/watch/vod/{id}``, ``/clip/{id}`` and ``/embed/{name}``."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from streamd.doors.web.assets import CACHE_REVALIDATE, HERE, ROOT, UP, Asset, StaticFiles, answer
from streamd.doors.web.headers import EMBED_HEADERS, PAGE_HEADERS
from streamd.doors.web.host import HOST
from streamd.doors.web.public.forwarded import root_of
from streamd.doors.web.public.locked_pages import LockedPages
from streamd.services.recording.recording_id import is_clip_id, is_recording_id

# For pages that are only for people who have their link; search engines heed it.
UNFOUND: Final = {"X-Robots-Tag": "noindex"}

# A channel is named like its user.
CHANNEL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{1,63}")

# Pages of the channels asked for last, 10 kB each with their compressed form: a crowd opens one or two.
PAGES_REMEMBERED: Final = 128

# Folders in the address of a page that is not there, up to which its links are relative.
DEPTH_MAX: Final = 8

# The player as packaging/fetch_player.py leaves it; a build without a network has none.
HLS_MODULE: Final = "vendor/hls.min.mjs"

# Folders for the operator's listener alone.
CONSOLE_FOLDER: Final = "console"

# The imports of a page with the player: fetched all at once, instead of one after the other.
PLAYER_MODULES: Final = (
    "aftermath.js",
    "api.js",
    "backoff.js",
    "base.js",
    "broadcast.js",
    "clip_button.js",
    "controls.js",
    "copying.js",
    "dom.js",
    "engines.js",
    "hls_engine.js",
    "modes.js",
    "native_engine.js",
    "page_state.js",
    "past_bar.js",
    "player_frame.js",
    "playback.js",
    "progress.js",
    "push_engine.js",
    "quality.js",
    "report_address.js",
    "report_button.js",
    "sharing.js",
    "storage.js",
    "storyboard.js",
    "viewer_format.js",
    "watch_page.js",
)


# The imports of a recording's page.
VOD_MODULES: Final = (
    "base.js",
    "clip_button.js",
    "dom.js",
    "player_frame.js",
    "recorded_controls.js",
    "report_address.js",
    "report_button.js",
    "storage.js",
    "storyboard.js",
)


class Pages:
    """The pages and their files, in memory.

    Args:
        public_url: The viewers' URL of this server, without a slash at the end; empty: the one of each request.
        has_posters: Channels have pictures, which networks show with a shared link.
        clip_s: The longest clip that viewers may make, seconds; 0: they make none.
        has_list: The first page lists who is live; else it says that there is no list.
        is_listed: Says whether a channel may be found by a search engine.
        takes_reports: Viewers can report what they see.
        more: Pages that the first page leads to, by their names, with their paths below the root.
        root: Directory with ``static`` and ``templates``; the package's own unless a test says otherwise.
    """

    def __init__(
        self,
        public_url: str = "",
        *,
        has_posters: bool = True,
        clip_s: int = 0,
        has_list: bool = True,
        is_listed: Callable[[str], bool] = lambda _: True,
        takes_reports: bool = False,
        more: Mapping[str, str] = MappingProxyType({}),
        root: Path = ROOT,
    ) -> None:
        self._public_url = public_url
        self._has_posters = has_posters
        self._clips = str(clip_s or "")
        self._takes_reports = takes_reports
        self.has_list = has_list
        self._is_listed = is_listed
        self.files = StaticFiles(root, without=(CONSOLE_FOLDER,))
        """The files of the public port under ``/static``."""
        self.locked: LockedPages | None = None
        """Asks who may see a page; None where everybody may."""
        self._index = self.files.page("index" if has_list else "unlisted", more=_links(HERE, more))
        name_rule = "A channel's name has 2 to 64 small letters, digits, “-” and “_”."
        self._missing = self._missing_page(UP, "No such channel", name_rule)
        self._nothing = lru_cache(DEPTH_MAX + 1)(self._make_nothing_page)
        self._watch_page = lru_cache(PAGES_REMEMBERED)(self._make_watch_page)
        self._embed_page = lru_cache(PAGES_REMEMBERED)(self._make_embed_page)

    @property
    def has_player(self) -> bool:
        """hls.js is there; without it the watch page plays only where the browser plays HLS itself."""
        return HLS_MODULE in self.files

    @property
    def static_path(self) -> str:
        """The path of the static files, without a slash at the end."""
        return self.files.path

    def add_to(self, app: web.Application) -> None:
        """Add the routes of the pages to the public application."""
        app.router.add_get("/", self._get_index)
        app.router.add_get("/watch/{name}", self._get_watch)
        app.router.add_get("/watch/vod/{id}", self._get_vod)
        app.router.add_get("/clip/{id}", self._get_clip)
        app.router.add_get("/embed/{name}", self._get_embed)
        if self.locked is not None:
            app.router.add_post("/watch/{name}", self._take_password)
            app.router.add_post("/embed/{name}", self._take_password)
            app.router.add_post("/watch/vod/{id}", self._take_password_of_recorded)
            app.router.add_post("/clip/{id}", self._take_password_of_recorded)
        self.files.add_to(app)

    def found_by_people(self) -> Middleware:
        """Answer a browser that shows a page where there is none with one, and everything else as it is."""

        @web.middleware
        async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except web.HTTPNotFound:
                is_page = "text/html" in request.headers.get(hdrs.ACCEPT, "") and request.method in ("GET", "HEAD")
                if not is_page or request.path.startswith(("/live/", "/vod/", "/api/", "/static/")):
                    raise
                return answer(request, self._nothing(_way_up(request)), PAGE_HEADERS, CACHE_REVALIDATE, status=404)

        return serve

    async def _get_index(self, request: web.Request) -> web.Response:
        return answer(request, self._index, PAGE_HEADERS, CACHE_REVALIDATE)

    async def _get_watch(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not CHANNEL_NAME.fullmatch(name):
            return answer(request, self._missing, PAGE_HEADERS, CACHE_REVALIDATE, status=404)
        if self.locked is not None and self.locked.is_locked(name):
            return await self.locked.show(request, name, self._make_for(request, name))
        headers = PAGE_HEADERS if self.has_list and self._is_listed(name) else PAGE_HEADERS | UNFOUND
        return answer(request, self._watch_page(name, self._origin(request)), headers, CACHE_REVALIDATE)

    async def _get_vod(self, request: web.Request) -> web.Response:
        recording_id = request.match_info["id"]
        if not is_recording_id(recording_id):
            return answer(request, self._nothing(UP * 2), PAGE_HEADERS, CACHE_REVALIDATE, status=404)
        return await self._show_recorded(request, UP * 2, recording_id, "recordings")

    async def _get_clip(self, request: web.Request) -> web.Response:
        clip_id = request.match_info["id"]
        if not is_clip_id(clip_id):
            return answer(request, self._nothing(UP), PAGE_HEADERS, CACHE_REVALIDATE, status=404)
        return await self._show_recorded(request, UP, clip_id, "clips")

    async def _show_recorded(self, request: web.Request, root: str, recorded_id: str, kind: str) -> web.Response:
        """The page of what was recorded, or of a piece of it; it asks for the rest by itself."""
        if self.locked is not None:
            recording_id, owner = await self.locked.recording_of(recorded_id)
            if self.locked.is_locked(recording_id, owner):
                make = partial(self._make_recorded_page, root, recorded_id, kind)
                return await self.locked.show(request, recording_id, make, owner=owner, root=root, name=recorded_id)
        page = self._make_recorded_page(root, recorded_id, kind)
        return answer(request, page, PAGE_HEADERS | UNFOUND, CACHE_REVALIDATE)

    def _make_recorded_page(self, root: str, recorded_id: str, kind: str, ticket: str = "") -> Asset:
        return self.files.page(
            "vod",
            level=1,
            id=recorded_id,
            kind=kind,
            clips=self._clips,
            report=self._report_button(root, recorded_id),
            root=root,
            hls=self.files.address(root, HLS_MODULE) if self.has_player else "",
            preload=self._preload(root, VOD_MODULES),
            ticket=ticket,
        )

    async def _get_embed(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not CHANNEL_NAME.fullmatch(name):
            return answer(request, self._missing, EMBED_HEADERS, CACHE_REVALIDATE, status=404)
        if self.locked is not None and self.locked.is_locked(name):
            return await self.locked.show(request, name, self._make_for(request, name), is_embedded=True)
        return answer(request, self._embed_page(name), EMBED_HEADERS, CACHE_REVALIDATE)

    async def _take_password(self, request: web.Request) -> web.Response:
        """The password of a channel, typed into its page or into a player in a page of another site."""
        name = request.match_info["name"]
        if self.locked is None or not CHANNEL_NAME.fullmatch(name) or not self.locked.is_locked(name):
            raise web.HTTPNotFound
        is_embedded = _is_embedded(request)
        make = self._make_for(request, name)
        return await self.locked.take_password(request, name, make, is_embedded=is_embedded)

    async def _take_password_of_recorded(self, request: web.Request) -> web.Response:
        """The password of a recording or its channel, typed into the page of the recording or of a clip of it."""
        recorded_id, is_clip = request.match_info["id"], request.path.startswith("/clip/")
        if self.locked is None or not (is_clip_id if is_clip else is_recording_id)(recorded_id):
            raise web.HTTPNotFound
        recording_id, owner = await self.locked.recording_of(recorded_id)
        if not self.locked.is_locked(recording_id, owner):
            raise web.HTTPNotFound
        root, kind = (UP, "clips") if is_clip else (UP * 2, "recordings")
        make = partial(self._make_recorded_page, root, recorded_id, kind)
        return await self.locked.take_password(request, recording_id, make, owner=owner, root=root, name=recorded_id)

    def _make_for(self, request: web.Request, name: str) -> Callable[[str], Asset]:
        """What makes the page of a locked channel for the viewer of a ticket."""
        if _is_embedded(request):
            return partial(self._make_embed_page, name)
        origin = self._origin(request)
        return lambda ticket: self._make_watch_page(name, origin, ticket)

    def _origin(self, request: web.Request) -> str:
        """The start of the addresses that a page shows; as HTML, without a slash at the end."""
        if self._public_url:
            return html.escape(self._public_url)
        return f"{request.scheme}://{request.host}{root_of(request, '')}" if HOST.fullmatch(request.host) else ""

    def _make_watch_page(self, name: str, origin: str, ticket: str = "") -> Asset:
        return self._player_page(
            "watch",
            name,
            modules=(*PLAYER_MODULES, HLS_MODULE) if self.has_player else PLAYER_MODULES,
            origin=origin,
            guessed="" if self._public_url else f' data-guessed="{origin}"',
            embed=html.escape(_embed_code(origin, name)),
            clips=self._clips,
            report=self._report_button(UP, name),
            picture=_picture_tags(origin, name) if self._has_posters and not ticket else "",
            ticket=ticket,
        )

    def _report_button(self, root: str, name: str) -> str:
        """The button that reports; without scripts it leads to the page for it."""
        if not self._takes_reports:
            return ""
        return self.files.fill("report_button", root, name=name).strip()

    def _make_embed_page(self, name: str, ticket: str = "") -> Asset:
        # hls.js is loaded when a viewer starts the player: a page of another site may have many players.
        return self._player_page("embed", name, modules=PLAYER_MODULES, ticket=ticket)

    def _make_nothing_page(self, root: str) -> Asset:
        # Further down the address says nothing about where the server is.
        root = root or f"{html.escape(urlsplit(self._public_url).path)}/"
        return self._missing_page(root, "There is no such page", "The address leads nowhere.")

    def _missing_page(self, root: str, title: str, detail: str) -> Asset:
        more = f' <a href="{root}">See who is live</a>.' if self.has_list else ""
        return self.files.page("missing", root=root, title=title, detail=detail, more=more)

    def _player_page(self, template: str, name: str, *, modules: Sequence[str], **values: str) -> Asset:
        """Fill a template that has the player in it.

        The page itself asks whether the channel is live: the answer changes while the page is open.
        """
        address = self.files.address
        return self.files.page(
            template,
            # A small page made for one request: the fast level is within a few bytes of the best.
            level=1,
            name=name,
            root=UP,
            hls=address(UP, HLS_MODULE) if self.has_player else "",
            player=self.files.fill("player", UP, name=name),
            preload=self._preload(UP, modules),
            **values,
        )

    def _preload(self, root: str, modules: Sequence[str]) -> str:
        address = self.files.address
        return "\n  ".join(f'<link rel="modulepreload" href="{address(root, module)}">' for module in modules)


def _links(root: str, more: Mapping[str, str]) -> str:
    """Links to other pages, as a paragraph; nothing where there are none."""
    links = " · ".join(f'<a href="{root}{path}">{html.escape(name)}</a>' for name, path in more.items())
    return f'<p class="plain">{links}</p>' if links else ""


def _is_embedded(request: web.Request) -> bool:
    return request.path.startswith("/embed/")


def _way_up(request: web.Request) -> str:
    """The way from a page that is not there to the root of the server; empty where it is too long."""
    depth = request.rel_url.raw_path.count("/") - 1
    return ("../" * depth or HERE) if depth <= DEPTH_MAX else ""


def _picture_tags(origin: str, name: str) -> str:
    return (
        f'<meta property="og:image" content="{origin}/live/{name}/poster.jpg">\n'
        '  <meta property="og:image:type" content="image/jpeg">\n'
        f'  <meta property="og:image:alt" content="What {name} shows now">'
    )


def _embed_code(origin: str, name: str) -> str:
    """The HTML that shows a channel in a page of another site."""
    return (
        f'<iframe src="{origin}/embed/{name}" title="{name}, live" width="640" height="360" style="border:0" '
        'allow="autoplay; fullscreen; picture-in-picture" allowfullscreen loading="lazy"></iframe>'
    )

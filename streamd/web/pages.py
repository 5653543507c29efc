"""The viewer's pages: ``/`` and ``/watch/{name}``."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Final

from aiohttp import web

from streamd.web.assets import CACHE_REVALIDATE, StaticFiles, answer
from streamd.web.headers import PAGE_HEADERS

# CONTRACT: a channel is named like its user.
CHANNEL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{1,63}")

# The player as hatch_build.py leaves it; a build without a network has none.
HLS_MODULE: Final = "vendor/hls.min.mjs"

# What is for the operator's listener alone.
CONSOLE_FOLDER: Final = "console"


class Pages:
    """The pages and their files, in memory.

    Args:
        root: Directory with ``static`` and ``templates``; the package's own unless a test says otherwise.
    """

    def __init__(self, root: Path = Path(__file__).parent) -> None:
        self._files = StaticFiles(root, without=(CONSOLE_FOLDER,))
        self._index = self._files.page("index")
        self._missing = self._files.page("missing")

    @property
    def has_player(self) -> bool:
        """hls.js is there; without it the watch page plays only where the browser plays HLS itself."""
        return HLS_MODULE in self._files

    @property
    def static_path(self) -> str:
        """Where the static files are now, without a slash at the end."""
        return self._files.path

    def add_to(self, app: web.Application) -> None:
        """Add the routes of the pages to the public application."""
        app.router.add_get("/", self._get_index)
        app.router.add_get("/watch/{name}", self._get_watch)
        self._files.add_to(app)

    async def _get_index(self, request: web.Request) -> web.Response:
        return answer(request, self._index, PAGE_HEADERS, CACHE_REVALIDATE)

    async def _get_watch(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not CHANNEL_NAME.fullmatch(name):
            return answer(request, self._missing, PAGE_HEADERS, CACHE_REVALIDATE, status=404)
        # Whether the channel is live, or ever was, is asked by the page: it stays true while the page is open.
        modules = ["controls.js", "engines.js", "modes.js", "api.js", *([HLS_MODULE] if self.has_player else [])]
        page = self._files.page(
            "watch",
            # A small page made for one request: the fast level is within a few bytes of the best.
            level=1,
            name=html.escape(name),
            hls=f"{self.static_path}/{HLS_MODULE}" if self.has_player else "",
            # All of them at once, instead of each when the one before has been read.
            preload="\n  ".join(f'<link rel="modulepreload" href="{self.static_path}/{module}">' for module in modules),
        )
        return answer(request, page, PAGE_HEADERS, CACHE_REVALIDATE)

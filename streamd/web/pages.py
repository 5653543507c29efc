"""The viewer's pages: ``/``, ``/watch/{name}`` and the files they are made of.

Everything is read into memory once and compressed once, so a request touches no file and no path from a
request ever reaches the file system. The static files live under a hash of all of them,
``/static/{hash}/…``: they may be cached for ever, import each other by relative name, and a page never
mixes two versions.
"""

from __future__ import annotations

import hashlib
import html
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from aiohttp import ETag, hdrs, web

from streamd.web.headers import PAGE_HEADERS, STATIC_HEADERS

# CONTRACT: a channel is named like its user.
CHANNEL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{1,63}")

# The player as hatch_build.py leaves it; a build without a network has none.
HLS_MODULE: Final = "vendor/hls.min.mjs"

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

# RFC 9111 5.2.2.4: to be stored, but asked for again each time; the ETag makes that cheap.
CACHE_REVALIDATE: Final = "no-cache"
# RFC 8246: what is named by its hash never changes.
CACHE_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One body that is ready to be sent, plain and compressed."""

    plain: bytes
    gzipped: bytes
    """The same, as a gzip member (RFC 1952); without a time, so that equal bodies are equal bytes."""
    content_type: str
    etag: str
    """Opaque tag without quotes; weak, for both forms share it (RFC 9110 8.8.3)."""

    @classmethod
    def of(cls, body: bytes, content_type: str, level: int = 9) -> Asset:
        """Compress and tag a body."""
        # 16 + 15 bits: a gzip header around the largest window.
        compressor = zlib.compressobj(level, zlib.DEFLATED, 31)
        gzipped = compressor.compress(body) + compressor.flush()
        return cls(body, gzipped, content_type, hashlib.sha256(body).hexdigest()[:20])


class Pages:
    """The pages and their files, in memory.

    Args:
        root: Directory with ``static`` and ``templates``; the package's own unless a test says otherwise.

    Raises:
        OSError: A file of the package cannot be read.
        KeyError: A file in ``static`` has a suffix without a content type.
    """

    def __init__(self, root: Path = Path(__file__).parent) -> None:
        static = root / "static"
        self._assets = {
            path.relative_to(static).as_posix(): Asset.of(path.read_bytes(), CONTENT_TYPES[path.suffix])
            for path in sorted(static.rglob("*"))
            if path.is_file() and path.suffix != ".sha256"
        }
        everything = "".join(f"{name} {asset.etag}\n" for name, asset in self._assets.items())
        self._version = hashlib.sha256(everything.encode()).hexdigest()[:16]
        self._templates = {path.stem: Template(path.read_text("utf-8")) for path in (root / "templates").glob("*.html")}
        self._index = self._page("index")
        self._missing = self._page("missing")

    @property
    def has_player(self) -> bool:
        """hls.js is there; without it the watch page plays only where the browser plays HLS itself."""
        return HLS_MODULE in self._assets

    @property
    def static_path(self) -> str:
        """Where the static files are now, without a slash at the end."""
        return f"/static/{self._version}"

    def add_to(self, app: web.Application) -> None:
        """Add the routes of the pages to the public application."""
        app.router.add_get("/", self._get_index)
        app.router.add_get("/watch/{name}", self._get_watch)
        app.router.add_get("/static/{version}/{path:.+}", self._get_static)

    async def _get_index(self, request: web.Request) -> web.Response:
        return _answer(request, self._index, PAGE_HEADERS, CACHE_REVALIDATE)

    async def _get_watch(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not CHANNEL_NAME.fullmatch(name):
            return _answer(request, self._missing, PAGE_HEADERS, CACHE_REVALIDATE, status=404)
        # Whether the channel is live, or ever was, is asked by the page: it stays true while the page is open.
        modules = ["controls.js", "engines.js", "modes.js", "api.js", *([HLS_MODULE] if self.has_player else [])]
        page = self._page(
            "watch",
            # A small page made for one request: the fast level is within a few bytes of the best.
            level=1,
            name=html.escape(name),
            hls=f"{self.static_path}/{HLS_MODULE}" if self.has_player else "",
            # All of them at once, instead of each when the one before has been read.
            preload="\n  ".join(f'<link rel="modulepreload" href="{self.static_path}/{module}">' for module in modules),
        )
        return _answer(request, page, PAGE_HEADERS, CACHE_REVALIDATE)

    async def _get_static(self, request: web.Request) -> web.Response:
        asset = self._assets.get(request.match_info["path"])
        if asset is None or request.match_info["version"] != self._version:
            raise web.HTTPNotFound(headers=STATIC_HEADERS)
        return _answer(request, asset, STATIC_HEADERS, CACHE_FOR_EVER)

    def _page(self, template: str, level: int = 9, **values: str) -> Asset:
        """Fill a template; the values are HTML already."""
        text = self._templates[template].substitute(values, static=self.static_path)
        return Asset.of(text.encode(), "text/html; charset=utf-8", level)


def _answer(
    request: web.Request, asset: Asset, headers: dict[str, str], cache_control: str, status: int = 200
) -> web.Response:
    """Answer with a prepared body: compressed where that is accepted, 304 where it is known already."""
    fields = {
        **headers,
        hdrs.CACHE_CONTROL: cache_control,
        hdrs.ETAG: f'W/"{asset.etag}"',
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
    }
    # RFC 9110 13.1.2: If-None-Match compares weakly, and "*" matches whatever there is.
    known = request.if_none_match or ()
    if status == 200 and any(tag.value in (asset.etag, ETag("*").value) for tag in known):
        return web.Response(status=304, headers=fields)
    fields[hdrs.CONTENT_TYPE] = asset.content_type
    body = asset.plain
    if _accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        body = asset.gzipped
        fields[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(status=status, body=body, headers=fields)


def _accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether an Accept-Encoding field names gzip with a weight above zero (RFC 9110 12.5.3)."""
    for item in accept_encoding.split(","):
        coding, _, parameters = item.partition(";")
        if coding.strip().lower() == "gzip":
            weight = parameters.replace(" ", "").lower().removeprefix("q=")
            return weight.strip("0.") != "" or weight == ""
    return False

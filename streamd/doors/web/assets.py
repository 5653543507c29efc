"""Files and pages that are read once, compressed once and sent from memory.

A request touches no file, and no path from a request ever reaches the file system. A file is compressed when it is
first asked for, in a thread: all of them together are a tenth of a server's start. The static files live under a
hash of all of them, ``/static/{hash}/…``: they may be cached for ever, import each other by relative name, and a page
never mixes two versions.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from aiohttp import ETag, hdrs, web

from streamd.doors.delivery.decide import accepts_gzip
from streamd.doors.web.headers import STATIC_HEADERS
from streamd.doors.web.slices import SLICE_BYTES, SharedBody

ROOT: Final = Path(__file__).parent
"""Where the package has its static files and templates."""

# Lines of nothing but a comment. A type in the middle of a line is let be, and no string of ours has a line like these.
_COMMENTS: Final = re.compile(rb"^[ \t]*(?://[^\n]*|/\*\*(?:(?!\*/).)*\*/[ \t]*)$", re.MULTILINE | re.DOTALL)

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

HERE: Final = "./"
"""The way to the root of the server from a page at the root."""
UP: Final = "../"
"""The same from a page in a folder."""

# RFC 9111 5.2.2.4: stored, and revalidated each time; the ETag makes that cheap.
CACHE_REVALIDATE: Final = "no-cache"
# RFC 8246: a file that is named by its hash never changes.
CACHE_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One body that is ready to be sent, plain and compressed."""

    plain: bytes
    gzipped: bytes
    """The same, as a gzip member (RFC 1952); without a time, so that equal bodies are equal bytes."""
    content_type: str
    etag: str
    """Opaque tag without quotes; weak, as both forms share it (RFC 9110 8.8.3)."""

    @classmethod
    def of(cls, body: bytes, content_type: str, level: int = 9) -> Asset:
        """Compress and tag a body."""
        return cls(body, gzipped(body, level), content_type, _etag(body))


class StaticFiles:
    """The static files of one listener, in memory.

    Args:
        root: Directory with ``static`` and ``templates``; the package's own unless a test says otherwise.
        without: Folders of ``static`` that this listener does not serve.

    Raises:
        OSError: A file of the package cannot be read.
        KeyError: A file in ``static`` has a suffix without a content type.
    """

    def __init__(self, root: Path = ROOT, *, without: Collection[str] = ()) -> None:
        static = root / "static"
        files = {path.relative_to(static): path for path in sorted(static.rglob("*")) if path.is_file()}
        self._bodies = {
            name.as_posix(): (_as_served(path), CONTENT_TYPES[path.suffix])
            for name, path in files.items()
            if path.suffix != ".sha256" and name.parts[0] not in without
        }
        # Each is compressed by the first who asks for it, and all who ask meanwhile wait for that.
        self._assets: dict[str, asyncio.Task[Asset]] = {}
        everything = "".join(f"{name} {_etag(body)}\n" for name, (body, _) in self._bodies.items())
        self._version = hashlib.sha256(everything.encode()).hexdigest()[:16]
        self._templates = {path.stem: Template(path.read_text("utf-8")) for path in (root / "templates").glob("*.html")}

    def __contains__(self, name: object) -> bool:
        """Tell whether a file of this name exists, relative to ``static``."""
        return name in self._bodies

    @property
    def path(self) -> str:
        """The path of the files, without a slash at the end."""
        return f"/static/{self._version}"

    def add_to(self, app: web.Application) -> None:
        """Add the route of the files to an application."""
        app.router.add_get("/static/{version}/{path:.+}", self._get_file)

    def address(self, root: str, name: str = "") -> str:
        """The address of a file on a page, or of all of them.

        Args:
            root: As of ``page``.
            name: Relative to ``static``; empty for all, without a slash at the end.
        """
        return f"{root}{self.path[1:]}" + (f"/{name}" if name else "")

    def fill(self, template: str, root: str = HERE, **values: str) -> str:
        """Fill a template that is a piece of others; ``page`` says how."""
        static = self.address(root)
        # The start of every page's head, and the mark at its top.
        head = self._templates["head"].substitute(static=static).rstrip()
        mark = self._templates["mark"].template.rstrip()
        return self._templates[template].substitute(values, static=static, root=root, head=head, mark=mark)

    def page(self, template: str, level: int = 9, root: str = HERE, **values: str) -> Asset:
        """Fill a template.

        A page is asked for under whatever path a proxy has put the server at, so its addresses are relative.

        Args:
            template: Name of the file, without its suffix.
            level: Of compression.
            root: The way from the page to the root of the server, with a slash at the end.
            values: Values of its placeholders, as HTML.
        """
        return Asset.of(self.fill(template, root, **values).encode(), "text/html; charset=utf-8", level)

    async def _get_file(self, request: web.Request) -> web.Response:
        name = request.match_info["path"]
        if name not in self._bodies or request.match_info["version"] != self._version:
            raise web.HTTPNotFound(headers=STATIC_HEADERS)
        task = self._assets.get(name)
        if task is None:
            task = self._assets[name] = asyncio.create_task(asyncio.to_thread(Asset.of, *self._bodies[name]))
        # Whoever leaves takes the file from nobody else.
        return answer(request, await asyncio.shield(task), STATIC_HEADERS, CACHE_FOR_EVER)


def answer(
    request: web.Request, asset: Asset, headers: Mapping[str, str], cache_control: str, status: int = 200
) -> web.Response:
    """Answer with a prepared body: compressed where that is accepted, 304 where it is known already."""
    fields = {
        **headers,
        hdrs.CACHE_CONTROL: cache_control,
        hdrs.ETAG: f'W/"{asset.etag}"',
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
    }
    # RFC 9110 13.1.1: If-Match compares strongly, so no weak tag matches; "*" matches any content.
    wanted = request.if_match
    if status == 200 and wanted is not None and all(tag.value != ETag("*").value for tag in wanted):
        return web.Response(status=412, headers=fields)
    # RFC 9110 13.1.2: If-None-Match compares weakly, and "*" matches any content.
    known = request.if_none_match or ()
    if status == 200 and any(tag.value in (asset.etag, ETag("*").value) for tag in known):
        return web.Response(status=304, headers=fields)
    fields[hdrs.CONTENT_TYPE] = asset.content_type
    body = asset.plain
    if accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        body = asset.gzipped
        fields[hdrs.CONTENT_ENCODING] = "gzip"
    shared = body if len(body) <= SLICE_BYTES else SharedBody(body, asset.content_type)
    return web.Response(status=status, body=shared, headers=fields)


def _as_served(path: Path) -> bytes:
    """A file without what is for its readers alone: a third of a module is comments and types."""
    return without_comments(path.read_bytes()) if path.suffix == ".js" else path.read_bytes()


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:20]


def without_comments(script: bytes) -> bytes:
    """A module of ours without the comments that have lines of their own; the others keep their numbers."""
    return _COMMENTS.sub(lambda comment: b"\n" * comment[0].count(b"\n"), script)


def gzipped(body: bytes, level: int) -> bytes:
    """A body as a gzip member (RFC 1952) without a time."""
    # 16 + 15 bits: a gzip header around the largest window.
    compressor = zlib.compressobj(level, zlib.DEFLATED, 31)
    return compressor.compress(body) + compressor.flush()

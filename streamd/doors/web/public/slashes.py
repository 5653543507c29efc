"""Addresses of pages that were typed or linked with a slash at their end: each leads to the page.

The way is relative, so that it leads there under a path of a proxy's, too.
"""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import hdrs, web

# 308: for good, and with the method that was used (RFC 9110 15.4.9).
STATUS = 308


def add_to(app: web.Application) -> None:
    """Add the pages' addresses with a slash."""
    for path in ("/watch/{name}/", "/embed/{name}/"):
        app.router.add_get(path, _leave_slash)
    app.router.add_get("/studio/", _leave_slash)


async def _leave_slash(request: web.Request) -> web.Response:
    last = request.match_info.get("name", "studio")
    query = f"?{request.query_string}" if request.query_string else ""
    # RFC 3986 5.2.4: from /watch/NAME/ the dots lead to /watch/.
    return web.Response(status=STATUS, headers={hdrs.LOCATION: f"../{quote(last, safe='')}{query}"})

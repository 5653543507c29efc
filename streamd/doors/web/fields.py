"""Header fields that handlers look into, read in time that grows with their length alone.

aiohttp reads a media type as an e-mail's, in time that grows with the square of its length: 0.3 s for a field of 8 kB,
in which nobody else is served. It reads cookies by a pattern for each, and of two with one name keeps the last.

Spec: RFC 9110 section 8.3.1 (media types); RFC 6265 section 5.4 (Cookie).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs

if TYPE_CHECKING:
    from aiohttp import web

# Cookies of one name that are looked at. A browser sends several where other hosts of the site set some.
COOKIES_MAX = 8


def media_type(request: web.BaseRequest) -> str:
    """What a request says of its body: type and subtype in small letters, no parameters; empty for nothing."""
    return request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()


def cookies_named(request: web.BaseRequest, name: str) -> list[str]:
    """The values of a request's cookies of one name, as they were sent, in their order; of very many the first."""
    found = []
    for field in request.headers.getall(hdrs.COOKIE, ()):
        if name in field:
            pairs = (pair.partition("=") for pair in field.split(";"))
            found += [value.strip() for its_name, _, value in pairs if its_name.strip() == name]
    return found[:COOKIES_MAX]

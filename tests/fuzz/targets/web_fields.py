"""Fields of a request that handlers read: whatever stands in them is a value, or the documented error."""

from __future__ import annotations

import contextlib

from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.web.admin.guards import shown_token
from streamd.doors.web.assets import CACHE_REVALIDATE, Asset, answer
from streamd.doors.web.fields import COOKIES_MAX, cookies_named, media_type
from streamd.doors.web.host import authority, host_name, is_address, is_host, is_of_another_site
from streamd.doors.web.json_api import InvalidRequestError, read_query
from streamd.doors.web.models.audit import AuditQuery
from streamd.doors.web.models.keys import KeyQuery

FIELDS = (
    "Host",
    "Origin",
    "Sec-Fetch-Site",
    "Authorization",
    "Accept-Encoding",
    "If-Match",
    "If-None-Match",
    "Cookie",
    "Content-Type",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
)
_PAGE = Asset.of(b"page" * 100, "text/html")
_PROXIES = TrustedProxies(["127.0.0.0/8", "fd00::/8"])


def seeds() -> list[bytes]:
    """Lines: the query, then the fields as they stand in ``FIELDS``."""
    lines = (
        b"user=alice&state=active&limit=10",
        b"[2001:db8::1]:8080",
        b"https://live.example.org",
        b"same-origin",
        b"Bearer abc.def",
        b"br, gzip;q=0.5, *;q=0",
        b"*",
        b'W/"abc", "def"',
        b'streamd_studio=abc; x="y\\"z"',
        b'application/json; charset="utf-8"',
        b"192.0.2.1, [2001:db8::1]:80, 127.0.0.2",
        b"https",
    )
    odd = (
        b"limit=1&limit=2",
        b"[",
        b"null",
        b"\xff",
        b"bearer",
        b"gzip;q=",
        b",,",
        b'"',
        b"=;=",
        b";;=",
        b"::",
        b"a,b",
    )
    return [b"\n".join(lines), b"\n".join(odd), b"\n".join(lines[:2])]


def run(data: bytes) -> None:
    """Args: data: The lines of ``seeds``; what is left out is not sent."""
    query, *values = data.decode("latin-1").split("\n", len(FIELDS))
    fields = {name: value for name, value in zip(FIELDS, values, strict=False) if value}
    host, origin = fields.get("Host", ""), fields.get("Origin", "")
    assert not is_host(host) or "\r" not in host
    assert isinstance(is_address(host_name(host)), bool)
    assert authority(origin) == authority(origin).lower()
    # What a target may have: the rest is refused before there is a request.
    target = "/?" + "".join(each for each in query if "!" <= each <= "~" and each != "#")
    request = make_mocked_request("GET", target, CIMultiDict(fields))
    assert is_of_another_site(request, {"live.example.org"}) in (True, False)
    assert shown_token(request) in fields.get("Authorization", "")
    response = answer(request, _PAGE, {}, CACHE_REVALIDATE)
    assert response.status in (200, 304, 412)
    assert len(cookies_named(request, "streamd_studio")) <= COOKIES_MAX
    assert media_type(request) in fields.get("Content-Type", "").lower()
    for model in (KeyQuery, AuditQuery):
        with contextlib.suppress(InvalidRequestError):
            read_query(request, model)
    said = fields.get("X-Forwarded-For", "")
    assert is_address(_PROXIES.client("127.0.0.1", said))
    assert _PROXIES.scheme("127.0.0.1", fields.get("X-Forwarded-Proto", "")) in (None, "http", "https")

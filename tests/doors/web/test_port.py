"""What both ports do with every request, through aiohttp's client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.web.assets import CACHE_REVALIDATE, Asset
from streamd.doors.web.assets import answer as page_answer
from streamd.doors.web.headers import PAGE_HEADERS
from streamd.doors.web.port import over_https_from_now_on, without_entity_tags
from streamd.doors.web.public.forwarded import as_forwarded
from tests.support.ports import port_of

pytestmark = pytest.mark.asyncio

Client = TestClient[web.Request, web.Application]
MAX_AGE_S = 1000
HSTS = "Strict-Transport-Security"
FORM = {"Content_Type": "application/x-www-form-urlencoded"}
PAGE = Asset.of(b"<!doctype html>", "text/html")


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async def get_page(request: web.Request) -> web.Response:
        return page_answer(request, PAGE, PAGE_HEADERS, CACHE_REVALIDATE)

    async def respond(_: web.Request) -> web.Response:
        return web.Response(text="done")

    port = port_of()
    app = web.Application(
        middlewares=[
            port.faultless(),
            as_forwarded(TrustedProxies(["127.0.0.1/32"])),
            over_https_from_now_on(MAX_AGE_S),
            port.named(),
            port.own_pages_only("https://live.example.org"),
            without_entity_tags,
        ]
    )
    app.router.add_get("/", get_page)
    app.router.add_route("*", "/api/act", respond)
    async with TestClient(TestServer(app)) as client:
        yield client


async def status(client: Client, method: str, path: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.request(method, path, headers=named) as response:
        return response.status


class TestOtherSites:
    """Fetch Metadata; RFC 6454 section 7."""

    async def test_their_forms_change_nothing(self, client: Client) -> None:
        assert await status(client, "POST", "/api/act", Sec_Fetch_Site="cross-site", **FORM) == 403
        assert await status(client, "POST", "/api/act", Sec_Fetch_Site="same-site", **FORM) == 403
        assert await status(client, "POST", "/api/act", Origin="https://evil.example", **FORM) == 403
        assert await status(client, "POST", "/api/act", Origin="null", **FORM) == 403

    async def test_nor_do_other_methods(self, client: Client) -> None:
        for method in ("PUT", "PATCH", "DELETE"):
            assert await status(client, method, "/api/act", Sec_Fetch_Site="cross-site") == 403

    async def test_what_only_reads_may_come_from_anywhere(self, client: Client) -> None:
        assert await status(client, "GET", "/api/act", Sec_Fetch_Site="cross-site") == 200

    async def test_our_own_pages_and_programs_may(self, client: Client) -> None:
        assert await status(client, "POST", "/api/act") == 200
        assert await status(client, "POST", "/api/act", Sec_Fetch_Site="same-origin") == 200
        assert await status(client, "POST", "/api/act", Host="x", Origin="http://x") == 200

    async def test_behind_a_proxy_that_rewrites_the_host_as_well(self, client: Client) -> None:
        assert await status(client, "POST", "/api/act", Host="x", Origin="https://live.example.org") == 200


class TestHost:
    """RFC 9112 section 3.2."""

    @pytest.mark.parametrize("host", ["[", "[::1", "a b", 'x"><script>', "x:y"])
    async def test_what_is_none_is_a_400(self, host: str, client: Client) -> None:
        assert await status(client, "GET", "/", Host=host) == 400


class TestIfMatch:
    """RFC 9110 section 13.1.1."""

    async def test_a_weak_tag_matches_nothing(self, client: Client) -> None:
        assert await status(client, "GET", "/", If_Match=f'W/"{PAGE.etag}"') == 412
        assert await status(client, "GET", "/", If_Match='"other"') == 412
        assert await status(client, "GET", "/", If_Match="*") == 200

    async def test_it_goes_before_if_none_match(self, client: Client) -> None:
        tag = f'W/"{PAGE.etag}"'
        assert await status(client, "GET", "/", If_Match="*", If_None_Match=tag) == 304
        assert await status(client, "GET", "/", If_Match='"other"', If_None_Match=tag) == 412

    async def test_what_has_no_tag_is_not_acted_on(self, client: Client) -> None:
        assert await status(client, "POST", "/api/act", If_Match='"x"') == 412
        assert await status(client, "GET", "/api/act", If_Match='"x"') == 412
        assert await status(client, "POST", "/api/act", If_Match="*") == 200


class TestHttpsFromNowOn:
    """RFC 6797."""

    async def test_is_said_over_https(self, client: Client) -> None:
        for path in ("/", "/api/act", "/nothing"):
            assert await self.said(client, path, "live.example.org", "https") == f"max-age={MAX_AGE_S}"

    async def test_is_not_said_over_http(self, client: Client) -> None:
        assert await self.said(client, "/", "live.example.org", "http") is None

    @pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "[::1]:8080", "a.localhost"])
    async def test_is_not_said_of_what_is_nobodys_name(self, host: str, client: Client) -> None:
        assert await self.said(client, "/", host, "https") is None

    async def said(self, client: Client, path: str, host: str, scheme: str) -> str | None:
        headers = {"Host": host, "X-Forwarded-Proto": scheme}
        async with client.get(path, headers=headers) as response:
            return response.headers.get(HSTS)

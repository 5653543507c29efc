from __future__ import annotations

from collections.abc import Mapping

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.doors.web.headers import CONSOLE_HEADERS, EMBED_HEADERS, PAGE_HEADERS, STATIC_HEADERS, harden

OPEN = {"Access-Control-Allow-Origin": "*"}


def directives(headers: Mapping[str, str]) -> dict[str, str]:
    return dict(each.strip().split(" ", 1) for each in headers["Content-Security-Policy"].split(";"))


@pytest.mark.parametrize("headers", [PAGE_HEADERS, EMBED_HEADERS, CONSOLE_HEADERS])
class TestPages:
    def test_run_no_code_but_the_files_of_this_server(self, headers: dict[str, str]) -> None:
        policy = directives(headers)
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert "unsafe" not in headers["Content-Security-Policy"]

    def test_say_nothing_of_their_address_to_other_sites(self, headers: dict[str, str]) -> None:
        assert headers["Referrer-Policy"] in ("same-origin", "no-referrer")
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_only_the_page_that_is_made_for_it_is_shown_in_frames() -> None:
    assert directives(EMBED_HEADERS)["frame-ancestors"] == "*"
    assert directives(PAGE_HEADERS)["frame-ancestors"] == directives(CONSOLE_HEADERS)["frame-ancestors"] == "'none'"


@pytest.mark.asyncio
class TestEverythingElse:
    @pytest.mark.parametrize("path", ["/plain", "/none", "/stops"])
    async def test_is_a_document_in_which_nothing_runs(self, path: str) -> None:
        answer = await get(path)
        assert directives(answer.headers)["default-src"] == "'none'"
        assert directives(answer.headers)["frame-ancestors"] == "'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "streamd"

    async def test_keeps_what_it_says_itself(self) -> None:
        answer = await get("/page")
        assert directives(answer.headers) == directives(PAGE_HEADERS)

    async def test_is_left_alone_where_scripts_of_every_site_may_read_it(self) -> None:
        answer = await get("/media")
        assert "Content-Security-Policy" not in answer.headers
        assert answer.headers["Server"] == "streamd"

    async def test_files_of_our_pages_serve_no_other_site(self) -> None:
        answer = await get("/static")
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def get(path: str) -> web.StreamResponse:
    """What an application that says little itself answers, as aiohttp's client sees it."""

    def answer(headers: Mapping[str, str] | None = None) -> web.Response:
        return web.Response(text="x", headers=headers)

    async def respond(request: web.Request) -> web.Response:
        match request.path:
            case "/stops":
                raise web.HTTPForbidden
            case "/page":
                return answer(PAGE_HEADERS)
            case "/media":
                return answer(OPEN)
            case "/static":
                return answer(STATIC_HEADERS)
            case _:
                return answer()

    app = web.Application()
    harden(app)
    for known in ("/plain", "/stops", "/page", "/media", "/static"):
        app.router.add_get(known, respond)
    async with TestClient(TestServer(app)) as client, client.get(path) as response:
        return response  # type: ignore[return-value]  # both have headers

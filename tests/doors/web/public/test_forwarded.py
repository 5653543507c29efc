from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.web.public.forwarded import as_forwarded, root_of

pytestmark = pytest.mark.asyncio

FIELDS = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}


async def tell(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.scheme} {request.remote}")


@pytest.mark.parametrize(
    ("trusted", "headers", "seen"),
    [
        ([], FIELDS, "http 127.0.0.1"),
        (["10.0.0.0/8"], FIELDS, "http 127.0.0.1"),
        (["127.0.0.1/32"], FIELDS, "https 192.0.2.7"),
        (["127.0.0.1/32"], {}, "http 127.0.0.1"),
    ],
    ids=["nobody is trusted", "somebody else is", "the proxy is", "a proxy that says nothing"],
)
async def test_a_request_looks_as_the_viewer_made_it(trusted: list[str], headers: dict[str, str], seen: str) -> None:
    app = web.Application(middlewares=[as_forwarded(TrustedProxies(trusted))])
    app.router.add_get("/", tell)
    async with TestClient(TestServer(app)) as client, client.get("/", headers=headers) as answer:
        assert await answer.text() == seen


@pytest.mark.parametrize(
    ("trusted", "said", "root"),
    [
        ([], ["/tv"], ""),
        (["127.0.0.1/32"], ["/tv"], "/tv"),
        (["127.0.0.1/32"], ["/a-b/c.d/~e/"], "/a-b/c.d/~e"),
        (["127.0.0.1/32"], ["/"], ""),
        (["127.0.0.1/32"], [], ""),
        (["127.0.0.1/32"], ["tv"], ""),
        (["127.0.0.1/32"], ["//evil.example"], ""),
        (["127.0.0.1/32"], ["/.."], ""),
        (["127.0.0.1/32"], ["/tv/../admin"], ""),
        (["127.0.0.1/32"], ['/"><script>'], ""),
        (["127.0.0.1/32"], ["/tv", "/other"], ""),
        (["127.0.0.1/32"], ["/" + "a" * 200], ""),
    ],
)
async def test_a_trusted_proxy_says_under_which_path_it_has_put_the_server(
    trusted: list[str], said: list[str], root: str
) -> None:
    async def tell_root(request: web.Request) -> web.Response:
        # What the configuration says comes first.
        assert root_of(request, "/configured") == "/configured"
        return web.Response(text=root_of(request, ""))

    app = web.Application(middlewares=[as_forwarded(TrustedProxies(trusted))])
    app.router.add_get("/", tell_root)
    headers = [("X-Forwarded-Prefix", each) for each in said]
    async with TestClient(TestServer(app)) as client, client.get("/", headers=headers) as answer:
        assert await answer.text() == root

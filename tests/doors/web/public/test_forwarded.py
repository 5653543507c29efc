from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.web.public.forwarded import as_forwarded

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

from __future__ import annotations

from urllib.parse import urljoin

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.doors.web.public import slashes

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/watch/alice/", "/watch/alice"),
        ("/watch/alice/?t=5&autoplay=0", "/watch/alice?t=5&autoplay=0"),
        ("/embed/alice/", "/embed/alice"),
        ("/studio/", "/studio"),
        ("/watch/%2F%2Fevil.example/", "/watch/%2F%2Fevil.example"),
        ("/watch/%3Ca%3E/", "/watch/%3Ca%3E"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_it_leads_to_the_page(path: str, leads_to: str, method: str) -> None:
    app = web.Application()
    slashes.add_to(app)
    async with (
        TestClient(TestServer(app)) as client,
        client.request(method, path, allow_redirects=False) as response,
    ):
        location = response.headers["Location"]
        assert response.status == 308
        assert urljoin(f"https://live.example.org{path}", location) == f"https://live.example.org{leads_to}"
        # Under a path of a proxy's it leads there, too.
        assert urljoin(f"https://example.org/tv{path}", location) == f"https://example.org/tv{leads_to}"

"""The broadcaster's page in Chromium."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.support.chromium import DESKTOP, Scheme, Viewer, viewer

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.support.server import LiveServer


@asynccontextmanager
async def studio(
    server: LiveServer, browser: Browser, size: tuple[int, int] = DESKTOP, scheme: Scheme = "dark"
) -> AsyncIterator[Viewer]:
    """The page, before anybody has signed in. At its end, no key was in an address and nothing went wrong in it."""
    async with viewer(browser, size, scheme) as broadcaster:
        await broadcaster.open(f"{server.http_url}/studio")
        await broadcaster.page.wait_for_selector("body[data-state=signed-out]")
        yield broadcaster
        assert broadcaster.errors == []
        for secret in server.secrets:
            assert all(secret not in request for request in broadcaster.requests)


async def sign_in(broadcaster: Viewer, stream_key: str) -> None:
    """Show a stream key, as its holder does."""
    await broadcaster.page.fill("#key", stream_key)
    await broadcaster.page.click("#sign-in button")

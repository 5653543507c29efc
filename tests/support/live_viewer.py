"""What most tests of the player begin with: a channel that is live, and a viewer who comes to it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.support.chromium import DESKTOP, Scheme, Viewer, viewer
from tests.support.publisher import publish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from playwright.async_api import Browser

    from tests.support.server import LiveServer


@asynccontextmanager
async def live_viewer(
    server: LiveServer,
    browser: Browser,
    name: str = "demo",
    size: tuple[int, int] = DESKTOP,
    scheme: Scheme = "dark",
    order: Mapping[str, object] | None = None,
) -> AsyncIterator[Viewer]:
    """A viewer, with no page open yet, while a channel is live.

    Args:
        server: Where it is live.
        browser: The viewer's.
        name: The channel's.
        size: Of the window, CSS pixels.
        scheme: The colours that the viewer likes.
        order: How the broadcast differs from what ``publish`` makes.
    """
    with publish(server.rtmp_url, server.issue_key(name), **(order or {})):
        server.wait_until_playable(name)
        async with viewer(browser, size, scheme) as watching:
            yield watching

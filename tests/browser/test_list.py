"""The public list in Chromium: every channel of many can be reached."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import DESKTOP, PHONE, viewer
from tests.support.publisher import publish

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Route

    from tests.support.axe import Axe
    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

CHANNELS = 260
_NAMES = "() => [...document.querySelectorAll('.card-name')].map((name) => name.textContent)"


async def names(page: Page) -> list[str]:
    found: list[str] = await page.evaluate(_NAMES)
    return found


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_each_of_many_channels_is_found_and_reached(
    live_server: LiveServer, browser: Browser, axe: Axe, size: tuple[int, int]
) -> None:
    """The list is one that the server would need a larger machine for."""
    channels: list[dict[str, object]] = [
        {
            "name": f"channel-{number:03}",
            "state": "live",
            "live_since": f"2026-01-01T{number // 60:02}:{number % 60:02}:00.000+00:00",
            "viewers": (number * 7) % CHANNELS,
            "variants": [],
            "push_codecs": None,
            "playlist": "",
            "watch": "",
            "poster": None,
        }
        for number in range(CHANNELS)
    ]

    async def answer(route: Route) -> None:
        await route.fulfill(body=json.dumps({"streams": channels}), content_type="application/json")

    async with viewer(browser, size) as watching:
        page = watching.page
        await page.route("**/api/v1/streams", answer)
        await watching.open(f"{live_server.http_url}/")
        await watching.wait_for_state("live")
        # The newest are first, and the rest is behind a button, as often as it takes.
        assert (await names(page))[0] == "channel-259"
        assert await axe.violations(page) == []
        while await page.is_visible("#more"):
            await page.click("#more")
        assert sorted(await names(page)) == [channel["name"] for channel in channels]
        await page.fill("#search", "L-00")
        await page.wait_for_function("() => document.querySelectorAll('.card').length === 10")
        await page.select_option("#order", "watched")
        # 7 * 9 is the most of them.
        assert (await names(page))[0] == "channel-009"
        await page.select_option("#order", "name")
        assert (await names(page))[0] == "channel-000"
        await page.fill("#search", "nobody")
        await page.wait_for_selector("#message-title:text('No channel that is live is called so')")
        await page.fill("#search", "")
        await page.wait_for_selector(".card")
        assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert watching.errors == []


async def test_a_few_channels_need_no_search(live_server: LiveServer, browser: Browser) -> None:
    with publish(live_server.rtmp_url, live_server.issue_key("alice")):
        live_server.wait_until_playable("alice")
        async with viewer(browser) as watching:
            await watching.open(f"{live_server.http_url}/")
            await watching.page.wait_for_selector(".card")
            assert await watching.page.is_hidden("#toolbar")
            assert await watching.page.is_hidden("#more")

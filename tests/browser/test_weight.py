"""What the pages cost before they play: bytes that cross the network, and what moves under the viewer's eyes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.chromium import DESKTOP, PHONE, viewer
from tests.support.live_viewer import live_viewer

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

# Issue 7: the watch page before media.
WATCH_BYTES_MAX = 250_000
# Google's Core Web Vitals call 0.1 good; a page that is the same for every channel can do better.
LAYOUT_SHIFT_MAX = 0.02

_SHIFTS = """
window.layoutShift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.layoutShift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


async def test_the_watch_page_is_light_and_is_fetched_once(live_server: LiveServer, browser: Browser) -> None:
    async with live_viewer(live_server, browser) as watching:
        devtools = await watching.page.context.new_cdp_session(watching.page)
        urls: dict[str, str] = {}
        transferred: Counter[str] = Counter()

        def on_response(event: dict[str, Any]) -> None:
            urls[event["requestId"]] = event["response"]["url"].removeprefix(live_server.http_url)

        def on_finished(event: dict[str, Any]) -> None:
            path = urls[event["requestId"]]
            # Header fields included; nothing for what the browser has kept.
            if not path.startswith("/live/"):
                transferred[path] += int(event["encodedDataLength"])

        devtools.on("Network.responseReceived", on_response)
        devtools.on("Network.loadingFinished", on_finished)
        await devtools.send("Network.enable")
        await watching.open(f"{live_server.http_url}/watch/demo")
        await watching.wait_for_state("playing")
        assert await watching.data("engine") == "hls"
        total = sum(transferred.values())
        assert 100_000 < total < WATCH_BYTES_MAX, transferred.most_common()

        transferred.clear()
        await watching.page.reload()
        await watching.wait_for_state("playing")
        again = {path: size for path, size in transferred.items() if path.startswith("/static/") and size}
        assert again == {}


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_nothing_moves_when_a_stream_begins(
    live_server: LiveServer, browser: Browser, size: tuple[int, int]
) -> None:
    async with live_viewer(live_server, browser, size=size) as watching:
        await watching.page.add_init_script(_SHIFTS)
        await watching.open(f"{live_server.http_url}/watch/demo")
        await watching.wait_for_state("playing")
        await watching.wait_until_moving(1)
        assert await watching.page.evaluate("window.layoutShift") < LAYOUT_SHIFT_MAX
        await watching.open(f"{live_server.http_url}/")
        await watching.page.wait_for_selector(".card-poster[data-loaded]")
        assert await watching.page.evaluate("window.layoutShift") < LAYOUT_SHIFT_MAX


async def test_who_wants_less_motion_gets_less(live_server: LiveServer, browser: Browser) -> None:
    async with viewer(browser) as watching:
        await watching.page.emulate_media(reduced_motion="reduce")
        for path in ("/", "/watch/demo", "/embed/demo"):
            await watching.open(live_server.http_url + path)
            moving = await watching.page.evaluate(
                "() => [...document.querySelectorAll('body *')].filter((element) => "
                "parseFloat(getComputedStyle(element).transitionDuration) > 0).map((element) => element.outerHTML)"
            )
            assert moving == [], path

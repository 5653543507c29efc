"""Windows and frames of all shapes: the player is as large as it can be, and nothing lies on anything."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.support.chromium import chromium, viewer
from tests.support.live_viewer import live_viewer

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

# What can be pressed, and the name of the channel.
BOXES = """() => [...document.querySelectorAll(".player button, .player input, .title h1 a")]
  .filter((element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
  .map((element) => ({ id: element.id || element.tagName, ...element.getBoundingClientRect().toJSON() }))"""


def overlapping(boxes: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (one["id"], other["id"])
        for one, other in combinations(boxes, 2)
        if min(one["right"], other["right"]) - max(one["left"], other["left"]) > 0.5
        and min(one["bottom"], other["bottom"]) - max(one["top"], other["top"]) > 0.5
    ]


def cut_off(boxes: list[dict[str, Any]], size: tuple[int, int]) -> list[str]:
    return [box["id"] for box in boxes if box["left"] < -0.5 or box["right"] > size[0] + 0.5 or box["top"] < -0.5]


async def test_in_a_frame_of_any_size_nothing_lies_on_anything(live_server: LiveServer, browser: Browser) -> None:
    async with live_viewer(live_server, browser) as watching:
        page = watching.page
        for size in ((240, 135), (320, 180), (360, 640), (640, 360)):
            await page.set_viewport_size({"width": size[0], "height": size[1]})
            await watching.open(f"{live_server.http_url}/embed/demo")
            await watching.wait_for_state("ready")
            boxes = await page.evaluate(BOXES)
            assert {"start", "A"} <= {box["id"] for box in boxes}
            assert overlapping(boxes) == [], (size, "before it plays")
            await watching.open(f"{live_server.http_url}/embed/demo?autoplay=1")
            await watching.wait_for_state("playing")
            await page.hover("#player", position={"x": size[0] / 2, "y": size[1] / 2})
            await expect(page.locator("#unmute")).to_be_visible()
            boxes = await page.evaluate(BOXES)
            assert {"play", "mute", "fullscreen", "unmute"} <= {box["id"] for box in boxes}
            assert overlapping(boxes) == [], (size, "playing")
            assert cut_off(boxes, size) == [], size


@pytest.mark.parametrize("size", [(844, 390), (1280, 480)], ids=["phone sideways", "low window"])
async def test_a_low_window_is_the_players(live_server: LiveServer, browser: Browser, size: tuple[int, int]) -> None:
    async with live_viewer(live_server, browser, size=size) as watching:
        page = watching.page
        await watching.open(f"{live_server.http_url}/watch/demo")
        await watching.wait_for_state("playing")
        await page.hover("#player")
        box = await page.evaluate("document.getElementById('player').getBoundingClientRect().toJSON()")
        assert box["top"] == 0
        assert box["height"] > 0.9 * size[1]
        assert box["bottom"] <= size[1] + 0.5
        assert overlapping(await page.evaluate(BOXES)) == []
        # The facts stand in a line, not a word a line.
        assert await page.evaluate("document.querySelector('.facts').getBoundingClientRect().height") < 60


@pytest.mark.parametrize("size", [(1440, 900), (1366, 768), (390, 844)])
async def test_the_sheet_to_share_is_in_the_window_and_closes_as_sheets_do(
    live_server: LiveServer, browser: Browser, size: tuple[int, int]
) -> None:
    async with viewer(browser, size) as watching:
        page = watching.page
        await watching.open(f"{live_server.http_url}/watch/demo")
        await watching.wait_for_state("offline")
        for leave in ("Escape", "pointer"):
            await page.evaluate("navigator.share = undefined")
            await page.click("summary")
            box = await page.evaluate("document.querySelector('.share-lines').getBoundingClientRect().toJSON()")
            assert box["top"] >= 0
            assert box["bottom"] <= size[1]
            assert box["left"] >= 0
            assert box["right"] <= size[0]
            if leave == "Escape":
                await page.keyboard.press("Escape")
                assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"
            else:
                await page.mouse.click(size[0] / 2, 5)
            await expect(page.locator("details")).not_to_have_attribute("open", "")


async def test_it_is_copied_over_plain_http_too(live_server: LiveServer) -> None:
    async with chromium(["--host-resolver-rules=MAP plain.test 127.0.0.1"]) as browser, viewer(browser) as watching:
        page = watching.page
        await page.context.grant_permissions(["clipboard-read"], origin=live_server.http_url)
        await watching.open(f"http://plain.test:{live_server.http_port}/watch/demo")
        assert not await page.evaluate("isSecureContext")
        await page.click("summary")
        await page.click("[data-copies=share-link]")
        await expect(page.locator("#copied")).to_have_text("Copied.")
        await watching.open(f"{live_server.http_url}/")
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert copied == f"http://plain.test:{live_server.http_port}/watch/demo"


async def test_without_javascript_each_page_says_so(live_server: LiveServer, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    for url in (
        f"{live_server.http_url}/",
        f"{live_server.http_url}/watch/demo",
        f"{live_server.http_url}/embed/demo",
        f"{live_server.http_url}/studio",
        f"{live_server.admin_url}/",
    ):
        await page.goto(url)
        await expect(page.locator("noscript p")).to_be_visible()
    await context.close()


async def test_the_player_can_be_seen_in_colours_of_the_viewers_own(live_server: LiveServer, browser: Browser) -> None:
    async with live_viewer(live_server, browser) as watching:
        await watching.page.emulate_media(forced_colors="active", color_scheme="light")
        await watching.open(f"{live_server.http_url}/watch/demo")
        await watching.wait_for_state("playing")
        fill = await watching.page.evaluate("getComputedStyle(document.querySelector('#play svg')).fill")
        assert fill == "rgb(255, 255, 255)"

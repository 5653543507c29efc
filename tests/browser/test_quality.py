"""The quality of a channel that has several, in Chromium: shown as it plays, and chosen by the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.chromium import PHONE, viewer
from tests.support.codec_media import AudioTrack, VideoTrack, encoded

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from tests.support.axe import Axe
    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

MEDIA_S = 2
LADDER = encoded(
    (VideoTrack("libx264", 320, 192, bit_rate=400_000), VideoTrack("libx264", 160, 96, bit_rate=80_000)),
    (AudioTrack(),),
    MEDIA_S,
)
PORTRAIT = encoded((VideoTrack("libx264", 144, 256),), (AudioTrack(),), MEDIA_S)
_NAMES = "() => [...document.querySelectorAll('#quality-items button')].map((item) => item.textContent)"


async def choose(page: Page, name: str) -> None:
    await page.hover("#player")
    await page.click("#mode")
    await page.locator(f"#quality-items [data-quality='{name}']").click()


async def test_a_viewer_chooses_what_plays_and_reads_what_does(
    live_server: LiveServer, browser: Browser, axe: Axe
) -> None:
    key = live_server.issue_key("alice")
    async with viewer(browser) as watching:
        page = watching.page
        with ChangingBroadcast(live_server.rtmp_port, key, LADDER, 1000 * MEDIA_S):
            live_server.wait_until_playable("alice")
            await watching.open(f"{live_server.http_url}/watch/alice")
            await watching.wait_for_state("playing")
            await page.wait_for_selector("#quality-items:not([hidden])", state="attached")
            await page.hover("#player")
            await page.click("#mode")
            assert await axe.violations(page) == []
            assert (await page.evaluate(_NAMES))[1:] == ["192p", "96p"]
            await page.keyboard.press("Escape")
            for height in (96, 192, 96):
                await choose(page, f"{height}p")
                await page.wait_for_function(
                    "(height) => document.querySelector('video').videoHeight === height", arg=height
                )
                # The page names the picture that plays, not the best one that there is.
                await page.wait_for_selector(f"#quality:text-is('{height}p')")
                await watching.wait_until_moving()
            # The choice is kept for the next visit, and for a channel that has it.
            await page.reload()
            await watching.wait_for_state("playing")
            await page.wait_for_selector("#quality:text-is('96p')")
            await page.wait_for_selector("[data-quality='96p'][aria-checked=true]", state="attached")
            await choose(page, "auto")
            await page.wait_for_selector("[data-quality=auto][aria-checked=true]", state="attached")
            assert watching.errors == []


async def test_a_channel_with_one_quality_offers_no_choice(live_server: LiveServer, browser: Browser) -> None:
    key = live_server.issue_key("alice")
    async with viewer(browser, PHONE) as watching:
        with ChangingBroadcast(live_server.rtmp_port, key, PORTRAIT, 1000 * MEDIA_S):
            live_server.wait_until_playable("alice")
            await watching.page.add_init_script("localStorage.setItem('streamd.quality', '96p')")
            await watching.open(f"{live_server.http_url}/watch/alice")
            await watching.wait_for_state("playing")
            await watching.wait_until_moving()
            assert await watching.page.is_hidden("#quality-items")
            # By its short side, as on every other page.
            assert await watching.page.inner_text("#quality") == "144p"

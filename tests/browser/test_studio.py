"""The broadcaster's page in Chromium, on a real server with real broadcasts; its whole way is in test_console.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import DESKTOP, PHONE, Scheme
from tests.support.publisher import publish
from tests.support.studio import sign_in, studio

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.support.axe import Axe
    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]


async def test_it_answers_why_the_encoder_does_not_connect(live_server: LiveServer, browser: Browser) -> None:
    key = live_server.issue_key("alice")
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
    with publish(live_server.rtmp_url, wrong) as refused:
        refused.wait(20)
    async with studio(live_server, browser) as broadcaster:
        page = broadcaster.page
        await sign_in(broadcaster, wrong)
        await page.wait_for_selector("#sign-in-error:not(:empty)")
        await sign_in(broadcaster, key)
        await page.wait_for_selector("text=Refused: the key was not right")
        with publish(live_server.rtmp_url, key) as broadcast:
            await page.wait_for_selector("body[data-live=live]")
            with publish(live_server.rtmp_url, key) as second:
                second.wait(20)
            await page.wait_for_selector("text=Refused: you are live already")
            await page.wait_for_selector("#tiles :text('fps')")
            broadcast.stop()
        await page.wait_for_selector("text=Ended: you stopped streaming")
        # The session outlives a reload, and the key is nowhere on the page or in what scripts can read.
        await page.reload()
        await page.wait_for_selector("body[data-state=signed-in]")
        seen = await page.content() + await page.evaluate("JSON.stringify([sessionStorage, localStorage])")
        assert key.rpartition("_")[2] not in seen
        assert await page.evaluate("document.cookie") == ""
        await page.click("#sign-out")
        await page.wait_for_selector("body[data-state=signed-out]")
        await page.reload()
        await page.wait_for_selector("body[data-state=signed-out]")


async def test_it_says_what_may_be_sent_and_calls_nobody_live_who_is_cut_off(
    live_server: LiveServer, browser: Browser
) -> None:
    key = live_server.issue_key("alice")
    async with studio(live_server, browser) as broadcaster:
        await sign_in(broadcaster, key)
        with publish(live_server.rtmp_url, key) as broadcast:
            await broadcaster.page.wait_for_selector("#headline:text('You are live')")
            live_server.admin("PATCH", "/api/v1/users/alice", {"limits": {"bitrate_kbps_max": 6500}})
            await broadcaster.page.wait_for_selector("#limits:text('up to 6.5 Mb/s')")
            broadcast.kill()
            await broadcaster.page.wait_for_selector("#headline:text('Your connection is gone')")


async def test_a_server_that_is_gone_is_said_to_be(live_server: LiveServer, browser: Browser) -> None:
    async with studio(live_server, browser) as broadcaster:
        await sign_in(broadcaster, live_server.issue_key("alice"))
        await broadcaster.page.wait_for_selector("body[data-state=signed-in]")
        live_server.stop()
        await broadcaster.page.wait_for_selector("body[data-stale]")
        assert "does not answer" in await broadcaster.page.inner_text("#stale")


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "dark"), (PHONE, "light")], ids=["desktop", "phone"])
async def test_it_is_accessible_and_fits_the_window(
    live_server: LiveServer, browser: Browser, axe: Axe, size: tuple[int, int], scheme: Scheme
) -> None:
    key = live_server.issue_key("a" * 64)
    async with studio(live_server, browser, size, scheme) as broadcaster:
        page = broadcaster.page
        assert await axe.violations(page) == [], "signed out"
        await sign_in(broadcaster, key)
        await page.wait_for_selector("body[data-live=offline]")
        assert await axe.violations(page) == [], "offline"
        with publish(live_server.rtmp_url, key):
            await page.wait_for_selector("body[data-live=live]")
            await page.wait_for_selector("text=Live now")
            assert await axe.violations(page) == [], "live"
            assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]

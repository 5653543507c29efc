"""The broadcaster's page in Chromium, on a real server with real broadcasts; its whole way is in test_console.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.test_console import console, go_to
from tests.support.chromium import DESKTOP, PHONE, Scheme
from tests.support.publisher import publish
from tests.support.studio import sign_in, studio

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.support.axe import Axe
    from tests.support.server import LiveServer

FAR_KEY = "far-secret-of-elsewhere-x9f2"

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


async def test_broadcasts_are_passed_on_and_the_state_of_the_far_server_is_told_with_its_words(
    live_server: LiveServer, browser: Browser, axe: Axe
) -> None:
    key = live_server.issue_key("alice")
    live_server.secrets |= {FAR_KEY}
    async with studio(live_server, browser) as broadcaster, console(live_server, browser) as operator:
        page = broadcaster.page
        await sign_in(broadcaster, key)
        await page.click("#targets-add")
        dialog = page.get_by_role("dialog", name="Pass your broadcasts on")
        await dialog.get_by_role("button", name="YouTube").click()
        assert await dialog.get_by_label("Server").input_value() == "rtmps://a.rtmps.youtube.com/live2"
        assert await dialog.get_by_label("Stream key").get_attribute("type") == "password"
        assert await axe.violations(page) == [], "the dialog"
        # Our own network is no place for targets.
        await dialog.get_by_label("Server").fill("rtmp://127.0.0.1:9/live")
        await dialog.get_by_label("Stream key").fill(FAR_KEY)
        await dialog.get_by_label("Name").fill("Far")
        await dialog.get_by_role("button", name="Add", exact=True).click()
        await page.wait_for_selector("#targets .pill:text('Waiting')")
        assert not await page.get_by_role("button", name="Stop “Far”").is_visible()
        with publish(live_server.rtmp_url, key):
            await page.wait_for_selector("#targets .pill:text('Reconnecting')")
            await page.wait_for_selector("#targets :text('127.0.0.1 is not on the internet')")
            assert await axe.violations(page) == [], "with a target in trouble"
            await page.get_by_role("button", name="Stop “Far”").click()
            await page.wait_for_selector("#targets .pill:text('Off')")
            await go_to(operator, "users")
            await operator.page.get_by_role("button", name="Passed on broadcasts of alice").click()
            shown = operator.page.get_by_role("dialog", name="Where the broadcasts of alice go")
            await shown.locator(".pill:text('Off')").wait_for()
            assert await axe.violations(operator.page) == [], "the console's"
            await shown.get_by_role("button", name="Start “Far”").click()
            await page.wait_for_selector("#targets .pill:text('Reconnecting')")
        for seen in (page, operator.page):
            content = await seen.content() + await seen.evaluate("JSON.stringify([sessionStorage, localStorage])")
            assert FAR_KEY not in content
            assert "…x9f2" in content
        await shown.get_by_role("button", name="Remove “Far”").click()
        await operator.page.get_by_role("button", name="Remove the server").click()
        await page.wait_for_selector("#targets li", state="detached")
    assert FAR_KEY not in live_server.log_text()


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

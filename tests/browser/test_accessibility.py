"""Every viewer's page in every state, checked by axe-core: no violation at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import DESKTOP, PHONE, Scheme, viewer
from tests.support.publisher import publish

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.support.axe import Axe
    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]


async def test_the_check_finds_what_is_wrong(browser: Browser, axe: Axe) -> None:
    async with viewer(browser) as watching:
        await watching.page.set_content("<p style='color: #aaa; background: #fff'>pale</p><button></button>")
        found = {violation.partition(":")[0] for violation in await axe.violations(watching.page)}
        assert {"button-name", "color-contrast", "html-has-lang", "document-title"} <= found


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_without_a_broadcast(
    live_server: LiveServer, browser: Browser, axe: Axe, size: tuple[int, int], scheme: Scheme
) -> None:
    live_server.issue_key("gone")
    live_server.admin("PATCH", "/api/v1/users/gone", {"state": "suspended"})
    async with viewer(browser, size, scheme) as watching:
        for path, state in (
            ("/", "empty"),
            ("/watch/No", "empty"),
            ("/watch/demo", "offline"),
            ("/watch/gone", "gone"),
            ("/embed/demo", "offline"),
        ):
            await watching.open(live_server.http_url + path)
            await watching.page.wait_for_selector(f"body[data-state={state}]")
            assert await axe.violations(watching.page) == [], path


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
async def test_pages_with_a_broadcast(
    live_server: LiveServer, browser: Browser, axe: Axe, size: tuple[int, int], scheme: Scheme
) -> None:
    with publish(live_server.rtmp_url, live_server.issue_key("demo")) as broadcast:
        live_server.wait_until_playable("demo")
        async with viewer(browser, size, scheme) as watching:
            page = watching.page

            async def check(state: str) -> None:
                assert await axe.violations(page) == [], state

            await watching.open(f"{live_server.http_url}/")
            await page.wait_for_selector(".card-poster[data-loaded]")
            await check("channels")
            await watching.open(f"{live_server.http_url}/embed/demo")
            await watching.wait_for_state("ready")
            await check("embedded, waiting")
            await page.click("#start")
            await watching.wait_for_state("playing")
            await check("embedded, playing")
            await watching.open(f"{live_server.http_url}/watch/demo")
            await watching.wait_for_state("playing")
            await page.hover("#player")
            await check("playing")
            await page.click("#mode")
            await check("menu")
            await page.keyboard.press("Escape")
            await page.click("summary")
            await page.click("[data-copies=share-embed]")
            await check("sharing")
            await page.keyboard.press("Escape")
            await page.evaluate("document.querySelector('video').pause()")
            await check("paused")
            await page.evaluate("document.querySelector('video').play()")
            # The notice of a mode that was given up, which another test brings about.
            await page.evaluate("document.getElementById('toast').textContent = 'Now: low latency.'")
            await check("notice")
            broadcast.stop()
            await watching.wait_for_state("ended")
            await check("ended")
            assert watching.errors == []


async def test_a_server_that_does_not_answer(live_server: LiveServer, browser: Browser, axe: Axe) -> None:
    async with viewer(browser) as watching:
        await watching.page.route("**/api/**", lambda route: route.abort())
        for path in ("/", "/watch/demo"):
            await watching.open(live_server.http_url + path)
            await watching.wait_for_state("error")
            assert await axe.violations(watching.page) == [], path

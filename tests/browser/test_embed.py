"""The player in a page of another site, and what the watch page offers to share."""

from __future__ import annotations

import contextlib
import http.server
import threading
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.support.chromium import viewer
from tests.support.live_viewer import live_viewer
from tests.support.publisher import publish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.async_api import Browser

    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]


@contextlib.contextmanager
def other_site(html: str) -> Iterator[str]:
    """The address of a page of another site, which answers everything with this."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}/blog"
        finally:
            server.shutdown()
            thread.join()


async def test_the_code_of_the_watch_page_plays_in_a_page_of_another_site(
    live_server: LiveServer, browser: Browser
) -> None:
    async with live_viewer(live_server, browser) as watching:
        page = watching.page
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await watching.open(f"{live_server.http_url}/watch/demo")
        await page.click("summary")
        await page.click("[data-copies=share-embed]")
        await expect(page.locator("#copied")).to_have_text("Copied.")
        code = await page.evaluate("navigator.clipboard.readText()")

        watching.requests.clear()
        with other_site(code) as url:
            await watching.open(url)
            frame = page.frame_locator("iframe")
            await expect(frame.locator("body")).to_have_attribute("data-state", "ready")
            poster = f"{live_server.http_url}/live/demo/poster.jpg"
            await expect(frame.locator("video")).to_have_attribute("poster", poster)
            assert not [each for each in watching.requests if "vendor" in each or each.endswith((".m3u8", ".mp4"))]
            await frame.locator("#start").click()
            await expect(frame.locator("body")).to_have_attribute("data-state", "playing")
            await expect(frame.locator("#player")).to_have_attribute("data-muted", "false")
            assert await frame.get_by_role("link", name="demo").get_attribute("target") == "_blank"
        assert watching.errors == []


async def test_it_begins_by_itself_and_silently_where_the_page_wants_that(
    live_server: LiveServer, browser: Browser
) -> None:
    async with live_viewer(live_server, browser) as watching:
        await watching.open(f"{live_server.http_url}/embed/demo?autoplay=1")
        await watching.wait_for_state("playing")
        await watching.wait_until_moving(1)
        assert await watching.page.evaluate("document.querySelector('video').muted")
        assert watching.errors == []


async def test_other_pages_are_shown_in_no_frame(live_server: LiveServer, browser: Browser) -> None:
    async with viewer(browser) as watching:
        with other_site(f'<iframe src="{live_server.http_url}/watch/demo"></iframe>') as url:
            async with watching.page.expect_console_message(lambda message: "frame-ancestors" in message.text):
                await watching.open(url)
            await expect(watching.page.frame_locator("iframe").locator("#player")).to_have_count(0)


async def test_typing_into_a_field_is_no_command_to_the_player(live_server: LiveServer, browser: Browser) -> None:
    async with live_viewer(live_server, browser) as watching:
        await watching.open(f"{live_server.http_url}/watch/demo")
        await watching.wait_for_state("playing")
        await watching.page.click("summary")
        await watching.page.focus("#share-link")
        await watching.page.keyboard.press("m")
        await watching.page.keyboard.press("k")
        await watching.page.focus("summary")
        await watching.page.keyboard.press(" ")
        await expect(watching.page.locator("details")).not_to_have_attribute("open", "")
        state = await watching.page.evaluate("(v => [v.muted, v.paused])(document.querySelector('video'))")
        assert state == [True, False]


async def test_it_is_told_of_a_beginning_and_of_an_end_as_the_watch_page_is(
    live_server: LiveServer, browser: Browser
) -> None:
    key = live_server.issue_key("alice")
    frames = "".join(
        f'<iframe src="{live_server.http_url}/embed/{name}"></iframe>' for name in ("alice", "bob", "carol", "alice")
    )
    async with viewer(browser) as watching:
        with other_site(frames) as url:
            await watching.open(url)
            players = [watching.page.frame_locator(f"iframe >> nth={at}").locator("body") for at in range(4)]
            for player in players:
                await expect(player).to_have_attribute("data-state", "offline")
            with publish(live_server.rtmp_url, key) as broadcast:
                for player in (players[0], players[3]):
                    await expect(player).to_have_attribute("data-state", "ready")
                broadcast.stop()
                await expect(players[0]).to_have_attribute("data-state", "offline")
            asked = [each.partition("/api/v1/streams/")[2] for each in watching.requests if "/api/v1/streams/" in each]
            assert "alice?unless=offline" in asked
            assert "alice?unless=live" in asked
            # Three of a page wait for their answers; its other connections are for media, and for a fourth that asks.
            assert {each for each in asked if each.startswith("bob")} <= {"bob", "bob?unless=offline"}
            assert asked.count("alice") > asked.count("bob")

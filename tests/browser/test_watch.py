"""The viewer's pages in Chromium, on a real server with a real broadcast."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.support.chromium import DESKTOP, PHONE, Viewer, viewer
from tests.support.live_viewer import live_viewer
from tests.support.publisher import publish

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

LATENCY_MS_MAX = 3000
# Five segments, and twenty parts.
WATCH_S = 10
# What a viewer is promised, and what a loaded machine may add to it.
STANDING_MS_MAX = 3_000 + 5_000


async def wait_until_playing(watching: Viewer, url: str) -> None:
    await watching.open(url)
    await watching.wait_for_state("playing")
    await watching.wait_until_moving(1)


class TestLowLatency:
    async def test_plays_at_once_without_a_stall_and_close_to_live(
        self, server: LiveServer, channel: str, browser: Browser
    ) -> None:
        async with live_viewer(server, browser, channel) as watching:
            await wait_until_playing(watching, f"{server.http_url}/watch/{channel}")
            # Catching up with live is allowed to be a tenth faster.
            await watching.watch_until(
                lambda got: (
                    got.is_smooth and WATCH_S - 0.5 < got.played_s < WATCH_S * 1.1 and got.latency_ms < LATENCY_MS_MAX
                ),
                WATCH_S,
            )
            assert await watching.data("engine") == "hls", "hls.js is missing: the package was built without npm"
            assert await watching.data("low-latency") == "true"
            assert watching.errors == []
            assert any("_HLS_msn=" in request for request in watching.requests)
            assert any(re.search(r"/part\d+\.m4s$", request) for request in watching.requests)


class TestNative:
    """Chromium's own HLS: a second player that has nothing of hls.js."""

    async def test_plays_without_a_stall(self, server: LiveServer, channel: str, browser: Browser) -> None:
        async with live_viewer(server, browser, channel) as watching:
            await wait_until_playing(watching, f"{server.http_url}/watch/{channel}?player=native")
            # It starts while the playlist is short and may wait for the second segment.
            await watching.wait_until_moving(6)
            # Chromium's own player slows down a little where its buffer is short.
            await watching.watch_until(
                lambda got: got.stalls == 0 and got.audio_bytes > 0 and got.played_s > WATCH_S * 0.9, WATCH_S
            )
            assert await watching.data("engine") == "native"
            assert watching.errors == []


class TestComingAndGoing:
    async def test_starts_by_itself_says_when_it_is_over_and_starts_again(
        self, server: LiveServer, channel: str, browser: Browser
    ) -> None:
        key = server.issue_key(channel)
        async with viewer(browser) as watching:
            await watching.open(f"{server.http_url}/watch/{channel}")
            await watching.wait_for_state("offline")
            assert await watching.page.inner_text("#notice-title") == f"{channel} is offline"
            for _ in range(2):
                with publish(server.rtmp_url, key) as broadcast:
                    await watching.wait_for_state("playing")
                    await watching.wait_until_moving(2)
                    broadcast.stop()
                    await watching.wait_for_state("ended")
                    assert await watching.page.inner_text("#notice-title") == "The stream has ended"
            assert len([request for request in watching.requests if "/watch/" in request]) == 1
            assert watching.errors == []

    async def test_revoking_the_key_ends_it_for_the_viewer(
        self, server: LiveServer, channel: str, browser: Browser
    ) -> None:
        key = server.issue_key(channel)
        with publish(server.rtmp_url, key):
            server.wait_until_playable(channel)
            async with viewer(browser) as watching:
                await wait_until_playing(watching, f"{server.http_url}/watch/{channel}")
                key_id = key.split("_")[1]
                server.revoke(key_id)
                await watching.wait_for_state("ended")

    async def test_who_waits_is_told_by_the_server_and_plays_at_once(
        self, server: LiveServer, channel: str, browser: Browser
    ) -> None:
        key = server.issue_key(channel)
        async with viewer(browser) as watching:
            await watching.open(f"{server.http_url}/watch/{channel}")
            await watching.wait_for_state("offline")
            await watching.page.wait_for_timeout(1_000)
            assert self._asked(watching, channel) == ["", "unless=offline"]
            with publish(server.rtmp_url, key):
                await watching.wait_for_state("playing")
            # It began with the answer to that question, or to one after it if the broadcaster was connecting.
            assert self._asked(watching, channel)[2:] in ([], ["unless=starting"])

    @staticmethod
    def _asked(watching: Viewer, channel: str) -> list[str]:
        """What the page has asked about the channel: the query of each question."""
        questions = [request.partition("?") for request in watching.requests]
        return [query for path, _, query in questions if path.endswith(f"/api/v1/streams/{channel}")]

    async def test_a_broadcaster_who_is_connecting_is_not_called_offline(
        self, server: LiveServer, channel: str, browser: Browser
    ) -> None:
        async with viewer(browser) as watching:
            await watching.page.route(
                f"**/api/v1/streams/{channel}*",
                lambda route: route.fulfill(status=404, json={"status": 404, "state": "starting"}),
            )
            await watching.open(f"{server.http_url}/watch/{channel}")
            await watching.page.wait_for_selector("#notice-title:text('connected')")
            assert await watching.page.inner_text("#badge") == "Connecting".upper()

    async def test_a_waiting_page_asks_gently(self, server: LiveServer, browser: Browser) -> None:
        async with viewer(browser) as watching:
            await watching.open(f"{server.http_url}/watch/nobody")
            await watching.wait_for_state("offline")
            await watching.page.wait_for_timeout(8_000)
            asked = [request for request in watching.requests if "/api/" in request]
            assert 2 <= len(asked) <= 6
            assert not [request for request in watching.requests if "/live/" in request]


class TestWhatTheBadgeSays:
    async def test_a_frozen_broadcaster_is_waited_for_and_the_viewers_line_is_not_blamed(
        self, server: LiveServer, channel: str, browser: Browser
    ) -> None:
        key = server.issue_key(channel)
        with publish(server.rtmp_url, key) as broadcast:
            server.wait_until_playable(channel)
            async with viewer(browser) as watching:
                await wait_until_playing(watching, f"{server.http_url}/watch/{channel}")
                badge = watching.page.locator("#badge")
                await expect(badge).to_have_text("Live")
                broadcast.process.send_signal(signal.SIGSTOP)
                try:
                    await expect(badge).to_have_text("Waiting", timeout=STANDING_MS_MAX)
                    await expect(watching.page.locator("#hint")).to_contain_text("broadcaster")
                finally:
                    broadcast.process.send_signal(signal.SIGCONT)
                await watching.wait_for_state("playing")
                await expect(badge).to_have_text("Live", timeout=STANDING_MS_MAX)

    async def test_sound_alone_has_a_face(self, server: LiveServer, channel: str, browser: Browser) -> None:
        key = server.issue_key(channel)
        with publish(server.rtmp_url, key, has_video=False):
            server.wait_until_playable(channel)
            async with viewer(browser) as watching:
                await wait_until_playing(watching, f"{server.http_url}/watch/{channel}")
                assert "Sound only" in await watching.page.inner_text(".sound-only")


class TestControls:
    async def test_keys_do_what_people_expect(self, server: LiveServer, channel: str, browser: Browser) -> None:
        async with live_viewer(server, browser, channel) as watching:
            await wait_until_playing(watching, f"{server.http_url}/watch/{channel}")
            page = watching.page

            async def holds(condition: str) -> None:
                await page.wait_for_function(f"(video) => {condition}", arg=await page.query_selector("video"))

            await holds("video.muted")
            assert await page.is_visible("#unmute")
            await page.keyboard.press("m")
            await holds("!video.muted")
            await page.wait_for_selector("#unmute", state="hidden")
            await page.keyboard.press("ArrowDown")
            await holds("Math.abs(video.volume - 0.95) < 0.001")
            await page.keyboard.press("k")
            await holds("video.paused")
            await page.keyboard.press(" ")
            await holds("!video.paused")
            await page.keyboard.press("f")
            await holds("document.fullscreenElement !== null")
            await page.keyboard.press("f")
            await holds("document.fullscreenElement === null")
            assert watching.errors == []

    async def test_going_back_stays_back_until_live_is_pressed(
        self, server: LiveServer, channel: str, browser: Browser
    ) -> None:
        async with live_viewer(server, browser, channel) as watching:
            await wait_until_playing(watching, f"{server.http_url}/watch/{channel}")
            await watching.wait_until_moving(6)
            await watching.page.keyboard.press("ArrowLeft")
            await watching.page.wait_for_selector("#player[data-at-live=false]", state="attached")
            await watching.wait_until_moving(5)
            assert int(await watching.data("latency-ms") or 0) > 5_000
            # The controls are away while nobody moves.
            await watching.page.hover("#player")
            await watching.page.click("#live")
            await watching.page.wait_for_selector("#player[data-at-live=true]", state="attached")
            # The figure follows the seek by as long as the seek takes.
            await watching.page.wait_for_function(
                "max => Number(document.body.dataset.latencyMs) < max", arg=LATENCY_MS_MAX
            )


class TestChannelList:
    async def test_follows_who_is_live(self, live_server: LiveServer, browser: Browser) -> None:
        async with viewer(browser) as watching:
            await watching.open(f"{live_server.http_url}/")
            await watching.wait_for_state("empty")
            with publish(live_server.rtmp_url, live_server.issue_key("demo")):
                await watching.page.wait_for_selector(".card")
                assert await watching.page.inner_text(".card-name") == "demo"
                await watching.page.click(".card")
                await watching.wait_for_state("playing")
            assert watching.errors == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_nothing_is_wider_than_the_window(
    server: LiveServer, channel: str, browser: Browser, size: tuple[int, int]
) -> None:
    async with viewer(browser, size, "light") as watching:
        for path in ("/", f"/watch/{channel}", f"/watch/{'w' * 64}", "/watch/No"):
            await watching.open(server.http_url + path)
            width = await watching.page.evaluate("document.documentElement.scrollWidth")
            assert width <= size[0], path

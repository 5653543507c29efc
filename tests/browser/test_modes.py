"""The watch page's latency modes in Chromium: the endless MP4, LL-HLS and plain HLS, and the ways between them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import DESKTOP, PHONE, Playback, Scheme, Viewer, viewer
from tests.support.live_viewer import live_viewer
from tests.support.publisher import publish

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser, Route

    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

PUSH_LATENCY_MS_MAX = 1000
# Each stall teaches the player to keep more in hand: up to 1.2 s, and playback is let be within 0.25 s of that.
PUSH_LATENCY_MS_LEARNED_MAX = 1500
LOW_LATENCY_MS_MAX = 3000
# Three target durations of 2 s behind the newest segment are the definition of stable; 1 s for rounding.
STABLE_LATENCY_MS_MIN = 4000
STABLE_S = 8
WATCH_S = 10


async def open_in_mode(watching: Viewer, url: str, mode: str) -> None:
    """Come back as a viewer who has chosen a mode before."""
    await watching.page.add_init_script(
        f"localStorage.getItem('streamd.mode') ?? localStorage.setItem('streamd.mode', '{mode}')"
    )
    await watching.open(url)
    await watching.wait_for_state("playing")


async def choose(watching: Viewer, mode: str) -> None:
    """Choose a mode in the menu with the pointer."""
    await watching.page.hover("#player")
    await watching.page.click("#mode")
    await watching.page.click(f"#mode-menu [data-mode={mode}]")


async def assert_mode_plays(watching: Viewer, mode: str, engine: str) -> None:
    await watching.page.wait_for_selector(f"body[data-mode={mode}][data-state=playing]", state="attached")
    await watching.page.wait_for_function("() => document.querySelector('video').readyState >= 3")
    await watching.wait_until_moving(2)
    assert await watching.data("engine") == engine
    assert await watching.page.get_attribute(f"#mode-menu [data-mode={mode}]", "aria-checked") == "true"


def is_close(got: Playback) -> bool:
    """Whether the pushed stream played as close to live as its player means to."""
    has_learned = got.stalls_before + got.stalls > 0
    return got.buffered_s * 1000 < (PUSH_LATENCY_MS_LEARNED_MAX if has_learned else PUSH_LATENCY_MS_MAX)


async def wait_until_close(watching: Viewer) -> None:
    """Wait until the page says that the pushed stream plays as close to live as its player means to."""
    await watching.page.wait_for_function(
        "([max, learned]) => { const { latencyMs, stalls } = document.body.dataset;"
        " return Number(latencyMs) < (Number(stalls) > 0 ? learned : max); }",
        arg=[PUSH_LATENCY_MS_MAX, PUSH_LATENCY_MS_LEARNED_MAX],
    )


async def test_the_lowest_latency_is_under_a_second(server: LiveServer, channel: str, browser: Browser) -> None:
    async with live_viewer(server, browser, channel) as watching:
        await open_in_mode(watching, f"{server.http_url}/watch/{channel}", "lowest")
        await assert_mode_plays(watching, "lowest", "mp4")
        await watching.watch_until(lambda got: got.is_smooth and is_close(got), WATCH_S)
        assert watching.errors == []
        pushed = [request for request in watching.requests if request.endswith(f"/live/{channel}.mp4")]
        assert len(pushed) == 1
        assert not [request for request in watching.requests if request.endswith(".m3u8")]


async def test_each_mode_can_be_chosen_while_another_plays_and_is_kept(
    server: LiveServer, channel: str, browser: Browser
) -> None:
    with publish(server.rtmp_url, server.issue_key(channel)):
        server.wait_until_playable(channel)
        # Plain HLS begins three segments back, so there have to be some.
        await asyncio.sleep(STABLE_S)
        async with viewer(browser) as watching:
            await watching.open(f"{server.http_url}/watch/{channel}")
            await watching.wait_for_state("playing")
            await assert_mode_plays(watching, "low", "hls")
            assert await watching.data("low-latency") == "true"
            await choose(watching, "stable")
            await assert_mode_plays(watching, "stable", "hls")
            assert await watching.data("low-latency") == "false"
            assert int(await watching.data("latency-ms") or 0) > STABLE_LATENCY_MS_MIN
            await choose(watching, "lowest")
            await assert_mode_plays(watching, "lowest", "mp4")
            assert await watching.data("ingest-latency-ms") is None
            await choose(watching, "low")
            await assert_mode_plays(watching, "low", "hls")
            await watching.page.wait_for_function(
                "max => Number(document.body.dataset.latencyMs) < max", arg=LOW_LATENCY_MS_MAX
            )
            await choose(watching, "lowest")
            await assert_mode_plays(watching, "lowest", "mp4")
            await watching.page.reload()
            await assert_mode_plays(watching, "lowest", "mp4")
            assert watching.errors == []


async def test_going_back_and_to_live_again_works_on_the_pushed_stream(
    server: LiveServer, channel: str, browser: Browser
) -> None:
    async with live_viewer(server, browser, channel) as watching:
        await open_in_mode(watching, f"{server.http_url}/watch/{channel}", "lowest")
        await watching.wait_until_moving(6)
        await watching.page.keyboard.press("ArrowLeft")
        await watching.page.wait_for_selector("#player[data-at-live=false]", state="attached")
        await watching.wait_until_moving(4)
        assert int(await watching.data("latency-ms") or 0) > 4_000
        await watching.page.keyboard.press("l")
        await wait_until_close(watching)
        assert await watching.data("engine") == "mp4"


@pytest.mark.parametrize("answer", ["aborted", "not found", "nothing", "no media"])
async def test_where_the_pushed_stream_does_not_come_low_latency_plays(
    server: LiveServer, channel: str, browser: Browser, answer: str
) -> None:
    async def refuse(route: Route) -> None:
        if answer == "aborted":
            await route.abort()
        elif answer == "not found":
            await route.fulfill(status=404)
        elif answer == "nothing":
            await route.fulfill(status=200, content_type="video/mp4", body=b"")
        else:
            await route.fulfill(status=200, content_type="video/mp4", body=b"<p>Log in to the hotel's network</p>" * 99)

    async with live_viewer(server, browser, channel) as watching:
        await watching.page.route(f"**/live/{channel}.mp4", refuse)
        await open_in_mode(watching, f"{server.http_url}/watch/{channel}", "lowest")
        await assert_mode_plays(watching, "low", "hls")
        assert "Lowest latency does not play well here" in await watching.page.inner_text("#toast")
        # To choose it again is to try it again.
        await watching.page.unroute(f"**/live/{channel}.mp4")
        await choose(watching, "lowest")
        await assert_mode_plays(watching, "lowest", "mp4")
        assert watching.errors == []


async def test_a_connection_that_ends_is_made_again_and_one_that_always_does_is_given_up(
    server: LiveServer, channel: str, browser: Browser
) -> None:
    # A reader of the page's own breaks off after some media, as a proxy with a limit of time does.
    cut = """
    const pull = ReadableStreamDefaultReader.prototype.read;
    window.cutAfterMs = [6000, 500, 500];
    window.fetch = ((fetch) => async (url, options) => {
      if (String(url).endsWith(".mp4")) { window.cutAt = performance.now() + (window.cutAfterMs.shift() ?? 500); }
      return fetch(url, options);
    })(window.fetch);
    ReadableStreamDefaultReader.prototype.read = async function () {
      const got = await pull.call(this);
      if (performance.now() > window.cutAt) throw new TypeError("network error");
      return got;
    };
    """
    async with live_viewer(server, browser, channel) as watching:
        await watching.page.add_init_script(cut)
        await open_in_mode(watching, f"{server.http_url}/watch/{channel}", "lowest")
        await assert_mode_plays(watching, "low", "hls")
        pushed = [request for request in watching.requests if request.endswith(f"/live/{channel}.mp4")]
        assert len(pushed) == 3
        assert watching.errors == []


async def test_a_pushed_stream_that_keeps_stalling_is_given_up(
    server: LiveServer, channel: str, browser: Browser
) -> None:
    # Media comes a second late every third second.
    delay = """
    const pull = ReadableStreamDefaultReader.prototype.read;
    let held = performance.now();
    ReadableStreamDefaultReader.prototype.read = async function () {
      if (performance.now() - held > 4000) {
        await new Promise((resolve) => setTimeout(resolve, 2500));
        held = performance.now();
      }
      return pull.call(this);
    };
    """
    async with live_viewer(server, browser, channel) as watching:
        await watching.page.add_init_script(delay)
        await open_in_mode(watching, f"{server.http_url}/watch/{channel}", "lowest")
        await watching.page.wait_for_selector("body[data-mode=low]", state="attached")
        assert int(await watching.data("stalls") or 0) >= 3


async def test_the_end_is_said_in_the_lowest_mode_and_the_next_broadcast_starts(
    server: LiveServer, channel: str, browser: Browser
) -> None:
    key = server.issue_key(channel)
    async with viewer(browser) as watching:
        await watching.page.add_init_script("localStorage.setItem('streamd.mode', 'lowest')")
        await watching.open(f"{server.http_url}/watch/{channel}")
        await watching.wait_for_state("offline")
        for _ in range(2):
            with publish(server.rtmp_url, key) as broadcast:
                await watching.wait_for_state("playing")
                await assert_mode_plays(watching, "lowest", "mp4")
                broadcast.stop()
                await watching.wait_for_state("ended")
                assert await watching.page.inner_text("#notice-title") == "The stream has ended"
        assert watching.errors == []


async def test_a_server_that_does_not_know_the_tracks_yet_is_asked_again(
    server: LiveServer, channel: str, browser: Browser
) -> None:
    unknown: list[dict[str, object]] = [{"variants": [], "push_codecs": None}] * 2

    async def forget(route: Route) -> None:
        answer = await route.fetch()
        stream = await answer.json() | (unknown.pop() if unknown else {})
        await route.fulfill(response=answer, json=stream)

    async with live_viewer(server, browser, channel) as watching:
        await watching.page.route(f"**/api/v1/streams/{channel}", forget)
        await open_in_mode(watching, f"{server.http_url}/watch/{channel}", "lowest")
        await assert_mode_plays(watching, "lowest", "mp4")
        assert unknown == []
        assert not [request for request in watching.requests if request.endswith(".m3u8")]
        assert watching.errors == []


async def test_the_lowest_mode_needs_no_whole_segment(server: LiveServer, channel: str, browser: Browser) -> None:
    async def forget(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, json=await answer.json() | {"variants": []})

    async with live_viewer(server, browser, channel) as watching:
        await watching.page.route(f"**/api/v1/streams/{channel}", forget)
        await open_in_mode(watching, f"{server.http_url}/watch/{channel}", "lowest")
        await assert_mode_plays(watching, "lowest", "mp4")
        assert not [request for request in watching.requests if request.endswith(".m3u8")]


async def test_a_broadcaster_who_comes_back_is_waited_for_in_the_lowest_mode(
    server: LiveServer, channel: str, browser: Browser
) -> None:
    key = server.issue_key(channel)
    async with viewer(browser) as watching:
        with publish(server.rtmp_url, key) as broadcast:
            server.wait_until_playable(channel)
            await open_in_mode(watching, f"{server.http_url}/watch/{channel}", "lowest")
            await assert_mode_plays(watching, "lowest", "mp4")
            broadcast.kill()
        await watching.page.wait_for_function(
            "() => document.getElementById('hint').textContent === 'Waiting for the broadcaster…'"
        )
        with publish(server.rtmp_url, key):
            await watching.page.wait_for_selector("body:not([data-buffering])", state="attached")
            await assert_mode_plays(watching, "lowest", "mp4")
            await wait_until_close(watching)
        assert watching.errors == []


async def test_a_takedown_is_said_in_the_lowest_mode(server: LiveServer, channel: str, browser: Browser) -> None:
    async with live_viewer(server, browser, channel) as watching:
        await open_in_mode(watching, f"{server.http_url}/watch/{channel}", "lowest")
        await watching.wait_until_moving(1)
        server.admin("PATCH", f"/api/v1/users/{channel}", {"state": "suspended"})
        await watching.wait_for_state("gone")


@pytest.mark.parametrize("tracks", [{"has_audio": False}, {"has_video": False}], ids=["video", "audio"])
async def test_one_track_alone_plays_in_the_lowest_mode(
    server: LiveServer, channel: str, browser: Browser, tracks: dict[str, bool]
) -> None:
    async with live_viewer(server, browser, channel, order=tracks) as watching:
        await open_in_mode(watching, f"{server.http_url}/watch/{channel}", "lowest")
        await assert_mode_plays(watching, "lowest", "mp4")
        await watching.watch_until(is_close, 3)
        assert watching.errors == []


class TestMenu:
    async def test_keyboard_and_screen_reader_can_use_it(
        self, server: LiveServer, channel: str, browser: Browser
    ) -> None:
        async with live_viewer(server, browser, channel) as watching:
            await watching.open(f"{server.http_url}/watch/{channel}")
            await watching.wait_for_state("playing")
            page = watching.page
            button = page.get_by_role("button", name="Latency: Low latency")
            assert await button.get_attribute("aria-haspopup") == "menu"
            await button.focus()
            await page.keyboard.press("ArrowDown")
            assert await button.get_attribute("aria-expanded") == "true"
            items = page.get_by_role("menu", name="Latency").get_by_role("menuitemradio")
            assert [(await item.inner_text()).split("\n")[0] for item in await items.all()] == [
                "Lowest latency",
                "Low latency",
                "Stable",
            ]
            focused = "document.activeElement.dataset.mode"
            assert await page.evaluate(focused) == "low"
            volume = await page.evaluate("document.querySelector('video').volume")
            for key, mode in [
                ("ArrowDown", "stable"),
                ("ArrowDown", "lowest"),
                ("End", "stable"),
                ("Home", "lowest"),
            ]:
                await page.keyboard.press(key)
                assert await page.evaluate(focused) == mode
            assert await page.evaluate("document.querySelector('video').volume") == volume
            await page.keyboard.press("Escape")
            assert await page.evaluate("document.activeElement.id") == "mode"
            assert await button.get_attribute("aria-expanded") == "false"
            assert await watching.data("mode") == "low"
            await page.keyboard.press("Enter")
            await page.keyboard.press("Home")
            await page.keyboard.press("Enter")
            await assert_mode_plays(watching, "lowest", "mp4")
            assert await page.get_by_role("button", name="Latency: Lowest latency").count() == 1
            assert watching.errors == []

    @pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    async def test_it_lies_within_the_player_and_says_the_delay(
        self, server: LiveServer, channel: str, browser: Browser, tmp_path: Path, size: tuple[int, int], scheme: Scheme
    ) -> None:
        async with live_viewer(server, browser, channel, size, scheme) as watching:
            await watching.open(f"{server.http_url}/watch/{channel}")
            await watching.wait_for_state("playing")
            await watching.page.hover("#player")
            await watching.page.click("#mode")
            await watching.page.wait_for_function(
                "() => /^\\d+\\.\\d s behind live$/.test(document.getElementById('mode-now').textContent)"
            )
            menu = await watching.page.locator("#mode-menu").bounding_box()
            player = await watching.page.locator("#player").bounding_box()
            assert menu is not None
            assert player is not None
            assert menu["x"] >= player["x"]
            assert menu["y"] >= player["y"]
            assert await watching.page.evaluate(
                "(e => e.scrollHeight <= e.clientHeight)(document.getElementById('mode-menu'))"
            )
            await watching.screenshot(tmp_path / f"menu-{size[0]}-{scheme}.png")

    async def test_without_a_choice_there_is_none(self, server: LiveServer, channel: str, browser: Browser) -> None:
        async with live_viewer(server, browser, channel) as watching:
            await open_in_mode(watching, f"{server.http_url}/watch/{channel}?player=native", "lowest")
            assert await watching.data("engine") == "native"
            assert await watching.page.is_hidden("#mode")


async def test_who_comes_in_the_first_second_sees_no_still_picture_of_whole_segments(
    live_server: LiveServer, browser: Browser
) -> None:
    """The first segment is short, and the next complete much later: to play it at once is to stand still then."""
    key = live_server.issue_key("demo")
    async with viewer(browser) as watching:
        await watching.page.add_init_script("localStorage.setItem('streamd.mode', 'stable')")
        # Pages take a second or two to load on a machine that is busy; the first segment stands alone for three.
        with publish(live_server.rtmp_url, key, keyframe_interval_s=4.0):
            live_server.wait_until_playable("demo")
            await watching.open(f"{live_server.http_url}/watch/demo")
            await watching.wait_until_moving(0.1)
            got = await watching.watch(WATCH_S)
            assert await watching.data("low-latency") == "false"
            assert (got.stalls_before + got.stalls, got.stood_still_s < 0.5) == (0, True), got
            assert watching.errors == []

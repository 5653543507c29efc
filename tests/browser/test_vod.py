"""The page of a recording in Chromium: it plays, and is sought in, while it goes on and when it is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.chromium import viewer
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser, Page

    from tests.support.axe import Axe

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

MEDIA_S = 2
H264 = encoded((VideoTrack(keyframe_interval=60),), (AudioTrack(),), MEDIA_S)
RECORDED_S = 6
_PLAYS = """() => {
  const video = document.querySelector("video");
  return !video.paused && video.currentTime > 0.5 && video.videoWidth > 0;
}"""
_PREVIEW = """() => {
  const picture = document.getElementById("preview-picture");
  return {
    visible: picture.checkVisibility(),
    image: picture.style.backgroundImage,
    place: picture.style.backgroundPosition,
    time: document.getElementById("preview-time").textContent,
  };
}"""
_SOUGHT = """(at) => {
  const video = document.querySelector("video");
  return video.currentTime > at && !video.seeking && video.readyState > 2;
}"""


async def see_the_storyboard(page: Page) -> None:
    """The bar shows pictures of the times under the pointer, and goes there."""
    await page.wait_for_function("() => document.querySelector('track')?.track.cues?.length > 1")
    await page.hover("#player")
    box = await page.locator("#seek").bounding_box()
    assert box is not None
    shown = []
    for share in (0.1, 0.9):
        await page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        shown.append(await page.evaluate(_PREVIEW))
    assert all(each["image"].endswith('storyboard-0.jpg")') and each["visible"] for each in shown)
    assert shown[0]["place"] != shown[1]["place"]
    assert shown[0]["time"] < shown[1]["time"]
    # The sheet is a picture, from the address that the bar has.
    size = await page.evaluate(
        "async (address) => { const i = new Image(); i.src = address; await i.decode(); return i.naturalWidth; }",
        shown[0]["image"][5:-2],
    )
    assert size >= 320
    await page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + box["height"] / 2)
    await page.wait_for_function("() => document.querySelector('video').currentTime < 4")


async def choose_a_speed(page: Page) -> None:
    await page.hover("#player")
    await page.select_option("#speed", "2")
    assert await page.evaluate("() => document.querySelector('video').playbackRate") == 2
    # The keys of a player: the space bar is the button's where that has the focus.
    await page.evaluate("() => document.activeElement.blur()")
    await page.keyboard.press("k")
    await page.wait_for_function("() => document.querySelector('video').paused")
    await page.keyboard.press(" ")
    await page.wait_for_function("() => !document.querySelector('video').paused")


async def test_a_recording_is_played_and_sought_in(tmp_path: Path, browser: Browser, axe: Axe) -> None:
    with run_server(
        tmp_path, recording__mode="all", recording__min_free_bytes=0, recording__storyboard_interval_s=2
    ) as server:
        key = server.issue_key("demo")
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):

            def recorded() -> dict[str, object] | None:
                (found,) = server.admin("GET", "/api/v1/recordings")["recordings"] or (None,)
                return found if found and found["duration_s"] >= RECORDED_S else None

            found = wait_until(recorded, PATIENCE_S, "a recording")
            url = f"{server.http_url}/watch/vod/{found['id']}"
            async with viewer(browser) as watching:
                page = watching.page
                await watching.open(url)
                await page.wait_for_function("() => document.getElementById('title').textContent === 'demo'")
                assert await page.text_content("#state") == "Still being recorded"
                await page.evaluate("() => { const v = document.querySelector('video'); v.muted = true; v.play(); }")
                await page.wait_for_function(_PLAYS)
            server.admin("POST", "/api/v1/streams/demo/kick")
            server.wait_for_log("recording.ended")
            server.wait_for_log("storyboard.drawn")
        server.admin("PATCH", f"/api/v1/recordings/{found['id']}", {"title": "<b>The first</b>"})
        async with viewer(browser) as watching:
            page = watching.page
            await watching.open(url)
            # What an operator writes stays text.
            await page.wait_for_function("() => document.getElementById('title').textContent === '<b>The first</b>'")
            await page.wait_for_function("() => document.querySelector('video').duration > 5")
            await page.evaluate(
                "(at) => { const v = document.querySelector('video'); v.muted = true; v.currentTime = at; v.play(); }",
                RECORDED_S - 2,
            )
            await page.wait_for_function(_SOUGHT, arg=RECORDED_S - 1.5)
            await see_the_storyboard(page)
            await choose_a_speed(page)
            assert await axe.violations(page) == []
            assert watching.errors == []
        status, _, body = server.get("/watch/vod/rec_01aryz6s41tsv4rrffq69g5fav")
        assert (status, b"vod.js" in body) == (200, True)
        assert server.get("/watch/vod/rec_..%2f")[0] == 404

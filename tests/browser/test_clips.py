"""A viewer makes a clip of what they have just seen, of a live stream and of a recording, and opens it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.browser.test_console import console, go_to
from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.chromium import WATCHES_MAX, viewer
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until
from tests.support.studio import sign_in, studio

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser, Page

    from tests.support.axe import Axe

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

MEDIA_S = 2
H264 = encoded((VideoTrack(keyframe_interval=60),), (AudioTrack(),), MEDIA_S)
SETTINGS = {
    "recording__mode": "all",
    "recording__min_free_bytes": 0,
    "recording__storyboard_interval_s": 2,
    "clips__who": "viewers",
    "clips__max_s": 4,
}
_SHOWN_MS = "() => Date.now() - Number(document.body.dataset.ingestLatencyMs)"
_SAID = "() => document.getElementById('clipped').textContent"
_MADE = "() => document.querySelector('#clipped a')?.href ?? ''"
_PLAYS = """() => {
  const video = document.querySelector("video");
  return !video.paused && video.currentTime > 0.5 && video.videoWidth > 0;
}"""


async def clip(page: Page) -> str:
    """Make a clip with the button; its address."""
    for _ in range(WATCHES_MAX):
        await page.click("#clip")
        await page.wait_for_function(_SAID)
        address: str = await page.evaluate(_MADE)
        if address:
            return address
        said = await page.evaluate(_SAID)
        # On a busy machine it stands still between being seen to play and being asked.
        assert "once it plays" in said, said
        await page.wait_for_function(_PLAYS)
    pytest.fail("it stood still whenever it was asked for a clip")


async def test_viewers_clip_what_they_see(tmp_path: Path, browser: Browser, axe: Axe) -> None:
    with run_server(tmp_path, **SETTINGS) as server:
        key = server.issue_key("demo")
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):

            def recorded() -> dict[str, object] | None:
                (found,) = server.admin("GET", "/api/v1/recordings")["recordings"] or (None,)
                return found if found and found["duration_s"] >= 10 else None

            found = wait_until(recorded, PATIENCE_S, "a recording")
            async with viewer(browser) as watching:
                page = watching.page
                await watching.open(f"{server.http_url}/watch/demo")
                await page.wait_for_function("() => Number(document.body.dataset.ingestLatencyMs) > 0")
                shown_ms = await page.evaluate(_SHOWN_MS)
                address = await clip(page)
                shown_then_ms = await page.evaluate(_SHOWN_MS)
                assert await axe.violations(page) == []
                assert watching.errors == []
            (made,) = server.admin("GET", "/api/v1/clips")["clips"]
            assert address == f"{server.http_url}/clip/{made['id']}"
            assert (made["recording"], made["created_by"]) == (found["id"], "viewer")
            # It ends with what was on the screen: the clock of the test is the server's.
            began = datetime.fromisoformat(made["started_at"]).timestamp()
            # As long as it may be, or from the beginning.
            assert made["end"] - made["start"] == pytest.approx(4, abs=0.01) or made["start"] == 0
            asked_end = began + (made["end"] - made["start_actual"])
            assert shown_ms / 1000 - 1.5 < asked_end < shown_then_ms / 1000 + 1.5
        async with viewer(browser) as watching:
            page = watching.page
            await watching.open(address)
            await page.wait_for_function("() => document.getElementById('title').textContent === 'demo'")
            await page.evaluate("() => { const v = document.querySelector('video'); v.muted = true; v.play(); }")
            await page.wait_for_function(_PLAYS)
            assert await page.is_hidden("#clip")
            assert await axe.violations(page) == []
            assert watching.errors == []
            await watching.open(f"{server.http_url}/watch/vod/{found['id']}")
            await page.evaluate("() => { const v = document.querySelector('video'); v.muted = true; v.play(); }")
            await page.wait_for_function(_PLAYS)
            await clip(page)
        assert len(server.admin("GET", "/api/v1/clips")["clips"]) == 2
        # Whose channel it is finds them, whoever made them, and so do operators.
        async with studio(server, browser) as watching:
            page = watching.page
            await sign_in(watching, key)
            await page.wait_for_selector("#clips li >> nth=1")
            await page.click("#clips li >> nth=0 >> text=Change")
            await page.get_by_label("Title").fill("The goal")
            await page.click("dialog >> text=Save")
            await page.wait_for_selector("#clips li >> text=The goal")
            assert await axe.violations(page) == []
            await page.click("#clips li >> nth=1 >> text=Delete")
            await page.click("dialog >> text=Delete the clip")
            await page.wait_for_function("() => document.querySelectorAll('#clips li').length === 1")
            assert watching.errors == []
        (left,) = server.admin("GET", "/api/v1/clips")["clips"]
        assert left["title"] == "The goal"
        async with console(server, browser) as watching:
            page = watching.page
            await go_to(watching, "recordings")
            await page.click("#recordings a[href='#/clips']")
            await page.wait_for_selector("#clips-rows >> text=The goal")
            assert await axe.violations(page) == []
            await page.click("#clips-rows >> text=Delete")
            await page.get_by_label("Reason").fill("unwanted")
            await page.click("dialog >> text=Delete the clip")
            await page.wait_for_selector("#clips-notice >> text=There are no clips yet")
            assert watching.errors == []
        (gone,) = server.admin("GET", "/api/v1/clips?state=deleted&limit=1")["clips"]
        assert gone["reason"] == "unwanted"

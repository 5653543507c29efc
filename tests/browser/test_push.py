"""Pushed streams in Chromium: HTTP-FLV with mpegts.js, the endless MP4 in a plain <video>."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.chromium import Viewer, viewer
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser

    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

# The promise of a pushed stream: less than a second behind what has arrived.
BEHIND_S_MAX = 1.0
WATCH_S = 10

# A page without an origin of its own, as any other site's page is. The player is told apart by what it plays.
_PAGE = """<body data-stalls="0"><video muted autoplay playsinline></video></body>"""

_COUNT = """
() => {
  const video = document.querySelector("video"), data = document.body.dataset;
  video.addEventListener("playing", () => { data.state = "playing"; });
  video.addEventListener("ended", () => { data.state = "ended"; });
  video.addEventListener("waiting", () => { if (data.state === "playing") data.stalls = Number(data.stalls) + 1; });
}
"""
# What a page has to do with an endless file: play as soon as there is a picture, and catch up with the end of what
# has arrived.
_PLAY_MP4 = """
(url) => {
  const video = document.querySelector("video");
  video.addEventListener("canplay", () => video.play(), { once: true });
  setInterval(() => {
    const ranges = video.buffered;
    const ahead = ranges.length ? ranges.end(ranges.length - 1) - video.currentTime : 0;
    if (ahead > 0.6) video.playbackRate = 1.2; else if (ahead < 0.4) video.playbackRate = 1;
  }, 100);
  video.src = url;
}
"""
_PLAY_FLV = """
(url) => {
  const data = document.body.dataset;
  const player = mpegts.createPlayer(
    { type: "flv", isLive: true, url },
    { liveSync: true, liveSyncMaxLatency: 0.9, liveSyncTargetLatency: 0.5, liveSyncPlaybackRate: 1.2 },
  );
  player.on(mpegts.Events.ERROR, (type, detail) => { data.error = `${type} ${detail}`; });
  player.on(mpegts.Events.LOADING_COMPLETE, () => { data.loading = "complete"; });
  player.attachMediaElement(document.querySelector("video"));
  player.load();
  player.play();
}
"""
# A viewer starts at the last keyframe, up to 2 s old, and catches up at 1.2 times the speed.
_CAUGHT_UP = """
(max) => {
  const video = document.querySelector("video"), ranges = video.buffered;
  return ranges.length > 0 && ranges.end(ranges.length - 1) - video.currentTime < max;
}
"""

# A stream whose timestamps leap, or whose publisher comes back, ends; who wants to go on asks again.
_KEEP_PLAYING_FLV = """
(url) => {
  const data = document.body.dataset;
  data.players = "0";
  function play() {
    const player = mpegts.createPlayer({ type: "flv", isLive: true, url });
    const again = () => setTimeout(() => { player.destroy(); play(); }, 200);
    player.on(mpegts.Events.ERROR, again);
    player.on(mpegts.Events.LOADING_COMPLETE, again);
    player.attachMediaElement(document.querySelector("video"));
    player.load();
    player.play();
    data.players = String(Number(data.players) + 1);
  }
  play();
}
"""


@pytest.fixture
def mpegts_js(node_modules: Path) -> str:
    """The source of mpegts.js."""
    return (node_modules / "mpegts.js/dist/mpegts.js").read_text("utf-8")


async def open_player(watching: Viewer) -> None:
    await watching.page.set_content(_PAGE)
    await watching.page.evaluate(_COUNT)


async def assert_plays_close_to_live(watching: Viewer) -> None:
    await watching.wait_for_state("playing")
    await watching.wait_until_moving(1)
    await watching.page.wait_for_function(_CAUGHT_UP, arg=BEHIND_S_MAX)
    await watching.watch_until(
        lambda got: got.is_smooth and got.buffered_s < BEHIND_S_MAX and WATCH_S - 0.5 < got.played_s < WATCH_S * 1.1,
        WATCH_S,
    )
    assert watching.errors == []


async def test_http_flv_plays_with_mpegts_js(
    server: LiveServer, channel: str, browser: Browser, mpegts_js: str
) -> None:
    with publish(server.rtmp_url, server.issue_key(channel)) as broadcast:
        server.wait_until_playable(channel)
        async with viewer(browser) as watching:
            await open_player(watching)
            await watching.page.add_script_tag(content=mpegts_js)
            await watching.page.evaluate(_PLAY_FLV, f"{server.http_url}/live/{channel}.flv")
            await assert_plays_close_to_live(watching)
            assert await watching.data("error") is None
            broadcast.stop()
            await watching.page.wait_for_selector("body[data-loading=complete]", state="attached")


async def test_the_endless_mp4_plays_in_a_plain_video_element(
    server: LiveServer, channel: str, browser: Browser
) -> None:
    with publish(server.rtmp_url, server.issue_key(channel)) as broadcast:
        server.wait_until_playable(channel)
        async with viewer(browser) as watching:
            await open_player(watching)
            await watching.page.evaluate(_PLAY_MP4, f"{server.http_url}/live/{channel}.mp4")
            await assert_plays_close_to_live(watching)
            broadcast.stop()
            await watching.wait_for_state("ended")


async def test_mpegts_js_goes_on_behind_a_leap_and_a_return(
    server: LiveServer, channel: str, browser: Browser, mpegts_js: str
) -> None:
    media = encoded((VideoTrack(),), (AudioTrack(),), 2)

    async def wait_for_another_player(watching: Viewer, before: int) -> None:
        await watching.page.wait_for_function(
            "before => Number(document.body.dataset.players) > before", arg=before, timeout=PATIENCE_S * 1000
        )
        await watching.wait_until_moving(3)

    with ChangingBroadcast(server.rtmp_port, server.issue_key(channel), media, 2_000) as broadcast:
        server.wait_until_playable(channel)
        async with viewer(browser) as watching:
            await open_player(watching)
            await watching.page.add_script_tag(content=mpegts_js)
            await watching.page.evaluate(_KEEP_PLAYING_FLV, f"{server.http_url}/live/{channel}.flv")
            await watching.wait_until_moving(3)
            for leap_ms in (3_600_000, -3_600_000):
                before = int(await watching.data("players") or 0)
                broadcast.change(leap_ms=leap_ms)
                await wait_for_another_player(watching, before)
            before = int(await watching.data("players") or 0)
            broadcast.drop()
            broadcast.come_back()
            await wait_for_another_player(watching, before)

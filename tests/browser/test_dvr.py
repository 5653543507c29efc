"""The watch page goes back in a live stream, for hours, and comes back to live; in Chromium."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from streamd.clock import SystemClock
from streamd.services.recording.folder import RecordingFolder
from streamd.services.recording.playlist_file import parse_playlist, render_playlist
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
HOUR_S = 3600
CLOCK = SystemClock()
SETTINGS = {"dvr__window_s": 12 * HOUR_S, "recording__min_free_bytes": 0, "live__reconnect_window_s": 120}
# Segments in a file of the hours that are made up.
SEGMENTS_A_FILE = 30

_GO_BACK = """(behind) => {
  const bar = document.getElementById("past-bar");
  bar.value = String(-behind);
  bar.dispatchEvent(new Event("input"));
  bar.dispatchEvent(new Event("change"));
}"""
# Plays so many seconds behind live, give or take some segments.
_PLAYS_BEHIND = """(behind) => {
  const video = document.querySelector("video");
  const { mode, state, latencyMs } = document.body.dataset;
  const isThere = Math.abs(Number(latencyMs) / 1000 - behind) < 30;
  return mode === "past" && state === "playing" && isThere && !video.paused && !video.seeking && video.readyState > 2;
}"""
_PLAYS_LIVE = """() => {
  const video = document.querySelector("video");
  const { mode, state, latencyMs } = document.body.dataset;
  const plays = mode !== "past" && state === "playing" && !video.paused && video.readyState > 2;
  return plays && Number(latencyMs) < 15000 && document.getElementById("player").dataset.atLive === "true";
}"""


def make_up_hours(folder: RecordingFolder, hours: float) -> None:
    """Have a recording that was left be so long: what there is of it, again and again."""
    path = folder.playlist("main")
    recorded = parse_playlist(path.read_text())
    first = recorded.segments[0]
    count = round(hours * HOUR_S * 1_000_000 / first.duration_us)
    before_ms = count * first.duration_us // 1000
    made_up = []
    for number in range(count):
        file_number = number // SEGMENTS_A_FILE
        at_ms = first.program_date_time_ms - before_ms + number * first.duration_us // 1000
        made_up.append(replace(first, file_number=file_number, program_date_time_ms=at_ms, is_discontinuous=True))
    files = -(-count // SEGMENTS_A_FILE)
    media = folder.variant("main")
    moved = [
        replace(segment, file_number=segment.file_number + files, is_discontinuous=segment is first)
        for segment in recorded.segments
    ]
    content = (media / "000000.m4s").read_bytes()
    for number in sorted({segment.file_number for segment in recorded.segments}, reverse=True):
        (media / f"{number:06d}.m4s").rename(media / f"{number + files:06d}.m4s")
    (media / "000000.m4s").write_bytes(content[: first.end])
    for number in range(1, files):
        os.link(media / "000000.m4s", media / f"{number:06d}.m4s")
    path.write_text(render_playlist(replace(recorded, segments=(*made_up, *moved))))


async def go_back(page: Page, behind_s: float) -> float:
    """Go back with the bar; seconds until there is a picture from there."""
    begun = CLOCK.monotonic()
    await page.evaluate(_GO_BACK, behind_s)
    await page.wait_for_function(_PLAYS_BEHIND, arg=behind_s)
    return CLOCK.monotonic() - begun


async def test_a_viewer_goes_back_eleven_hours_and_comes_back(tmp_path: Path, browser: Browser, axe: Axe) -> None:
    with run_server(tmp_path, **SETTINGS) as server:
        key = server.issue_key("demo")
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            wait_until(
                lambda: (
                    server.get("/api/v1/streams/demo")[0] == 200
                    and server.get("/live/demo/dvr/main.m3u8")[2].count(b"#EXTINF") >= 2
                ),
                PATIENCE_S,
                "a past",
            )
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(PATIENCE_S)
    (found,) = (server.data_dir / "recordings" / ".past").glob("*/*/*/*/*")
    make_up_hours(RecordingFolder(found), 11.5)
    with run_server(tmp_path, **SETTINGS) as server, ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
        async with viewer(browser) as watching:
            page = watching.page
            await watching.open(f"{server.http_url}/watch/demo")
            await page.wait_for_function(_PLAYS_LIVE)
            await page.hover("#player")
            assert await page.is_visible("#past-bar")
            took_s = [await go_back(page, 11 * HOUR_S), await go_back(page, HOUR_S)]
            # A page on a busy machine; on its own it takes one second, and half of one.
            assert max(took_s) < PATIENCE_S / 3, took_s
            assert (await page.text_content("#past-time") or "").startswith("\N{MINUS SIGN}")
            assert await page.get_attribute("#player", "data-at-live") == "false"
            at = await page.evaluate("() => document.querySelector('video').currentTime")
            await page.wait_for_function("(at) => document.querySelector('video').currentTime > at + 3", arg=at)
            await page.hover("#player")
            assert await axe.violations(page) == []
            await page.click("#live")
            await page.wait_for_function(_PLAYS_LIVE)
            assert await page.text_content("#past-time") == ""
            assert watching.errors == []


async def test_there_is_no_bar_without_a_past(tmp_path: Path, browser: Browser) -> None:
    with run_server(tmp_path) as server:
        key = server.issue_key("demo")
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            async with viewer(browser) as watching:
                await watching.open(f"{server.http_url}/watch/demo")
                await watching.page.wait_for_function(_PLAYS_LIVE)
                await watching.page.hover("#player")
                assert not await watching.page.is_visible("#past-bar")

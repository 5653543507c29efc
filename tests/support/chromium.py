"""Chromium for the browser tests: Debian's, headless, with a profile that is new each time.

Playwright drives it and brings no browser of its own. Everything is awaited in the page
(``wait_for_function``), so a test takes as long as the page does and no longer.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from tests.support.patience import PATIENCE_S

CHROMIUM_NAMES = ("chromium", "chromium-browser")
FLAGS = (
    "--no-sandbox",  # tests may run as root in a container, where the sandbox cannot start
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)

State = Literal["connecting", "offline", "playing", "ended", "gone", "error", "loading", "empty", "live", "ready"]
Scheme = Literal["dark", "light"]

# So often a stretch is watched before it is a fault that none was as it should be.
WATCHES_MAX = 3
# The page is sampled four times a second.
STANDSTILL_S_MAX = 0.5

DESKTOP = (1280, 800)
PHONE = (390, 844)


def find_chromium() -> str:
    """Path of the browser; skips the test where there is none, unless ``CI=true`` says it must be there."""
    for name in CHROMIUM_NAMES:
        path = shutil.which(name)
        if path is not None:
            return path
    if os.environ.get("CI") == "true":
        pytest.fail("no chromium on PATH; CI installs Debian's")
    pytest.skip("no chromium on PATH (Debian: apt-get install chromium)")


@asynccontextmanager
async def chromium(extra_flags: Sequence[str] = (), without: Collection[str] = ()) -> AsyncIterator[Browser]:
    """A running browser, closed at the end. Each context opened in it has an empty profile.

    Args:
        extra_flags: Given to it after ``FLAGS``.
        without: Those of ``FLAGS`` that are not given to it.
    """
    path = find_chromium()
    expect.set_options(timeout=PATIENCE_S * 1000)
    async with async_playwright() as playwright:
        flags = [flag for flag in FLAGS if flag not in without] + list(extra_flags)
        browser = await playwright.chromium.launch(executable_path=path, headless=True, args=flags)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass(frozen=True, slots=True)
class Playback:
    """What a viewer got during some seconds of watching."""

    watched_s: float
    """How long was watched, seconds of the page's clock."""
    played_s: float
    """How far ``currentTime`` came."""
    stalls: int
    """Times that playback waited for media."""
    stalls_before: int
    """The same, from the page's start until this."""
    stood_still_s: float
    """The longest time that ``currentTime`` did not move."""
    latencies_ms: list[int]
    """From being ingested to being shown, once per sample, where the playlist has dates and the player tells."""
    buffered_s: float
    """Media ahead of ``currentTime`` at the end."""
    frames: int
    """Pictures shown."""
    dropped_frames: int
    """Pictures that came too late to be shown."""
    audio_bytes: int
    """Bytes of sound that were decoded; a headless browser decodes, but nobody hears."""

    @property
    def latency_ms(self) -> int:
        """The median of the latencies.

        Raises:
            IndexError: There were none.
        """
        return sorted(self.latencies_ms)[len(self.latencies_ms) // 2]

    @property
    def is_smooth(self) -> bool:
        """Whether it went on without a stall, with sound, and hardly a picture was left out."""
        is_seen = self.stalls == 0 and self.stood_still_s < STANDSTILL_S_MAX
        return is_seen and self.dropped_frames <= self.frames // 20 and self.audio_bytes > 0


# Runs in the page: samples four times a second and sums up.
_WATCH = """
async (seconds) => {
  const video = document.querySelector("video"), body = document.body;
  const number = (text) => (text === undefined ? null : Number(text));
  const audio = () => video.webkitAudioDecodedByteCount ?? -1;
  const quality = () => video.getVideoPlaybackQuality();
  const begin = { at: performance.now(), time: video.currentTime, stalls: number(body.dataset.stalls) ?? 0,
                  audio: audio(), frames: quality().totalVideoFrames, dropped: quality().droppedVideoFrames };
  const latencies = [];
  let last = video.currentTime, movedAt = begin.at, still = 0;
  while (performance.now() - begin.at < seconds * 1000) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    if (video.currentTime !== last) { last = video.currentTime; movedAt = performance.now(); }
    still = Math.max(still, performance.now() - movedAt);
    const latency = number(body.dataset.ingestLatencyMs);
    if (latency !== null) latencies.push(latency);
  }
  const ranges = video.buffered;
  return {
    watched_s: (performance.now() - begin.at) / 1000,
    played_s: video.currentTime - begin.time,
    stalls: (number(body.dataset.stalls) ?? 0) - begin.stalls,
    stalls_before: begin.stalls,
    stood_still_s: still / 1000,
    latencies_ms: latencies,
    buffered_s: ranges.length ? ranges.end(ranges.length - 1) - video.currentTime : 0,
    frames: quality().totalVideoFrames - begin.frames,
    dropped_frames: quality().droppedVideoFrames - begin.dropped,
    audio_bytes: audio() - begin.audio,
  };
}
"""


@dataclass(slots=True)
class Viewer:
    """A page that watches, and what its console said."""

    page: Page
    errors: list[str] = field(default_factory=list)
    """Uncaught exceptions, and violations of the Content-Security-Policy."""
    requests: list[str] = field(default_factory=list)
    """Every address that was asked for, in order."""

    async def open(self, url: str) -> None:
        """Go to a page and wait until its document is there."""
        await self.page.goto(url, wait_until="domcontentloaded")

    async def wait_for_state(self, state: State, timeout_s: float = PATIENCE_S) -> None:
        """Wait until ``<body data-state>`` is this.

        Raises:
            AssertionError: It was not in time; the message says what it was instead.
        """
        try:
            await self.page.wait_for_function(
                "(state) => document.body.dataset.state === state", arg=state, timeout=timeout_s * 1000
            )
        except PlaywrightTimeoutError as exc:
            raise AssertionError(f"not {state} after {timeout_s} s: {await self.describe()}") from exc

    async def wait_until_moving(self, seconds: float = 1, timeout_s: float = PATIENCE_S) -> None:
        """Wait until ``currentTime`` is ``seconds`` further than now.

        Raises:
            AssertionError: It was not in time.
        """
        begin: float = await self.page.evaluate("document.querySelector('video').currentTime")
        try:
            await self.page.wait_for_function(
                "(target) => document.querySelector('video').currentTime >= target",
                arg=begin + seconds,
                timeout=timeout_s * 1000,
            )
        except PlaywrightTimeoutError as exc:
            raise AssertionError(f"no {seconds} s played in {timeout_s} s: {await self.describe()}") from exc

    async def watch(self, seconds: float) -> Playback:
        """Watch for some seconds and measure."""
        return Playback(**await self.page.evaluate(_WATCH, seconds))

    async def watch_until(self, is_good: Callable[[Playback], bool], seconds: float) -> Playback:
        """Watch until one stretch is as it should be: a loaded machine spoils one now and then, a fault each of them.

        Raises:
            AssertionError: None was; the message has their figures.
        """
        watched: list[Playback] = []
        for _ in range(WATCHES_MAX):
            watched.append(await self.watch(seconds))
            if is_good(watched[-1]):
                return watched[-1]
        raise AssertionError(f"not once as it should be: {watched}; {await self.describe()}")

    async def data(self, name: str) -> str | None:
        """A data attribute of ``<body>``: ``data("first-frame-ms")``."""
        value: str | None = await self.page.get_attribute("body", f"data-{name}")
        return value

    async def describe(self) -> str:
        """Everything the page says about itself, for the message of a failed test."""
        facts = await self.page.evaluate(
            "() => { const video = document.querySelector('video'); return { ...document.body.dataset, "
            "time: video?.currentTime, paused: video?.paused, ready: video?.readyState, "
            "error: video?.error?.message } }"
        )
        return f"{facts}; errors: {self.errors}; last requests: {self.requests[-5:]}"

    async def screenshot(self, path: Path) -> None:
        """Keep a picture of the window."""
        path.parent.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=path)


@asynccontextmanager
async def viewer(browser: Browser, size: tuple[int, int] = DESKTOP, scheme: Scheme = "dark") -> AsyncIterator[Viewer]:
    """A viewer with an empty profile, a window of this size in CSS pixels and a preferred colour scheme."""
    width, height = size
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        has_touch=size == PHONE,
        is_mobile=size == PHONE,
        device_scale_factor=2 if size == PHONE else 1,
    )
    context.set_default_timeout(PATIENCE_S * 1000)
    try:
        watching = Viewer(await context.new_page())

        def on_console(message: ConsoleMessage) -> None:
            # A refused request is an error in the console too, and part of many a test.
            if message.type == "error" and "Failed to load resource" not in message.text:
                watching.errors.append(message.text)

        def on_request(request: Request) -> None:
            watching.requests.append(request.url)

        watching.page.on("console", on_console)
        watching.page.on("pageerror", lambda error: watching.errors.append(str(error)))
        watching.page.on("request", on_request)
        yield watching
    finally:
        # A page in the middle of a download may take its time; the browser is closed right after.
        async with asyncio.timeout(10):
            await context.close()

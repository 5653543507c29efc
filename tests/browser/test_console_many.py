"""The console with sixty live streams, whose figures change every second, in Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import DESKTOP, PHONE, viewer

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.support.axe import Axe
    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

SCREENS_MAX = 3
LARGE = (1440, 900)
# The events of a server that has them; the machine that runs the tests has no room for so many encoders.
_SIXTY = """
const of = (number, second) => ({
  name: `channel-${String(number).padStart(3, "0")}`, key_id: String(number).padStart(10, "0"),
  publisher_address: `192.0.2.${number}`, recording_id: number % 3 ? null : `rec_${number}`,
  live_since: "2026-11-30T12:00:00Z", encoder: "obs-output module (libobs version 31.0.0)",
  codecs: ["avc1.640028", "mp4a.40.2"], width: 1920, height: 1080, frame_rate: 60, keyframe_interval_s: 2,
  bitrate_bps: 6e6 + 1000 * ((number * 37 + second * 91) % 500),
  health: { status: number % 7 ? "good" : "bad", findings: number % 7 ? [] : [
    { code: "frames_missing", severity: "error", message: "Frames are missing.", advice: "Lower it.", since: "" }] },
  viewers: { hls: (number * 13 + second) % 300, flv: 1, mp4: 0 }, tags_dropped: 0, timestamps_repaired: 0,
});
const asked = window.fetch;
window.fetch = (address, options) => {
  if (!String(address).endsWith("/api/v1/events")) return asked(address, options);
  let second = 0;
  const body = new ReadableStream({
    start(sink) {
      const tell = () => {
        const streams = Array.from({ length: 60 }, (_, number) => of(number, second));
        sink.enqueue(new TextEncoder().encode(`event: streams\\ndata: ${JSON.stringify({ streams })}\\n\\n`));
        second += 1;
        document.body.dataset.told = String(second);
      };
      window.addEventListener("DOMContentLoaded", tell);
      tell();
      setInterval(tell, 1000);
    },
  });
  return Promise.resolve(new Response(body));
};
"""
# What a second of it makes the page change.
_CHANGES = """async () => {
  let added = 0, texts = 0;
  const told = Number(document.body.dataset.told);
  const watch = new MutationObserver((records) => {
    for (const { type, addedNodes, target } of records) {
      if (type === "childList" && [...addedNodes].some((node) => node.nodeType === 1)) added += 1;
      else texts += 1;
    }
  });
  watch.observe(document.getElementById("streams"), { childList: true, characterData: true, subtree: true });
  while (Number(document.body.dataset.told) < told + 3) await new Promise((resolve) => setTimeout(resolve, 100));
  watch.disconnect();
  return [added, texts];
}"""


@pytest.mark.parametrize("size", [LARGE, DESKTOP, (900, 800), PHONE], ids=["large", "desktop", "tablet", "phone"])
async def test_sixty_streams_are_three_screens_and_a_second_of_them_is_little_work(
    live_server: LiveServer, browser: Browser, axe: Axe, size: tuple[int, int]
) -> None:
    async with viewer(browser, size, "light") as operator:
        page = operator.page
        await page.add_init_script(_SIXTY)
        await operator.open(live_server.admin_url)
        await page.fill("#token", live_server.admin_token)
        await page.click("#sign-in button")
        await page.wait_for_selector("[data-stream=channel-059]")
        height = await page.evaluate("document.documentElement.scrollHeight")
        assert height <= (SCREENS_MAX if size == LARGE else SCREENS_MAX + 0.5) * size[1]
        assert await page.evaluate("document.documentElement.scrollWidth") == size[0]
        wider = "[...document.querySelectorAll('.stream')].filter((row) => row.scrollWidth > row.clientWidth).length"
        assert await page.evaluate(wider) == 0
        # Rows stay the elements that they are, and what has not changed is not written.
        added, texts = await page.evaluate(_CHANGES)
        assert added == 0
        assert texts < 4 * 60 * 6
        # From a line to what is urgent: the line opens where the window is narrow.
        await page.fill("#live-filter", "channel-042")
        suspend = page.get_by_role("button", name="Suspend the user channel-042")
        if not await suspend.is_visible():
            await page.get_by_role("button", name="Details of channel-042").click()
        await suspend.click()
        await page.get_by_role("dialog", name="Suspend channel-042?").wait_for()
        assert await axe.violations(page) == []
        assert operator.errors == []

"""A viewer reports what plays, a moderator decides, and it is dark; and the same without scripts."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.chromium import viewer
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser

    from tests.support.axe import Axe

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

MEDIA_S = 2
H264 = encoded((VideoTrack(keyframe_interval=60),), (AudioTrack(),), MEDIA_S)
DECISION = {
    "outcome": "taken_down",
    "statement": {
        "decision_ground": "ILLEGAL_CONTENT",
        "illegal_content_legal_ground": "Criminal Code, section 131",
        "illegal_content_explanation": "It shows violence in a way that glorifies it.",
        "decision_facts": "A person was beaten in front of the camera.",
    },
    "reason": "A person was beaten.",
}


async def test_what_a_viewer_reports_is_decided_and_dark(tmp_path: Path, browser: Browser, axe: Axe) -> None:
    with run_server(tmp_path, moderation__enabled=True) as server:
        key = server.issue_key("demo")
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            async with viewer(browser) as watching:
                page = watching.page
                await watching.open(f"{server.http_url}/watch/demo")
                await page.wait_for_function("() => Number(document.body.dataset.ingestLatencyMs) > 0")
                shown = await page.evaluate("() => Date.now() - Number(document.body.dataset.ingestLatencyMs)")
                await page.click("#report")
                await page.wait_for_selector("dialog[open]")
                assert await axe.violations(page) == []
                # It closes with Escape, and the button has the focus again.
                await page.keyboard.press("Escape")
                await page.wait_for_selector("dialog", state="detached")
                assert await page.evaluate("() => document.activeElement.id") == "report"
                await page.click("#report")
                async with page.context.expect_page() as opened:
                    await page.click("dialog >> text=Violence")
                form = await opened.value
                await form.wait_for_selector("h1 >> text=Report demo")
                assert await axe.violations(form) == []
                await form.check("input[value=violence-people]")
                await form.fill("#explanation", "He beats <b>her</b>.")
                await form.check("#good_faith")
                await form.click("button[type=submit]")
                await form.wait_for_selector("h1 >> text=Your report")
                reference = await form.inner_text(".reference")
                assert re.fullmatch(r"[0-9A-Z]{4}-[0-9A-Z]{2}", reference)
                assert await axe.violations(form) == []
                (case,) = server.admin("GET", f"/api/v1/cases?reference={reference}")["cases"]
                assert (case["target"]["id"], case["category"], case["viewers"]) == ("demo", "VIOLENCE", 1)
                (report,) = server.admin("GET", f"/api/v1/cases/{case['id']}/reports")["reports"]
                # What played when they reached for the button: the clock of the test is the server's.
                assert datetime.fromisoformat(report["at"]).timestamp() == pytest.approx(shown / 1000, abs=PATIENCE_S)
                assert report["explanation"] == "He beats <b>her</b>."
                decision = server.admin("POST", f"/api/v1/cases/{case['id']}/decide", DECISION)
                assert decision["takedown"].startswith("tkd_")
                assert server.get("/live/demo/index.m3u8")[0] == 410
                await page.wait_for_selector("body[data-state=gone]")
                await form.reload()
                await form.wait_for_selector("text=was taken down")
                assert "A person was beaten." in await form.inner_text("main")
                assert watching.errors == []


async def test_without_scripts_in_indonesian(tmp_path: Path, browser: Browser, axe: Axe) -> None:
    with run_server(tmp_path, moderation__enabled=True) as server:
        server.issue_key("demo")
        context = await browser.new_context(java_script_enabled=False, locale="id-ID")
        try:
            page = await context.new_page()
            await page.goto(f"{server.http_url}/watch/demo")
            await page.click("#report")
            await page.wait_for_selector("h1 >> text=Laporkan demo")
            # Nothing is chosen: the page says so, and what was typed stays.
            await page.fill("#explanation", "Dia memukulnya.")
            await page.check("#good_faith")
            await page.click("button[type=submit]")
            await page.wait_for_selector("[role=alert] >> text=Pilih apa yang salah.")
            assert await page.input_value("#explanation") == "Dia memukulnya."
            await page.click("summary >> text=Kekerasan")
            await page.check("input[value=violence-people]")
            await page.click("button[type=submit]")
            await page.wait_for_selector("h1 >> text=Laporan Anda")
            await page.click("nav >> text=English")
            await page.wait_for_selector("h1 >> text=Your report")
        finally:
            await context.close()
        assert len(server.admin("GET", "/api/v1/cases")["cases"]) == 1

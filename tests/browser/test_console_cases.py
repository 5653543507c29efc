"""A moderator's day in Chromium: what a viewer reports arrives, is seen, taken down, complained about, and is back."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.browser.test_console_operators import add, sign_in
from tests.support.chromium import viewer
from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import run_server
from tests.support.studio import sign_in as show_key
from tests.support.studio import studio

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser, Page

    from tests.support.axe import Axe
    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

# What is promised, and what a loaded machine may add to it.
ARRIVES_MS_MAX = 1_000 + 4_000
EVIDENCE_MS_MAX = 3_000 + 8_000
PLAYLIST = "/live/alice/index.m3u8"


def status_of(server: LiveServer) -> int:
    return server.get(PLAYLIST)[0]


async def test_a_report_is_seen_decided_dark_complained_about_and_restored(
    tmp_path: Path, browser: Browser, axe: Axe
) -> None:
    with run_server(tmp_path, moderation__enabled="true") as server:
        key = server.issue_key("alice")
        first, second = add(server, "mira", "moderator"), add(server, "nadia", "moderator")
        async with viewer(browser) as moderator, viewer(browser) as reporter, viewer(browser) as watcher:
            await moderator.open(server.admin_url)
            page = moderator.page
            await sign_in(page, first)
            await page.click("#tabs a[href='#/cases']")
            await page.wait_for_selector("text=Nothing waits")
            with publish(server.rtmp_url, key):
                await watcher.open(f"{server.http_url}/watch/alice")
                await watcher.wait_for_state("playing")
                # The viewer reports, without scripts.
                await reporter.open(f"{server.http_url}/report/alice")
                form = reporter.page
                await form.get_by_role("radio").first.check()
                await form.fill("#explanation", "They show <b>it</b> \u202ethe other way")
                await form.check("#good_faith")
                await form.get_by_role("button").click()
                await form.wait_for_url("**/report/status/**")
                # The moderator sees it at once, and who, what and how it looked.
                await page.wait_for_selector("#cases-rows tr", timeout=ARRIVES_MS_MAX)
                assert await axe.violations(page) == []
                await page.click("#cases-rows a")
                await page.wait_for_selector(".said >> text=They show <b>it</b>")
                await page.wait_for_selector(".case-picture img", timeout=EVIDENCE_MS_MAX)
                assert await axe.violations(page) == []
                # What is reported meanwhile is shown, and has no picture read again: each reading is a row of the log.
                readings = evidence_read(server)
                report(server, "Once more")
                await page.wait_for_selector(".said >> text=Once more")
                assert await page.locator(".case-picture img").count() == readings
                assert evidence_read(server) == readings
                await page.get_by_role("button", name="Take the case").click()
                await page.wait_for_selector("text=Being looked at by mira")
                await page.get_by_role("button", name="Take it down").click()
                await page.get_by_label("Law or rule").fill("Criminal Code, section 1")
                await page.get_by_label("Why", exact=True).fill("It is forbidden to show.")
                await page.get_by_label("Facts").fill("It was shown at noon.")
                assert status_of(server) == 200
                await page.locator("dialog").get_by_role("button", name="Take it down").click()
                await page.wait_for_selector("dialog", state="detached")
                assert status_of(server) == 410
                await watcher.wait_for_state("gone")
            await page.wait_for_selector(".pill >> text=Decided")
            assert moderator.errors == []
            # The reporter learns of it, and the broadcaster why; they complain.
            await form.reload()
            await form.wait_for_selector("text=taken down")
            async with studio(server, browser) as broadcaster:
                await show_key(broadcaster, key)
                await broadcaster.page.wait_for_selector("text=Criminal Code, section 1")
                await broadcaster.page.get_by_role("button", name="Complain").click()
                await broadcaster.page.get_by_label("Why it is wrong").fill("It was a theatre.")
                await broadcaster.page.get_by_role("button", name="Send the complaint").click()
                await broadcaster.page.wait_for_selector("text=Your complaint is")
                assert broadcaster.errors == []
            # Whoever decided does not decide about that; somebody else does, and all of it is back in one act.
            await page.click("#tabs a[href='#/cases']")
            await answer(page, "It is a weapon.")
            await page.wait_for_selector(".form-error >> text=somebody else")
            await page.keyboard.press("Escape")
            await page.click("#sign-out")
            await sign_in(page, second)
            await page.click("#tabs a[href='#/cases']")
            await answer(page, "It was a theatre.")
            await page.wait_for_selector("dialog", state="detached")
            with publish(server.rtmp_url, key):
                server.wait_until_playable("alice")
            # One box finds it all again, whatever is pasted.
            for text in ("alice", f"{server.http_url}/watch/alice", key, key.split("_")[1]):
                await page.fill("#look-target", text)
                await page.keyboard.press("Enter")
                await page.wait_for_selector("#case >> text=restored by nadia")
                assert key not in page.url
                await page.click("#tabs a[href='#/cases']")
            assert moderator.errors == []
        log = [entry["action"] for entry in server.admin("GET", "/api/v1/audit?limit=100")["entries"]]
        assert {"report.received", "case.opened", "evidence.kept", "evidence.read", "takedown.made"} <= {*log}
        assert {"appeal.received", "appeal.decided", "takedown.restored"} <= {*log}


def report(server: LiveServer, explanation: str) -> None:
    """Report the channel once more, as a program does."""
    body = {
        "stream": "alice",
        "category": "DATA_PROTECTION_AND_PRIVACY_VIOLATIONS",
        "explanation": explanation,
        "good_faith": True,
    }
    request = urllib.request.Request(
        f"{server.http_url}/api/v1/reports", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        assert response.status == 202
        server.secrets.add(json.load(response)["status_token"])


def evidence_read(server: LiveServer) -> int:
    """How often evidence was read, by the audit log."""
    entries = server.admin("GET", "/api/v1/audit?limit=1000")["entries"]
    return sum(entry["action"] == "evidence.read" for entry in entries)


async def answer(page: Page, why: str) -> None:
    """Say that the first decision was wrong."""
    await page.get_by_role("button", name="Decide it").click()
    await page.get_by_label("The first decision").select_option("reversed")
    await page.get_by_label("Why", exact=True).fill(why)
    await page.get_by_role("button", name="Decide", exact=True).click()

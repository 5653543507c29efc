"""What the console does with users and with keys of another service, in Chromium, on a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.test_console import console, go_to
from tests.support.publisher import publish

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser

    from tests.support.axe import Axe
    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

SECRET = "Xk29sQm4Tz81LdRwPv37"


async def test_keys_of_another_service_are_imported_from_a_file_that_is_checked_first(
    live_server: LiveServer, browser: Browser, axe: Axe, tmp_path: Path
) -> None:
    live_server.secrets |= {SECRET, SECRET[::-1]}
    file = tmp_path / "keys.csv"
    async with console(live_server, browser) as operator:
        page = operator.page
        await go_to(operator, "keys")
        await page.click("#import")
        dialog = page.get_by_role("dialog", name="Import stream keys")
        assert await axe.violations(page) == []
        file.write_text(f"user,secret\nalice,{SECRET}\nBob Smith,{SECRET[::-1]}\ncarol,abc\n")
        await dialog.get_by_label("File").set_input_files(file)
        await dialog.get_by_role("button", name="Check the file").click()
        await dialog.locator(".form-error:text('line 3')").wait_for()
        faults = await dialog.locator(".form-error").inner_text()
        assert "line 4" in faults, "all faults at once"
        assert SECRET[::-1] not in faults
        assert live_server.admin("GET", "/api/v1/keys")["keys"] == []

        file.write_text(f"user,secret\nalice,{SECRET}\nbob,{SECRET[::-1]}\n")
        await dialog.get_by_label("File").set_input_files(file)
        await dialog.get_by_role("button", name="Check the file").click()
        await page.get_by_role("dialog", name="Import 2 keys?").wait_for()
        assert live_server.admin("GET", "/api/v1/keys")["keys"] == [], "it was a check"
        await page.get_by_role("button", name="Import them").click()
        await page.wait_for_selector("#snack:text('2 keys imported.')")
        await page.wait_for_selector("#keys-rows :text('alice')")
        with publish(live_server.rtmp_url, SECRET):
            live_server.wait_until_playable("alice")

        # Again it changes nothing, and is told so.
        await page.click("#import")
        await dialog.get_by_label("File").set_input_files(file)
        await dialog.get_by_role("button", name="Check the file").click()
        await page.wait_for_selector("#snack:text('2 keys of the file are here already.')")
        assert len(live_server.admin("GET", "/api/v1/keys")["keys"]) == 2


async def test_a_user_is_deleted_by_whoever_types_the_name(live_server: LiveServer, browser: Browser) -> None:
    key = live_server.issue_key("alice")
    live_server.issue_key("bob")
    async with console(live_server, browser) as operator:
        page = operator.page
        with publish(live_server.rtmp_url, key):
            # The console hears of it within a second.
            await page.wait_for_selector("[data-stream=alice]")
            await go_to(operator, "users")
            await page.get_by_role("button", name="Delete alice").click()
            dialog = page.get_by_role("dialog", name="Delete alice?")
            assert "alice – live for" in await dialog.inner_text()
            await dialog.get_by_label("To confirm").fill("bob")
            await dialog.get_by_role("button", name="Delete the user").click()
            assert live_server.admin("GET", "/api/v1/users/alice")["name"] == "alice"
            await dialog.get_by_label("To confirm").fill("alice")
            await dialog.get_by_label("Reason").fill("asked for it")
            await dialog.get_by_role("button", name="Delete the user").click()
            await page.wait_for_selector("#snack:text('alice is deleted, with 1 key. Dark now: alice.')")
        await page.wait_for_selector("#users-rows tr:only-child :text('bob')")
        assert [user["name"] for user in live_server.admin("GET", "/api/v1/users")["users"]] == ["bob"]


async def test_a_channel_leaves_the_public_list_and_comes_back(live_server: LiveServer, browser: Browser) -> None:
    key = live_server.issue_key("alice")
    async with console(live_server, browser) as operator:
        page = operator.page
        with publish(live_server.rtmp_url, key):
            live_server.wait_until_playable("alice")
            await go_to(operator, "users")
            for choice, listed in (("false", 0), ("true", 1)):
                await page.get_by_role("button", name="Settings of alice").click()
                await page.get_by_label("In the public list").select_option(choice)
                await page.get_by_role("button", name="Save the settings").click()
                await page.wait_for_selector("dialog", state="detached")
                assert live_server.get("/api/v1/streams")[2].count(b'"name": "alice"') == listed
                assert live_server.get("/live/alice/index.m3u8")[0] == 200
                await page.locator("#users-rows :text('unlisted')").wait_for(state="detached" if listed else "visible")

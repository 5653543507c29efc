"""The operator's console in Chromium, on a real server with real broadcasts: clicked through as an operator would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import DESKTOP, PHONE, Scheme, Viewer, viewer
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until
from tests.support.studio import sign_in, studio

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser

    from tests.support.axe import Axe
    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

VIEWS = ("live", "keys", "users", "audit", "server")
# What an operator is promised, and what a loaded machine may add to it.
DARK_MS_MAX = 1_000 + 4_000


@asynccontextmanager
async def console(
    server: LiveServer, browser: Browser, size: tuple[int, int] = DESKTOP, scheme: Scheme = "dark"
) -> AsyncIterator[Viewer]:
    """A console that is signed in."""
    async with viewer(browser, size, scheme) as operator:
        await operator.open(server.admin_url)
        await operator.page.fill("#token", server.admin_token)
        await operator.page.click("#sign-in button")
        await operator.page.wait_for_selector("body[data-state=signed-in][data-connection=live]")
        yield operator
        assert operator.errors == []


async def go_to(operator: Viewer, view: str) -> None:
    await operator.page.click(f"#tabs a[href='#/{view}']")
    await operator.page.wait_for_selector(f"#{view}:not([hidden])")


async def issue_key(operator: Viewer, user: str) -> str:
    """Issue a key by hand, and return what the console shows this once."""
    page = operator.page
    await go_to(operator, "keys")
    await page.click("#issue")
    await page.get_by_label("User", exact=True).fill(user)
    await page.get_by_role("button", name="Issue the key").click()
    stream_key = await page.input_value("#new-key")
    await page.get_by_role("button", name="I have saved it").click()
    await page.wait_for_selector("dialog", state="detached")
    return stream_key


async def test_a_key_from_its_issue_to_its_end(live_server: LiveServer, browser: Browser) -> None:
    """Issue in the console, broadcast, watch in another page, revoke: all three pages tell the truth."""
    async with (
        console(live_server, browser) as operator,
        viewer(browser) as watching,
        studio(live_server, browser) as broadcaster,
    ):
        page = operator.page
        stream_key = await issue_key(operator, "alice")
        live_server.secrets.add(stream_key.rpartition("_")[2])
        assert stream_key not in await page.content(), "the key is shown once"
        await sign_in(broadcaster, stream_key)
        await broadcaster.page.wait_for_selector("body[data-live=offline]")
        with publish(live_server.rtmp_url, stream_key):
            await go_to(operator, "live")
            await page.wait_for_selector("[data-stream=alice]")
            await watching.open(f"{live_server.http_url}/watch/alice")
            await watching.wait_for_state("playing")
            await broadcaster.page.wait_for_selector("body[data-live=live]")
            assert await broadcaster.page.input_value("#watch-link") == watching.page.url
            await page.get_by_role("button", name="Preview of alice").click()
            await page.wait_for_selector(".preview[data-state=playing]")
            await page.wait_for_function("document.querySelector('.preview video').currentTime > 1")
            assert await page.evaluate("document.querySelector('.preview video').muted")
            assert live_server.admin("GET", "/api/v1/streams/alice")["viewers"]["mp4"] == 0, "the operator is no viewer"
            # A rate takes two readings, and the console asks for the newest every other second.
            await page.wait_for_function(
                "() => document.querySelector('[data-stream=alice]').innerText.includes('Mb/s')"
            )
            facts = await page.inner_text("[data-stream=alice]")
            for fact in ("H.264 + AAC", "360p", stream_key.split("_")[1]):
                assert fact in facts

            await page.get_by_role("button", name="Revoke key of alice").click()
            dialog = page.get_by_role("dialog", name="Revoke the key of alice?")
            assert "alice – live for" in await dialog.inner_text()
            await dialog.get_by_label("Reason").fill("tested")
            await dialog.get_by_role("button", name="Revoke, and end the stream").click()
            await page.wait_for_selector("[data-stream=alice][data-dark]", timeout=DARK_MS_MAX)
            assert await page.get_attribute("[data-stream=alice] .preview", "data-state") == "ended"
            assert not await page.get_attribute("[data-stream=alice] video", "src")
            await broadcaster.page.wait_for_selector("body[data-state=signed-out]", timeout=DARK_MS_MAX)
            assert "revoked" in await broadcaster.page.inner_text("#gone")
            await watching.wait_for_state("ended")
        await go_to(operator, "audit")
        await page.fill("#audit-search", "TESTED")
        await page.wait_for_selector("#audit-rows tr:only-child")
        assert "Key revoked" in await page.inner_text("#audit-rows")


async def test_a_stream_that_another_one_revokes_goes_dark_by_itself(live_server: LiveServer, browser: Browser) -> None:
    key = live_server.issue_key("alice")
    async with console(live_server, browser) as operator:
        with publish(live_server.rtmp_url, key):
            await operator.page.wait_for_selector("[data-stream=alice]")
            live_server.revoke(key.split("_")[1])
            await operator.page.wait_for_selector("[data-stream=alice][data-dark]", timeout=DARK_MS_MAX)
        # It is left to be read for a while, and then nobody is live.
        await operator.page.wait_for_selector("[data-stream=alice]", state="detached")
        assert "Nobody is live" in await operator.page.inner_text("#live-notice")


async def test_keys_and_users_are_rotated_suspended_and_restored(live_server: LiveServer, browser: Browser) -> None:
    old_id = live_server.issue_key("alice").split("_")[1]
    async with console(live_server, browser) as operator:
        page = operator.page
        await go_to(operator, "keys")
        await page.get_by_role("button", name=f"Rotate the key {old_id}").click()
        await page.get_by_role("button", name="Rotate the key", exact=True).click()
        new_id = (await page.input_value("#new-key")).split("_")[1]
        await page.get_by_role("button", name="I have saved it").click()
        await page.wait_for_selector(f"#keys-rows :text('{new_id}')")
        await page.wait_for_selector(f"#keys-rows :text('{old_id}')", state="detached")
        await page.select_option("#keys-state", "revoked")
        await page.wait_for_selector(f"#keys-rows :text('{old_id}')")

        await go_to(operator, "users")
        await page.get_by_role("button", name="Suspend alice").click()
        await page.get_by_role("button", name="Suspend", exact=True).click()
        await page.get_by_role("button", name="Restore alice").click()
        assert live_server.get("/api/v1/streams/alice")[0] == 410
        await page.get_by_role("button", name="Restore", exact=True).click()
        await page.get_by_role("button", name="Suspend alice").wait_for()
        assert live_server.get("/api/v1/streams/alice")[0] == 404


async def test_what_a_user_may_send_is_shown_and_changed(live_server: LiveServer, browser: Browser) -> None:
    live_server.issue_key("alice")
    async with console(live_server, browser) as operator:
        page = operator.page
        await go_to(operator, "users")
        await page.wait_for_selector("#users-rows :text('as everybody')")
        await page.get_by_role("button", name="Settings of alice").click()
        await page.get_by_label("Bit rate, kb/s").fill("6500")
        await page.get_by_label("Largest picture").select_option(label="1080p")
        await page.get_by_role("button", name="Save the settings").click()
        await page.wait_for_selector("#users-rows :text('6.5 Mb/s, 1080p')")
        limits = live_server.admin("GET", "/api/v1/users/alice")["limits"]
        assert limits == {"bitrate_kbps_max": 6500, "picture_pixels_max": 2_088_960}

        live_server.admin("PATCH", "/api/v1/users/alice", {"limits": {"picture_pixels_max": 1_000_000}})
        await page.wait_for_selector("#users-rows :text('6.5 Mb/s, 1,000,000 pixels')")
        await page.get_by_role("button", name="Settings of alice").click()
        await page.get_by_label("Bit rate, kb/s").fill("")
        await page.get_by_role("button", name="Save the settings").click()
        # What was not touched stays.
        await page.wait_for_selector("#users-rows :text-is('1,000,000 pixels')")
        limits = live_server.admin("GET", "/api/v1/users/alice")["limits"]
        assert limits == {"bitrate_kbps_max": None, "picture_pixels_max": 1_000_000}
        await go_to(operator, "audit")
        await page.wait_for_selector("#audit-rows :text('User limited')")


async def test_escape_does_not_throw_away_a_key_that_is_shown_once(live_server: LiveServer, browser: Browser) -> None:
    async with console(live_server, browser) as operator:
        page = operator.page
        await go_to(operator, "keys")
        await page.click("#issue")
        await page.get_by_label("User", exact=True).fill("alice")
        await page.get_by_role("button", name="Issue the key").click()
        await page.wait_for_selector("#new-key")
        for _ in range(10):
            await page.keyboard.press("Escape")
        assert await page.is_visible("#new-key")
        await page.get_by_role("button", name="I have saved it").click()
        await page.wait_for_selector("dialog", state="detached")


async def test_a_search_hides_live_streams_and_ends_none(live_server: LiveServer, browser: Browser) -> None:
    key = live_server.issue_key("alice")
    async with console(live_server, browser) as operator:
        page = operator.page
        with publish(live_server.rtmp_url, key):
            await page.wait_for_selector("[data-stream=alice]:not([data-dark])")
            # The field is there from six streams on; what it does is the same with one.
            await page.evaluate("document.getElementById('live-toolbar').hidden = false")
            await page.fill("#live-filter", "nobody")
            # Looked at at once: a row that goes dark is removed some seconds later, and would be hidden then.
            assert await page.locator("[data-stream=alice][data-dark]").count() == 0
            assert not await page.is_visible("[data-stream=alice]")
            await page.fill("#live-filter", "")
            await page.wait_for_selector("[data-stream=alice]:not([data-dark])")
            assert await page.locator("[data-stream=alice]").count() == 1


async def test_from_a_live_stream_its_user_is_suspended(live_server: LiveServer, browser: Browser) -> None:
    key = live_server.issue_key("alice")
    async with console(live_server, browser) as operator:
        page = operator.page
        with publish(live_server.rtmp_url, key):
            await page.get_by_role("button", name="Suspend the user alice").click()
            await page.get_by_role("button", name="Suspend", exact=True).click()
            await page.wait_for_selector("[data-stream=alice][data-dark]", timeout=DARK_MS_MAX)
        assert live_server.admin("GET", "/api/v1/users/alice")["state"] == "suspended"


async def test_users_and_keys_are_found_by_a_part_of_their_name(live_server: LiveServer, browser: Browser) -> None:
    for user in ("alice", "bob"):
        live_server.issue_key(user, label=f"studio of {user}")
    async with console(live_server, browser) as operator:
        page = operator.page
        for view, field in (("users", "#users-search"), ("keys", "#keys-user")):
            await go_to(operator, view)
            await page.wait_for_selector(f"#{view}-rows :text-is('alice')")
            await page.fill(field, "OB")
            await page.wait_for_selector(f"#{view}-rows :text-is('alice')", state="detached")
            assert await page.locator(f"#{view}-rows tr").count() == 1
        await page.fill("#keys-user", "studio of al")
        await page.wait_for_selector("#keys-rows :text-is('alice')")


async def test_a_list_stands_still_while_others_work(live_server: LiveServer, browser: Browser) -> None:
    for number in range(120):
        live_server.issue_key(f"user-{number:03}")
    async with console(live_server, browser) as operator:
        page = operator.page
        await go_to(operator, "keys")
        await page.click("#keys-more")
        last = page.locator("#keys-rows :text-is('user-000')")
        await last.scroll_into_view_if_needed()
        before = await page.evaluate("scrollY")
        assert before > 0
        for number in range(3):
            live_server.issue_key(f"new-{number}")
        await page.wait_for_selector("#keys-news:text-is('3 new entries')", state="attached")
        assert await page.locator("#keys-rows tr").count() == 120
        assert await last.is_visible()
        # The button takes its place above the rows, and the window stays with what it shows.
        box = await last.bounding_box()
        assert box is not None
        assert 0 < box["y"] < DESKTOP[1]
        await page.evaluate("document.getElementById('keys-news').click()")
        await page.wait_for_selector("#keys-rows tr:first-child :text-is('new-2')")
        assert await page.is_hidden("#keys-news")


async def test_the_audit_log_is_found_by_what_it_shows(live_server: LiveServer, browser: Browser) -> None:
    key_id = live_server.issue_key("alice").split("_")[1]
    live_server.revoke(key_id)
    async with console(live_server, browser) as operator:
        page = operator.page
        await go_to(operator, "audit")
        await page.fill("#audit-search", "key revoked")
        await page.wait_for_selector("#audit-rows tr:only-child")
        assert "Key revoked" in await page.inner_text("#audit-rows")
        await page.fill("#audit-search", "")
        await page.select_option("#audit-type", label="Key issued")
        await page.wait_for_selector("#audit-rows tr:only-child :text('Key issued')")
        async with page.expect_download() as download:
            await page.click("#audit-export")
        text = (await (await download.value).path()).read_text()
        assert text.count("key.issued") == 1
        assert "key.revoked" not in text
        await page.fill("#audit-to", "2020-01-01")
        await page.wait_for_selector("#audit-notice :text('Nothing found')")
        await page.fill("#audit-to", "")
        await page.click("#audit-rows a:text-is('alice')")
        await page.wait_for_selector("#keys:not([hidden])")


async def test_what_goes_wrong_is_said_where_it_was_asked(live_server: LiveServer, browser: Browser) -> None:
    async with console(live_server, browser) as operator:
        page = operator.page
        await go_to(operator, "keys")
        await page.click("#issue")
        await page.get_by_label("User", exact=True).fill("alice")
        await page.get_by_label("Label").fill("line \u2028 break")
        await page.get_by_role("button", name="Issue the key").click()
        await page.wait_for_selector("dialog .form-error:not(:empty)")
        assert "label" in await page.inner_text("dialog .form-error")
        await page.keyboard.press("Escape")
        await page.wait_for_selector("dialog", state="detached")


async def test_a_restart_signs_nobody_out_and_loses_nothing_that_was_typed(tmp_path: Path, browser: Browser) -> None:
    with run_server(tmp_path) as first:
        key = first.issue_key("alice")
        async with console(first, browser) as operator, studio(first, browser) as broadcaster:
            await sign_in(broadcaster, key)
            await broadcaster.page.wait_for_selector("body[data-state=signed-in]")
            await go_to(operator, "keys")
            await operator.page.click("#issue")
            await operator.page.get_by_label("User", exact=True).fill("bob")
            # A session is on the disk a second after it began; nothing more is written by a server that is killed.
            wait_until(lambda: '"studio":[{' in (first.data_dir / "sessions.json").read_text(), 10, "the file")
            first.kill()
            await operator.page.wait_for_selector("body[data-connection=lost]")
            with run_server(tmp_path, **first.listening()):
                await operator.page.wait_for_selector("body[data-state=signed-in][data-connection=live]")
                await broadcaster.page.wait_for_selector("body[data-state=signed-in]:not([data-stale])")
                await operator.page.get_by_role("button", name="Issue the key").click()
                await operator.page.wait_for_selector("#new-key")


async def test_the_key_that_is_shown_once_stays_when_the_session_ends(
    live_server: LiveServer, browser: Browser
) -> None:
    async with console(live_server, browser) as operator:
        page = operator.page
        await go_to(operator, "keys")
        await page.click("#issue")
        await page.get_by_label("User", exact=True).fill("alice")
        await page.get_by_role("button", name="Issue the key").click()
        await page.wait_for_selector("#new-key")
        other = await page.context.new_page()
        await other.goto(live_server.admin_url)
        await other.click("#sign-out")
        await page.wait_for_selector("body[data-state=signed-out]")
        assert await page.is_visible("#new-key")
        # As a phone's way back does, which no page may prevent twice.
        await page.evaluate("document.querySelector('dialog').close()")
        # The browser tells the page of it a moment later.
        await page.wait_for_selector("#new-key")
        await page.get_by_role("button", name="I have saved it").click()
        await page.wait_for_selector("dialog", state="detached")


class TestSigningIn:
    async def test_all_tabs_of_a_browser_are_signed_in_and_out_together(
        self, live_server: LiveServer, browser: Browser
    ) -> None:
        async with console(live_server, browser) as operator:
            other = await operator.page.context.new_page()
            await other.goto(live_server.admin_url)
            await other.wait_for_selector("body[data-state=signed-in][data-connection=live]")
            await other.click("#sign-out")
            await operator.page.wait_for_selector("body[data-state=signed-out]")
            await operator.page.fill("#token", live_server.admin_token)
            await operator.page.click("#sign-in button")
            await other.wait_for_selector("body[data-state=signed-in]")

    async def test_a_wrong_token_is_refused(self, live_server: LiveServer, browser: Browser) -> None:
        async with viewer(browser) as operator:
            await operator.open(live_server.admin_url)
            await operator.page.fill("#token", "wrong")
            await operator.page.keyboard.press("Enter")
            await operator.page.wait_for_selector("#sign-in-error:not(:empty)")
            assert await operator.page.inner_text("#sign-in-error") == "That token is not known here."

    async def test_it_lasts_over_a_reload_and_ends_by_signing_out(
        self, live_server: LiveServer, browser: Browser
    ) -> None:
        async with console(live_server, browser) as operator:
            page = operator.page
            await page.reload()
            await page.wait_for_selector("body[data-state=signed-in]")
            stored = await page.evaluate("JSON.stringify([sessionStorage, localStorage, document.cookie])")
            assert live_server.admin_token not in stored
            await page.click("#sign-out")
            await page.wait_for_selector("body[data-state=signed-out]")
            await page.reload()
            await page.wait_for_selector("body[data-state=signed-out]")
            assert all(live_server.admin_token not in request for request in operator.requests)


async def test_a_server_that_is_gone_is_said_to_be(live_server: LiveServer, browser: Browser) -> None:
    async with console(live_server, browser) as operator:
        live_server.stop()
        await operator.page.wait_for_selector("body[data-connection=lost]")
        assert "lost" in await operator.page.inner_text("#stale")


async def test_charts_are_drawn(live_server: LiveServer, browser: Browser) -> None:
    async with console(live_server, browser) as operator:
        await go_to(operator, "server")
        await operator.page.wait_for_selector(".chart canvas")
        assert await operator.page.locator(".chart canvas").count() == 6
        # The first figures come with the next sample.
        await operator.page.wait_for_selector(
            ".chart-canvas[aria-label^='Memory over the last hour: now ']", state="attached"
        )


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
async def test_every_view_is_accessible_and_fits_the_window(
    live_server: LiveServer, browser: Browser, axe: Axe, size: tuple[int, int], scheme: Scheme
) -> None:
    key = live_server.issue_key("alice", label="main")
    async with viewer(browser, size, scheme) as visitor:
        await visitor.open(live_server.admin_url)
        await visitor.page.wait_for_selector("#sign-in")
        assert await axe.violations(visitor.page) == []
    with publish(live_server.rtmp_url, key):
        async with console(live_server, browser, size, scheme) as operator:
            page = operator.page
            await page.wait_for_selector("[data-stream=alice]")
            for view in VIEWS:
                await go_to(operator, view)
                await page.wait_for_selector(f"#{view} :is(.stream, tbody tr, canvas)")
                assert await axe.violations(page) == [], view
                assert await page.evaluate("document.documentElement.scrollWidth") <= size[0], view
            await go_to(operator, "keys")
            await page.click("#keys-rows .danger-text")
            assert await axe.violations(page) == [], "the question before a revocation"

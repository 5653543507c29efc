"""Recordings on the channel's page, in the studio and in the console, in Chromium, on a real server."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.test_console import console, go_to
from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.chromium import DESKTOP, PHONE, Scheme, viewer
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.patience import PATIENCE_S
from tests.support.server import LiveServer, run_server, wait_until
from tests.support.small_disk import small_disk
from tests.support.studio import sign_in, studio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser

    from tests.support.axe import Axe

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

MEDIA_S = 2
H264 = encoded((VideoTrack(keyframe_interval=60),), (AudioTrack(),), MEDIA_S)
RECORDED_S = 3
EVERYTHING = {"recording__mode": "all", "recording__min_free_bytes": 0}


def recordings(server: LiveServer, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.admin("GET", f"/api/v1/recordings{query}")["recordings"]
    return found


def record(server: LiveServer, key: str) -> str:
    """Broadcast for some seconds; the id of the recording, which is complete."""
    known = {recording["id"] for recording in recordings(server)}
    user = server.admin("GET", f"/api/v1/keys/{key.split('_')[1]}")["user"]
    with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
        new: str = wait_until(lambda: going(server, known), PATIENCE_S, "a recording")
        server.admin("POST", f"/api/v1/streams/{user}/kick")
        wait_until(lambda: server.admin("GET", f"/api/v1/recordings/{new}")["state"] == "ready", PATIENCE_S, "its end")
    return new


def going(server: LiveServer, known: set[str]) -> str:
    """The id of a recording that is not known yet, once there is something of it."""
    return next(
        (
            str(recording["id"])
            for recording in recordings(server)
            if recording["id"] not in known and recording["duration_s"] >= RECORDED_S
        ),
        "",
    )


async def test_a_channel_shows_its_public_recordings_when_it_is_off_the_air(
    tmp_path: Path, browser: Browser, axe: Axe
) -> None:
    with run_server(tmp_path, **EVERYTHING) as server:
        key = server.issue_key("alice")
        async with viewer(browser) as watching:
            page = watching.page
            await watching.open(f"{server.http_url}/watch/alice")
            await watching.wait_for_state("offline")
            # A list that is empty says so where somebody waits.
            await page.wait_for_selector("#recordings-empty:visible")
            shown, hidden = record(server, key), record(server, key)
            server.admin("PATCH", f"/api/v1/recordings/{shown}", {"title": "<i>Evening</i>"})
            server.admin("PATCH", f"/api/v1/recordings/{hidden}", {"visibility": "unlisted"})
            await page.reload()
            await page.wait_for_selector("#recordings li")
            assert await page.locator("#recordings li").count() == 1
            assert "<i>Evening</i>" in await page.inner_text("#recordings")
            assert await page.is_hidden("#recordings-empty")
            assert await axe.violations(page) == []
            await page.click("#recordings a")
            await page.wait_for_function("() => document.getElementById('title').textContent === '<i>Evening</i>'")
            assert page.url == f"{server.http_url}/watch/vod/{shown}"
            await page.go_back()
            with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
                await watching.wait_for_state("playing")
                await page.wait_for_selector(".recording-state[data-state=recording]")
                assert "It goes on, and can be watched from its beginning." in await page.inner_text("#recordings")
            server.admin("PATCH", "/api/v1/users/alice", {"state": "suspended"})
            await watching.wait_for_state("gone")
            await page.wait_for_selector("#recordings-section", state="hidden")
            assert watching.errors == []


async def test_a_list_that_cannot_be_read_says_so_and_is_read_again(tmp_path: Path, browser: Browser) -> None:
    with run_server(tmp_path, **EVERYTHING) as server:
        record(server, server.issue_key("alice"))
        async with viewer(browser) as watching:
            page = watching.page
            await page.route("**/api/v1/streams/*/recordings", lambda route: route.fulfill(status=503))
            await watching.open(f"{server.http_url}/watch/alice")
            await page.wait_for_selector("#recordings-failed:visible")
            assert await page.is_hidden("#recordings-empty"), "nobody knows whether there are none"
            await page.unroute("**/api/v1/streams/*/recordings")
            await page.click("#recordings-retry")
            await page.wait_for_selector("#recordings li")
            assert await page.is_hidden("#recordings-failed")


@asynccontextmanager
async def own_studio(server: LiveServer, browser: Browser, key: str) -> AsyncIterator[Any]:
    async with studio(server, browser) as broadcaster:
        await sign_in(broadcaster, key)
        await broadcaster.page.wait_for_selector("body[data-state=signed-in]")
        yield broadcaster.page


async def test_a_broadcaster_names_hides_and_deletes_their_own(tmp_path: Path, browser: Browser, axe: Axe) -> None:
    with run_server(tmp_path, **EVERYTHING) as server:
        key, others = server.issue_key("alice"), server.issue_key("bob")
        async with own_studio(server, browser, key) as page:
            await page.wait_for_selector("#recordings-notice :text('Your next broadcast is recorded by itself')")
            record(server, others)
            with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
                await page.wait_for_selector("#recordings .pill:text('Recording')")
                assert await page.locator("#recordings button:text('Delete')").is_hidden()
                wait_until(lambda: going(server, set()), PATIENCE_S, "media")
            await page.wait_for_selector("#recordings .pill:text('Ready')")
            assert await page.locator("#recordings li").count() == 1, "Bob's is Bob's"
            (mine,) = recordings(server, "?user=alice")
            await page.click("#recordings button:text('Change')")
            assert await page.input_value("#recording-link") == f"{server.http_url}/watch/vod/{mine['id']}"
            await page.get_by_label("Title").fill("Evening")
            await page.get_by_label("Seen by").select_option("private")
            await page.get_by_role("button", name="Save").click()
            await page.wait_for_selector("#recordings strong:text('Evening')")
            assert "Private" in await page.inner_text("#recordings")
            assert await axe.violations(page) == []
            assert server.get(f"/watch/vod/{mine['id']}")[0] == 200
            assert server.get(f"/api/v1/recordings/{mine['id']}")[0] == 404

            # What goes wrong is said where it was tried, and the dialog stays.
            server.admin("PATCH", f"/api/v1/recordings/{mine['id']}", {"keep": True})
            await page.click("#recordings button:text('Delete')")
            await page.get_by_role("button", name="Delete the recording").click()
            await page.wait_for_selector("dialog .form-error:text('pinned')")
            server.admin("PATCH", f"/api/v1/recordings/{mine['id']}", {"keep": False})
            await page.get_by_role("button", name="Delete the recording").click()
            await page.wait_for_selector("#recordings li", state="detached")
            await page.select_option("#recordings-state", "deleted")
            await page.wait_for_selector("#recordings .pill:text('Deleted')")
            assert [recording["user"] for recording in recordings(server)] == ["bob"]
            (entry,) = server.admin("GET", "/api/v1/audit?action=recording.deleted")["entries"]
            assert (entry["actor"], entry["user"]) == ("studio", "alice")


async def test_where_nothing_is_recorded_the_studio_says_why(tmp_path: Path, browser: Browser) -> None:
    with run_server(tmp_path) as server:
        async with own_studio(server, browser, server.issue_key("alice")) as page:
            await page.wait_for_selector("#recordings-notice :text('Recording is off on this server')")
            server.admin("PATCH", "/api/v1/users/alice", {"record": True})
            await page.select_option("#recordings-state", "deleted")
            await page.select_option("#recordings-state", "")
            await page.wait_for_selector("#recordings-notice :text('Your next broadcast is recorded by itself')")


async def test_an_operator_begins_ends_changes_and_deletes_recordings(
    tmp_path: Path, browser: Browser, axe: Axe
) -> None:
    with run_server(tmp_path, recording__mode="asked", recording__min_free_bytes=0) as server:
        key = server.issue_key("alice")
        async with console(server, browser) as operator:
            page = operator.page
            await go_to(operator, "recordings")
            await page.wait_for_selector("#recordings-notice :text('Press Record at a stream that is live')")
            with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
                await go_to(operator, "live")
                await page.get_by_role("button", name="Record alice").click()
                await page.get_by_role("button", name="Record", exact=True).click()
                await page.get_by_role("button", name="Stop recording alice").wait_for()
                wait_until(lambda: going(server, set()), PATIENCE_S, "media")
                await go_to(operator, "recordings")
                await page.wait_for_selector("#recordings-rows .pill:text('Recording')")
                await page.get_by_role("button", name="Stop the recording").click()
                await page.get_by_role("button", name="Stop recording", exact=True).click()
                # It stands there by itself: nobody has looked again.
                await page.wait_for_selector("#recordings-rows .pill:text('Ready')")
            (recording,) = recordings(server)
            await page.get_by_role("button", name="Change the recording").click()
            await page.get_by_label("Title").fill("Evening")
            await page.get_by_label("Seen by").select_option("unlisted")
            await page.get_by_label("Kept").select_option("true")
            await page.get_by_role("button", name="Save").click()
            await page.wait_for_selector("#recordings-rows :text('Evening')")
            changed = server.admin("GET", f"/api/v1/recordings/{recording['id']}")
            assert (changed["title"], changed["visibility"], changed["keep"]) == ("Evening", "unlisted", True)
            href = await page.get_by_role("link", name="Watch the recording Evening").get_attribute("href")
            assert href == f"{server.http_url}/watch/vod/{recording['id']}"
            assert await axe.violations(page) == []

            await page.fill("#recordings-user", "nobody")
            await page.wait_for_selector("#recordings-notice :text('No such recording')")
            await page.fill("#recordings-user", "alice")
            await page.get_by_role("button", name="Delete the recording").click()
            await page.get_by_label("Reason").fill("asked for")
            await page.get_by_role("dialog").get_by_role("button", name="Delete the recording").click()
            await page.wait_for_selector("#recordings-rows tr", state="detached")
            await page.select_option("#recordings-state", "deleted")
            await page.wait_for_selector("#recordings-rows :text('Asked for.')")


async def test_a_recording_that_failed_says_why(tmp_path: Path, browser: Browser) -> None:
    with (
        small_disk(tmp_path / "disk", 40) as disk,
        run_server(tmp_path, recording__mode="all", recording__min_free_bytes=0, recording__dir=disk.path) as server,
    ):
        key = server.issue_key("alice")
        async with console(server, browser) as operator, own_studio(server, browser, key) as page:
            await go_to(operator, "recordings")
            with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
                wait_until(lambda: going(server, set()), PATIENCE_S, "media")
                disk.fill()
                await operator.page.wait_for_selector("#recordings-rows .pill:text('Failed')")
                await page.wait_for_selector("#recordings .pill:text('Failed')")
            for seen in (await operator.page.inner_text("#recordings-rows"), await page.inner_text("#recordings")):
                assert "No space left on device. What was recorded before can be watched." in seen


async def test_it_is_decided_for_one_user_whether_they_are_recorded_and_listed(
    tmp_path: Path, browser: Browser
) -> None:
    with run_server(tmp_path) as server:
        server.issue_key("alice")
        async with console(server, browser) as operator:
            page = operator.page
            await go_to(operator, "users")
            await page.get_by_role("button", name="Settings of alice").click()
            await page.get_by_label("Broadcasts are recorded").select_option("true")
            await page.get_by_label("In the public list").select_option("false")
            await page.get_by_role("button", name="Save the settings").click()
            await page.wait_for_selector("#users-rows :text('unlisted, always recorded')")
            user = server.admin("GET", "/api/v1/users/alice")
            assert (user["record"], user["listed"]) == (True, False)
            # What was not touched is no act: the limits are as they were, and the audit log has two rows.
            actions = {entry["action"] for entry in server.admin("GET", "/api/v1/audit")["entries"]}
            assert {"user.recorded", "user.unlisted"} <= actions
            assert "user.limited" not in actions
            await page.get_by_role("link", name="Recordings of alice").click()
            await page.wait_for_selector("#recordings:not([hidden])")
            assert await page.input_value("#recordings-user") == "alice"


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "dark"), (PHONE, "light")], ids=["desktop", "phone"])
async def test_it_is_accessible_and_fits_the_window(
    tmp_path: Path, browser: Browser, axe: Axe, size: tuple[int, int], scheme: Scheme
) -> None:
    with run_server(tmp_path, **EVERYTHING) as server:
        key = server.issue_key("a" * 64)
        recording = record(server, key)
        server.admin("PATCH", f"/api/v1/recordings/{recording}", {"title": "W" * 200})
        async with viewer(browser, size, scheme) as watching, studio(server, browser, size, scheme) as broadcaster:
            await watching.open(f"{server.http_url}/watch/{'a' * 64}")
            await watching.page.wait_for_selector("#recordings li")
            await sign_in(broadcaster, key)
            await broadcaster.page.wait_for_selector("#recordings li")
            async with console(server, browser, size, scheme) as operator:
                await operator.page.goto(f"{server.admin_url}/#/recordings")
                await operator.page.wait_for_selector("#recordings-rows tr")
                for page in (watching.page, broadcaster.page, operator.page):
                    assert await axe.violations(page) == []
                    assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]

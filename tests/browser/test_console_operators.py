"""The console for people with names and roles, in Chromium: what it offers them, their codes, and their end."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from streamd.clock import SystemClock
from streamd.services.operators.totp import STEP_S, code_of
from tests.support.chromium import DESKTOP, PHONE, Scheme, viewer
from tests.support.publisher import publish

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from tests.support.axe import Axe
    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

# What is shown to whom: the name of a button or link, and the roles that are offered it.
A, O, M, R = "admin", "operator", "moderator", "auditor"  # noqa: E741  # columns of the table
LIVE = {
    "Preview of alice": {A, O, M, R},
    "Kick alice": {A, O, M},
    "Revoke key of alice": {A, O},
    "Suspend the user alice": {A, O},
}
USERS = {"Suspend alice": {A, O}}
KEYS = {"Issue a key": {A, O}}
# A revocation is at once; a loaded machine may add to it.
OVER_MS_MAX = 1_000 + 4_000


def add(server: LiveServer, name: str, role: str) -> str:
    token = str(server.admin("POST", "/api/v1/operators", {"name": name, "role": role})["token"])
    server.secrets.add(token.rpartition("_")[2])
    return token


async def sign_in(page: Page, token: str) -> None:
    await page.fill("#token", token)
    await page.click("#sign-in-button")
    await page.wait_for_selector("body[data-state=signed-in][data-connection=live]")


async def offered(page: Page, names: dict[str, set[str]], role: str) -> None:
    for name, roles in names.items():
        button = page.get_by_role("button", name=name, exact=True)
        assert await button.count() == (role in roles), f"{role}: {name}"


@pytest.mark.parametrize("role", [A, O, M, R])
async def test_the_name_is_shown_and_nothing_that_the_role_may_not_do(
    live_server: LiveServer, browser: Browser, role: str
) -> None:
    key = live_server.issue_key("alice")
    token = add(live_server, "sam", role)
    far = {"url": "rtmp://127.0.0.1:9/live", "stream_key": "far-secret", "label": "Far"}
    live_server.admin("POST", "/api/v1/users/alice/targets", far)
    async with viewer(browser) as visitor:
        page = visitor.page
        with publish(live_server.rtmp_url, key):
            await visitor.open(live_server.admin_url)
            await sign_in(page, token)
            assert await page.inner_text("#who") == f"sam · {role}"
            await page.wait_for_selector("[data-stream=alice]")
            await offered(page, LIVE, role)
        await page.click("#tabs a[href='#/users']")
        await page.wait_for_selector("#users-rows tr")
        await offered(page, USERS, role)
        # All may read where broadcasts go.
        await page.get_by_role("button", name="Passed on broadcasts of alice").click()
        await page.get_by_role("dialog").get_by_text("Far").wait_for()
        await offered(page, {"Remove “Far”": {A, O}}, role)
        await page.get_by_role("button", name="Close").click()
        assert await page.get_by_role("link", name="Keys of alice").count() == (role != M)
        assert await page.get_by_role("navigation").get_by_role("link", name="Keys").count() == (role != M)
        await page.evaluate("location.hash = '#/keys'")
        if role == M:
            await page.wait_for_selector("#live:not([hidden])")
        else:
            await page.wait_for_selector("#keys-rows tr")
            await offered(page, KEYS, role)
            assert await page.locator("#keys-rows button:visible").count() == (2 if role in {A, O} else 0)
        # A reload, and another tab, are still theirs.
        await page.reload()
        await page.wait_for_function("() => document.getElementById('who').textContent.startsWith('sam')")
        assert visitor.errors == []


async def test_a_change_of_role_and_the_end_of_a_token_reach_an_open_console_at_once(
    live_server: LiveServer, browser: Browser
) -> None:
    token = add(live_server, "sam", O)
    async with viewer(browser) as visitor:
        page = visitor.page
        await visitor.open(live_server.admin_url)
        await sign_in(page, token)
        await page.wait_for_selector("#tabs a[href='#/keys']")
        live_server.admin("PATCH", "/api/v1/operators/sam", {"role": M})
        await page.wait_for_function("() => document.getElementById('who').textContent === 'sam · moderator'")
        await page.wait_for_selector("#tabs a[href='#/keys']", state="hidden")
        live_server.admin("POST", "/api/v1/operators/sam/revoke", {})
        await page.wait_for_selector("body[data-state=signed-out]", timeout=OVER_MS_MAX)
        assert "Sign in again" in await page.inner_text("#sign-in-error")
        await page.fill("#token", token)
        await page.click("#sign-in-button")
        await page.wait_for_selector("#sign-in-error:has-text('not known')")


async def test_an_authenticator_is_set_up_once_and_asked_for_from_then_on(
    live_server: LiveServer, browser: Browser
) -> None:
    token = add(live_server, "sam", O)
    async with viewer(browser) as visitor:
        page = visitor.page
        await visitor.open(live_server.admin_url)
        await sign_in(page, token)
        await page.click("#who")
        shown = await page.input_value("#totp-secret")
        live_server.secrets.add(shown)
        assert shown in str(await page.get_attribute("#totp-link", "href"))
        secret = base64.b32decode(shown)

        def code(steps: int = 0) -> str:
            return code_of(secret, int(SystemClock().now().timestamp()) // STEP_S + steps)

        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Code").fill("000000")
        await dialog.get_by_role("button", name="Set it up").click()
        await page.wait_for_selector("dialog .form-error:has-text('not right')")
        confirmed = code()
        await dialog.get_by_label("Code").fill(confirmed)
        await dialog.get_by_role("button", name="Set it up").click()
        await page.wait_for_selector("dialog", state="detached")
        assert shown not in await page.content()
        await page.click("#sign-out")
        await page.wait_for_selector("body[data-state=signed-out]")
        assert not await page.is_visible("#code")

        await page.fill("#token", token)
        await page.click("#sign-in-button")
        await page.wait_for_selector("#code:visible")
        # The one that was used does not sign in again.
        await page.fill("#code", confirmed)
        await page.click("#sign-in-button")
        await page.wait_for_selector("#sign-in-error:has-text('used before')")
        await page.fill("#code", code(1))
        await page.click("#sign-in-button")
        await page.wait_for_selector("body[data-state=signed-in]")
        assert await page.inner_text("#who") == "sam · operator"


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
async def test_an_admin_adds_changes_and_revokes_operators(
    live_server: LiveServer, browser: Browser, axe: Axe, size: tuple[int, int], scheme: Scheme
) -> None:
    async with viewer(browser, size, scheme) as visitor:
        page = visitor.page
        await visitor.open(live_server.admin_url)
        await sign_in(page, live_server.admin_token)
        assert await page.inner_text("#who") == "root · admin"
        await page.click("#tabs a[href='#/audit']")
        await page.get_by_role("link", name="Operators").click()
        await page.wait_for_selector("#operators-notice:has-text('Nobody has a name')")
        await page.click("#add-operator")
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Name").fill("sam")
        await dialog.get_by_label("Role").select_option(M)
        await dialog.get_by_role("button", name="Add").click()
        token = await page.input_value("#new-token")
        live_server.secrets.add(token.rpartition("_")[2])
        await page.keyboard.press("Escape")
        assert await page.is_visible("#new-token")
        assert await axe.violations(page) == []
        await page.get_by_role("button", name="I have saved it").click()
        await page.wait_for_selector("#operators-rows tr:has-text('moderator')")
        assert token not in await page.content()
        assert await axe.violations(page) == []
        assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]

        async with viewer(browser) as other:
            await other.open(live_server.admin_url)
            await sign_in(other.page, token)
            await page.get_by_role("button", name="Change the role of sam").click()
            await dialog.get_by_label("Role").select_option(R)
            await dialog.get_by_role("button", name="Change").click()
            await other.page.wait_for_selector("#who:has-text('sam · auditor')")
            await page.get_by_role("button", name="Revoke the token of sam").click()
            await dialog.get_by_label("Reason").fill("left")
            await dialog.get_by_role("button", name="Revoke").click()
            await other.page.wait_for_selector("body[data-state=signed-out]", timeout=OVER_MS_MAX)
            await page.wait_for_selector("#operators-rows tr:has-text('left')")
        assert visitor.errors == []

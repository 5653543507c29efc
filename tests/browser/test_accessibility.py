"""Every viewer's page in every state, checked by axe-core: no violation at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import DESKTOP, PHONE, Scheme, viewer

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.support.axe import Axe
    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_without_a_broadcast(
    live_server: LiveServer, browser: Browser, axe: Axe, size: tuple[int, int], scheme: Scheme
) -> None:
    async with viewer(browser, size, scheme) as watching:
        for path, state in (("/", "empty"), ("/watch/demo", "offline"), ("/watch/No", "empty")):
            await watching.open(live_server.http_url + path)
            await watching.page.wait_for_selector(f"body[data-state={state}]")
            assert await axe.violations(watching.page) == [], path


async def test_the_check_finds_what_is_wrong(browser: Browser, axe: Axe) -> None:
    async with viewer(browser) as watching:
        await watching.page.set_content("<p style='color: #aaa; background: #fff'>pale</p><button></button>")
        found = {violation.partition(":")[0] for violation in await axe.violations(watching.page)}
        assert {"button-name", "color-contrast", "html-has-lang", "document-title"} <= found

"""Locked channels in Chromium: with hls.js, its own HLS and MP4, in the player for other sites, and by a password."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.chromium import viewer
from tests.support.publisher import publish

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]


def token_of(server: LiveServer, **claims: Any) -> dict[str, Any]:
    server.admin("PATCH", "/api/v1/users/demo", {"playback": "signed"})
    made: dict[str, Any] = server.admin("POST", "/api/v1/playback-tokens", {"channel": "demo", **claims})
    return made


@pytest.mark.parametrize("engine", ["hls", "native", "mp4"])
async def test_a_signed_link_plays(live_server: LiveServer, browser: Browser, engine: str) -> None:
    with publish(live_server.rtmp_url, live_server.issue_key("demo")):
        live_server.wait_until_playable("demo")
        made = token_of(live_server)
        async with viewer(browser) as watching:
            more = "" if engine == "mp4" else f"&player={engine}"
            await watching.open(f"{live_server.http_url}{made['watch']}{more}")
            await watching.wait_for_state("playing")
            await watching.wait_until_moving(3)
            if engine != "mp4":
                assert await watching.data("engine") == engine
            assert watching.errors == []
            asked = [request for request in watching.requests if "/live/" in request]
            assert asked
            assert all("/~" in request for request in asked)
            assert not any(made["token"] in request for request in watching.requests if "/watch/" not in request)
            live_server.admin("POST", "/api/v1/playback/revoke", {"jti": made["jti"]})
            await watching.wait_for_state("error")


async def test_an_embed_plays(live_server: LiveServer, browser: Browser) -> None:
    with publish(live_server.rtmp_url, live_server.issue_key("demo")):
        live_server.wait_until_playable("demo")
        made = token_of(live_server)
        async with viewer(browser) as watching:
            await watching.open(f"{live_server.http_url}/embed/demo?autoplay=1&token={made['token']}")
            await watching.wait_for_state("playing")
            await watching.wait_until_moving(2)


async def test_a_password_is_asked_for_and_remembered(live_server: LiveServer, browser: Browser) -> None:
    with publish(live_server.rtmp_url, live_server.issue_key("demo")):
        live_server.wait_until_playable("demo")
        rule = {"policy": "password", "password": "open sesame"}
        live_server.admin("PATCH", "/api/v1/users/demo", {"playback": rule})
        async with viewer(browser) as watching:
            page = watching.page
            await watching.open(f"{live_server.http_url}/watch/demo")
            await page.get_by_label("Password").fill("open says me")
            await page.get_by_role("button", name="Watch").click()
            await page.get_by_text("That is not the password.").wait_for()
            await page.get_by_label("Password").fill("open sesame")
            await page.get_by_role("button", name="Watch").click()
            await watching.wait_for_state("playing")
            await page.reload()
            await watching.wait_for_state("playing")
            await watching.wait_until_moving(1)

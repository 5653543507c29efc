"""A server under a path of somebody's site, behind nginx and Caddy: every page works, and asks for nothing outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.test_embed import other_site
from tests.support import fronts
from tests.support.chromium import viewer
from tests.support.publisher import publish
from tests.support.server import run_server
from tests.support.studio import sign_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from playwright.async_api import Browser

    from tests.support.fronts import Front

    MakeFront = Callable[[Mapping[str, int]], AbstractContextManager[Front]]

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

MAKERS: list[MakeFront] = [fronts.nginx_under, fronts.caddy_under]


@pytest.mark.parametrize("make_front", MAKERS, ids=["nginx", "caddy"])
@pytest.mark.parametrize("is_told", [True, False], ids=["with public_url", "without"])
async def test_every_page_works_and_asks_for_nothing_outside(
    tmp_path: Path, browser: Browser, make_front: MakeFront, is_told: bool
) -> None:
    # The front has to know the server's ports, and the server the front's address: the server is told when it is there.
    with run_server(tmp_path, http__trusted_proxies="127.0.0.0/8") as server:
        paths = {"/tv/": server.http_port, "/ops/": server.admin_port}
    with make_front(paths) as front:
        site = f"http://127.0.0.1:{front.http_port}"
        told: dict[str, object] = {"http__public_url": f"{site}/tv"} if is_told else {}
        with run_server(
            tmp_path,
            http__trusted_proxies="127.0.0.0/8",
            http__listen=f"127.0.0.1:{paths['/tv/']}",
            admin__listen=f"127.0.0.1:{paths['/ops/']}",
            **told,
        ) as server:
            key = server.issue_key("demo")
            with publish(server.rtmp_url, key):
                server.wait_until_playable("demo")
                await watch(browser, site, is_told)
                await embed(browser, site)
                await be_at_the_studio(browser, site, key)
                await be_at_the_console(browser, site, server.admin_token, is_told)


async def watch(browser: Browser, site: str, is_told: bool) -> None:
    async with viewer(browser) as watching:
        page = watching.page
        await watching.open(f"{site}/tv/")
        await page.wait_for_selector("img.card-poster[data-loaded]")
        await page.click("a.card")
        await page.wait_for_url(f"{site}/tv/watch/demo")
        await watching.wait_for_state("playing")
        await watching.wait_until_moving(2)
        await page.click("summary")
        assert await page.input_value("#share-link") == f"{site}/tv/watch/demo"
        assert f'src="{site}/tv/embed/demo"' in await page.input_value("#share-embed")
        # hls.js as well, which reads what the playlists refer to.
        await watching.open(f"{site}/tv/watch/demo?player=hls")
        await watching.wait_for_state("playing")
        await watching.wait_until_moving(2)
        await page.click("a.brand")
        await page.wait_for_url(f"{site}/tv/")
        await watching.open(f"{site}/tv/no/such/page")
        await page.click("text=See who is live")
        await page.wait_for_url(f"{site}/tv/")
        await page.wait_for_selector("a.card")
        assert watching.errors == []
        assert outside(watching.requests, f"{site}/tv/") == []
        if is_told:
            answer = await page.evaluate("fetch('api/v1/streams/demo').then((answer) => answer.json())")
            assert (answer["playlist"], answer["watch"]) == ("/tv/live/demo/index.m3u8", "/tv/watch/demo")
            assert answer["poster"] == "/tv/live/demo/poster.jpg"


async def embed(browser: Browser, site: str) -> None:
    with other_site(f'<iframe src="{site}/tv/embed/demo" width="640" height="360"></iframe>') as address:
        async with viewer(browser) as watching:
            await watching.open(address)
            frame = watching.page.frame_locator("iframe")
            await frame.locator("body[data-state=ready]").wait_for()
            await expect(frame.locator("h1 a")).to_have_attribute("href", "../watch/demo")
            await frame.locator("#start").click()
            await frame.locator("body[data-state=playing]").wait_for()
            assert watching.errors == []
            assert outside(watching.requests, f"{site}/tv/", address) == []


async def be_at_the_studio(browser: Browser, site: str, key: str) -> None:
    async with viewer(browser) as broadcaster:
        page = broadcaster.page
        await broadcaster.open(f"{site}/tv/studio")
        await page.wait_for_selector("body[data-state=signed-out]")
        await sign_in(broadcaster, key)
        await page.wait_for_selector("body[data-live=live]")
        assert await page.input_value("#watch-link") == f"{site}/tv/watch/demo"
        (cookie,) = await page.context.cookies()
        assert cookie["path"] == "/tv/studio"
        await page.reload()
        await page.wait_for_selector("body[data-state=signed-in]")
        await page.click("#sign-out")
        await page.wait_for_selector("body[data-state=signed-out]")
        await page.reload()
        await page.wait_for_selector("body[data-state=signed-out]")
        assert await page.context.cookies() == []
        assert broadcaster.errors == []
        assert outside(broadcaster.requests, f"{site}/tv/") == []


async def be_at_the_console(browser: Browser, site: str, token: str, is_told: bool) -> None:
    async with viewer(browser) as operator:
        page = operator.page
        await operator.open(f"{site}/ops/")
        await page.fill("#token", token)
        await page.click("#sign-in button")
        await page.wait_for_selector("body[data-state=signed-in][data-connection=live]")
        await page.wait_for_selector("[data-stream=demo]")
        await page.click("#tabs a[href='#/server']")
        await page.wait_for_selector("#charts canvas")
        if is_told:
            await page.click("#tabs a[href='#/live']")
            await page.click("[data-stream=demo] >> text=Preview")
            await page.wait_for_selector(".preview[data-state=playing]")
        assert operator.errors == []
        assert outside(operator.requests, f"{site}/ops/", f"{site}/tv/live/demo.mp4") == []


def outside(requests: list[str], *inside: str) -> list[str]:
    return [url for url in requests if not url.startswith((*inside, "blob:", "data:"))]

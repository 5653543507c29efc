"""Fixtures of the browser tests."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

import fetch_player
from tests.support.axe import Axe
from tests.support.chromium import chromium
from tests.support.server import run_server

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.support.server import LiveServer

NPM_DIR = Path(__file__).parent
NPM_FILES = ("package.json", "package-lock.json", ".npmrc")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Run every test of this folder in the loop that the browser is in."""
    if item.get_closest_marker("asyncio") is not None:
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


class OneBrowser:
    """One Chromium for all tests of a process: what a viewer has is in a context, and each has a new one."""

    def __init__(self, held: AsyncExitStack) -> None:
        self._held = held
        self._running: Browser | None = None

    async def running(self) -> Browser:
        """It, started where it is not there: also where it ended in the middle of another test."""
        if self._running is None or not self._running.is_connected():
            await self._held.aclose()
            self._running = await self._held.enter_async_context(chromium())
        return self._running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def one_browser() -> AsyncIterator[OneBrowser]:
    async with AsyncExitStack() as held:
        yield OneBrowser(held)


@pytest_asyncio.fixture(loop_scope="session")
async def browser(one_browser: OneBrowser) -> Browser:
    """A running Chromium."""
    return await one_browser.running()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One server for tests that ask nothing of it but a channel; who looks at all that it has takes ``live_server``."""
    with run_server(tmp_path_factory.mktemp("server")) as running:
        yield running


_numbers = itertools.count(1)


@pytest.fixture
def channel() -> str:
    """The name of a channel that ``server`` has not had before."""
    return f"demo{next(_numbers)}"


@pytest.fixture(scope="session")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests take from npm, as the lock file pins it; fetched once."""
    folder = tmp_path_factory.mktemp("npm")
    for name in NPM_FILES:
        shutil.copyfile(NPM_DIR / name, folder / name)
    try:
        fetch_player.find_npm()(fetch_player.NPM_CI, folder)
    except fetch_player.FetchError as exc:
        if os.environ.get("CI") == "true":
            pytest.fail(f"npm's packages cannot be fetched: {exc}")
        pytest.skip(f"npm's packages cannot be fetched: {exc}")
    return folder / "node_modules"


@pytest.fixture
def axe(node_modules: Path) -> Axe:
    """Checks pages for accessibility."""
    return Axe((node_modules / "axe-core/axe.min.js").read_text("utf-8"))

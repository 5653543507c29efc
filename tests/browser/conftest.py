"""Fixtures of the browser tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

import fetch_player
from tests.support.axe import Axe
from tests.support.chromium import chromium

if TYPE_CHECKING:
    from playwright.async_api import Browser

NPM_DIR = Path(__file__).parent
NPM_FILES = ("package.json", "package-lock.json", ".npmrc")


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    """A running Chromium."""
    async with chromium() as running:
        yield running


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

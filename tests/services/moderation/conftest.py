"""Moderation on each database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from streamd.services.keys.key_store import KeyStore
from streamd.services.moderation.options import ModerationOptions
from tests.support.moderation import ModerationHouse


@pytest_asyncio.fixture
async def house(store: KeyStore) -> AsyncIterator[ModerationHouse]:
    """Started, with room for as many reports as a test sends."""
    house = await ModerationHouse(store, ModerationOptions(reports_per_address_per_10_min=10_000)).start()
    yield house
    await house.moderation.close()

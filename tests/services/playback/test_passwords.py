"""Passwords: checked off the loop, and by one address only so often."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from streamd.clock import ManualClock
from streamd.errors import PlaybackRefusedError
from streamd.services.playback import passwords
from streamd.services.playback.passwords import Passwords

pytestmark = pytest.mark.asyncio


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[Passwords]:
    monkeypatch.setattr(passwords, "CHECKS_PER_SOURCE_MAX", 3)
    monkeypatch.setattr(passwords, "WAITING_PER_SOURCE_MAX", 2)
    made = Passwords(ManualClock().monotonic)
    yield made
    made.close()


async def why(found: Passwords, source: str, known: str) -> str:
    with pytest.raises(PlaybackRefusedError) as refused:
        await found.is_right("open sesame", known, source)
    return refused.value.reason


async def test_the_right_one_too_costs_whoever_types_it(found: Passwords) -> None:
    known = await found.hash("open sesame")
    for _ in range(3):
        assert await found.is_right("open sesame", known, "192.0.2.7")
    assert await why(found, "192.0.2.7", known) == "too_often"
    assert await found.is_right("open sesame", known, "198.51.100.1")
    # One that cannot be it is not hashed.
    assert not await found.is_right("", known, "192.0.2.7")


async def test_one_address_has_only_so_many_checked_at_once(found: Passwords) -> None:
    known = await found.hash("open sesame")
    asked = [asyncio.create_task(found.is_right("open sesame", known, "192.0.2.7")) for _ in range(2)]
    await asyncio.sleep(0)
    assert await why(found, "192.0.2.7", known) == "too_often"
    assert await asyncio.gather(*asked) == [True, True]
    assert await found.is_right("open sesame", known, "192.0.2.7")

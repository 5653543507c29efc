from __future__ import annotations

import asyncio
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from streamd.clock import ManualClock
from streamd.services.recording.space_look import KNOWN_S, SpaceLook

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio


async def looked() -> None:
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


async def test_space_is_there_when_it_was_a_moment_ago(tmp_path: Path) -> None:
    clock = ManualClock()
    with ThreadPoolExecutor(1) as pool:
        space = SpaceLook(pool, clock)
        found = [space.has_found]
        space.look(tmp_path / "not" / "there" / "yet", 1)
        await looked()
        found.append(space.has_found)
        clock.advance(KNOWN_S + 1)
        found.append(space.has_found)
        space.look(tmp_path, 1 << 80)
        await looked()
        found.append(space.has_found)
    assert found == [False, True, False, False]


async def test_a_disk_that_hangs_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    asked: list[object] = []

    def usage(path: object) -> None:
        asked.append(path)
        goes_on.wait()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with ThreadPoolExecutor(1) as pool:
        space = SpaceLook(pool, ManualClock())
        for _ in range(3):
            space.look(tmp_path, 1)
            await asyncio.sleep(0)
        assert space.has_found is False
        goes_on.set()
        await looked()
        assert len(asked) == 1
        assert space.has_found is False
        await space.close()

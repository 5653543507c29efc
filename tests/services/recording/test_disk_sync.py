"""What recordings have written is kept by the disk, of all together."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streamd.services.recording.disk_sync import PAUSE_S_MIN, TOGETHER_MIN, DiskSync, sync_file_system

pytestmark = pytest.mark.asyncio


class Going:
    """A recording that goes on."""

    def __init__(self, number: int, device: int = 1) -> None:
        self.id = f"rec_{number}"
        self.device = device
        self.path = Path(f"/{device}/{number}")
        self.queued_bytes = 0
        self.synced = asyncio.Event()

    def sync(self) -> None:
        self.synced.set()


class Disk:
    """Notes the file systems that are synced, and reports a fault where a test says so."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.fault: OSError | None = None
        self.is_called = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.sync = DiskSync(lambda: 0.0, self.sync_all)

    def sync_all(self, path: Path) -> None:
        self.paths.append(path)
        self._loop.call_soon_threadsafe(self.is_called.set)
        if self.fault is not None:
            raise self.fault

    async def called(self) -> None:
        await asyncio.wait_for(self.is_called.wait(), 10)
        self.is_called.clear()


async def test_recordings_of_a_file_system_are_synced_in_one_call() -> None:
    disk = Disk()
    going = [Going(number) for number in range(TOGETHER_MIN)] + [Going(9, device=2)]
    for each in going:
        disk.sync.note(each)
    await disk.called()
    # The one that is alone on its disk syncs its own files.
    await asyncio.wait_for(going[-1].synced.wait(), 10)
    await disk.sync.close()
    assert disk.paths == [going[0].path]
    assert [each.synced.is_set() for each in going] == [False] * TOGETHER_MIN + [True]


async def test_few_recordings_sync_their_own_files() -> None:
    disk = Disk()
    going = [Going(number) for number in range(TOGETHER_MIN - 1)]
    for each in going:
        disk.sync.note(each)
    for each in going:
        await asyncio.wait_for(each.synced.wait(), 10)
    await disk.sync.close()
    assert disk.paths == []


async def test_after_a_fault_each_is_asked_by_itself() -> None:
    disk = Disk()
    disk.fault = OSError(5, "Input/output error")
    going = [Going(number) for number in range(TOGETHER_MIN)]
    for each in going:
        disk.sync.note(each)
    for each in going:
        await asyncio.wait_for(each.synced.wait(), 10)
    await disk.sync.close()


async def test_one_without_a_file_syncs_by_itself() -> None:
    disk = Disk()
    going = [Going(number, device=0) for number in range(TOGETHER_MIN)]
    for each in going:
        disk.sync.note(each)
    for each in going:
        await asyncio.wait_for(each.synced.wait(), 10)
    assert disk.paths == []
    await disk.sync.close()


async def test_what_waits_for_a_thread_is_for_the_next_round() -> None:
    disk = Disk()
    going = [Going(number) for number in range(TOGETHER_MIN)]
    for each in going:
        each.queued_bytes = 1
        disk.sync.note(each)
    await disk.called()
    for each in going:
        each.queued_bytes = 0
    await disk.called()
    await disk.sync.close()
    assert len(disk.paths) >= 2


async def test_a_slow_disk_is_not_asked_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """``fsync_s = 0`` costs no processor while media waits."""
    disk = Disk()
    pauses: list[float] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda pause_s, _: pauses.append(pause_s))
    disk.sync.note(Going(1))
    monkeypatch.undo()
    assert pauses == [PAUSE_S_MIN]
    await disk.sync.close()


async def test_the_end_syncs_what_no_round_has() -> None:
    disk = Disk()
    disk.sync = DiskSync(lambda: 3600.0, disk.sync_all)
    one = Going(1)
    disk.sync.note(one)
    await disk.sync.close()
    assert disk.paths == [one.path]


async def test_a_file_system_is_synced(tmp_path: Path) -> None:
    sync_file_system(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_file_system(tmp_path / "none")

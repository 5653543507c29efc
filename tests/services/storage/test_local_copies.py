"""Media on the disk of recordings that the bucket has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from streamd.services.recording.records import RecordingState
from streamd.services.recording.retention import RetentionOptions
from streamd.services.storage.faults import StorageFault
from streamd.services.storage.local_copies import RETRY_S, WALK_S
from tests.support.storage import StorageRoom, named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore
    from streamd.services.recording.folder import RecordingFolder

    MakeRoom = Callable[[int | None], StorageRoom]

pytestmark = pytest.mark.asyncio

DAY_S = 86_400


@pytest_asyncio.fixture
async def make_room(store: KeyStore, tmp_path: Path) -> AsyncIterator[MakeRoom]:
    made = []

    def make(keep_local_days: int | None) -> StorageRoom:
        made.append(StorageRoom(store, tmp_path / "recordings", keep_local_days))
        return made[-1]

    yield make
    for room in made:
        await room.end()


def media(folder: RecordingFolder) -> list[str]:
    return sorted(path.name for path in folder.path.rglob("*.m4s"))


async def test_media_goes_when_the_bucket_has_it_and_what_is_small_stays(make_room: MakeRoom) -> None:
    room = make_room(0)
    folder = room.write()
    wanted = named(folder)
    room.storage.has_ended(await room.record())
    await room.settle()
    assert media(folder) == []
    assert {name: room.bucket.content(name) for name in room.bucket.names()} == wanted
    assert folder.index.exists()
    assert folder.playlist("main").exists()
    assert (folder.variant("main") / "init0.mp4").exists()
    assert folder.ended.exists()


async def test_media_stays_while_the_bucket_lacks_something(make_room: MakeRoom) -> None:
    room = make_room(0)
    folder = room.write()
    room.bucket.fault = StorageFault.FULL
    room.storage.has_ended(await room.record())
    await room.settle()
    await room.look(10)
    assert len(media(folder)) == 3


async def test_media_stays_for_days_or_for_ever(make_room: MakeRoom) -> None:
    for days, is_kept in ((7, False), (None, True)):
        room = make_room(days)
        folder = room.write(f"rec_01kjmg3m00ccccccccccccccc{int(is_kept)}")
        await room.record(folder.id)
        await room.look()
        await room.look(6 * DAY_S)
        assert len(media(folder)) == 3
        await room.look(DAY_S + 1)
        assert (len(media(folder)) == 3) is is_kept


async def test_recordings_of_before_the_bucket_are_found(make_room: MakeRoom) -> None:
    room = make_room(0)
    folder = room.write()
    record = await room.record()
    assert record.state is RecordingState.READY
    await room.look()
    assert media(folder) == []
    assert room.bucket.put_paths[-1].endswith("recording-ended.json")
    # The next walk finds nothing to do.
    before = len(room.bucket.put_paths)
    await room.look(WALK_S)
    assert len(room.bucket.put_paths) == before


async def test_what_could_not_be_read_is_tried_again(make_room: MakeRoom) -> None:
    room = make_room(0)
    folder = room.write()
    path = folder.variant("main") / "000001.m4s"
    content = path.read_bytes()
    path.unlink()
    await room.record()
    await room.look()
    assert room.failures() == {"local_file": 1}
    assert len(media(folder)) == 2
    path.write_bytes(content)
    await room.look(RETRY_S)
    assert media(folder) == []


async def test_a_short_disk_costs_media_that_the_bucket_has_and_no_recording(make_room: MakeRoom) -> None:
    room = make_room(None)
    there = room.write("rec_01kjmg3m00ddddddddddddddd1")
    await room.record(there.id)
    await room.look()
    room.bucket.fault = StorageFault.UNREACHABLE
    waiting = room.write("rec_01kjmg3m00ddddddddddddddd2")
    await room.record(waiting.id)
    await room.recorder.retention.apply(RetentionOptions(keep_days=0, min_free_bytes=1 << 61))
    assert media(there) == []
    assert len(media(waiting)) == 3
    for folder in (there, waiting):
        found = await room.recorder.index.find(folder.id)
        assert found is not None
        assert found.state is RecordingState.READY


async def test_media_that_is_drawn_from_stays_until_it_is_drawn(make_room: MakeRoom) -> None:
    room = make_room(0)
    folder = room.write()
    needed = {folder.id}
    room.storage.copies._is_needed = needed.__contains__
    record = await room.record()
    room.storage.has_ended(record)
    await room.settle()
    assert len(media(folder)) == 3
    needed.clear()
    # The pictures are there, or are not to be had.
    room.storage.uploads.add(record)
    await room.settle()
    assert media(folder) == []

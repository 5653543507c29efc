"""Recordings in the bucket, as viewers' requests read them."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from streamd.errors import StorageError
from streamd.services.storage import stored_recordings
from streamd.services.storage.faults import StorageFault
from streamd.services.storage.stored_recordings import ABSENT_S, ATTEMPTS, PIECE_BYTES
from tests.support.storage import StorageRoom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore
    from streamd.services.recording.records import RecordingRecord

pytestmark = pytest.mark.asyncio

MEDIA = "media/hls/main/000000.m4s"
CONTENT = bytes(range(256)) * 2000


@pytest_asyncio.fixture
async def room(store: KeyStore, tmp_path: Path) -> AsyncIterator[StorageRoom]:
    room = StorageRoom(store, tmp_path / "recordings")
    yield room
    await room.end()


async def stored(room: StorageRoom) -> RecordingRecord:
    """A recording whose media is in the bucket alone."""
    room.write(content=CONTENT)
    record = await room.record()
    room.storage.has_ended(record)
    await room.settle()
    room.bucket.reads.clear()
    return record


async def test_media_is_read_in_pieces(room: StorageRoom) -> None:
    record = await stored(room)
    reading = room.storage.stored.read(record, MEDIA, 10, len(CONTENT) - 10)
    assert room.storage.stored.held_bytes == 0
    first = await anext(reading)
    assert room.storage.stored.held_bytes == PIECE_BYTES
    # The second is read when the viewer has taken the first.
    assert len(room.bucket.reads) == 1
    rest = [piece async for piece in reading]
    assert b"".join([first, *rest]) == CONTENT[10:-10]
    assert {stop - start for _, start, stop in room.bucket.reads[:-1]} == {PIECE_BYTES}
    assert room.storage.stored.held_bytes == 0


async def test_only_named_files_are_asked_for(room: StorageRoom) -> None:
    record = await stored(room)
    assert room.storage.stored.held_bytes == 0
    assert await room.storage.stored.size_bytes(record, MEDIA) == len(CONTENT)
    # The list of its files is kept for who comes next.
    assert 0 < room.storage.stored.held_bytes < PIECE_BYTES
    room.storage.stored.forget(record.id)
    assert room.storage.stored.held_bytes == 0
    for path in ("media/hls/main/000009.m4s", "media/hls/x/000000.m4s", "../other", ""):
        assert await room.storage.stored.size_bytes(record, path) is None
    assert room.bucket.reads == []


async def test_a_disk_that_was_lost_is_made_up_for(room: StorageRoom) -> None:
    record = await stored(room)
    shutil.rmtree(room.directory)
    wanted = "media/hls/main/playlist.m3u8"
    folders = await asyncio.gather(*(room.storage.stored.bring(record, wanted.__eq__) for _ in range(20)))
    folder = folders[0]
    assert folder is not None
    assert b"#EXT-X-ENDLIST" in (folder.path / wanted).read_bytes()
    # Read once for all: the document of the end, and the playlist.
    assert len(room.bucket.reads) == 2
    assert not room.recorder.folder(record).path.exists()
    await room.storage.remove(record)
    await asyncio.to_thread(room.storage._threads.shutdown)
    assert not folder.path.exists()


async def test_a_recording_that_nobody_has_is_looked_for_once_in_a_while(room: StorageRoom) -> None:
    room.write(is_over=False)
    record = await room.record()
    shutil.rmtree(room.directory)
    asked: list[str] = []
    original = room.bucket.size_bytes

    async def size_bytes(path: str) -> int | None:
        asked.append(path)
        return await original(path)

    room.bucket.size_bytes = size_bytes  # type: ignore[method-assign]
    for _ in range(5):
        assert await room.storage.stored.bring(record, lambda _: True) is None
    assert len(asked) == 2
    room.clock.advance(ABSENT_S)
    assert await room.storage.stored.bring(record, lambda _: True) is None
    assert len(asked) == 4


async def test_a_piece_that_does_not_come_is_asked_for_again(room: StorageRoom) -> None:
    record = await stored(room)
    room.bucket.fault = StorageFault.BUSY
    with pytest.raises(StorageError):
        await anext(room.storage.stored.read(record, MEDIA, 0, 10))
    assert len(room.bucket.reads) == ATTEMPTS
    assert room.failures() == {"busy": ATTEMPTS}


async def test_a_piece_that_does_not_come_in_time_is_not_waited_for_again(room: StorageRoom) -> None:
    record = await stored(room)
    room.bucket.fault = StorageFault.TIMEOUT
    with pytest.raises(StorageError):
        await anext(room.storage.stored.read(record, MEDIA, 0, 10))
    assert len(room.bucket.reads) == 1


async def test_so_many_viewers_are_served_and_no_more(room: StorageRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_recordings, "READERS_MAX", 2)
    record = await stored(room)
    readings = [room.storage.stored.read(record, MEDIA, 0, 10) for _ in range(3)]
    for reading in readings[:2]:
        await anext(reading)
    with pytest.raises(StorageError) as caught:
        await anext(readings[2])
    assert caught.value.reason == StorageFault.BUSY
    await readings[0].aclose()
    assert await anext(room.storage.stored.read(record, MEDIA, 0, 10)) == CONTENT[:10]
    await readings[1].aclose()


async def test_damaged_playlists_are_not_believed(room: StorageRoom) -> None:
    record = await stored(room)
    shutil.rmtree(room.directory)
    size_bytes = await room.bucket.size_bytes(f"{record.path}/media/hls/index.m3u8")
    assert size_bytes
    await room.bucket.put(f"{record.path}/media/hls/index.m3u8", b"x" * size_bytes)
    with pytest.raises(StorageError) as caught:
        await room.storage.stored.bring(record, "media/hls/index.m3u8".__eq__)
    assert caught.value.reason == StorageFault.DAMAGED


@pytest.mark.parametrize(
    ("serve", "address"),
    [("proxy", None), ("https://cdn.example.org/rec", "https://cdn.example.org/rec/{}/" + MEDIA)],
)
async def test_where_viewers_find_it(store: KeyStore, tmp_path: Path, serve: str, address: str | None) -> None:
    room = StorageRoom(store, tmp_path / "recordings", serve=serve)
    record = await stored(room)
    expected = address.format(record.path) if address else None
    assert await room.storage.stored.address(record, MEDIA) == expected
    await room.end()


async def test_a_secret_that_was_changed_is_read_anew(room: StorageRoom) -> None:
    record = await stored(room)
    opened: list[None] = []
    room.bucket.reopen = lambda: opened.append(None)  # type: ignore[method-assign]
    room.bucket.fault = StorageFault.WRONG_SECRET
    with pytest.raises(StorageError):
        await anext(room.storage.stored.read(record, MEDIA, 0, 10))
    assert opened

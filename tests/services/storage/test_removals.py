"""The objects of recordings that are deleted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import obstore
import pytest
import pytest_asyncio

from streamd.services.audit.records import Actor
from streamd.services.recording.records import RecordingState
from streamd.services.storage.faults import StorageFault
from streamd.services.storage.removals import AFTERMATH_S
from tests.support.recordings import RECORDING_ID
from tests.support.storage import StorageRoom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore

pytestmark = pytest.mark.asyncio

OTHERS = [f"rec_01kjmg3m00bbbbbbbbbbbbbbb{letter}" for letter in "0123456789"]
BY = Actor("operator", "127.0.0.1")


@pytest_asyncio.fixture
async def room(store: KeyStore, tmp_path: Path) -> AsyncIterator[StorageRoom]:
    room = StorageRoom(store, tmp_path / "recordings", keep_local_days=None)
    yield room
    await room.end()


async def test_its_objects_go_and_no_others(room: StorageRoom) -> None:
    day = "prefix/alice/2026/03/01"
    strangers = ["other/alice/x", f"{day}/rec_other/a", f"{day}/{RECORDING_ID}x/a"]
    for name in strangers:
        obstore.put(room.bucket.memory, name, b"foreign")
    room.write()
    record = await room.record()
    room.storage.uploads.add(record)
    await room.settle()
    await room.recorder.retention.delete(record, BY, "unwanted")
    assert room.bucket.names() == set(strangers)
    found = await room.recorder.index.find(record.id)
    assert found is not None
    assert (found.state, found.size_bytes) == (RecordingState.DELETED, 0)
    assert not room.recorder.folder(record).path.exists()


async def test_what_is_under_way_ends_with_it(room: StorageRoom) -> None:
    room.write()
    record = await room.record()
    room.bucket.gate = asyncio.Event()
    room.storage.uploads.add(record)
    while not room.bucket.under_way:  # noqa: ASYNC110  # nothing else tells
        await asyncio.sleep(0)
    await room.recorder.retention.delete(record, BY, "unwanted")
    room.bucket.gate.set()
    await room.settle()
    assert room.bucket.names() == set()
    room.storage.uploads.add(record)
    await room.settle()
    assert room.bucket.put_paths == []
    # The service may have carried a request out that was cut off.
    obstore.put(room.bucket.memory, f"prefix/{record.path}/media/hls/main/000000.m4s", b"late")
    await room.look(AFTERMATH_S)
    await room.storage._removals.idle()
    assert room.bucket.names() == set()


async def test_a_bucket_that_is_away_is_asked_again(room: StorageRoom) -> None:
    folder = room.write()
    record = await room.record()
    room.storage.uploads.add(record)
    await room.settle()
    room.bucket.fault = StorageFault.UNREACHABLE
    await room.recorder.retention.delete(record, BY, "unwanted")
    assert not (folder.path / "media").exists()
    room.bucket.fault = None
    room.clock.advance(60)
    await room.recorder.retention.apply(room.recorder.options.retention)
    assert room.bucket.names() == set()
    assert not folder.path.exists()


async def test_an_index_that_names_another_folder_deletes_nothing(room: StorageRoom) -> None:
    obstore.put(room.bucket.memory, "prefix/alice/2026/03/01/other", b"foreign")
    room.write()
    record = replace(await room.record(), path="alice/2026/03/01")
    assert not await room.storage.remove(record)
    assert room.bucket.names() == {"prefix/alice/2026/03/01/other"}


async def test_many_deletions_ask_a_bucket_that_is_away_once(room: StorageRoom) -> None:
    for recording_id in OTHERS:
        room.write(recording_id)
        await room.record(recording_id)
    await room.look()
    room.bucket.fault = StorageFault.TIMEOUT
    await room.recorder.forget_user("alice", BY, "asked for")
    assert room.failures() == {"timeout": 1}
    room.bucket.fault = None
    room.clock.advance(60)
    await room.recorder.retention.apply(room.recorder.options.retention)
    assert room.bucket.names() == set()
    assert not list(room.directory.glob("alice/**/*.m4s"))

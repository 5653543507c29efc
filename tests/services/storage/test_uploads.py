"""Recordings on their way to the bucket."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from streamd.services.events.event import EventType
from streamd.services.recording.elsewhere import NowhereElse
from streamd.services.recording.records import RecordingState
from streamd.services.recording.recovery import recover
from streamd.services.storage.faults import StorageFault
from streamd.services.storage.uploads import DELAY_S, FILES_PER_TURN, GOING_S, UPLOADS_AT_ONCE
from tests.support.recordings import OPTIONS, RECORDING_ID, STARTED_AT
from tests.support.storage import StorageRoom, named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore

pytestmark = pytest.mark.asyncio

OTHERS = [f"rec_01kjmg3m00bbbbbbbbbbbbbbb{letter}" for letter in "0123456789"]


@pytest_asyncio.fixture
async def room(store: KeyStore, tmp_path: Path) -> AsyncIterator[StorageRoom]:
    room = StorageRoom(store, tmp_path / "recordings", keep_local_days=None)
    yield room
    await room.end()


class TestARecordingThatHasEnded:
    async def test_all_of_it_is_put_and_the_document_of_its_end_last(self, room: StorageRoom) -> None:
        folder = room.write()
        record = await room.record()
        waiting = room.storage.has_ended(record)
        assert waiting.state is RecordingState.UPLOADING
        room.recorder.books.keep(waiting)
        await room.settle()
        wanted = named(folder)
        assert {name: room.bucket.content(name) for name in room.bucket.names()} == wanted
        order = [path.rpartition("/")[2] for path in room.bucket.put_paths]
        assert order[-1] == "recording-ended.json"
        assert order.index("playlist.m3u8") > order.index("000002.m4s")
        assert (await room.record()).state is RecordingState.READY
        (event,) = room.events
        assert event.type is EventType.RECORDING_UPLOADED
        assert event.data["url"] == f"s3://bucket/prefix/{record.path}"
        assert room.storage.uploads.backlog_bytes == 0

    async def test_a_picture_that_is_drawn_later_follows(self, room: StorageRoom) -> None:
        folder = room.write()
        room.storage.uploads.add(await room.record())
        await room.settle()
        room.bucket.put_paths.clear()
        picture = folder.path / "media/thumbnails/latest/thumb.jpg"
        picture.parent.mkdir(parents=True)
        picture.write_bytes(b"jpeg")
        room.storage.uploads.add(await room.record())
        await room.settle()
        assert room.bucket.put_paths == [f"{(await room.record()).path}/media/thumbnails/latest/thumb.jpg"]
        # It is told of once.
        assert [event.type for event in room.events] == [EventType.RECORDING_UPLOADED]

    async def test_a_failed_one_stays_failed_and_is_put(self, room: StorageRoom) -> None:
        folder = room.write(is_over=False)
        writer = recover(folder, OPTIONS)
        assert writer is not None
        writer.finish(STARTED_AT, "the disk is full")
        writer.close()
        record = room.storage.has_ended(await room.record())
        assert record.state is RecordingState.FAILED
        await room.settle()
        assert room.bucket.put_paths[-1].endswith("recording-failed.json")
        assert (await room.record()).state is RecordingState.FAILED

    async def test_one_that_another_server_has_is_left_to_it(self, room: StorageRoom) -> None:
        room.write()
        record = await room.record()
        (room.directory / "alice").rename(room.directory.parent / "elsewhere")
        room.storage.uploads.add(record)
        await room.settle()
        assert room.bucket.put_paths == []
        assert room.failures() == {}


class TestARecordingThatGoesOn:
    async def test_files_that_are_closed_follow_it(self, room: StorageRoom) -> None:
        room.write(is_over=False)
        record = await room.record()
        assert record.state is RecordingState.RECORDING
        room.storage.uploads.look(lambda: [record])
        await room.settle()
        names = [path.removeprefix(f"{record.path}/") for path in room.bucket.put_paths]
        # The last is still open, and so is the playlist.
        assert names == [
            "events/recording-started.json",
            *(f"media/hls/main/{name}" for name in ("init0.mp4", "000000.m4s", "000001.m4s")),
        ]
        room.clock.advance(GOING_S)
        room.storage.uploads.look(lambda: [record])
        await room.settle()
        assert len(room.bucket.put_paths) == len(names)
        assert room.events == []

    async def test_its_end_during_a_turn_is_not_missed(self, room: StorageRoom) -> None:
        folder = room.write(is_over=False)
        record = await room.record()
        room.bucket.gate = asyncio.Event()
        room.storage.uploads.look(lambda: [record])
        while not room.bucket.under_way:  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0)
        writer = recover(folder, OPTIONS)
        assert writer is not None
        writer.finish(STARTED_AT)
        writer.close()
        room.storage.has_ended(record)
        room.bucket.gate.set()
        await room.settle()
        assert {name: room.bucket.content(name) for name in room.bucket.names()} == named(folder)


class TestAfterACrash:
    async def test_the_next_server_goes_on_behind_what_was_noted(self, room: StorageRoom) -> None:
        folder = room.write()
        room.recorder.books.keep(room.storage.has_ended(await room.record()))
        while len(room.bucket.put_paths) < 3:  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0)
        await room.end()
        before = list(room.bucket.put_paths)
        assert "recording-ended.json" not in before[-1]
        room.begin()
        await room.look()
        assert {name: room.bucket.content(name) for name in room.bucket.names()} == named(folder)
        # One that was under way is sent once more; none that was noted.
        assert len(room.bucket.put_paths) <= len(set(room.bucket.put_paths)) + 1
        assert (await room.record()).state is RecordingState.READY

    async def test_without_a_bucket_it_is_as_its_document_has_it(self, room: StorageRoom) -> None:
        room.write()
        room.bucket.fault = StorageFault.UNREACHABLE
        room.recorder.books.keep(room.storage.has_ended(await room.record()))
        await room.settle()
        assert (await room.record()).state is RecordingState.UPLOADING
        await room.end()
        room.begin()
        room.recorder.attach(NowhereElse())
        await room.recorder.open()
        await room.settle()
        assert (await room.record()).state is RecordingState.READY


class TestABucketThatIsAway:
    async def test_it_is_asked_again_and_again_and_nothing_is_lost(self, room: StorageRoom) -> None:
        folder = room.write()
        room.bucket.fault = StorageFault.UNREACHABLE
        room.storage.uploads.add(await room.record())
        await room.settle()
        assert room.failures() == {"unreachable": 1}
        size_bytes = (await room.record()).size_bytes
        assert room.storage.uploads.backlog_bytes >= size_bytes
        for _ in range(3600):
            await asyncio.sleep(0)
            room.clock.advance(1)
            room.storage.look()
            await room.storage.uploads.idle()
        # Once a minute in the end.
        assert 60 <= room.failures()["unreachable"] < 75
        assert room.storage.uploads.oldest_waiting_s > 3500
        room.bucket.fault = None
        await room.look(60)
        assert {name: room.bucket.content(name) for name in room.bucket.names()} == named(folder)
        assert room.storage.uploads.oldest_waiting_s == 0

    async def test_what_a_broadcast_adds_meanwhile_is_counted(self, room: StorageRoom) -> None:
        room.write()
        room.bucket.fault = StorageFault.UNREACHABLE
        record = replace(await room.record(), state=RecordingState.RECORDING, size_bytes=1_000_000)
        room.storage.uploads.add(record)
        await room.settle()
        before = room.storage.uploads.backlog_bytes
        for megabytes in range(2, 10):
            room.storage.uploads.add(replace(record, size_bytes=megabytes * 1_000_000))
        assert room.storage.uploads.backlog_bytes == before + 8_000_000

    async def test_an_hour_of_twenty_broadcasts_waits_on_the_disk_and_is_caught_up_with(
        self, room: StorageRoom
    ) -> None:
        """Nothing of it is in memory but the names; each look asks the bucket once at most."""
        folders = {}
        for number in range(20):
            recording_id = f"rec_01kjmg3m00aaaaaaaaaaaaaa{number // 10}{number % 10}"
            folders[recording_id] = room.write(recording_id, segments=2)
        room.bucket.fault = StorageFault.UNREACHABLE
        for recording_id in folders:
            room.storage.uploads.add(await room.record(recording_id))
        held = set()
        for _ in range(3600):
            failed = room.failures().get("unreachable", 0)
            room.clock.advance(1)
            room.storage.look()
            await room.storage.uploads.idle()
            held.add(room.storage.held_bytes)
            assert room.failures().get("unreachable", 0) <= failed + UPLOADS_AT_ONCE
        assert held == {0}
        assert room.storage.uploads.delay == "the bucket's service cannot be reached"
        room.bucket.fault = None
        waited_s = 0
        while room.storage.uploads.backlog_bytes:
            await room.look(1)
            waited_s += 1
        # The last of the waits between attempts, and a look.
        assert waited_s <= 61
        assert room.storage.uploads.delay == ""
        there = {name: room.bucket.content(name) for name in room.bucket.names()}
        assert there == {name: data for folder in folders.values() for name, data in named(folder).items()}

    async def test_a_bucket_that_takes_nothing_is_told_of_after_a_while(self, room: StorageRoom) -> None:
        room.write()
        room.bucket.fault = StorageFault.FULL
        room.storage.uploads.add(await room.record())
        await room.settle()
        assert room.storage.delay == ""
        await room.look(DELAY_S + 1)
        assert room.storage.delay == "the bucket is full"
        room.bucket.fault = None
        await room.look(60)
        assert room.storage.delay == ""

    async def test_one_attempt_is_made_at_a_time(self, room: StorageRoom) -> None:
        for recording_id in OTHERS:
            room.write(recording_id)
            room.storage.uploads.add(await room.record(recording_id))
        room.bucket.fault = StorageFault.BUSY
        await room.settle()
        failed = room.failures()["busy"]
        await room.look(2 * 60)
        assert room.failures()["busy"] == failed + 1

    async def test_the_secret_is_read_anew(self, room: StorageRoom) -> None:
        room.write()
        opened: list[None] = []
        room.bucket.reopen = lambda: opened.append(None)  # type: ignore[method-assign]
        room.bucket.fault = StorageFault.WRONG_SECRET
        room.storage.uploads.add(await room.record())
        await room.settle()
        assert len(opened) == 1


class TestManyRecordings:
    async def test_so_many_files_are_under_way_and_no_more(self, room: StorageRoom) -> None:
        room.bucket.gate = asyncio.Event()
        for recording_id in OTHERS:
            room.write(recording_id)
            room.storage.uploads.add(await room.record(recording_id))
        while room.bucket.under_way < UPLOADS_AT_ONCE:  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0)
        room.bucket.gate.set()
        await room.settle()
        assert room.bucket.under_way_max == UPLOADS_AT_ONCE
        assert len([path for path in room.bucket.put_paths if "ended" in path]) == len(OTHERS)

    async def test_a_long_one_does_not_keep_others_waiting(self, room: StorageRoom) -> None:
        long = RECORDING_ID
        room.bucket.gate = asyncio.Event()
        room.write(long, segments=8 * FILES_PER_TURN)
        room.storage.uploads.add(await room.record(long))
        for recording_id in OTHERS:
            room.write(recording_id, segments=1)
            room.storage.uploads.add(await room.record(recording_id))
        room.bucket.gate.set()
        await room.settle()
        ends = [path.split("/")[4] for path in room.bucket.put_paths if path.endswith("recording-ended.json")]
        assert ends[-1] == long
        assert len(ends) == len(OTHERS) + 1

    async def test_a_file_that_is_gone_concerns_its_recording_alone(self, room: StorageRoom) -> None:
        # The first look walks through all that there is, and tries all of it.
        await room.look()
        broken = room.write(OTHERS[0])
        (broken.variant("main") / "000001.m4s").unlink()
        for recording_id in OTHERS[:2]:
            if recording_id != OTHERS[0]:
                room.write(recording_id)
            room.storage.uploads.add(await room.record(recording_id))
        await room.settle()
        assert room.failures() == {"local_file": 1}
        assert [path.split("/")[4] for path in room.bucket.put_paths if "ended" in path] == [OTHERS[1]]
        # It is not tried again every second.
        for _ in range(10):
            await room.look(1)
        assert room.failures() == {"local_file": 1}

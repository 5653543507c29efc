"""Broadcasts that are recorded: parts in, files and an index out."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from sqlalchemy import insert

from streamd.clock import ManualClock
from streamd.errors import RecordingError, RecordingOffError, UserNotFoundError
from streamd.formats.hls.attribute_list import unix_ms
from streamd.media.packager.timing import PlaylistTiming
from streamd.media.packet import VIDEO_TIMESCALE
from streamd.services.audit.records import Actor, AuditEntry
from streamd.services.events.event import EventType
from streamd.services.live.restart_record import PlaylistRecord
from streamd.services.recording import recording_writer, retention
from streamd.services.recording.documents import read_document
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.playlist_file import parse_playlist
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.recording_output import RETRY_S, RecordingOutput
from streamd.services.recording.records import RecordingFilter, RecordingMode, RecordingState, Visibility
from streamd.services.recording.retention import RetentionOptions
from streamd.services.recording.verify import find_recordings, verify
from streamd.services.recording.watched import WATCHED_S
from streamd.services.store.schema import users
from tests.support.chunk_feeder import ChunkFeeder
from tests.support.output_context import output_context, tracks_of
from tests.support.recordings import OPTIONS, media_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from streamd.services.events.event import Event
    from streamd.services.keys.key_store import KeyStore
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.records import RecordingRecord

pytestmark = pytest.mark.asyncio

TIMING = PlaylistTiming(2, 500)
SECOND = VIDEO_TIMESCALE


class Room:
    """A recorder, and a broadcast of Alice's that feeds it."""

    def __init__(
        self,
        store: KeyStore,
        directory: Path,
        mode: RecordingMode = RecordingMode.ALL,
        is_listed: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.is_listed = is_listed
        self.store = store
        self.directory = directory
        self.mode = mode
        self.clock = ManualClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
        self.events: list[Event] = []
        self.feeder = ChunkFeeder()
        self.recorder = self.new_recorder()
        self.output = self.new_output()

    def new_recorder(self) -> Recorder:
        """A recorder of another server on the same directory."""
        return Recorder(
            RecorderOptions(
                self.mode, self.directory, replace(OPTIONS, min_free_bytes=1), RetentionOptions(min_free_bytes=0)
            ),
            RecordingIndex(self.store.database),
            self.clock,
            tell=self.events.append,
            is_listed=self.is_listed,
        )

    def new_output(self, record: PlaylistRecord | None = None) -> RecordingOutput:
        """The output of another broadcast."""
        output = self.recorder.output(output_context(clock=self.clock, record=record))
        assert isinstance(output, RecordingOutput)
        return output

    def feed(self, *seconds: float, is_discontinuous: bool = False) -> None:
        """Give the parts of whole segments."""
        for length in seconds:
            for chunk in self.feeder.segment(round(length * SECOND), is_discontinuous=is_discontinuous):
                self.output.take_part("main", chunk, TIMING)
            self.output.end_segment("main")
            self.clock.advance(length)

    async def written(self) -> None:
        """Wait until all is on the disk, and in the index."""
        for recording in tuple(self.recorder.going):
            await recording.wait()
        while self.recorder.books.is_behind:  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0)

    async def looked(self) -> None:
        """Have the server look after its recordings, as it does once a second."""
        self.recorder.look()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    async def records(self) -> list[RecordingRecord]:
        """What the index has, the newest first."""
        return list((await self.recorder.index.page(RecordingFilter(), limit=100)).items)

    async def only(self) -> tuple[RecordingRecord, RecordingFolder]:
        """The one recording that there is."""
        await self.written()
        (record,) = await self.records()
        return record, self.recorder.folder(record)


@pytest_asyncio.fixture
async def room(store: KeyStore, tmp_path: Path) -> AsyncIterator[Room]:
    room = Room(store, tmp_path / "recordings")
    yield room
    await room.recorder.close()


async def test_a_broadcast_is_a_recording(room: Room) -> None:
    room.output.start(tracks_of("main"))
    room.feed(2, 2, 1)
    record, folder = await room.only()
    assert (record.user, record.state) == ("alice", RecordingState.RECORDING)
    room.output.end()
    record, folder = await room.only()
    assert (record.state, record.duration_ms, record.size_bytes) == (RecordingState.READY, 5000, 1000)
    assert record.ended_at == room.clock.now()
    assert b"".join(media_of(folder)) == b"".join(chunk.content.join() for chunk in room.feeder.chunks)
    assert verify(folder) == []
    assert [event.type for event in room.events] == [EventType.RECORDING_STARTED, EventType.RECORDING_READY]
    assert room.events[1].data["duration_s"] == 5


async def test_an_unlisted_channel_leaves_unlisted_recordings(store: KeyStore, tmp_path: Path) -> None:
    unlisted = {"alice"}
    room = Room(store, tmp_path / "recordings", is_listed=lambda name: name not in unlisted)
    room.output.start(tracks_of("main"))
    room.feed(2)
    room.output.end()
    assert (await room.only())[0].visibility is Visibility.UNLISTED
    unlisted.clear()
    room.output = room.new_output()
    room.output.start(tracks_of("main"))
    room.feed(2)
    room.output.end()
    await room.written()
    assert [each.visibility for each in await room.records()] == [Visibility.PUBLIC, Visibility.UNLISTED]
    await room.recorder.close()


async def test_a_segment_that_is_open_at_the_end_is_in_it(room: Room) -> None:
    room.output.start(tracks_of("main"))
    room.feed(2)
    for chunk in room.feeder.segment(SECOND):
        room.output.take_part("main", chunk, TIMING)
    room.output.end()
    record, folder = await room.only()
    assert record.duration_ms == 3000
    assert len(media_of(folder)) == 2


async def test_nothing_is_recorded_that_is_not_wanted(room: Room) -> None:
    room.recorder.configure(replace(room.recorder.options, mode=RecordingMode.ASKED))
    room.output.start(tracks_of("main"))
    room.feed(2, 2)
    room.output.end()
    await room.written()
    assert await room.records() == []
    assert not room.directory.exists()
    assert room.output.held_bytes == 0


async def test_what_is_not_recorded_takes_no_parts(room: Room) -> None:
    room.recorder.configure(replace(room.recorder.options, mode=RecordingMode.ASKED))
    room.output.start(tracks_of("main"))
    takes = [room.output.takes_parts]
    room.recorder.ask("alice", is_wanted=True)
    takes.append(room.output.takes_parts)
    room.feed(2)
    room.output.ask(is_wanted=False)
    takes.append(room.output.takes_parts)
    assert takes == [False, True, False]


async def test_a_leap_before_a_recording_is_in_its_times(room: Room) -> None:
    room.recorder.configure(replace(room.recorder.options, mode=RecordingMode.ASKED))
    room.output.start(tracks_of("main"))
    room.output.note_leap(room.clock.now() + timedelta(hours=1))
    room.feed(2)
    room.recorder.ask("alice", is_wanted=True)
    room.feed(2)
    _, folder = await room.only()
    (segment,) = parse_playlist(folder.playlist("main").read_text()).segments
    assert segment.program_date_time_ms == unix_ms(datetime(2026, 3, 1, 13, 0, 2, tzinfo=UTC))


async def test_a_user_may_differ(room: Room) -> None:
    entry = AuditEntry(room.clock.now(), "admin", "user.changed", user="alice")
    with pytest.raises(UserNotFoundError):
        await room.recorder.wish("alice", record=False, entry=entry)
    async with room.store.database.writing() as connection:
        await connection.execute(insert(users).values(name="alice", created_at=room.clock.now()))
    await room.recorder.wish("alice", record=False, entry=entry)
    room.output.start(tracks_of("main"))
    room.feed(2)
    await room.recorder.wish("alice", record=None, entry=entry)
    room.feed(2)
    room.output.end()
    record, _ = await room.only()
    assert record.duration_ms == 2000


async def test_one_that_is_asked_for_begins_with_the_next_segment(room: Room) -> None:
    room.recorder.configure(replace(room.recorder.options, mode=RecordingMode.ASKED))
    room.output.start(tracks_of("main"))
    chunks = [*room.feeder.segment(2 * SECOND)]
    room.output.take_part("main", chunks[0], TIMING)
    room.recorder.ask("alice", is_wanted=True)
    for chunk in chunks[1:]:
        room.output.take_part("main", chunk, TIMING)
    room.feed(2, 2)
    room.recorder.ask("alice", is_wanted=False)
    room.feed(2)
    record, folder = await room.only()
    assert (record.state, record.duration_ms) == (RecordingState.READY, 4000)
    assert media_of(folder)[0].startswith(b"000000004")
    with pytest.raises(RecordingError, match="bob is not live"):
        room.recorder.ask("bob", is_wanted=True)


async def test_where_recording_is_off_nobody_can_ask_for_it(room: Room) -> None:
    room.recorder.configure(replace(room.recorder.options, mode=RecordingMode.OFF))
    room.output.start(tracks_of("main"))
    with pytest.raises(RecordingOffError, match="recording is off"):
        room.recorder.ask("alice", is_wanted=True)
    room.feed(2)
    await room.written()
    assert await room.records() == []


async def test_a_publisher_that_comes_back_goes_on_in_the_same_recording(room: Room) -> None:
    room.output.start(tracks_of("main"))
    room.feed(2)
    room.output.start(tracks_of("main", begins_anew=True))
    room.feed(2)
    room.output.end()
    _, folder = await room.only()
    found = parse_playlist(folder.playlist("main").read_text()).segments
    assert [(each.is_discontinuous, each.init_number) for each in found] == [(False, 0), (True, 0)]


async def test_a_change_of_tracks_is_another_header_in_the_same_recording(room: Room) -> None:
    room.output.start(tracks_of("main"))
    room.feed(2)
    room.output.start(tracks_of("main", header=b"ftyp+other"))
    room.feed(2, is_discontinuous=True)
    room.output.end()
    _, folder = await room.only()
    found = parse_playlist(folder.playlist("main").read_text()).segments
    assert [(each.is_discontinuous, each.init_number, each.file_number) for each in found] == [
        (False, 0, 0),
        (True, 1, 1),
    ]


class TestRestart:
    """A server stops, or is killed, and the next one goes on."""

    RECORD = PlaylistRecord(TIMING, ("main",), (), 0)

    async def test_the_broadcast_goes_on_in_the_same_recording(self, room: Room) -> None:
        room.output.start(tracks_of("main"))
        room.feed(2)
        room.output.dismiss_viewers()
        await room.recorder.close()
        room.recorder = room.new_recorder()
        await room.recorder.open()
        room.output = room.new_output(self.RECORD)
        room.recorder.complete_left()
        room.output.start(tracks_of("main"))
        room.feed(2)
        room.output.end()
        record, folder = await room.only()
        assert (record.state, record.duration_ms) == (RecordingState.READY, 4000)
        found = parse_playlist(folder.playlist("main").read_text()).segments
        assert [each.is_discontinuous for each in found] == [False, True]
        assert verify(folder) == []

    async def test_one_that_nobody_goes_on_with_is_completed(self, room: Room) -> None:
        room.output.start(tracks_of("main"))
        room.feed(2)
        await room.recorder.close()
        room.recorder = room.new_recorder()
        await room.recorder.open()
        room.recorder.complete_left()
        record, folder = await room.only()
        assert (record.state, record.duration_ms) == (RecordingState.READY, 2000)
        assert verify(folder) == []

    async def test_one_that_has_lost_media_says_so(self, room: Room) -> None:
        room.output.start(tracks_of("main"))
        room.feed(2, 2)
        await room.written()
        _, folder = await room.only()
        await room.recorder.close()
        media = folder.variant("main") / "000000.m4s"
        os.truncate(media, media.stat().st_size - 1)
        room.recorder = room.new_recorder()
        await room.recorder.open()
        room.recorder.complete_left()
        record, folder = await room.only()
        assert (record.state, record.duration_ms) == (RecordingState.PARTIAL, 2000)
        assert verify(folder) == []
        (found,) = find_recordings(room.directory)
        assert (found.state, found.reason) == (RecordingState.PARTIAL, "")

    async def test_one_whose_files_are_gone_is_said_to_have_failed(self, room: Room) -> None:
        room.output.start(tracks_of("main"))
        room.feed(2)
        await room.recorder.close()
        shutil.rmtree(room.directory)
        room.recorder = room.new_recorder()
        await room.recorder.open()
        room.recorder.complete_left()
        record, _ = await room.only()
        if room.recorder.index.is_shared:
            # They may be another server's, which goes on with it.
            assert record.state is RecordingState.RECORDING
            await room.recorder.retention.apply(RetentionOptions(keep_days=1, max_bytes=1))
            assert await room.records() == [record]
        else:
            assert (record.state, record.reason) == (RecordingState.FAILED, "its files are gone")

    async def test_one_that_another_server_writes_is_left_to_it(self, room: Room) -> None:
        room.output.start(tracks_of("main"))
        room.feed(2)
        await room.written()
        other = room.new_recorder()
        await other.open()
        assert list(other.going) == []
        other.complete_left()
        await other.close()
        room.feed(2)
        room.output.end()
        record, folder = await room.only()
        assert (record.state, record.duration_ms) == (RecordingState.READY, 4000)
        assert verify(folder) == []

    async def test_of_two_the_newer_one_is_the_broadcast_that_goes_on(self, room: Room) -> None:
        room.output.start(tracks_of("main"))
        room.feed(2)
        room.output = room.new_output()
        room.output.start(tracks_of("main"))
        room.feed(2)
        await room.written()
        newer, older = await room.records()
        await room.recorder.close()
        room.recorder = room.new_recorder()
        await room.recorder.open()
        room.output = room.new_output(self.RECORD)
        room.recorder.complete_left()
        assert room.recorder.recording_of("alice") == newer.id
        room.output.start(tracks_of("main"))
        room.feed(2)
        room.output.end()
        await room.written()
        assert [(each.id, each.state, each.duration_ms) for each in await room.records()] == [
            (newer.id, RecordingState.READY, 4000),
            (older.id, RecordingState.READY, 2000),
        ]
        assert [verify(room.recorder.folder(each)) for each in (newer, older)] == [[], []]
        told = [event.data["recording_id"] for event in room.events if event.type is EventType.RECORDING_READY]
        assert sorted(map(str, told)) == [older.id, newer.id], "each is completed once"

    async def test_one_that_ended_while_the_database_was_away_has_ended(self, room: Room) -> None:
        room.output.start(tracks_of("main"))
        room.feed(2)
        room.output.end()
        record, folder = await room.only()
        document = folder.ended.read_bytes()
        await room.recorder.index.save(replace(record, state=RecordingState.RECORDING, ended_at=None))
        await room.recorder.close()
        room.recorder = room.new_recorder()
        await room.recorder.open()
        room.output = room.new_output(self.RECORD)
        assert room.output.recording is None
        assert (await room.only())[0] == record
        assert folder.ended.read_bytes() == document

    async def test_media_whose_playlist_is_gone_is_left_alone(self, room: Room) -> None:
        room.output.start(tracks_of("main"))
        room.feed(2)
        _, folder = await room.only()
        await room.recorder.close()
        folder.playlist("main").unlink()
        room.recorder = room.new_recorder()
        await room.recorder.open()
        record, _ = await room.only()
        assert (record.state, record.reason) == (RecordingState.FAILED, "the playlist of main is gone")
        assert record.ended_at == room.clock.now()
        assert (folder.variant("main") / "000000.m4s").exists()


class TestFaults:
    """The disk fails: the recording ends with the reason, and the broadcast is not concerned."""

    async def test_the_loop_does_not_wait_for_the_disk(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        asked_by: list[str] = []

        def usage(_: object) -> object:
            asked_by.append(threading.current_thread().name)
            return Full

        monkeypatch.setattr(shutil, "disk_usage", usage)
        room.output.start(tracks_of("main"))
        for _ in range(3):
            room.feed(2)
            await room.written()
            room.output.look(room.clock.monotonic())
            await room.looked()
            room.clock.advance(10 * RETRY_S)
        assert asked_by
        assert threading.current_thread().name not in asked_by

    @pytest.mark.parametrize("variant", ["main", "audio0"])
    async def test_one_file_that_cannot_be_completed_leaves_a_document(
        self, room: Room, monkeypatch: pytest.MonkeyPatch, variant: str
    ) -> None:
        room.output.start(tracks_of("main", "audio0"))
        for name in ("main", "audio0"):
            for chunk in ChunkFeeder().segment(2 * SECOND):
                room.output.take_part(name, chunk, TIMING)
            room.output.end_segment(name)
        _, folder = await room.only()
        real = os.fdatasync
        bad = (folder.variant(variant) / "000000.m4s").stat().st_ino

        def sync(fd: int) -> None:
            if os.fstat(fd).st_ino == bad:
                raise OSError(5, "Input/output error")
            real(fd)

        monkeypatch.setattr(os, "fdatasync", sync)
        room.output.end()
        record, _ = await room.only()
        assert (record.state, record.reason) == (RecordingState.FAILED, "Input/output error")
        document = read_document(folder.failed)
        assert document is not None
        assert document.recording_status_message == "Input/output error"
        assert f"media/hls/{variant}/000000.m4s" not in [file.path for file in document.files]
        assert not folder.ended.exists()
        assert verify(folder) == []
        assert parse_playlist(folder.playlist("main").read_text()).is_ended

    async def test_a_directory_that_could_not_be_made_is_tried_again(self, room: Room) -> None:
        room.directory.write_text("in the way")
        room.output.start(tracks_of("main"))
        room.feed(2)
        await room.written()
        room.output.look(room.clock.monotonic())
        assert room.output.fault
        room.directory.unlink()
        room.clock.advance(10 * RETRY_S)
        await room.looked()
        room.feed(2)
        room.output.end()
        await room.written()
        assert [record.state for record in await room.records()] == [RecordingState.READY, RecordingState.FAILED]

    async def test_a_segment_that_began_in_a_failed_one_is_not_in_the_next(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sound = ChunkFeeder()
        room.output.start(tracks_of("main", "audio0"))
        monkeypatch.setattr(shutil, "disk_usage", full)
        # A long segment of sound is open while the recording fails, and while the next one begins.
        long = list(sound.segment(40 * SECOND))
        room.output.take_part("audio0", long[0], TIMING)
        room.feed(2)
        await room.written()
        room.output.look(room.clock.monotonic())
        assert room.output.fault
        monkeypatch.undo()
        room.clock.advance(10 * RETRY_S)
        await room.looked()
        room.feed(2)
        room.output.take_part("audio0", long[1], TIMING)
        room.output.end_segment("audio0")
        room.feed(2)
        room.output.end()
        await room.written()
        newest, failed = await room.records()
        assert (newest.state, newest.duration_ms, newest.reason) == (RecordingState.READY, 4000, "")
        assert failed.state is RecordingState.FAILED

    async def test_media_that_waits_for_a_disk_that_hangs_is_bounded_and_counted(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("streamd.services.recording.recording.ALL_QUEUED_BYTES_MAX", 4000)
        is_back = threading.Event()
        monkeypatch.setattr(shutil, "disk_usage", lambda _: is_back.wait() and Usage)
        outputs = [room.output]
        for name in ("bob", "carol"):
            output = room.recorder.output(replace(output_context(clock=room.clock), name=name))
            assert isinstance(output, RecordingOutput)
            outputs.append(output)
        try:
            for output in outputs:
                output.start(tracks_of("main"))
            for _ in range(10):
                for output in outputs:
                    for chunk in ChunkFeeder().segment(2 * SECOND):
                        output.take_part("main", chunk, TIMING)
                    output.end_segment("main")
                await asyncio.sleep(0)
            assert any("of all recordings wait" in each.fault for each in room.recorder.going)
            assert sum(each.queued_bytes for each in room.recorder.going) <= 4000
            for output in outputs:
                output.look(room.clock.monotonic())
            assert any(output.fault for output in outputs)
            room.clock.advance(10 * RETRY_S)
            began = len(tuple(room.recorder.going))
            for output in outputs:
                for chunk in ChunkFeeder().segment(2 * SECOND):
                    output.take_part("main", chunk, TIMING)
                output.end()
            assert len(tuple(room.recorder.going)) == began, "none begins while an earlier one hangs"
            # With its broadcast over, its media is in the account of the recorder.
            assert room.recorder.held_bytes == sum(each.queued_bytes for each in room.recorder.going) > 0
        finally:
            is_back.set()
        await room.written()
        assert room.recorder.held_bytes == 0

    async def test_the_next_one_begins_when_there_is_space_again(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The disk is asked with each segment.
        monkeypatch.setattr(recording_writer, "UNASKED_BYTES_MAX", 0)
        room.output.start(tracks_of("main"))
        room.feed(2)
        await room.written()
        monkeypatch.setattr(shutil, "disk_usage", full)
        room.feed(2)
        await room.written()
        room.output.look(room.clock.monotonic())
        assert "min_free_bytes" in room.output.fault
        (record,) = await room.records()
        assert record.state is RecordingState.FAILED
        room.clock.advance(10 * RETRY_S)
        room.feed(2)
        assert len(await room.records()) == 1, "a full disk is no place for another one"
        monkeypatch.undo()
        room.clock.advance(RETRY_S)
        await room.looked()
        room.feed(2)
        assert room.output.fault == ""
        room.output.end()
        await room.written()
        assert [record.state for record in await room.records()] == [RecordingState.READY, RecordingState.FAILED]
        assert room.events[1].type is EventType.RECORDING_FAILED


class Usage:
    """Of a disk with much space."""

    free = 1 << 40


class Full:
    """Of a disk without."""

    free = 0


def full(path: Path | int) -> object:
    # As the system call: a path that is not there has no disk.
    os.stat(path)
    return Full


class TestRetention:
    """Recordings go: the oldest first, and none that is pinned or written."""

    async def recorded(self, room: Room, count: int) -> list[RecordingRecord]:
        for _ in range(count):
            room.output = room.new_output()
            room.output.start(tracks_of("main"))
            room.feed(2)
            room.output.end()
            await room.written()
            room.clock.advance(86_400)
        return list(reversed(await room.records()))

    async def test_by_age(self, room: Room) -> None:
        oldest, *others = await self.recorded(room, 3)
        await room.recorder.retention.apply(RetentionOptions(keep_days=2, min_free_bytes=0))
        assert list(reversed(await room.records())) == others[-1:]
        assert not room.recorder.folder(oldest).path.exists()
        assert room.recorder.folder(others[-1]).path.exists()

    async def test_one_that_is_watched_goes_when_nobody_does(self, room: Room) -> None:
        oldest, second = await self.recorded(room, 2)
        room.clock.advance(10 * 86_400)
        room.recorder.watched.note(oldest.id)
        rules = RetentionOptions(keep_days=1, max_bytes=1, min_free_bytes=0)
        await room.recorder.retention.apply(rules)
        assert await room.records() == [oldest]
        assert not room.recorder.folder(second).path.exists()
        room.clock.advance(WATCHED_S + 1)
        await room.recorder.retention.apply(rules)
        assert await room.records() == []

    async def test_by_bytes_but_not_what_is_pinned(self, room: Room) -> None:
        oldest, second, newest = await self.recorded(room, 3)
        await room.recorder.index.change(oldest.id, is_kept=True)
        await room.recorder.retention.apply(RetentionOptions(keep_days=0, max_bytes=800, min_free_bytes=0))
        assert [record.id for record in await room.records()] == [newest.id, oldest.id]
        entries = (await room.store.audit.page(after=0, limit=10)).items
        assert [(each.entry.action, each.entry.reason) for each in entries] == [("recording.deleted", "max_bytes")]
        del second

    async def test_so_many_are_looked_at_and_no_more(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        """A rule goes on behind them the next time, and begins again when it has seen all."""
        oldest, second, newest = await self.recorded(room, 3)
        for each in (oldest, second):
            await room.recorder.index.change(each.id, is_kept=True)
        monkeypatch.setattr(retention, "LOOKED_AT_MAX", 1)
        monkeypatch.setattr(retention, "_PAGE", 1)
        rules = RetentionOptions(keep_days=0, max_bytes=1, min_free_bytes=0)
        for left in (3, 3, 2, 2):
            await room.recorder.retention.apply(rules)
            assert len(await room.records()) == left
        assert newest.id not in [record.id for record in await room.records()]
        await room.recorder.index.change(oldest.id, is_kept=False)
        for _ in range(2):
            await room.recorder.retention.apply(rules)
        assert [record.id for record in await room.records()] == [second.id]

    async def test_a_recording_without_files_does_not_hold_up_the_others(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        oldest, _ = await self.recorded(room, 2)
        shutil.rmtree(room.directory / oldest.path)
        monkeypatch.setattr(shutil, "disk_usage", full)
        await room.recorder.retention.apply(RetentionOptions(keep_days=0, min_free_bytes=1))
        # On a shared database it may be another server's.
        assert await room.records() == ([oldest] if room.recorder.index.is_shared else [])

    async def test_files_that_could_not_be_removed_go_later(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        (record,) = await self.recorded(room, 1)
        folder = room.recorder.folder(record)

        def refuse(_: object) -> None:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(shutil, "rmtree", refuse)
        await room.recorder.retention.delete(record, Actor("admin"), "unwanted")
        assert folder.path.exists()
        monkeypatch.undo()
        await room.recorder.retention.apply(RetentionOptions(keep_days=0, min_free_bytes=0))
        assert list(room.directory.iterdir()) == [], "the user's folder goes with the last recording"
        deleted = await room.recorder.index.find(record.id)
        assert deleted is not None
        assert (deleted.state, deleted.reason, deleted.size_bytes) == (RecordingState.DELETED, "unwanted", 0)

    async def test_a_deletion_is_for_good(self, room: Room) -> None:
        (record,) = await self.recorded(room, 1)
        await room.recorder.retention.delete(record, Actor("admin"), "unwanted")
        # A word that comes late, or an index that is made anew from files that were left.
        await room.recorder.index.save(record)
        assert await room.records() == []
        deleted = await room.recorder.index.find(record.id)
        assert deleted is not None
        await room.recorder.retention.delete(deleted, Actor("admin"), "again")
        assert (await room.recorder.index.find(record.id)) == deleted
        assert [event.type for event in room.events].count(EventType.RECORDING_DELETED) == 1
        assert len((await room.store.audit.page(after=0, limit=10)).items) == 1

    async def test_a_user_who_is_deleted_leaves_none_behind(self, room: Room) -> None:
        await self.recorded(room, 1)
        room.output = room.new_output()
        room.output.start(tracks_of("main"))
        room.feed(2)
        await room.written()
        # One that an earlier server has left, and that this one could not take up.
        await room.recorder.index.save(
            replace((await room.records())[0], id="rec_01aryz6s41tsv4rrffq69g5fav", path="alice/left")
        )
        titled = (await room.records())[0]
        await room.recorder.index.change(titled.id, title="My own words")
        await room.recorder.forget_user("alice", Actor("admin"), "asked for")
        assert await room.records() == []
        deleted = await room.recorder.index.find(titled.id)
        assert deleted is not None
        assert (deleted.state, deleted.title) == (RecordingState.DELETED, "")
        assert list(room.directory.iterdir()) == []

    async def test_no_recording_of_a_deleted_user_is_seen_while_the_files_of_another_go(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.recorded(room, 3)
        seen: list[list[RecordingRecord]] = []
        remove = room.recorder.retention.elsewhere.remove

        async def slowly(record: RecordingRecord) -> bool:
            seen.append(await room.records())
            return await remove(record)

        monkeypatch.setattr(room.recorder.retention.elsewhere, "remove", slowly)
        await room.recorder.forget_user("alice", Actor("admin"), "asked for")
        assert seen == [[], [], []]
        assert [event.type for event in room.events].count(EventType.RECORDING_DELETED) == 3

    async def test_a_server_that_ends_amid_the_deletion_of_a_user_leaves_none_to_be_seen(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.recorded(room, 3)

        async def never(_: RecordingRecord) -> bool:
            raise asyncio.CancelledError

        monkeypatch.setattr(room.recorder.retention.elsewhere, "remove", never)
        with pytest.raises(asyncio.CancelledError):
            await room.recorder.forget_user("alice", Actor("admin"), "asked for")
        assert await room.records() == []
        following = room.new_recorder()
        await following.retention.apply(following.options.retention)
        await following.close()
        assert list(room.directory.iterdir()) == []

    async def test_the_next_holder_of_a_name_keeps_theirs(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        await self.recorded(room, 2)
        remove = shutil.rmtree
        is_removing, goes_on = threading.Event(), threading.Event()

        def slowly(path: Path) -> None:
            is_removing.set()
            goes_on.wait()
            remove(path)

        monkeypatch.setattr(shutil, "rmtree", slowly)
        forgetting = asyncio.create_task(room.recorder.forget_user("alice", Actor("admin"), "asked for"))
        await asyncio.to_thread(is_removing.wait)
        room.output = room.new_output()
        room.output.start(tracks_of("main"))
        room.feed(2)
        await room.written()
        goes_on.set()
        await forgetting
        (record,) = await room.records()
        assert (record.id, record.state) == (room.recorder.recording_of("alice"), RecordingState.RECORDING)

    async def test_by_space(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        await self.recorded(room, 2)
        monkeypatch.setattr(shutil, "disk_usage", full)
        await room.recorder.retention.apply(RetentionOptions(keep_days=0, min_free_bytes=1))
        assert await room.records() == []

    async def test_what_is_written_stays(self, room: Room) -> None:
        room.output.start(tracks_of("main"))
        room.feed(2)
        await room.written()
        room.clock.advance(400 * 86_400)
        await room.recorder.retention.apply(RetentionOptions(keep_days=1, max_bytes=1, min_free_bytes=0))
        (record,) = await room.records()
        with pytest.raises(RecordingError, match="still being recorded"):
            await room.recorder.retention.delete(record, Actor("admin"), "")

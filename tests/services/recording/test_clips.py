"""Clips: real files and a real index."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from streamd.clock import ManualClock
from streamd.errors import ClipNotFoundError, ClipRefusedError, ClipsBusyError, ClipTimesError
from streamd.services.audit.records import Actor, AuditEntry
from streamd.services.events.event import Event, EventType
from streamd.services.recording import clip_index, clips
from streamd.services.recording.clip_index import ClipIndex
from streamd.services.recording.clip_records import VIEWER, Clip, ClipFilter, ClipMaker, ClipState
from streamd.services.recording.clip_times import ClipTimes
from streamd.services.recording.clips import CLIPS_AT_ONCE_MAX, ClipOptions, Clips, SegmentLists
from streamd.services.recording.documents import RecordedRendition
from streamd.services.recording.index import Clipped, RecordingIndex
from streamd.services.recording.playlist_file import parse_playlist
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.records import RecordingMode, RecordingState
from streamd.services.recording.retention import RetentionOptions
from streamd.services.recording.verify import find_recordings
from tests.support.recordings import MAIN, STARTED_AT, append, folder_in, new_writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.recording_writer import RecordingWriter
    from streamd.services.recording.records import RecordingRecord

pytestmark = pytest.mark.asyncio

OPERATOR = Actor("admin", "192.0.2.9")
OTHER_ID = "rec_01kjmg3m01aaaaaaaaaaaaaaaa"


@dataclass
class Room:
    """A recording of Alice's of 20 s that goes on, and who makes clips of it."""

    recorder: Recorder
    clips: Clips
    clock: ManualClock
    events: list[Event]
    folder: RecordingFolder
    writer: RecordingWriter
    segments: int = 0

    def feed(self, count: int) -> None:
        for _ in range(count):
            append(self.writer, b"media" * 100, at_ms=2000 * self.segments)
            self.segments += 1

    async def enter(self) -> RecordingRecord:
        (record,) = [each for each in find_recordings(self.recorder.options.directory) if each.id == self.folder.id]
        await self.recorder.index.save(record)
        return record

    async def finish(self) -> RecordingRecord:
        self.writer.finish(STARTED_AT)
        self.writer.close()
        return await self.enter()

    async def make(self, start: int = 3000, end: int = 7000, title: str = "") -> Clip:
        record = await self.recorder.index.find(self.folder.id)
        assert record is not None
        return await self.clips.make(record, ClipTimes(start, end), title, OPERATOR)

    async def state_of(self, clip: Clip) -> ClipState:
        found = await self.clips.index.find(clip.id)
        assert found is not None
        return found.state

    async def state(self) -> RecordingState:
        record = await self.recorder.index.find(self.folder.id)
        assert record is not None
        return record.state


@pytest_asyncio.fixture
async def room(store: KeyStore, tmp_path: Path) -> AsyncIterator[Room]:
    clock = ManualClock(STARTED_AT)
    events: list[Event] = []
    recorder = Recorder(
        RecorderOptions(RecordingMode.ALL, tmp_path),
        index := RecordingIndex(store.database),
        clock,
    )
    maker = Clips(
        ClipOptions(), recorder=recorder, index=ClipIndex(store.database, index), clock=clock, tell=events.append
    )
    folder = folder_in(tmp_path)
    writer = new_writer(folder)
    writer.set_header(MAIN, b"ftyp+moov", 2)
    room = Room(recorder, maker, clock, events, folder, writer)
    room.feed(10)
    await room.enter()
    yield room
    await recorder.close()
    writer.close()


async def test_a_clip_is_ready_at_once(room: Room) -> None:
    clip = await room.make(title="<b>Goal</b>")
    assert clip.state is ClipState.READY
    assert (clip.start_ms, clip.end_ms, clip.start_actual_ms, clip.end_actual_ms) == (3000, 7000, 2000, 8000)
    assert (clip.user, clip.recording_id, clip.created_by) == ("alice", room.folder.id, "admin")
    assert clip.began_at == STARTED_AT + timedelta(seconds=2)
    (rendition,) = clip.media.renditions
    assert (rendition.facts, rendition.target_duration_s, rendition.header_bytes) == (MAIN, 2, {0: 9})
    on_disk = parse_playlist(room.folder.playlist("main").read_text()).segments
    assert rendition.segments == on_disk[1:4]
    assert clip.size_bytes == sum(segment.size_bytes for segment in on_disk[1:4])
    assert await room.clips.index.find(clip.id) == clip
    (event,) = room.events
    assert (event.type, event.data["clip_id"], event.data["title"]) == (EventType.CLIP_CREATED, clip.id, "<b>Goal</b>")


async def test_a_recording_that_goes_on_is_read_from_where_it_has_grown(room: Room) -> None:
    first = await room.make()
    room.feed(3)
    with pytest.raises(ClipTimesError):
        await room.make(26_000, 27_000)
    assert (await room.make(24_000, 26_000)).media.renditions[0].segments[0].offset == 12 * 500
    record = await room.finish()
    assert record.state is RecordingState.READY
    assert (await room.make()).media == first.media


async def test_the_lines_of_one_segment_are_read_once(tmp_path: Path) -> None:
    path = tmp_path / "playlist.m3u8"
    folder = folder_in(tmp_path)
    writer = new_writer(folder)
    writer.set_header(MAIN, b"ftyp+moov", 2)
    for number in range(4):
        if number == 2:
            writer.set_header(MAIN, b"ftyp+other", 2)
        append(writer, b"media", at_ms=2000 * number)
    writer.close()
    text = folder.playlist("main").read_text()
    whole = parse_playlist(text)
    lists = SegmentLists()
    target_duration_s, segments = 0, list(whole.segments)
    for length in range(len(text) + 1):
        with path.open("r+" if length else "w") as file:
            file.seek(max(0, length - 1))
            file.write(text[max(0, length - 1) : length])
        target_duration_s, segments = lists.read(path)
        assert segments == list(whole.segments[: len(segments)])
    assert (target_duration_s, tuple(segments)) == (2, whole.segments)
    # Another file in its place is read anew.
    path.unlink()
    path.write_text(text[: len(text) // 2])
    assert len(lists.read(path)[1]) < 4


async def test_lists_of_long_recordings_are_forgotten(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "KEPT_SEGMENTS_MAX", 9)
    assert (await room.make()).duration_ms == 6000
    assert room.clips.held_bytes == 0


async def test_sound_of_its_own_goes_with_it(room: Room) -> None:
    sound = RecordedRendition("audio0", codecs=("mp4a.40.2",), channels=2, is_alternative=True)
    room.writer.set_header(sound, b"ftyp+sound", 2)
    for number in range(20):
        append(room.writer, b"sound", variant="audio0", seconds=1, at_ms=1000 * number)
    clip = await room.make()
    assert [(each.facts.path, len(each.segments)) for each in clip.media.renditions] == [("main", 3), ("audio0", 6)]


async def test_a_clip_of_what_is_not_recorded_is_refused(room: Room, tmp_path: Path) -> None:
    with pytest.raises(ClipRefusedError, match="not being recorded"):
        await room.clips.recording_of("alice")
    record = await room.finish()
    room.recorder.options = replace(room.recorder.options, directory=tmp_path / "elsewhere")
    with pytest.raises(ClipRefusedError, match="not on this server"):
        await room.clips.make(record, ClipTimes(0, 1000), "", OPERATOR)


async def test_a_recording_whose_index_is_behind_has_no_clip_yet(room: Room) -> None:
    record = replace(await room.enter(), id=OTHER_ID)
    with pytest.raises(ClipRefusedError, match="just begun"):
        await room.clips.make(record, ClipTimes(0, 1000), "", OPERATOR)


async def test_a_clip_has_another_title(room: Room) -> None:
    clip = await room.make(title="first")
    edits = room.recorder.index.edits
    changed = await room.clips.rename(clip, OPERATOR, "second")
    assert changed == replace(clip, title="second")
    assert await room.clips.index.find(clip.id) == changed
    # Doors forget what they have read of it.
    assert room.recorder.index.edits > edits
    await room.clips.delete(clip, OPERATOR, "")
    with pytest.raises(ClipNotFoundError):
        await room.clips.rename(clip, OPERATOR, "third")


class TestThePin:
    async def test_no_rule_deletes_a_recording_of_a_clip(self, room: Room) -> None:
        await room.finish()
        clip = await room.make()
        room.clock.advance(timedelta(days=100).total_seconds())
        rules = RetentionOptions(keep_days=1, max_bytes=1, min_free_bytes=1 << 60)
        await room.recorder.retention.apply(rules)
        assert await room.state() is RecordingState.READY
        await room.clips.delete(clip, OPERATOR, "")
        await room.recorder.retention.apply(rules)
        assert await room.state() is RecordingState.DELETED
        assert not room.folder.path.exists()

    async def test_a_viewers_clip_holds_it_from_its_age_alone_and_for_a_time(self, room: Room) -> None:
        record = await room.finish()
        await room.clips.make(record, ClipTimes(3000, 7000), "", Actor(VIEWER, "192.0.2.1"))
        room.clock.advance(timedelta(days=89).total_seconds())
        old = RetentionOptions(keep_days=1, min_free_bytes=0)
        await room.recorder.retention.apply(old)
        assert await room.state() is RecordingState.READY
        room.clock.advance(timedelta(days=2).total_seconds())
        await room.recorder.retention.apply(old)
        assert await room.state() is RecordingState.DELETED

    async def test_a_viewers_clip_holds_no_space(self, room: Room) -> None:
        record = await room.finish()
        await room.clips.make(record, ClipTimes(3000, 7000), "", Actor(VIEWER, "192.0.2.1"))
        await room.recorder.retention.apply(RetentionOptions(keep_days=0, max_bytes=1, min_free_bytes=0))
        assert await room.state() is RecordingState.DELETED

    async def test_a_clip_that_is_made_in_the_same_moment_holds(self, room: Room) -> None:
        """The rule has seen a recording without a clip, and somebody makes one before it deletes."""
        record = await room.finish()
        clipped = room.recorder.index.clipped

        async def seen_before(recording_ids: list[str], spared: Clipped) -> frozenset[str]:
            seen = await clipped(recording_ids, spared)
            await room.make()
            return seen

        room.recorder.index.clipped = seen_before  # type: ignore[method-assign,assignment]
        room.clock.advance(timedelta(days=100).total_seconds())
        await room.recorder.retention.apply(RetentionOptions(keep_days=1))
        assert await room.state() is RecordingState.READY
        assert (room.folder.path / record.path).name == record.id

    async def test_who_deletes_a_recording_deletes_its_clips_in_the_same_step(self, room: Room) -> None:
        record = await room.finish()
        clip = await room.make()
        edits = room.recorder.index.edits
        await room.recorder.retention.delete(record, OPERATOR, "taken down")
        found = await room.clips.index.find(clip.id)
        assert found is not None
        assert (found.state, found.reason) == (ClipState.DELETED, "taken down")
        assert room.recorder.index.edits > edits
        with pytest.raises(ClipRefusedError, match="deleted"):
            await room.make()

    async def test_a_user_who_is_deleted_takes_them_along(self, room: Room) -> None:
        await room.finish()
        clip = await room.make(title="my words")
        await room.recorder.forget_user("alice", OPERATOR, "asked for it")
        found = await room.clips.index.find(clip.id)
        assert found is not None
        assert (found.state, found.title) == (ClipState.DELETED, "")

    async def test_a_user_who_is_deleted_without_a_server_does_so_too(self, room: Room) -> None:
        await room.finish()
        clip = await room.make(title="my words")
        entry = AuditEntry(room.clock.now(), "cli", "recording.deleted", user="alice")
        await room.recorder.index.forget_user("alice", entry)
        found = await room.clips.index.find(clip.id)
        assert found is not None
        assert (found.state, found.title) == (ClipState.DELETED, "")


class TestDeletion:
    async def test_is_for_good(self, room: Room) -> None:
        clip = await room.make()
        edits = room.recorder.index.edits
        deleted = await room.clips.delete(clip, OPERATOR, "unwanted")
        assert (deleted.state, deleted.reason) == (ClipState.DELETED, "unwanted")
        assert room.recorder.index.edits > edits
        assert (await room.clips.delete(clip, OPERATOR, "again")).reason == "unwanted"

    async def test_of_none_is_told(self, room: Room) -> None:
        clip = await room.make()
        with pytest.raises(ClipNotFoundError):
            await room.clips.delete(replace(clip, id="clip_none"), OPERATOR, "")


class TestManyClips:
    async def test_are_made_at_a_pace(self, room: Room) -> None:
        for _ in range(CLIPS_AT_ONCE_MAX):
            await room.make()
        with pytest.raises(ClipsBusyError):
            await room.make()
        room.clock.advance(1)
        await room.make()

    async def test_wait_for_their_turn_in_a_bounded_line(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clips, "WAITING_MAX", 4)
        made = await asyncio.gather(*(room.make() for _ in range(10)), return_exceptions=True)
        # Where a recording is looked up slowly, one may be done before the last of them asks.
        count = sum(isinstance(each, Clip) for each in made)
        assert 4 <= count < 8
        assert sum(isinstance(each, ClipsBusyError) for each in made) == 10 - count

    async def test_of_one_recording_have_a_bound(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clip_index, "CLIPS_PER_RECORDING_MAX", 2)
        first, _ = await room.make(), await room.make()
        with pytest.raises(ClipRefusedError, match="2 clips at most"):
            await room.make()
        await room.clips.delete(first, OPERATOR, "")
        await room.make()

    async def test_are_listed_the_newest_first(self, room: Room) -> None:
        made = []
        for _ in range(5):
            made.append(await room.make())
            room.clock.advance(1)
        await room.clips.delete(made[0], OPERATOR, "")
        page = await room.clips.index.page(ClipFilter(user="alice"), limit=3)
        assert ([clip.id for clip in page.items], page.has_more) == ([clip.id for clip in made[:1:-1]], True)
        page = await room.clips.index.page(ClipFilter(recording_id=room.folder.id), before=made[2].id, limit=3)
        assert ([clip.id for clip in page.items], page.has_more) == ([made[1].id], False)
        assert len((await room.clips.index.page(ClipFilter(state=None), limit=9)).items) == 5
        assert (await room.clips.index.page(ClipFilter(user="bob"), limit=9)).items == []


@pytest.mark.parametrize(
    ("who", "may"),
    [
        (ClipMaker.OFF, []),
        (ClipMaker.OPERATORS, [ClipMaker.OPERATORS]),
        (ClipMaker.BROADCASTERS, [ClipMaker.OPERATORS, ClipMaker.BROADCASTERS]),
        (ClipMaker.VIEWERS, [ClipMaker.OPERATORS, ClipMaker.BROADCASTERS, ClipMaker.VIEWERS]),
    ],
)
async def test_who_may_make_clips(who: ClipMaker, may: list[ClipMaker]) -> None:
    askers = (ClipMaker.OPERATORS, ClipMaker.BROADCASTERS, ClipMaker.VIEWERS)
    assert [asker for asker in askers if who.may(asker)] == may

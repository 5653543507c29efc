"""The pictures of recordings: real files and a real index, and an artist that draws what the test says."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from streamd.clock import ManualClock
from streamd.errors import PictureError, PictureWorkerRestsError
from streamd.formats.cmaf.box import box
from streamd.media.storyboard import CELLS_MAX, CellSize
from streamd.services.recording.documents import RecordedRendition, read_document
from streamd.services.recording.folder import RecordingFolder, claim_folder
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.records import RecordingState
from streamd.services.recording.storyboarder import UNDECODABLE_MAX, Storyboarder, StoryboardOptions
from streamd.services.recording.verify import find_recordings, verify
from tests.support.recordings import MAIN, STARTED_AT, append, assert_hashed, folder_in, new_writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore
    from streamd.services.recording.records import RecordingRecord

pytestmark = pytest.mark.asyncio

OTHER_ID = "rec_01kjmg3m01aaaaaaaaaaaaaaaa"
JPEG = b"\xff\xd8 a picture \xff\xd9"


def segment(number: int) -> bytes:
    """Two fragments, of which the first has the number in it."""
    return box(b"moof") + box(b"mdat", b"%d" % number) + box(b"moof") + box(b"mdat", b"another")


@dataclass
class StandInArtist:
    """Draws cells that are filled with the length of what was drawn."""

    broken: Callable[[int], bool] = lambda _: False
    """Says of a keyframe's number whether it breaks the decoder."""
    fault: PictureError | None = None
    drawn: list[int] = field(default_factory=list)
    sheets: list[int] = field(default_factory=list)
    """How many cells each had."""
    posters: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_closed: bool = False

    async def draw(self, cmaf_header: bytes, fragment: bytes) -> bytes | None:
        self.posters.append((cmaf_header, fragment))
        return JPEG

    async def draw_cell(self, cmaf_header: bytes, fragment: bytes, size: CellSize) -> bytes | None:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        number = int(fragment[16:])
        self.drawn.append(number)
        return None if self.broken(number) else bytes(size.bytes)

    async def draw_sheet(self, cells: bytes, size: CellSize) -> bytes | None:
        self.sheets.append(len(cells) // size.bytes)
        return JPEG

    async def close(self) -> None:
        self.is_closed = True


@dataclass
class Room:
    """Recordings that have ended, and who draws their pictures."""

    directory: Path
    index: RecordingIndex
    clock: ManualClock = field(default_factory=ManualClock)
    artist: StandInArtist = field(default_factory=StandInArtist)
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.storyboarder = self.new_storyboarder()

    def new_storyboarder(
        self, interval_s: int = 10, on_done: Callable[[RecordingRecord], None] = lambda _: None
    ) -> Storyboarder:
        async def read(work: Callable[[], object]) -> object:
            return await asyncio.to_thread(work)

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        return Storyboarder(
            StoryboardOptions(interval_s, min_free_bytes=0),
            index=self.index,
            folder=lambda record: RecordingFolder(self.directory / record.path),
            read=read,
            artist=self.artist,
            clock=self.clock,
            on_done=on_done,
            sleep=sleep,
        )

    async def record(
        self,
        segments: int,
        seconds: float = 2,
        *,
        renditions: Sequence[RecordedRendition] = (MAIN,),
        recording_id: str = "",
        failure: str = "",
    ) -> tuple[RecordingRecord, RecordingFolder]:
        folder = folder_in(self.directory, recording_id) if recording_id else folder_in(self.directory)
        writer = new_writer(folder)
        for rendition in renditions:
            writer.set_header(rendition, f"header of {rendition.path}".encode(), 2)
            for number in range(segments):
                append(writer, segment(number), variant=rendition.path, seconds=seconds)
        writer.finish(STARTED_AT, failure)
        writer.close()
        (record,) = [each for each in find_recordings(self.directory) if each.id == folder.id]
        await self.index.save(record)
        return record, folder

    async def draw(self, record: RecordingRecord) -> None:
        self.storyboarder.note_ended(record)
        await self.storyboarder.wait()


@pytest_asyncio.fixture
async def room(store: KeyStore, tmp_path: Path) -> AsyncIterator[Room]:
    room = Room(tmp_path, RecordingIndex(store.database))
    yield room
    await room.storyboarder.close()


def cues(folder: RecordingFolder) -> list[str]:
    return [
        line for line in (folder.thumbnails / "storyboard.vtt").read_text().splitlines() if "-->" in line or "#" in line
    ]


async def test_a_recording_has_a_picture_every_ten_seconds(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    record, folder = await room.record(12)
    await room.draw(record)
    assert room.artist.drawn == [0, 5, 10]
    assert room.artist.sheets == [3]
    assert cues(folder) == [
        *("00:00:00.000 --> 00:00:10.000", "storyboard-0.jpg#xywh=0,0,160,90"),
        *("00:00:10.000 --> 00:00:20.000", "storyboard-0.jpg#xywh=160,0,160,90"),
        *("00:00:20.000 --> 00:00:24.000", "storyboard-0.jpg#xywh=320,0,160,90"),
    ]
    # The poster is from the middle, and all of the first fragment.
    assert room.artist.posters == [(b"header of main", box(b"moof") + box(b"mdat", b"6"))]
    assert (folder.thumbnails / "thumb.jpg").read_bytes() == JPEG
    document = read_document(folder.ended)
    assert document is not None
    assert document.media.thumbnails is not None
    assert document.media.thumbnails.pictures == 3
    pictures = [file.path.rpartition("/")[2] for file in document.files if "thumbnails" in file.path]
    assert pictures == ["storyboard-0.jpg", "storyboard.vtt", "thumb.jpg"]
    assert verify(folder) == []
    assert_hashed(folder, folder.ended)
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.path.rglob("*"))
    (told,) = [each for each in caplog.records if each.msg == "storyboard.drawn"]
    assert told.__dict__["pictures"] == 3


async def test_long_segments_have_a_picture_each(room: Room) -> None:
    record, folder = await room.record(4, 12.5)
    await room.draw(record)
    assert room.artist.drawn == [0, 1, 2, 3]
    assert cues(folder)[-2:] == ["00:00:37.500 --> 00:00:50.000", "storyboard-0.jpg#xywh=480,0,160,90"]


async def test_segments_that_do_not_divide_the_interval_keep_its_pace(room: Room) -> None:
    record, _ = await room.record(30, 4)
    await room.draw(record)
    # 12 pictures of 120 s.
    assert room.artist.drawn == [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28]


async def test_a_long_recording_has_several_sheets(room: Room) -> None:
    record, folder = await room.record(CELLS_MAX + 1, 10)
    await room.draw(record)
    assert room.artist.sheets == [CELLS_MAX, 1]
    assert cues(folder)[-1] == "storyboard-1.jpg#xywh=0,0,160,90"
    assert cues(folder)[-3] == "storyboard-0.jpg#xywh=1440,810,160,90"


async def test_a_picture_that_breaks_the_decoder_costs_itself_alone(room: Room) -> None:
    room.artist.broken = lambda number: number in (0, 10)
    record, folder = await room.record(20)
    await room.draw(record)
    assert room.artist.drawn == [0, 5, 10, 15]
    # The time of each goes to the one before, and of the first to the one behind.
    assert cues(folder) == [
        *("00:00:00.000 --> 00:00:30.000", "storyboard-0.jpg#xywh=0,0,160,90"),
        *("00:00:30.000 --> 00:00:40.000", "storyboard-0.jpg#xywh=160,0,160,90"),
    ]


async def test_a_recording_of_hostile_keyframes_is_given_up(room: Room) -> None:
    room.artist.broken = lambda number: number >= 10
    record, folder = await room.record(1000)
    await room.draw(record)
    assert len(room.artist.drawn) == 2 + UNDECODABLE_MAX
    assert len(cues(folder)) == 4
    room.artist.broken = lambda _: True
    other, folder = await room.record(1000, recording_id=OTHER_ID)
    await room.draw(other)
    document = read_document(folder.ended)
    assert document is not None
    assert document.media.thumbnails is not None
    assert document.media.thumbnails.pictures == 0
    assert not folder.thumbnails.exists()


@pytest.mark.parametrize("fault", [PictureError("no picture from the worker"), PictureWorkerRestsError(2.5)])
async def test_a_worker_that_died_is_asked_again_where_it_rests(room: Room, fault: PictureError) -> None:
    room.artist.fault = fault
    record, _ = await room.record(10)
    await room.draw(record)
    rests = isinstance(fault, PictureWorkerRestsError)
    assert room.artist.drawn == ([0, 5] if rests else [5])
    assert room.slept == ([2.5] if rests else [])


async def test_of_a_ladder_a_small_variant_is_decoded(room: Room) -> None:
    ladder = [
        replace(MAIN, path=f"v{lines}", resolution_width=lines * 16 // 9, resolution_height=lines)
        for lines in (1080, 720, 360, 144)
    ]
    record, _ = await room.record(3, renditions=ladder)
    await room.draw(record)
    assert room.artist.posters[0][0] == b"header of v720"


async def test_sound_alone_has_no_pictures(room: Room) -> None:
    record, folder = await room.record(3, renditions=[RecordedRendition("main", codecs=("mp4a.40.2",), channels=2)])
    await room.draw(record)
    assert room.artist.drawn == []
    document = read_document(folder.ended)
    assert document is not None
    assert document.media.thumbnails is not None
    assert verify(folder) == []


async def test_one_that_failed_has_pictures_of_what_it_has(room: Room) -> None:
    record, folder = await room.record(6, failure="the disk is full")
    assert record.state is RecordingState.FAILED
    await room.draw(record)
    assert len(cues(folder)) == 4
    assert verify(folder) == []


async def test_what_an_earlier_server_has_left_is_drawn_once(room: Room) -> None:
    _, first = await room.record(6)
    _, second = await room.record(6, recording_id=OTHER_ID)
    for _ in range(2):
        room.storyboarder.start()
        await room.storyboarder.wait()
    assert room.artist.drawn == [0, 5, 0, 5]
    assert verify(first) == verify(second) == []


async def test_one_that_is_deleted_meanwhile_stays_deleted(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    record, folder = await room.record(6)

    def delete(_: int) -> bool:
        shutil.rmtree(folder.path, ignore_errors=True)
        return False

    room.artist.broken = delete
    await room.draw(record)
    assert not folder.path.exists()
    # It is no fault.
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


async def test_one_that_another_server_has_taken_is_left_to_it(room: Room) -> None:
    record, folder = await room.record(6)
    claim = claim_folder(folder.path)
    try:
        await room.draw(record)
    finally:
        os.close(claim)
    assert room.artist.drawn == []


async def test_a_full_disk_leaves_it_without(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    record, folder = await room.record(6)
    room.storyboarder.options = StoryboardOptions(10, min_free_bytes=1 << 60)
    await room.draw(record)
    assert not (folder.thumbnails / "storyboard.vtt").exists()
    assert verify(folder) == []
    assert "storyboard.failed" in caplog.messages
    # When there is space again, the next start draws it.
    room.storyboarder.options = StoryboardOptions(10, min_free_bytes=0)
    room.storyboarder.start()
    await room.storyboarder.wait()
    assert len(cues(folder)) == 4


async def test_one_whose_time_is_over_keeps_what_was_drawn(room: Room) -> None:
    def take_long(_: int) -> bool:
        room.clock.advance(1000)
        return False

    room.artist.broken = take_long
    record, folder = await room.record(100)
    await room.draw(record)
    assert room.artist.drawn == [0, 5]
    assert len(cues(folder)) == 4


async def test_its_media_is_needed_until_it_is_drawn(room: Room) -> None:
    """Elsewhere keeps the media on the disk for as long."""
    record, folder = await room.record(6)
    other, _ = await room.record(6, recording_id=OTHER_ID)
    done: list[str] = []
    needed: list[tuple[bool, bool]] = []

    def look(_: int) -> bool:
        needed.append((room.storyboarder.needs(record.id), room.storyboarder.needs(other.id)))
        return False

    room.artist.broken = look
    room.storyboarder = room.new_storyboarder(on_done=lambda each: done.append(each.id))
    room.storyboarder.note_ended(record)
    room.storyboarder.note_ended(other)
    await room.storyboarder.wait()
    assert needed == [(True, True), (True, True), (False, True), (False, True)]
    assert done == [record.id, other.id]
    assert not room.storyboarder.needs(other.id)
    # One that has its pictures, or is gone, is told of, too.
    shutil.rmtree(folder.path)
    room.storyboarder.note_ended(record)
    await room.storyboarder.wait()
    assert done[2:] == [record.id]


async def test_none_is_drawn_where_none_are_wanted(room: Room) -> None:
    record, _ = await room.record(6)
    room.storyboarder = room.new_storyboarder(0)
    room.storyboarder.start()
    await room.draw(record)
    assert room.artist.drawn == []
    await room.storyboarder.close()
    assert room.artist.is_closed

"""Broadcasts that nobody records, on the disk for their past alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from streamd.clock import ManualClock
from streamd.media.packager.timing import PlaylistTiming
from streamd.media.packet import VIDEO_TIMESCALE
from streamd.services.live.restart_record import PlaylistRecord
from streamd.services.recording.past import LINGER_S_MIN, Past, Pasts
from streamd.services.recording.past_recorder import DIRECTORY_NAME, PastRecorder
from streamd.services.recording.recording_output import RecordingOutput
from tests.support.chunk_feeder import ChunkFeeder
from tests.support.output_context import output_context, tracks_of
from tests.support.recordings import OPTIONS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio

TIMING = PlaylistTiming(2, 500)
WINDOW_S = 60
FILE_S = 10
LEFT = PlaylistRecord(TIMING, ("main",), (), 0)


class Room:
    """A recorder of the past, and a broadcast of Alice's that feeds it."""

    def __init__(self, directory: Path, window_s: int = WINDOW_S) -> None:
        self.directory = directory
        self.clock = ManualClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
        self.feeder = ChunkFeeder()
        self.recorded: set[str] = set()
        self.window_s = window_s
        self.start()

    def start(self) -> None:
        """A server on the directory."""
        self.pasts = Pasts(self.window_s, self.clock)
        self.recorder = PastRecorder(
            self.directory, replace(OPTIONS, file_s=FILE_S), self.pasts, self.clock, self.recorded.__contains__
        )

    def broadcast(self, record: PlaylistRecord | None = None) -> RecordingOutput:
        output = self.recorder.output(output_context(clock=self.clock, record=record))
        assert isinstance(output, RecordingOutput)
        output.start(tracks_of("main"))
        return output

    def feed(self, output: RecordingOutput, segments: int) -> None:
        """Give the parts of whole segments of two seconds."""
        for _ in range(segments):
            for chunk in self.feeder.segment(2 * VIDEO_TIMESCALE):
                output.take_part("main", chunk, TIMING)
            output.end_segment("main")
            self.clock.advance(2)

    async def written(self, output: RecordingOutput) -> Past:
        """The past, once all is on the disk."""
        assert output.recording is not None
        await output.recording.wait()
        await asyncio.sleep(0)
        past = self.pasts.find("alice")
        assert past is not None
        return past

    async def looked(self) -> None:
        self.pasts.look()
        self.recorder.look()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    @property
    def media(self) -> list[str]:
        return sorted(path.name for path in (self.directory / DIRECTORY_NAME).rglob("*.m4s"))


async def test_the_past_is_what_was_written(tmp_path: Path) -> None:
    room = Room(tmp_path)
    output = room.broadcast()
    room.feed(output, 5)
    past = await room.written(output)
    text = b"".join(past.playlists["main"].full().unpacked()).decode()
    assert text.count("#EXTINF:2.00000") == 5
    assert past.duration_s == 10
    assert room.media == ["000000.m4s"]
    await room.recorder.close()


async def test_a_broadcast_that_is_recorded_is_not_written_twice(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.recorded.add("alice")
    output = room.broadcast()
    room.feed(output, 5)
    assert output.recording is None
    room.recorded.clear()
    room.pasts.window_s = 0
    room.feed(output, 5)
    assert output.recording is None
    await room.recorder.close()


async def test_files_that_have_left_the_window_are_removed(tmp_path: Path) -> None:
    room = Room(tmp_path)
    output = room.broadcast()
    room.feed(output, 100)
    past = await room.written(output)
    await room.looked()
    await room.written(output)
    first = past.playlists["main"].first_file
    # 200 s of media in files of 10 s; the last minute stays, and two files of what is in hand.
    assert 12 <= first <= 14
    assert room.media[0] == f"{first - 1:06d}.m4s"
    assert room.media[-1] == "000019.m4s"
    await room.recorder.close()


async def test_it_goes_once_viewers_have_come_to_its_end(tmp_path: Path) -> None:
    room = Room(tmp_path)
    output = room.broadcast()
    room.feed(output, 3)
    past = await room.written(output)
    output.end()
    await room.looked()
    assert past.is_ended
    await room.looked()
    assert room.media == ["000000.m4s"]
    room.clock.advance(LINGER_S_MIN + 1)
    await room.looked()
    assert room.pasts.find("alice") is None
    assert not any((tmp_path / DIRECTORY_NAME).glob("*/*/*/*/*"))
    await room.recorder.close()


async def test_one_whose_user_is_deleted_goes_at_once(tmp_path: Path) -> None:
    room = Room(tmp_path)
    output = room.broadcast()
    room.feed(output, 3)
    await room.written(output)
    output.end()
    room.pasts.drop_all_of("alice")
    await room.looked()
    await room.looked()
    assert room.media == []
    await room.recorder.close()


async def test_the_next_server_goes_on_with_it_under_the_same_numbers(tmp_path: Path) -> None:
    room = Room(tmp_path)
    output = room.broadcast()
    room.feed(output, 7)
    before = (await room.written(output)).playlists["main"].last_msn
    output.dismiss_viewers()
    await room.recorder.close()
    room.start()
    await room.recorder.open()
    output = room.broadcast(LEFT)
    room.recorder.complete_left()
    room.feed(output, 1)
    past = await room.written(output)
    assert past.playlists["main"].last_msn == before + 1
    text = b"".join(past.playlists["main"].full().unpacked()).decode()
    assert text.count("#EXTINF") == 8
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1
    await room.recorder.close()


async def test_numbers_are_higher_behind_a_restart_that_cannot_know_them(tmp_path: Path) -> None:
    room = Room(tmp_path)
    output = room.broadcast()
    room.feed(output, 100)
    before = (await room.written(output)).playlists["main"].last_msn
    await room.looked()
    await room.written(output)
    await room.recorder.close()
    room.start()
    await room.recorder.open()
    output = room.broadcast(LEFT)
    room.feed(output, 1)
    past = await room.written(output)
    # Files were removed, and with them the count of their segments.
    assert past.playlists["main"].last_msn > before
    await room.recorder.close()


async def test_what_no_broadcast_goes_on_with_is_removed(tmp_path: Path) -> None:
    room = Room(tmp_path)
    output = room.broadcast()
    room.feed(output, 7)
    await room.written(output)
    await room.recorder.close()
    room.start()
    await room.recorder.open()
    room.recorder.complete_left()
    await room.looked()
    assert room.media == []
    await room.recorder.close()


async def test_another_server_on_the_directory_leaves_what_viewers_go_back_in(tmp_path: Path) -> None:
    room = Room(tmp_path)
    output = room.broadcast()
    room.feed(output, 5)
    await room.written(output)
    recording = output.recording
    assert recording is not None
    output.end()
    await recording.wait()
    other = Room(tmp_path)
    await other.recorder.open()
    other.recorder.complete_left()
    await other.looked()
    assert room.media == ["000000.m4s"]
    await room.recorder.close()
    # The first has ended, and nobody goes back in it any more.
    await other.recorder.open()
    other.recorder.complete_left()
    await other.looked()
    assert room.media == []
    await other.recorder.close()


async def test_a_folder_without_a_readable_document_goes(tmp_path: Path) -> None:
    room = Room(tmp_path)
    output = room.broadcast()
    room.feed(output, 1)
    past = await room.written(output)
    await room.recorder.close()
    past.folder.started.write_text("{")
    room.start()
    await room.recorder.open()
    assert room.media == []
    await room.recorder.close()

from __future__ import annotations

import hashlib
import os
import shutil
import tracemalloc
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from streamd.errors import RecordingError
from streamd.services.recording import recording_writer
from streamd.services.recording.documents import RecordedRendition, RecordingStatus, read_document
from streamd.services.recording.playlist_file import parse_playlist
from streamd.services.recording.recording_writer import WRITERS_EXPECTED
from streamd.services.recording.records import RecordingState
from streamd.services.recording.recovery import recover
from streamd.services.recording.verify import FileFault, find_recordings, verify
from tests.support.recordings import (
    MAIN,
    OPTIONS,
    RECORDING_ID,
    STARTED_AT,
    append,
    assert_hashed,
    folder_in,
    media_of,
    new_writer,
)

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.services.recording.folder import RecordingFolder

HEADER, OTHER_HEADER = b"ftyp+moov", b"ftyp+other"
ENDED_AT = STARTED_AT + timedelta(minutes=5)


@pytest.fixture
def folder(tmp_path: Path) -> RecordingFolder:
    return folder_in(tmp_path)


def segments(count: int, first: int = 0) -> list[bytes]:
    return [f"segment {first + number} ".encode() * 20 for number in range(count)]


def test_a_recording_is_its_segments_in_order(folder: RecordingFolder) -> None:
    writer = new_writer(folder)
    writer.set_header(MAIN, HEADER, 2)
    for number, content in enumerate(segments(5)):
        append(writer, content, at_ms=2000 * number)
    totals = writer.finish(ENDED_AT)
    assert media_of(folder) == segments(5)
    assert (totals.duration_ms, totals.size_bytes) == (10_000, sum(map(len, segments(5))))
    playlist = parse_playlist(folder.playlist("main").read_text())
    assert playlist.is_ended
    assert not any(segment.is_discontinuous for segment in playlist.segments)
    assert (folder.variant("main") / "init0.mp4").read_bytes() == HEADER
    assert b"main/playlist.m3u8" in folder.index.read_bytes()
    assert_hashed(folder, folder.ended)
    document = read_document(folder.ended)
    assert document is not None
    assert (document.recording_status, document.recording_ended_at) == (RecordingStatus.ENDED, ENDED_AT)
    assert document.media.hls.duration_ms == 10_000
    assert verify(folder) == []


def test_files_are_for_their_owner_alone(folder: RecordingFolder) -> None:
    writer = new_writer(folder)
    writer.set_header(MAIN, HEADER, 2)
    append(writer, b"media")
    writer.finish(ENDED_AT)
    for path in folder.path.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_media_file_has_a_minute_at_most(folder: RecordingFolder) -> None:
    writer = new_writer(folder, replace(OPTIONS, file_s=10))
    writer.set_header(MAIN, HEADER, 2)
    for content in segments(6):
        append(writer, content, seconds=3)
    append(writer, b"a long one", seconds=25)
    append(writer, b"the last")
    writer.finish(ENDED_AT)
    numbers = [segment.file_number for segment in parse_playlist(folder.playlist("main").read_text()).segments]
    assert numbers == [0, 0, 0, 1, 1, 1, 2, 3]
    assert media_of(folder) == [*segments(6), b"a long one", b"the last"]
    assert_hashed(folder, folder.ended)


def test_another_header_begins_a_file_and_a_discontinuity(folder: RecordingFolder) -> None:
    writer = new_writer(folder)
    writer.set_header(MAIN, HEADER, 2)
    append(writer, b"first")
    writer.set_header(MAIN, HEADER, 2)
    append(writer, b"second")
    writer.set_header(MAIN, OTHER_HEADER, 2)
    append(writer, b"third")
    writer.finish(ENDED_AT)
    found = parse_playlist(folder.playlist("main").read_text()).segments
    assert [(each.init_number, each.file_number, each.is_discontinuous) for each in found] == [
        (0, 0, False),
        (0, 0, False),
        (1, 1, True),
    ]
    assert (folder.variant("main") / "init1.mp4").read_bytes() == OTHER_HEADER


def test_audio_renditions_are_apart(folder: RecordingFolder) -> None:
    writer = new_writer(folder)
    silent = replace(MAIN, codecs=("avc1.640028",))
    writer.set_header(silent, HEADER, 2)
    append(writer, b"picture" * 100)
    for name, channels in (("audio0", 2), ("audio1", 6)):
        rendition = RecordedRendition(name, codecs=("mp4a.40.2",), channels=channels, is_alternative=True)
        writer.set_header(rendition, HEADER, 2)
        append(writer, b"sound" * 10, variant=name)
    writer.finish(ENDED_AT)
    index = folder.index.read_text()
    assert index.count("#EXT-X-STREAM-INF") == 1
    sounds = [line.rpartition("NAME=")[2] for line in index.splitlines() if line.startswith("#EXT-X-MEDIA:TYPE=AUDIO")]
    assert [sound.split(",")[0] for sound in sounds] == ['"Track 1"', '"Track 2"']
    assert ["audio0/playlist.m3u8" in sounds[0], "audio1/playlist.m3u8" in sounds[1]] == [True, True]
    assert verify(folder) == []


def test_it_can_be_played_while_it_goes_on(folder: RecordingFolder) -> None:
    writer = new_writer(folder)
    writer.set_header(MAIN, HEADER, 2)
    append(writer, b"first")
    assert b"main/playlist.m3u8" in folder.index.read_bytes()
    assert media_of(folder) == [b"first"]
    assert not parse_playlist(folder.playlist("main").read_text()).is_ended
    append(writer, b"second")
    assert media_of(folder) == [b"first", b"second"]
    writer.close()


def test_every_rendition_is_named_while_it_goes_on(folder: RecordingFolder) -> None:
    writer = new_writer(folder)
    sound = RecordedRendition("audio0", codecs=("mp4a.40.2",), channels=2, is_alternative=True)
    # As a stream tells of them: all headers, and then the segments as they are complete.
    writer.set_header(replace(MAIN, codecs=("avc1.640028",)), HEADER, 2)
    writer.set_header(sound, HEADER, 2)
    append(writer, b"picture" * 100)
    append(writer, b"sound" * 10, variant="audio0")
    assert "audio0/playlist.m3u8" in folder.index.read_text()
    writer.close()


def test_a_long_recording_holds_no_list_of_its_segments(folder: RecordingFolder) -> None:
    writer = new_writer(folder)
    writer.set_header(MAIN, HEADER, 2)
    append(writer, b"first")
    tracemalloc.start()
    try:
        for _ in range(2000):
            append(writer, b"media")
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A segment would be 200 bytes.
    assert held_bytes < 100_000
    assert writer.finish(ENDED_AT).duration_ms == 4_002_000
    assert len(media_of(folder)) == 2001
    assert verify(folder) == []


def test_a_playlist_that_somebody_has_changed_is_told(folder: RecordingFolder) -> None:
    writer = new_writer(folder)
    writer.set_header(MAIN, HEADER, 2)
    append(writer, b"first")
    os.truncate(folder.playlist("main"), 30)
    with pytest.raises(RecordingError, match="not as it was written"):
        writer.finish(ENDED_AT)
    writer.close()


class TestRecovery:
    """A server is killed, and another takes its recordings up."""

    def killed(self, folder: RecordingFolder, count: int = 3, file_s: int = 4) -> None:
        writer = new_writer(folder, replace(OPTIONS, file_s=file_s))
        writer.set_header(MAIN, HEADER, 2)
        for content in segments(count):
            append(writer, content)
        # Nothing is closed: the descriptors of a killed process are closed by the kernel, and its buffers are empty.
        writer.close()

    def test_all_that_was_written_is_kept(self, folder: RecordingFolder) -> None:
        self.killed(folder)
        writer = recover(folder, OPTIONS)
        assert writer is not None
        assert writer.finish(ENDED_AT).duration_ms == 6000
        assert media_of(folder) == segments(3)
        assert_hashed(folder, folder.ended)
        assert verify(folder) == []

    def test_the_broadcast_goes_on_in_it(self, folder: RecordingFolder) -> None:
        self.killed(folder)
        writer = recover(folder, OPTIONS)
        assert writer is not None
        writer.set_header(MAIN, HEADER, 2)
        append(writer, b"after", is_discontinuous=True)
        writer.finish(ENDED_AT)
        assert media_of(folder) == [*segments(3), b"after"]
        found = parse_playlist(folder.playlist("main").read_text()).segments
        # The same header is not written again: all of it, one behind the other, is one file that plays.
        assert [each.init_number for each in found] == [0, 0, 0, 0]
        assert found[-1].is_discontinuous
        assert verify(folder) == []

    def test_bytes_without_lines_are_cut_off(self, folder: RecordingFolder) -> None:
        self.killed(folder)
        media = folder.variant("main") / "000001.m4s"
        whole = media.read_bytes()
        media.write_bytes(whole + b"half of a segment")
        (folder.variant("main") / "000002.m4s").write_bytes(b"begun")
        writer = recover(folder, OPTIONS)
        assert writer is not None
        assert media.read_bytes() == whole
        writer.set_header(MAIN, HEADER, 2)
        append(writer, b"after")
        writer.finish(ENDED_AT)
        assert media_of(folder) == [*segments(3), b"after"]
        assert verify(folder) == []

    def test_lines_without_bytes_are_taken_out(self, folder: RecordingFolder) -> None:
        self.killed(folder)
        os.truncate(folder.variant("main") / "000001.m4s", len(segments(3)[2]) - 1)
        writer = recover(folder, OPTIONS)
        assert writer is not None
        writer.finish(ENDED_AT)
        assert media_of(folder) == segments(2)
        assert verify(folder) == []

    def test_half_a_line_is_none(self, folder: RecordingFolder) -> None:
        self.killed(folder)
        playlist = folder.playlist("main")
        playlist.write_text(playlist.read_text() + "#EXT-X-PROGRAM-DATE-TIME:2026-03-01T12:00:06.000Z\n#EXTINF:2.00")
        writer = recover(folder, OPTIONS)
        assert writer is not None
        writer.finish(ENDED_AT)
        assert media_of(folder) == segments(3)

    def test_one_that_has_hardly_begun_goes_on(self, folder: RecordingFolder) -> None:
        writer = new_writer(folder)
        writer.set_header(MAIN, HEADER, 2)
        writer.close()
        folder.playlist("main").unlink()
        recovered = recover(folder, OPTIONS)
        assert recovered is not None
        recovered.set_header(MAIN, HEADER, 2)
        append(recovered, b"first")
        recovered.finish(ENDED_AT)
        assert media_of(folder) == [b"first"]
        assert verify(folder) == []

    def test_again_and_again(self, folder: RecordingFolder) -> None:
        self.killed(folder)
        for turn in range(3):
            writer = recover(folder, OPTIONS)
            assert writer is not None
            writer.set_header(MAIN, HEADER if turn % 2 else OTHER_HEADER, 2)
            append(writer, f"turn {turn}".encode())
            writer.close()
        writer = recover(folder, OPTIONS)
        assert writer is not None
        writer.finish(ENDED_AT)
        assert media_of(folder) == [*segments(3), b"turn 0", b"turn 1", b"turn 2"]
        assert verify(folder) == []

    def test_a_folder_without_a_document_is_none(self, folder: RecordingFolder) -> None:
        assert recover(folder, OPTIONS) is None
        folder.events.mkdir(parents=True)
        folder.started.write_text("{}")
        assert recover(folder, OPTIONS) is None


def leave_room(monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
    """Have the disk take so many bytes more."""
    real, room = os.write, [size_bytes]

    def write(fd: int, data: bytes | memoryview) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        taken = real(fd, data[: room[0]])
        room[0] -= taken
        return taken

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "writev", lambda fd, pieces: write(fd, b"".join(pieces)))


class TestDisk:
    """The disk does not take it."""

    def test_a_disk_that_is_nearly_full_is_left_alone(
        self, folder: RecordingFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording_writer, "UNASKED_BYTES_MAX", 0)
        writer = new_writer(folder, replace(OPTIONS, min_free_bytes=1_000_000))
        writer.set_header(MAIN, HEADER, 2)
        append(writer, b"first")

        class Usage:
            free = 1_000_010

        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage)
        with pytest.raises(RecordingError, match="min_free_bytes"):
            append(writer, b"more than ten bytes")
        writer.finish(ENDED_AT, "the disk is full")
        assert media_of(folder) == [b"first"]
        document = read_document(folder.failed)
        assert document is not None
        assert document.recording_status_message == "the disk is full"
        assert_hashed(folder, folder.failed)

    @pytest.mark.parametrize(("room_bytes", "asked"), [(1 << 40, 2), (WRITERS_EXPECTED * 250, 4)])
    def test_the_disk_is_asked_for_its_space_now_and_then(
        self, folder: RecordingFolder, monkeypatch: pytest.MonkeyPatch, room_bytes: int, asked: int
    ) -> None:
        """The less there is, the sooner: each takes its share of it before it asks again."""
        questions: list[int] = []

        class Usage:
            free = 1_000_000 + room_bytes

        def usage(descriptor: int) -> type[Usage]:
            questions.append(descriptor)
            return Usage

        monkeypatch.setattr(shutil, "disk_usage", usage)
        monkeypatch.setattr(recording_writer, "UNASKED_BYTES_MAX", 800)
        writer = new_writer(folder, replace(OPTIONS, min_free_bytes=1_000_000))
        writer.set_header(MAIN, HEADER, 2)
        for _ in range(12):
            append(writer, b"x" * 100)
        assert len(questions) == asked
        writer.close()

    def test_half_a_segment_is_taken_back(self, folder: RecordingFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        writer = new_writer(folder)
        writer.set_header(MAIN, HEADER, 2)
        append(writer, b"first")
        leave_room(monkeypatch, 4)
        with pytest.raises(OSError, match="No space left"):
            append(writer, b"second segment")
        monkeypatch.undo()
        # Whoever looks at it in the meantime finds no half of a segment.
        assert media_of(folder) == [b"first"]
        writer.finish(ENDED_AT, "No space left on device")
        assert media_of(folder) == [b"first"]
        assert (folder.variant("main") / "000000.m4s").read_bytes() == b"first"
        assert_hashed(folder, folder.failed)
        assert verify(folder) == []

    def test_half_a_line_is_taken_back(self, folder: RecordingFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        writer = new_writer(folder)
        writer.set_header(MAIN, HEADER, 2)
        append(writer, b"first")
        before = folder.playlist("main").read_bytes()
        leave_room(monkeypatch, len(b"second segment") + 10)
        with pytest.raises(OSError, match="No space left"):
            append(writer, b"second segment")
        monkeypatch.undo()
        assert folder.playlist("main").read_bytes() == before
        writer.finish(ENDED_AT, "No space left on device")
        assert media_of(folder) == [b"first"]
        assert verify(folder) == []


class TestVerify:
    """A recording is compared with its document."""

    def recorded(self, folder: RecordingFolder) -> None:
        writer = new_writer(folder)
        writer.set_header(MAIN, HEADER, 2)
        append(writer, b"media of it")
        writer.finish(ENDED_AT)

    def test_each_fault_is_told(self, folder: RecordingFolder) -> None:
        self.recorded(folder)
        main = folder.variant("main")
        (main / "000000.m4s").write_bytes(b"medio of it")
        (main / "init0.mp4").unlink()
        assert verify(folder) == [
            FileFault("media/hls/main/000000.m4s", "has other bytes than were written"),
            FileFault("media/hls/main/init0.mp4", "is missing"),
        ]
        os.truncate(main / "000000.m4s", 3)
        assert [fault.fault for fault in verify(folder)] == [
            "has 3 bytes in place of 11",
            "is missing",
            "ends before byte 11, which the playlist names",
        ]

    def test_a_file_that_cannot_be_read_is_one_fault(
        self, folder: RecordingFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.recorded(folder)

        def broken(*_: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(hashlib, "sha256", broken)
        faults = verify(folder)
        assert len(faults) == 4
        assert {fault.fault for fault in faults} == {"cannot be read: Input/output error"}

    def test_one_that_goes_on_is_said_to(self, folder: RecordingFolder) -> None:
        writer = new_writer(folder)
        writer.set_header(MAIN, HEADER, 2)
        assert verify(folder) == [FileFault("events", "it has not ended")]
        writer.close()

    def test_an_index_is_made_anew_from_the_documents(self, tmp_path: Path) -> None:
        folder = folder_in(tmp_path)
        self.recorded(folder)
        (tmp_path / "bob" / "2026" / "03" / "01" / "foreign" / "events").mkdir(parents=True)
        (tmp_path / "bob" / "2026" / "03" / "01" / "foreign" / "events" / "recording-started.json").write_text("[]")
        (record,) = find_recordings(tmp_path)
        assert (record.id, record.user, record.state) == (RECORDING_ID, "alice", RecordingState.READY)
        assert (record.duration_ms, record.size_bytes) == (2000, 11)
        assert tmp_path / record.path == folder.path

    def test_a_document_names_no_file_elsewhere(self, folder: RecordingFolder) -> None:
        self.recorded(folder)
        text = folder.ended.read_text()
        folder.ended.write_text(text.replace("media/hls/main/init0.mp4", "../../../../../../../../etc/passwd"))
        assert FileFault("../../../../../../../../etc/passwd", "is no place in a recording") in verify(folder)

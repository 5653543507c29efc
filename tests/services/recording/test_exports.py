"""Exports: real recordings, and the real worker where it matters what it writes."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import av
import pytest
import pytest_asyncio

from streamd.clock import ManualClock
from streamd.errors import ExportRefusedError
from streamd.process.workers.commands import EXPORT_COMMAND
from streamd.services.audit.records import Actor
from streamd.services.recording import export_work, exports
from streamd.services.recording.documents import RecordedRendition
from streamd.services.recording.export_records import Export, ExportState
from streamd.services.recording.exports import EXPORTS_NAME, KEPT_S, Exports
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.recording_writer import WriterOptions
from streamd.services.recording.records import RecordingMode, RecordingState
from streamd.services.recording.verify import find_recordings
from tests.support.fragmented_media import FragmentedMedia, fragmented_media
from tests.support.recordings import MAIN, OPTIONS, RECORDING_ID, STARTED_AT, append, folder_in, new_writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore
    from streamd.services.recording.records import RecordingRecord

pytestmark = pytest.mark.asyncio

ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(sys.path)}
OTHER_ID = "rec_01kjmg3m01aaaaaaaaaaaaaaaa"
MEDIA = fragmented_media(4, began_s=3600)
SOUND = RecordedRendition("audio0", codecs=("mp4a.40.2",), channels=1, is_alternative=True)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


@dataclass
class Room:
    """Recordings that have ended, and who exports them."""

    directory: Path
    recorder: Recorder
    clock: ManualClock
    exports: Exports

    async def record(
        self, *runs: FragmentedMedia, recording_id: str = RECORDING_ID, sound: FragmentedMedia | None = None
    ) -> RecordingRecord:
        folder = folder_in(self.directory, recording_id)
        writer = new_writer(folder)
        second = 0
        for media in runs:
            writer.set_header(MAIN, media.header, 2)
            for fragment in media.fragments:
                append(writer, fragment, seconds=1, at_ms=1000 * second)
                second += 1
        if sound is not None:
            writer.set_header(SOUND, sound.header, 2)
            for number, fragment in enumerate(sound.fragments):
                append(writer, fragment, variant="audio0", seconds=1, at_ms=1000 * number)
        writer.finish(STARTED_AT)
        writer.close()
        (record,) = [each for each in find_recordings(self.directory) if each.id == recording_id]
        await self.recorder.index.save(record)
        return record

    async def made(self, record: RecordingRecord, variant: str = "", run: int = 0) -> Export:
        """Export a recording, and wait for the end."""
        await self.exports.make(record, variant, run)
        await self.done()
        found = self.exports.find(record.id)
        assert found is not None
        return found

    async def done(self) -> None:
        while self.exports._task is not None:
            await asyncio.shield(self.exports._task)

    async def begun(self) -> None:
        while self.exports._work.worker is None:  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0)

    async def looked(self) -> None:
        self.exports.look()
        if self.exports._looking is not None:
            await self.exports._looking

    def files(self) -> list[str]:
        directory = self.directory / EXPORTS_NAME
        return sorted(path.name for path in directory.rglob("*.*"))


@pytest_asyncio.fixture
async def room(store: KeyStore, tmp_path: Path) -> AsyncIterator[Room]:
    clock = ManualClock(STARTED_AT)
    options = RecorderOptions(RecordingMode.ALL, tmp_path, writer=OPTIONS)
    recorder = Recorder(options, RecordingIndex(store.database), clock)
    room = Room(tmp_path, recorder, clock, Exports(recorder, EXPORT_COMMAND, ENVIRONMENT, clock))
    await room.exports.open()
    yield room
    await room.exports.close()
    await recorder.close()


def frames(path: Path | None) -> int:
    """Pictures in a file whose index comes first."""
    assert path is not None
    assert path.read_bytes()[36:40] == b"moov"
    with av.open(str(path)) as container:
        return sum(bool(packet.size) for packet in container.demux(video=0))


async def test_a_recording_becomes_one_file(room: Room) -> None:
    record = await room.record(MEDIA)
    export = await room.exports.make(record, "", 0)
    assert (export.state, export.bytes) == (ExportState.WAITING, 0)
    # Asking again changes nothing.
    assert await room.exports.make(record, "", 0) == export
    assert room.exports.file(record.id) is None
    export = await room.made(record)
    assert (export.state, export.reason) == (ExportState.READY, "")
    path = room.exports.file(record.id)
    assert frames(path) == 120
    assert path is not None
    assert export.bytes == path.stat().st_size <= export.expected_bytes + export_work.ROOM_BYTES
    assert path.stat().st_mode & 0o077 == 0
    assert room.files() == [f"{record.id}.mp4"]


async def test_sound_that_was_recorded_apart_is_in_it(room: Room) -> None:
    record = await room.record(fragmented_media(4, has_sound=False), sound=fragmented_media(4, has_picture=False))
    export = await room.made(record)
    assert export.state is ExportState.READY
    with av.open(str(room.exports.file(record.id))) as container:
        assert sorted(stream.type for stream in container.streams) == ["audio", "video"]


async def test_each_piece_of_a_recording_is_a_file(room: Room) -> None:
    record = await room.record(MEDIA, fragmented_media(2, width=192))
    assert (await room.made(record)).state is ExportState.READY
    assert frames(room.exports.file(record.id)) == 120
    # Another one takes the place of the first.
    assert (await room.made(record, "main", 1)).state is ExportState.READY
    assert frames(room.exports.file(record.id)) == 60
    with pytest.raises(ExportRefusedError, match="2 pieces"):
        await room.exports.make(record, "main", 2)
    with pytest.raises(ExportRefusedError, match="no variant other"):
        await room.exports.make(record, "other", 0)


async def test_hostile_media_costs_its_own_export_alone(room: Room) -> None:
    noise = FragmentedMedia(MEDIA.header, (b"noise" * 10_000, bytes(10_000), os.urandom(10_000)))
    record = await room.record(noise)
    export = await room.made(record)
    assert (export.state, export.reason) == (ExportState.FAILED, "its media cannot be written as MP4")
    assert room.files() == []
    other = await room.record(MEDIA, recording_id=OTHER_ID)
    assert (await room.made(other)).state is ExportState.READY
    # It may be tried again.
    assert (await room.exports.make(record, "", 0)).state is ExportState.WAITING
    await room.done()


# What a worker that a publisher has taken over does in place of writing; it ends well where nothing of it succeeds.
TAKEN_OVER = """
import os, socket, sys
import streamd.process.workers.export_worker as worker
def remux(sources, descriptor):
    for attempt in (
        lambda: open("/etc/passwd"),
        lambda: open("/tmp/streamd-was-here", "w"),
        lambda: socket.socket(),
        lambda: os.fork(),
        lambda: os.kill(os.getppid(), 0),
        lambda: os.execv("/bin/true", ["true"]),
    ):
        try:
            attempt()
        except OSError:
            continue
        os._exit(77)
    while os.read(0, 65536):
        pass
    os.write(descriptor, b"all was refused")
    return 1
worker.remux = remux
os._exit(worker.main(sys.argv[1:]))
"""


async def test_a_worker_that_is_taken_over_has_its_pipe_and_its_file(room: Room) -> None:
    record = await room.record(MEDIA)
    room.exports._work.command = python(TAKEN_OVER)
    export = await room.made(record)
    assert (export.state, export.reason) == (ExportState.READY, "")
    path = room.exports.file(record.id)
    assert path is not None
    assert path.read_bytes() == b"all was refused"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.kill(os.getpid(), 9)", "the worker was ended by signal 9"),
        ("import sys; sys.exit(3)", "the worker failed"),
        ("import sys; sys.exit(11)", "the disk does not take it"),
        ("import sys; sys.exit(12)", "it needs too much memory"),
        ("pass", "its media does not go on to its end"),
    ],
)
async def test_a_worker_that_fails_is_told_of(room: Room, code: str, reason: str) -> None:
    big = FragmentedMedia(MEDIA.header, (bytes(1 << 20),) * 3)
    record = await room.record(big)
    room.exports._work.command = python(code)
    export = await room.made(record)
    assert (export.state, export.reason) == (ExportState.FAILED, reason)
    assert room.files() == []


async def test_without_descriptors_none_is_lost(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = fragmented_media(1, has_picture=False)
    record, pipe = await room.record(fragmented_media(1, has_sound=False), sound=sound), os.pipe
    made: list[int] = []

    def one_pipe() -> tuple[int, int]:
        if made:
            raise OSError(24, "Too many open files")
        made.extend(pipe())
        return made[0], made[1]

    monkeypatch.setattr(os, "pipe", one_pipe)
    export = await room.made(record)
    assert (export.state, export.reason) == (ExportState.FAILED, "Too many open files")
    for descriptor in made:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


async def test_a_file_that_grows_beyond_what_it_may_have_is_ended(room: Room) -> None:
    code = TAKEN_OVER.replace(
        'os.write(descriptor, b"all was refused")', "worker.os.lseek(1, 1 << 40, 0); os.write(1, b'x')"
    )
    record = await room.record(MEDIA)
    room.exports._work.command = python(code)
    export = await room.made(record)
    assert (export.state, export.reason) == (ExportState.FAILED, "the disk does not take it")


async def test_a_worker_that_hangs_ends_with_its_export(room: Room) -> None:
    record = await room.record(FragmentedMedia(MEDIA.header, (bytes(1 << 20),) * 3))
    room.exports._work.command = python("import time; time.sleep(3600)")
    await room.exports.make(record, "", 0)
    await room.begun()
    found = room.exports.find(record.id)
    assert found is not None
    assert found.state is ExportState.RUNNING
    with pytest.raises(ExportRefusedError, match="another export"):
        await room.exports.make(record, "", 1)
    await room.exports.forget(record.id)
    await room.done()
    assert room.exports.find(record.id) is None
    assert room.files() == []


async def test_a_server_that_stops_ends_it(room: Room) -> None:
    record = await room.record(FragmentedMedia(MEDIA.header, (bytes(1 << 20),) * 3))
    room.exports._work.command = python("import time; time.sleep(3600)")
    await room.exports.make(record, "", 0)
    await room.begun()
    worker = room.exports._work.worker
    assert worker is not None
    await room.exports.close()
    assert worker.returncode == -9
    assert room.files() == []
    with pytest.raises(ExportRefusedError):
        await room.exports.make(record, "", 0)


async def test_one_is_made_at_a_time_and_some_wait(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "WAITING_MAX", 2)
    room.exports._work.command = python("import sys; sys.stdin.buffer.read(1); import time; time.sleep(3600)")
    records = [await room.record(MEDIA, recording_id=f"rec_01kjmg3m0{number}aaaaaaaaaaaaaaaa") for number in range(4)]
    await room.exports.make(records[0], "", 0)
    await room.begun()
    for record in records[1:3]:
        await room.exports.make(record, "", 0)
    with pytest.raises(ExportRefusedError, match="2 exports wait"):
        await room.exports.make(records[3], "", 0)
    states = [found.state for record in records[:3] if (found := room.exports.find(record.id)) is not None]
    assert states == [ExportState.RUNNING, ExportState.WAITING, ExportState.WAITING]
    # Their media stays on the disk until then.
    assert [room.exports.needs(record.id) for record in records] == [True, True, True, False]
    for record in reversed(records[:3]):
        await room.exports.forget(record.id)
    await room.done()
    assert not any(room.exports.needs(record.id) for record in records)


class TestWhatIsRefused:
    async def test_is_a_recording_that_goes_on(self, room: Room) -> None:
        record = await room.record(MEDIA)
        with pytest.raises(ExportRefusedError, match="still being recorded"):
            await room.exports.make(replace(record, state=RecordingState.RECORDING), "", 0)

    async def test_is_one_that_is_deleted_or_elsewhere(self, room: Room) -> None:
        record = await room.record(MEDIA)
        with pytest.raises(ExportRefusedError, match="deleted"):
            await room.exports.make(replace(record, state=RecordingState.DELETED), "", 0)
        (folder_in(room.directory).variant("main") / "000000.m4s").unlink()
        with pytest.raises(ExportRefusedError, match="not on this server's disk"):
            await room.exports.make(record, "", 0)

    async def test_is_a_file_that_the_disk_has_no_room_for(self, room: Room) -> None:
        record = await room.record(MEDIA)
        room.recorder.options = replace(room.recorder.options, writer=WriterOptions(min_free_bytes=1 << 60))
        with pytest.raises(ExportRefusedError, match="min_free_bytes keeps"):
            await room.exports.make(record, "", 0)


class TestTheEnd:
    async def test_comes_after_a_day(self, room: Room) -> None:
        record = await room.record(MEDIA)
        await room.made(record)
        room.clock.advance(KEPT_S)
        await room.looked()
        assert room.files() == [f"{record.id}.mp4"]
        room.clock.advance(61)
        await room.looked()
        assert (room.files(), room.exports.find(record.id)) == ([], None)

    async def test_comes_with_that_of_the_recording(self, room: Room) -> None:
        record = await room.record(MEDIA)
        await room.made(record)
        await room.recorder.retention.delete(record, Actor("admin"), "taken down")
        await room.looked()
        assert (room.files(), room.exports.find(record.id)) == ([], None)

    async def test_is_looked_for_with_one_question_however_many_there_are(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        records = [await room.record(MEDIA), await room.record(MEDIA, recording_id=OTHER_ID)]
        for record in records:
            await room.made(record)
        asked: list[Sequence[str]] = []
        existing = room.recorder.index.existing

        async def counted(recording_ids: Sequence[str]) -> frozenset[str]:
            asked.append(recording_ids)
            return await existing(recording_ids)

        monkeypatch.setattr(room.recorder.index, "existing", counted)
        await room.recorder.retention.delete(records[0], Actor("admin"), "taken down")
        await room.looked()
        assert asked == [[record.id for record in records]]
        assert room.files() == [f"{records[1].id}.mp4"]

    async def test_comes_with_another_server(self, room: Room) -> None:
        record = await room.record(MEDIA)
        await room.made(record)
        await room.exports.close()
        other = Exports(room.recorder, EXPORT_COMMAND, ENVIRONMENT, room.clock)
        await other.open()
        assert room.files() == []
        assert other.file(record.id) is None
        await other.close()

    async def test_does_not_come_with_a_second_server_on_the_directory(self, room: Room) -> None:
        record = await room.record(MEDIA)
        await room.made(record)
        second, third = (Exports(room.recorder, EXPORT_COMMAND, ENVIRONMENT, room.clock) for _ in range(2))
        await second.open()
        assert room.files() == [f"{record.id}.mp4"]
        await room.exports.close()
        await third.open()
        # The first is not there any more.
        assert room.files() == []
        await second.close()
        await third.close()

    async def test_does_not_come_with_another_server_that_stops(self, room: Room) -> None:
        record = await room.record(MEDIA)
        servers = [Exports(room.recorder, EXPORT_COMMAND, ENVIRONMENT, room.clock) for _ in range(3)]
        for server in servers:
            await server.open()
        await room.made(record)
        # Both have the same recording, each in a file of its own.
        await servers[0].make(record, "", 0)
        while servers[0]._task is not None:
            await asyncio.shield(servers[0]._task)
        first, second = room.exports.file(record.id), servers[0].file(record.id)
        assert first is not None
        assert second is not None
        assert (first != second, frames(first), frames(second)) == (True, 120, 120)
        for server in servers[1:]:
            await server.close()
        last = Exports(room.recorder, EXPORT_COMMAND, ENVIRONMENT, room.clock)
        await last.open()
        assert room.files() == [f"{record.id}.mp4"] * 2
        await servers[0].close()
        await last.close()

    async def test_comes_once_too_many_are_remembered(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(exports, "KEPT_MAX", 1)
        first = await room.record(MEDIA)
        second = await room.record(MEDIA, recording_id=OTHER_ID)
        await room.made(first)
        await room.made(second)
        # The threads have done what was before.
        await room.exports._do(lambda: None)
        assert room.exports.find(first.id) is None
        assert room.files() == [f"{second.id}.mp4"]

    async def test_comes_also_where_it_is_forgotten_in_its_last_moment(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = await room.record(MEDIA)
        finish = exports._finish
        loop = asyncio.get_running_loop()

        def forgotten(part: Path, path: Path) -> int:
            asyncio.run_coroutine_threadsafe(room.exports.forget(record.id), loop).result()
            return finish(part, path)

        monkeypatch.setattr(exports, "_finish", forgotten)
        await room.exports.make(record, "", 0)
        await room.done()
        assert (room.files(), room.exports.find(record.id)) == ([], None)

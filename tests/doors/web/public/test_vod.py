"""Recordings as strangers ask for them, over a real index and real files."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import shutil
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.clock import ManualClock
from streamd.doors.web.headers import harden
from streamd.doors.web.public.media import MediaTimeouts
from streamd.doors.web.public.recording_finder import LOOK_UPS_MAX
from streamd.doors.web.public.vod import VodRoutes
from streamd.doors.web.public.vod_pictures import VodPictures
from streamd.doors.web.public.web_entrance import TICKET_FIELD, WebEntrance, refusals
from streamd.services.audit.records import Actor
from streamd.services.metrics import Metrics
from streamd.services.playback.claims import Audience
from streamd.services.playback.policy import Policy
from streamd.services.playback.view_blocks import ViewBlock
from streamd.services.playback.visitor import Visitor
from streamd.services.recording.documents import RecordedFile, read_document, write_document
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.records import RecordingMode, RecordingRecord, RecordingState, Visibility
from streamd.services.recording.retention import RetentionOptions
from streamd.services.recording.verify import find_recordings
from streamd.services.storage.faults import StorageFault
from tests.support.playback_gate import GateHouse, token
from tests.support.recordings import MAIN, STARTED_AT, append, folder_in, new_writer
from tests.support.storage import StorageRoom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore
    from streamd.services.playback.hook import ViewerHook
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.recording_writer import RecordingWriter

pytestmark = pytest.mark.asyncio

SEGMENT = b"media" * 1000


@dataclass
class Door:
    """The routes, a recording of Alice's, and a viewer."""

    recorder: Recorder
    client: TestClient[web.Request, web.Application]
    folder: RecordingFolder
    writer: RecordingWriter
    house: GateHouse
    taken_down: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"/vod/{self.folder.id}"

    async def finish(self, failure: str = "") -> RecordingRecord:
        """Complete the recording, and tell the index."""
        self.writer.finish(STARTED_AT, failure)
        return await self.enter()

    async def enter(self) -> RecordingRecord:
        (record,) = find_recordings(self.recorder.options.directory)
        await self.recorder.index.save(record)
        self.recorder.index.edits += 1
        return record

    async def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        headers.setdefault("Accept_Encoding", "identity")
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.get(path, headers=fields) as answer:
            return answer.status, await answer.read()

    async def playlist(self, **headers: str) -> str:
        status, body = await self.get(f"{self.url}/main.m3u8", **headers)
        assert status == 200
        return body.decode()


@pytest_asyncio.fixture
async def door(store: KeyStore, tmp_path: Path) -> AsyncIterator[Door]:
    clock = ManualClock()
    directory = tmp_path / "recordings"
    recorder = Recorder(RecorderOptions(RecordingMode.ALL, directory), RecordingIndex(store.database), clock)
    folder = folder_in(directory)
    writer = new_writer(folder)
    writer.set_header(MAIN, b"ftyp+moov", 2)
    append(writer, SEGMENT)
    taken_down: set[str] = set()
    hidden: set[str] = set()
    house = GateHouse(Policy.PUBLIC)
    routes = VodRoutes(
        recorder=recorder,
        is_taken_down=taken_down.__contains__,
        is_hidden=hidden.__contains__,
        clock=clock,
        metrics=Metrics(),
        timeouts=MediaTimeouts,
        entrance=WebEntrance(house.gate, cast("ViewerHook", None)),
    )
    app = web.Application(middlewares=[refusals])
    harden(app)
    routes.add_to(app)
    async with TestClient(TestServer(app), auto_decompress=False) as client:
        door = Door(recorder, client, folder, writer, house, taken_down, hidden)
        await door.enter()
        yield door
    await recorder.close()
    writer.close()


async def test_a_playlist_is_the_same_with_compression_and_without(door: Door) -> None:
    for count in range(3):
        plain = await door.playlist(Accept_Encoding="identity")
        status, body = await door.get(f"{door.url}/main.m3u8", Accept_Encoding="gzip")
        assert (status, gzip.decompress(body).decode()) == (200, plain)
        on_disk = door.folder.playlist("main").read_text()
        assert plain == on_disk.replace("\n0000", "\nmain/0000").replace('URI="', 'URI="main/')
        assert plain.count("main/000000.m4s") == count + 1
        append(door.writer, SEGMENT)
    await door.finish()
    ended = await door.playlist()
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in ended
    assert ended.endswith("\n#EXT-X-ENDLIST\n")
    async with door.client.head(f"{door.url}/main.m3u8", headers={"Accept-Encoding": "identity"}) as answer:
        assert int(answer.headers["Content-Length"]) == len(ended)


async def test_the_new_lines_alone_are_read(door: Door) -> None:
    before = await door.playlist()
    path = door.folder.playlist("main")
    with path.open("r+b") as file:
        file.write(b"read again")
    append(door.writer, SEGMENT)
    after = await door.playlist()
    assert after.startswith(before)
    assert after.count(".m4s") == 2


async def test_half_a_segment_is_not_told(door: Door) -> None:
    before = await door.playlist()
    with door.folder.playlist("main").open("ab") as file:
        file.write(b"#EXTINF:2.00000,\n#EXT-X-BYTERANGE:10@5000\n0000")
    assert await door.playlist() == before


async def test_one_whose_disk_took_no_end_has_ended_all_the_same(door: Door) -> None:
    before = await door.playlist()
    record = await door.enter()
    await door.recorder.index.save(replace(record, state=RecordingState.FAILED, reason="No space left on device"))
    door.recorder.index.edits += 1
    for encoding in ("identity", "gzip"):
        _, body = await door.get(f"{door.url}/main.m3u8", Accept_Encoding=encoding)
        text = gzip.decompress(body) if encoding == "gzip" else body
        assert text.decode() == before + "#EXT-X-ENDLIST\n"


async def test_a_damaged_index_is_no_fault_of_the_server(door: Door) -> None:
    door.folder.index.write_bytes(b"#EXTM3U\n\xff\xfe\n")
    assert (await door.get(f"{door.url}/index.m3u8"))[0] == 200
    door.folder.index.unlink()
    assert (await door.get(f"{door.url}/index.m3u8"))[0] == 404


async def test_what_is_deleted_or_private_is_so_at_once(door: Door) -> None:
    record = await door.finish()
    assert (await door.get(f"{door.url}.mp4"))[0] == 200
    await door.recorder.index.change(record.id, visibility=Visibility.PRIVATE)
    assert (await door.get(f"{door.url}.mp4"))[0] == 404
    await door.recorder.index.change(record.id, visibility=Visibility.UNLISTED)
    assert (await door.get(f"{door.url}.mp4"))[0] == 200
    await door.recorder.retention.delete(record, Actor("admin"), "unwanted")
    for path in (".mp4", "/index.m3u8", "/main.m3u8", "/main/000000.m4s", "/main/playlist.m3u8"):
        assert (await door.get(door.url + path))[0] == 410
    assert (await door.get(f"/api/v1/recordings/{record.id}"))[0] == 410


@pytest.mark.parametrize(
    "act",
    ["suspend", "delete", "hide", "lock", "lock the channel", "take down", "block", "block the channel"],
)
async def test_what_is_being_sent_ends_with_it(door: Door, act: str) -> None:
    for _ in range(200):
        append(door.writer, SEGMENT * 20)
    record = await door.finish()
    async with door.client.get(f"{door.url}.mp4") as answer:
        await answer.content.read(1000)
        if act == "suspend":
            door.taken_down.add("alice")
        elif act == "take down":
            door.hidden.add(record.id)
            door.recorder.index.note_edit()
        elif act.startswith("block"):
            subject = record.id if act == "block" else record.user
            door.house.gate.block(ViewBlock(subject), "blk_1")
        elif act == "delete":
            await door.recorder.retention.delete(record, Actor("admin"), "")
        elif act.startswith("lock"):
            door.house.rule(record.id if act == "lock" else record.user, Policy.SIGNED)
        else:
            await door.recorder.index.change(record.id, visibility=Visibility.PRIVATE)
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_what_is_blocked_while_it_is_looked_up_is_not_sent(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    record = await door.finish()
    read = door.recorder.read

    async def block_and_read(work: Any) -> Any:
        if not door.house.gate.is_blocking:
            door.house.gate.block(ViewBlock(record.id), "blk_1")
        return await read(work)

    monkeypatch.setattr(door.recorder, "read", block_and_read)
    with pytest.raises(aiohttp.ClientError):
        async with door.client.get(f"{door.url}/main/000000.m4s") as answer:
            await answer.read()


async def test_one_that_was_taken_down_by_itself_is_gone(door: Door) -> None:
    record = await door.finish()
    door.hidden.add(record.id)
    for path in (f"{door.url}/index.m3u8", f"{door.url}/main.m3u8", f"{door.url}/main/000000.m4s", f"{door.url}.mp4"):
        assert (await door.get(path))[0] == 410, path
    assert (await door.get(f"/api/v1/recordings/{record.id}"))[0] == 410
    door.hidden.clear()
    assert (await door.get(f"{door.url}/main.m3u8"))[0] == 200


@pytest.mark.parametrize("of", ["recording", "channel"])
async def test_one_that_is_blocked_is_not_shown(door: Door, of: str) -> None:
    record = await door.finish()
    block = ViewBlock(record.id if of == "recording" else record.user)
    door.house.gate.block(block, "blk_1")
    for path in (f"{door.url}/index.m3u8", f"{door.url}/main.m3u8", f"{door.url}/main/000000.m4s", f"{door.url}.mp4"):
        assert (await door.get(path))[0] == 451, path
    assert (await door.get(f"/api/v1/recordings/{record.id}"))[0] == 451
    door.house.gate.unblock(block, "blk_1")
    assert (await door.get(f"{door.url}/main.m3u8"))[0] == 200


async def test_what_a_viewer_is_told_of_a_locked_recording_is_in_no_shared_cache(door: Door) -> None:
    record = await door.finish()
    door.house.rule(record.user, Policy.SIGNED)
    viewing = door.house.gate.admit(record.id, token(sub=record.id), Audience.VIDEO, Visitor("127.0.0.1"))
    facts = f"/api/v1/recordings/{record.id}"
    for ticket, caching in (("", "max-age=1"), (viewing.text, "no-store")):
        async with door.client.get(facts, headers={TICKET_FIELD: ticket} if ticket else {}) as answer:
            assert (answer.status, answer.headers["Cache-Control"]) == (200, caching)
    for path in ("index.m3u8", "main.m3u8", "main/000000.m4s"):
        async with door.client.get(f"{door.url}/~{viewing.text}/{path}") as answer:
            await answer.read()
            assert (answer.status, answer.headers["Cache-Control"].partition(",")[0]) == (200, "private")


async def test_the_pieces_of_a_file_that_one_player_asks_for_are_one_viewing(door: Door) -> None:
    record = await door.finish()
    door.house.rule(record.user, Policy.SIGNED)
    file = f"/vod/{record.id}.mp4?token={token(sub=record.id, jti='j', max=1)}"
    for first in range(0, 3000, 1000):
        async with door.client.get(file, headers={"Range": f"bytes={first}-{first + 999}"}) as answer:
            assert (answer.status, len(await answer.read())) == (206, 1000)
    async with door.client.get(file, headers={"User-Agent": "another player"}) as answer:
        assert answer.status == 403
    assert (await door.get(f"{door.url}/index.m3u8?{file.partition('?')[2]}"))[0] == 403


async def test_the_index_is_asked_for_so_many_at_once(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    is_back = asyncio.Event()

    async def find(recording_id: str) -> RecordingRecord | None:
        asked.append(recording_id)
        await is_back.wait()
        return None

    monkeypatch.setattr(door.recorder.index, "find", find)
    ids = [f"rec_01kjmg3m00{number:016d}" for number in range(LOOK_UPS_MAX + 20)]
    answers = [asyncio.create_task(door.get(f"/vod/{each}/index.m3u8")) for each in [*ids, *ids[:5]]]
    refused = 0
    for done in asyncio.as_completed(answers):
        refused += (await done)[0] == 503
        if refused == 20:
            break
    is_back.set()
    assert sorted({(await answer)[0] for answer in answers}) == [404, 503]
    assert len(asked) == len(set(asked)) == LOOK_UPS_MAX


async def test_viewers_wait_for_the_disk_in_threads_of_their_own(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    await door.finish()

    async def to_thread(*_: object) -> None:
        raise AssertionError("the threads that everything else waits for")

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    for path in (".mp4", "/index.m3u8", "/main.m3u8", "/main/000000.m4s", "/main/playlist.m3u8"):
        assert (await door.get(door.url + path))[0] == 200
    readers = [each for each in threading.enumerate() if each.name.startswith("recording-reader")]
    assert 0 < len(readers) <= 4


@pytest.mark.parametrize("path", [".mp4", "/main.m3u8", "/main/000000.m4s"])
async def test_no_rule_deletes_what_is_watched(door: Door, path: str) -> None:
    record = await door.finish()
    rules = RetentionOptions(max_bytes=1, keep_days=0, min_free_bytes=0)
    assert (await door.get(door.url + path))[0] == 200
    await door.recorder.retention.apply(rules)
    assert (await door.get(door.url + path))[0] == 200
    # By hand it goes.
    await door.recorder.retention.delete(record, Actor("admin"), "unwanted")
    assert (await door.get(door.url + path))[0] == 410


async def test_a_file_is_closed_when_its_viewer_leaves(door: Door) -> None:
    for _ in range(200):
        append(door.writer, SEGMENT * 20)
    await door.finish()
    async with door.client.get(f"{door.url}.mp4", headers={"Range": "bytes=100-"}) as answer:
        await answer.content.read(1000)
        assert answer.status == 206
    # The body is the header and the media, one behind the other.
    status, body = await door.get(f"{door.url}.mp4", Range="bytes=0-15")
    assert (status, body) == (206, b"ftyp+moov" + SEGMENT[:7])


class TestABucket:
    """What the disk does not have any more is read from the bucket."""

    @pytest_asyncio.fixture
    async def away(self, store: KeyStore, tmp_path: Path) -> AsyncIterator[Away]:
        room = StorageRoom(store, tmp_path / "recordings")
        async with Away.open(room) as away:
            yield away
        await room.end()

    async def test_playlists_files_and_the_whole_are_as_before(self, away: Away) -> None:
        before = await away.all_answers()
        assert [status for status, _ in before.values()] == [200] * len(before)
        await away.leave_disk()
        assert not away.media()
        assert await away.all_answers() == before
        # So are they where the disk was lost.
        shutil.rmtree(away.room.directory)
        assert await away.all_answers() == before

    async def test_pictures_of_a_disk_that_was_lost_are_brought(self, away: Away) -> None:
        folder = folder_in(away.room.directory)
        document = read_document(folder.ended)
        assert document is not None
        folder.thumbnails.mkdir(parents=True)
        (folder.thumbnails / "thumb.jpg").write_bytes(b"a poster")
        picture = RecordedFile(
            "media/thumbnails/latest/thumb.jpg", len(b"a poster"), hashlib.sha256(b"a poster").hexdigest()
        )
        write_document(folder.ended, replace(document, files=(*document.files, picture)))
        await away.leave_disk()
        shutil.rmtree(away.room.directory)
        assert await away.get(f"{away.url}/poster.jpg") == (200, b"a poster")
        assert (await away.get(f"{away.url}/storyboard.vtt"))[0] == 404
        _, facts = await away.get(f"/api/v1/recordings/{folder.id}")
        assert json.loads(facts)["poster"] == f"{away.url}/poster.jpg"
        assert json.loads(facts)["storyboard"] is None

    async def test_ranges_go_over_the_objects(self, away: Away) -> None:
        await away.leave_disk()
        _, whole = await away.get(f"{away.url}.mp4")
        for text, wanted in (
            ("bytes=0-0", whole[:1]),
            ("bytes=5-200000", whole[5:200001]),
            ("bytes=-7", whole[-7:]),
            (f"bytes={len(whole) - 1}-", whole[-1:]),
        ):
            assert await away.get(f"{away.url}.mp4", Range=text) == (206, wanted)
        assert (await away.get(f"{away.url}.mp4", Range=f"bytes={len(whole)}-"))[0] == 416

    async def test_a_bucket_that_is_away_is_told_of_and_comes_back(self, away: Away) -> None:
        await away.leave_disk()
        away.room.bucket.fault = StorageFault.UNREACHABLE
        for path in (".mp4", "/main/000000.m4s"):
            assert (await away.get(away.url + path))[0] == 503
        # The small files are on the disk.
        assert (await away.get(f"{away.url}/main.m3u8"))[0] == 200
        away.room.bucket.fault = None
        assert (await away.get(f"{away.url}.mp4"))[0] == 200

    async def test_one_that_goes_away_in_the_middle_ends_the_connection(self, away: Away) -> None:
        await away.leave_disk()
        async with away.client.get(f"{away.url}.mp4") as answer:
            await answer.content.readexactly(1000)
            away.room.bucket.fault = StorageFault.TIMEOUT
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()

    async def test_made_up_names_cost_the_bucket_nothing(self, away: Away) -> None:
        await away.leave_disk()
        away.room.bucket.reads.clear()
        away.room.bucket.fault = StorageFault.UNREACHABLE
        for path in ("/main/000099.m4s", "/other/000000.m4s", "/main/init7.mp4"):
            assert (await away.get(away.url + path))[0] == 404
        assert away.room.bucket.reads == []

    async def test_a_deleted_one_is_gone_and_what_is_sent_of_it_ends(self, away: Away) -> None:
        await away.leave_disk()
        record = await away.room.record()
        async with away.client.get(f"{away.url}.mp4") as answer:
            await answer.content.readexactly(1000)
            await away.room.recorder.retention.delete(record, Actor("operator", ""), "unwanted")
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        assert (await away.get(f"{away.url}.mp4"))[0] == 410

    async def test_viewers_may_be_sent_to_the_bucket(self, store: KeyStore, tmp_path: Path) -> None:
        room = StorageRoom(store, tmp_path / "recordings", serve="https://cdn.example.org/live")
        async with Away.open(room) as away:
            await away.leave_disk()
            path = f"{(await room.record()).path}/media/hls/main/000000.m4s"
            async with away.client.get(f"{away.url}/main/000000.m4s", allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (302, f"https://cdn.example.org/live/{path}")
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
                assert answer.headers["Cache-Control"] == "max-age=60"
            assert (await away.get(f"{away.url}.mp4"))[0] == 200
        await room.end()

    async def test_the_way_to_the_bucket_is_kept_by_nobody_where_not_everybody_may_watch(
        self, store: KeyStore, tmp_path: Path
    ) -> None:
        # A cache in front leaves the ticket out of the name under which it would keep it.
        room = StorageRoom(store, tmp_path / "recordings", serve="https://cdn.example.org/live")
        async with Away.open(room) as away:
            await away.leave_disk()
            record = await room.record()
            away.house.rule(record.user, Policy.SIGNED)
            viewing = away.house.gate.admit(record.id, token(sub=record.id), Audience.VIDEO, Visitor("127.0.0.1"))
            at = f"{away.url}/~{viewing.text}/main/000000.m4s"
            async with away.client.get(at, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Cache-Control"]) == (302, "no-store")
            async with away.client.get(f"{away.url}/main/000000.m4s", allow_redirects=False) as answer:
                assert (answer.status, "Location" in answer.headers) == (401, False)
        await room.end()


@dataclass
class Away:
    """A recording of Alice's that goes to a bucket, and a viewer."""

    room: StorageRoom
    client: TestClient[web.Request, web.Application]
    folder: RecordingFolder
    house: GateHouse

    @staticmethod
    @contextlib.asynccontextmanager
    async def open(room: StorageRoom) -> AsyncIterator[Away]:
        folder = room.write(content=bytes(range(256)) * 8192)
        await room.record()
        house = GateHouse(Policy.PUBLIC)
        routes = VodRoutes(
            recorder=room.recorder,
            is_taken_down=lambda _: False,
            clock=room.clock,
            metrics=room.metrics,
            timeouts=MediaTimeouts,
            stored=room.storage.stored,
            entrance=WebEntrance(house.gate, cast("ViewerHook", None)),
        )
        app = web.Application(middlewares=[refusals])
        harden(app)
        routes.add_to(app)
        VodPictures(routes).add_to(app)
        async with TestClient(TestServer(app), auto_decompress=False) as client:
            yield Away(room, client, folder, house)

    @property
    def url(self) -> str:
        return f"/vod/{self.folder.id}"

    def media(self) -> list[Path]:
        return sorted(self.folder.path.rglob("*.m4s"))

    async def leave_disk(self) -> None:
        """Have its media in the bucket alone."""
        self.room.storage.has_ended(await self.room.record())
        await self.room.settle()

    async def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        async with self.client.get(path, headers={"Accept-Encoding": "identity", **headers}) as answer:
            return answer.status, await answer.read()

    async def all_answers(self) -> dict[str, tuple[int, bytes]]:
        """Every address of it, and what is there."""
        files = ("/index.m3u8", "/main.m3u8", ".mp4", *(f"/main/{name}" for name in ("000000.m4s", "000002.m4s")))
        return {path: await self.get(self.url + path) for path in (*files, "/main/init0.mp4", "/main/playlist.m3u8")}

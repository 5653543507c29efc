"""Clips as strangers ask for them, over a real index and real files."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.clock import ManualClock
from streamd.doors.delivery.trusted_proxies import TrustedProxies
from streamd.doors.web.headers import harden
from streamd.doors.web.json_api import ForbiddenError, NotFoundError
from streamd.doors.web.models.clips import ClipChange, ClipRequest, OwnClipsQuery
from streamd.doors.web.public.clips import HOUR_S, LOOK_UPS_MAX, ClipRoutes, _editor
from streamd.doors.web.public.forwarded import as_forwarded
from streamd.doors.web.public.media import MediaTimeouts
from streamd.doors.web.public.own_clips import OwnClipDesk
from streamd.doors.web.public.own_recordings import ACTS_AT_ONCE_MAX, OwnRecordingDesk, TooManyActsError
from streamd.doors.web.public.vod import VodRoutes
from streamd.doors.web.public.web_entrance import WebEntrance, refusals
from streamd.errors import ClipRefusedError
from streamd.formats.cmaf.box import box
from streamd.services.audit.records import Actor
from streamd.services.events.event import unheard
from streamd.services.metrics import Metrics
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.policy import Policy
from streamd.services.playback.view_blocks import ViewBlock
from streamd.services.recording.clip_index import ClipIndex
from streamd.services.recording.clip_records import Clip, ClipMaker
from streamd.services.recording.clip_times import ClipTimes
from streamd.services.recording.clips import ClipOptions, Clips
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.records import RecordingMode, Visibility
from streamd.services.recording.verify import find_recordings
from tests.formats.cmaf.test_decode_times import header, traf
from tests.support.playback_gate import GateHouse
from tests.support.recordings import MAIN, STARTED_AT, append, folder_in, new_writer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from streamd.services.keys.admission import Admission
    from streamd.services.keys.key_store import KeyStore
    from streamd.services.recording.folder import RecordingFolder

pytestmark = pytest.mark.asyncio

HEADER = header((1, 90_000), (2, 48_000))
# An hour into a broadcast; the sound begins a moment before the picture.
BEGAN_S = 3600


def segment(number: int) -> bytes:
    """Two parts of a second."""
    parts = []
    for second in (2 * number, 2 * number + 1):
        tracks = traf(1, (BEGAN_S + second) * 90_000), traf(2, (BEGAN_S + second) * 48_000 - 480)
        parts.append(box(b"moof", *tracks) + box(b"mdat", b"%03d" % second * 200))
    return b"".join(parts)


@dataclass
class Door:
    """The routes, a recording of Alice's of 20 s, and a viewer."""

    recorder: Recorder
    clips: Clips
    client: TestClient[web.Request, web.Application]
    folder: RecordingFolder
    clock: ManualClock
    routes: ClipRoutes
    taken_down: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    gate: PlaybackGate = field(default_factory=lambda: GateHouse(Policy.PUBLIC).gate)

    async def make(self, start: int = 2000, end: int = 6000) -> Clip:
        record = await self.recorder.index.find(self.folder.id)
        assert record is not None
        return await self.clips.make(record, ClipTimes(start, end), "", Actor("admin"))

    async def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        headers.setdefault("Accept_Encoding", "identity")
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.get(path, headers=fields) as answer:
            return answer.status, await answer.read()

    async def post(self, **body: object) -> tuple[int, dict[str, Any]]:
        async with self.client.post("/api/v1/clips", json=body) as answer:
            return answer.status, await answer.json(content_type=None)

    async def statuses(self, clip: Clip) -> set[int]:
        names = (".mp4", "/index.m3u8", "/main.m3u8", "/main/clip0.mp4")
        paths = [*(f"/vod/{clip.id}{name}" for name in names), f"/api/v1/clips/{clip.id}"]
        return {(await self.get(path))[0] for path in paths}


@pytest_asyncio.fixture
async def door(store: KeyStore, tmp_path: Path) -> AsyncIterator[Door]:
    clock = ManualClock(STARTED_AT)
    recorder = Recorder(RecorderOptions(RecordingMode.ALL, tmp_path), index := RecordingIndex(store.database), clock)
    folder = folder_in(tmp_path)
    writer = new_writer(folder)
    writer.set_header(MAIN, HEADER, 2)
    for number in range(10):
        append(writer, segment(number), at_ms=2000 * number)
    writer.finish(STARTED_AT)
    writer.close()
    (record,) = find_recordings(tmp_path)
    await index.save(record)
    clips = Clips(
        ClipOptions(ClipMaker.VIEWERS, per_address_per_hour=2),
        recorder=recorder,
        index=ClipIndex(store.database, index),
        clock=clock,
        tell=unheard,
    )
    taken_down: set[str] = set()
    hidden: set[str] = set()
    gate = GateHouse(Policy.PUBLIC).gate
    vod = VodRoutes(
        recorder=recorder,
        is_taken_down=taken_down.__contains__,
        is_hidden=hidden.__contains__,
        clock=clock,
        metrics=Metrics(),
        timeouts=MediaTimeouts,
        entrance=WebEntrance(gate, cast("Any", None)),
    )
    app = web.Application(middlewares=[as_forwarded(TrustedProxies(["127.0.0.1/32"])), refusals])
    harden(app)
    routes = ClipRoutes(clips, vod, recorder, clock, hidden.__contains__)
    routes.add_to(app)
    vod.add_to(app)
    async with TestClient(TestServer(app), auto_decompress=False) as client:
        yield Door(recorder, clips, client, folder, clock, routes, taken_down, hidden, gate)
    await recorder.close()


async def test_its_playlists_name_it_and_nothing_of_its_recording(door: Door) -> None:
    clip = await door.make()
    status, index = await door.get(f"/vod/{clip.id}/index.m3u8")
    assert (status, b"\nmain.m3u8\n" in index) == (200, True)
    status, text = await door.get(f"/vod/{clip.id}/main.m3u8")
    assert status == 200
    size = len(segment(1))
    assert text.decode().split("\n") == [
        *("#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-TARGETDURATION:2", "#EXT-X-PLAYLIST-TYPE:VOD"),
        "#EXT-X-MEDIA-SEQUENCE:0",
        f'#EXT-X-MAP:URI="main/clip0.mp4",BYTERANGE="{len(HEADER)}@0"',
        *("#EXT-X-PROGRAM-DATE-TIME:2026-03-01T12:00:02.000Z", "#EXTINF:2.00000,"),
        *(f"#EXT-X-BYTERANGE:{size}@{len(HEADER)}", "main/clip0.mp4"),
        *("#EXT-X-PROGRAM-DATE-TIME:2026-03-01T12:00:04.000Z", "#EXTINF:2.00000,"),
        *(f"#EXT-X-BYTERANGE:{size}@{len(HEADER) + size}", "main/clip0.mp4"),
        *("#EXT-X-ENDLIST", ""),
    ]
    assert gzip.decompress((await door.get(f"/vod/{clip.id}/main.m3u8", Accept_Encoding="gzip"))[1]) == text


async def test_its_media_is_that_of_the_recording(door: Door) -> None:
    clip = await door.make()
    url = f"/vod/{clip.id}/main/clip0.mp4"
    whole = HEADER + segment(1) + segment(2)
    assert await door.get(url) == (200, whole)
    assert await door.get(url, Range="bytes=10-999") == (206, whole[10:1000])
    assert await door.get(url, Range="bytes=-5") == (206, whole[-5:])
    assert (await door.get(url, Range=f"bytes={len(whole)}-"))[0] == 416


async def test_as_one_mp4_it_begins_at_0(door: Door) -> None:
    clip = await door.make()
    status, body = await door.get(f"/vod/{clip.id}.mp4")
    assert status == 200
    assert len(body) == len(HEADER + segment(1) + segment(2))
    # As recorded, but 3602 s earlier, and what was 10 ms before that is at 0, too.
    expected = HEADER
    for second in range(2, 6):
        tracks = traf(1, (second - 2) * 90_000 + 900), traf(2, (second - 2) * 48_000)
        expected += box(b"moof", *tracks) + box(b"mdat", b"%03d" % second * 200)
    assert body == expected
    for start in range(0, len(expected), 7):
        asked = f"bytes={start}-{start + 12}"
        assert (await door.get(f"/vod/{clip.id}.mp4", Range=asked))[1] == expected[start : start + 13]
    async with door.client.get(f"/vod/{clip.id}.mp4") as answer:
        assert answer.headers["Content-Disposition"] == 'attachment; filename="alice 2026-03-01 12.00.02.mp4"'
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert await answer.read() == expected
    assert (await door.get(f"/vod/{clip.id}.mp4?variant=other"))[0] == 404
    assert (await door.get(f"/vod/{clip.id}.mp4?run=1"))[0] == 409
    assert (await door.get(f"/vod/{clip.id}.mp4?run=%C2%B2"))[0] == 409


async def test_behind_a_proxy_that_has_put_the_server_under_a_path_addresses_begin_with_it(door: Door) -> None:
    prefix = {"X-Forwarded-Prefix": "/tv"}
    body = {"recording": door.folder.id, "last_s": 4}
    async with door.client.post("/api/v1/clips", json=body, headers=prefix) as made:
        clip = await made.json()
        assert (made.status, made.headers["Location"]) == (201, f"/tv/api/v1/clips/{clip['id']}")
    for path in (f"/api/v1/clips/{clip['id']}", f"/api/v1/recordings/{door.folder.id}"):
        _, body_then = await door.get(path, X_Forwarded_Prefix="/tv")
        facts = json.loads(body_then)
        assert {facts[name].split("/")[1] for name in ("playlist", "mp4", "watch")} == {"tv"}
    # Whoever comes by themselves has the addresses without it.
    assert json.loads((await door.get(path))[1])["watch"] == f"/watch/vod/{door.folder.id}"


async def test_nothing_else_is_under_its_name(door: Door) -> None:
    clip = await door.make()
    for path in (
        "other.m3u8",
        "main/clip1.mp4",
        "main/000000.m4s",
        "main/init0.mp4",
        "main/..%2f..%2fx",
        "x/clip0.mp4",
    ):
        assert (await door.get(f"/vod/{clip.id}/{path}"))[0] == 404, path
    for path in ("clip_../index.m3u8", "clip_/index.m3u8", "clip_01aryz6s41tsv4rrffq69g5fav/index.m3u8"):
        assert (await door.get(f"/vod/{path}"))[0] == 404, path


async def test_one_that_was_taken_down_by_itself_is_gone_and_others_are_not(door: Door) -> None:
    clip, other = await door.make(), await door.make()
    assert await door.statuses(clip) == {200}
    door.hidden.add(clip.id)
    assert await door.statuses(clip) == {410}
    assert await door.statuses(other) == {200}
    door.hidden.clear()
    assert await door.statuses(clip) == {200}
    # It goes with its recording, too.
    door.hidden.add(door.folder.id)
    assert await door.statuses(clip) == {410}


async def test_one_that_is_blocked_by_itself_or_with_its_recording_or_channel(door: Door) -> None:
    clip, other = await door.make(), await door.make()
    for subject, statuses in ((clip.id, {200}), (door.folder.id, {451}), ("alice", {451})):
        door.gate.block(ViewBlock(subject), "blk_1")
        assert await door.statuses(clip) == {451}
        assert await door.statuses(other) == statuses
        door.gate.unblock(ViewBlock(subject), "blk_1")
    assert await door.statuses(clip) == {200}


async def test_it_goes_with_what_it_is_of(door: Door) -> None:
    clip = await door.make()
    assert await door.statuses(clip) == {200}
    door.taken_down.add("alice")
    assert await door.statuses(clip) == {410}
    door.taken_down.clear()
    await door.recorder.index.change(door.folder.id, visibility=Visibility.PRIVATE)
    assert await door.statuses(clip) == {404}
    await door.recorder.index.change(door.folder.id, visibility=Visibility.UNLISTED)
    assert await door.statuses(clip) == {200}
    record = await door.recorder.index.find(door.folder.id)
    assert record is not None
    await door.recorder.retention.delete(record, Actor("admin"), "taken down")
    assert await door.statuses(clip) == {410}


async def test_one_that_is_deleted_is_gone_at_once(door: Door) -> None:
    clip, other = await door.make(), await door.make()
    assert await door.statuses(clip) == {200}
    await door.clips.delete(clip, Actor("admin"), "")
    assert await door.statuses(clip) == {410}
    assert await door.statuses(other) == {200}


async def test_viewers_make_some_an_hour(door: Door) -> None:
    asked = {"recording": door.folder.id, "start": 2, "end": 6, "title": "<b>mine</b>"}
    status, made = await door.post(**asked)
    assert (status, made["state"], made["title"]) == (201, "ready", "<b>mine</b>")
    assert (made["start_actual"], made["end_actual"]) == (2, 6)
    assert made.keys() & {"recording", "created_by", "bytes"} == set()
    clip = await door.clips.index.find(made["id"])
    assert clip is not None
    assert clip.created_by == "viewer"
    assert await door.statuses(clip) == {200}
    assert (await door.post(**asked))[0] == 201
    assert (await door.post(**asked))[0] == 429
    door.clock.advance(HOUR_S / 2)
    assert (await door.post(**asked))[0] == 201
    assert (await door.post(**asked))[0] == 429
    # What operators set from now on holds from now on.
    door.clips.options = replace(door.clips.options, per_address_per_hour=0)
    door.clock.advance(HOUR_S)
    assert (await door.post(**asked))[0] == 429
    door.clips.options = replace(door.clips.options, per_address_per_hour=100)
    assert (await door.post(**asked))[0] == 201


@pytest.mark.parametrize("who", [ClipMaker.OFF, ClipMaker.OPERATORS, ClipMaker.BROADCASTERS])
async def test_viewers_make_none_where_they_may_not(door: Door, who: ClipMaker) -> None:
    door.clips.options = replace(door.clips.options, who=who)
    assert (await door.post(recording=door.folder.id, last_s=4))[0] == 403


async def test_viewers_make_none_of_what_they_may_not_see(door: Door) -> None:
    await door.recorder.index.change(door.folder.id, visibility=Visibility.PRIVATE)
    assert (await door.post(recording=door.folder.id, last_s=4))[0] == 404
    await door.recorder.index.change(door.folder.id, visibility=Visibility.PUBLIC)
    door.taken_down.add("alice")
    assert (await door.post(recording=door.folder.id, last_s=4))[0] == 404
    assert (await door.post(stream="alice", last_s=4))[0] == 409
    assert (await door.post(recording="rec_01aryz6s41tsv4rrffq69g5fav", last_s=4))[0] == 404


async def test_what_is_kept_of_them_is_counted(door: Door) -> None:
    clip = await door.make()
    assert door.routes.held_bytes == 0
    await door.get(f"/vod/{clip.id}/main.m3u8")
    held_bytes = door.routes.held_bytes
    assert held_bytes > 0
    await door.get(f"/vod/{(await door.make()).id}/main.m3u8")
    assert door.routes.held_bytes == 2 * held_bytes
    await door.clips.delete(clip, Actor("admin"), "")
    await door.get(f"/vod/{clip.id}/main.m3u8")
    # The index is asked anew for each.
    assert door.routes.held_bytes <= held_bytes


async def test_strangers_who_try_ids_are_asked_for_together(door: Door) -> None:
    clip = await door.make()
    asked: list[str] = []
    find = door.clips.index.find

    async def slow(clip_id: str) -> Clip | None:
        asked.append(clip_id)
        await asyncio.sleep(0)
        return await find(clip_id)

    door.clips.index.find = slow  # type: ignore[method-assign]
    answers = await asyncio.gather(*(door.get(f"/api/v1/clips/{clip.id}") for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    assert len(asked) == 1
    ids = [f"clip_01kjmg3m00aaaaaaaaaaaaaa{number:02d}" for number in range(3 * LOOK_UPS_MAX)]
    answers = await asyncio.gather(*(door.get(f"/api/v1/clips/{each}") for each in ids))
    assert {status for status, _ in answers} <= {404, 503}


class TestBroadcasters:
    """In the studio, which knows who they are."""

    ALICE, BOB = (cast("Admission", SimpleNamespace(user=user, key_id=f"key of {user}")) for user in ("alice", "bob"))

    def desk(self, door: Door, who: ClipMaker = ClipMaker.BROADCASTERS) -> OwnClipDesk:
        door.clips.options = replace(door.clips.options, who=who)
        return OwnClipDesk(door.clips, door.recorder, OwnRecordingDesk(door.recorder, door.clock))

    def asked(self, **fields: object) -> ClipRequest:
        return ClipRequest.model_validate({"last_s": 4, **fields})

    async def test_make_list_and_delete_their_own(self, door: Door) -> None:
        desk = self.desk(door)
        made = await desk.make(self.ALICE, "192.0.2.1", self.asked(recording=door.folder.id, title="mine"))
        assert (made.title, made.end_actual) == ("mine", 20)
        clip = await door.clips.index.find(made.id)
        assert clip is not None
        assert clip.created_by == "studio"
        assert await door.statuses(clip) == {200}
        page = await desk.page("alice", OwnClipsQuery())
        assert ([each.id for each in page.clips], page.next_before, page.may_make) == ([made.id], None, True)
        assert (await desk.page("bob", OwnClipsQuery())).clips == []
        renamed = await desk.change(self.ALICE, "192.0.2.1", made.id, ClipChange(title="the goal"))
        assert renamed == made.model_copy(update={"title": "the goal"})
        assert (await desk.page("alice", OwnClipsQuery())).clips == [renamed]
        with pytest.raises(NotFoundError):
            await desk.change(self.BOB, "192.0.2.2", made.id, ClipChange(title="theirs"))
        with pytest.raises(NotFoundError):
            await desk.delete(self.BOB, "192.0.2.2", made.id)
        await desk.delete(self.ALICE, "192.0.2.1", made.id)
        assert await door.statuses(clip) == {410}
        for clip_id in (made.id, "clip_..", door.folder.id):
            with pytest.raises(NotFoundError):
                await desk.delete(self.ALICE, "192.0.2.1", clip_id)

    async def test_make_none_of_others(self, door: Door) -> None:
        desk = self.desk(door)
        for fields in ({"recording": door.folder.id}, {"stream": "alice"}):
            with pytest.raises(NotFoundError):
                await desk.make(self.BOB, "192.0.2.2", self.asked(**fields))
        with pytest.raises(ClipRefusedError, match="not being recorded"):
            await desk.make(self.ALICE, "192.0.2.1", self.asked(stream="alice"))

    async def test_make_none_where_operators_alone_may(self, door: Door) -> None:
        desk = self.desk(door, ClipMaker.OPERATORS)
        with pytest.raises(ForbiddenError):
            await desk.make(self.ALICE, "192.0.2.1", self.asked(recording=door.folder.id))
        assert not (await desk.page("alice", OwnClipsQuery())).may_make

    async def test_do_not_do_more_than_by_hand(self, door: Door) -> None:
        desk = self.desk(door)
        for _ in range(ACTS_AT_ONCE_MAX):
            await desk.make(self.ALICE, "192.0.2.1", self.asked(recording=door.folder.id))
        with pytest.raises(TooManyActsError):
            await desk.make(self.ALICE, "192.0.2.1", self.asked(recording=door.folder.id))


class TestOtherBytesInAFile:
    async def edited(self, pieces: list[bytes], changes: list[tuple[int, bytes]], start: int = 0) -> bytes:
        async def given() -> AsyncGenerator[bytes | memoryview]:
            for piece in pieces:
                yield piece

        edit = _editor(changes)
        assert edit is not None
        return b"".join([bytes(piece) async for piece in edit(given(), start)])

    @pytest.mark.parametrize("size", range(1, 12))
    async def test_are_put_wherever_pieces_end(self, size: int) -> None:
        data = bytes(40)
        changes = [(3, b"abcdefgh"), (11, b"ijkl"), (30, b"mn"), (38, b"opqr")]
        expected = bytearray(data + bytes(2))
        for place, other in changes:
            expected[place : place + len(other)] = other
        for start in range(40):
            pieces = [data[at : min(at + size, 40)] for at in range(start, 40, size)]
            assert await self.edited(pieces, changes, start) == bytes(expected[start:40])

    async def test_are_none_where_nothing_changes(self) -> None:
        assert _editor([]) is None

"""The pictures of recordings as strangers ask for them, over a real index and real files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.clock import ManualClock
from streamd.doors.web.headers import harden
from streamd.doors.web.public.media import MediaTimeouts
from streamd.doors.web.public.vod import VodRoutes
from streamd.doors.web.public.vod_pictures import VodPictures
from streamd.services.metrics import Metrics
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.records import RecordingMode, Visibility
from streamd.services.recording.verify import find_recordings
from tests.support.recordings import MAIN, STARTED_AT, append, folder_in, new_writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore
    from streamd.services.recording.folder import RecordingFolder

pytestmark = pytest.mark.asyncio

FILES = {"thumb.jpg": b"a poster", "storyboard.vtt": b"WEBVTT\n", "storyboard-0.jpg": b"a sheet"}


class Door:
    """A complete recording of Alice's with pictures, and a viewer."""

    def __init__(self, client: TestClient[web.Request, web.Application], recorder: Recorder) -> None:
        self.client = client
        self.recorder = recorder
        self.folder: RecordingFolder = folder_in(recorder.options.directory)
        self.taken_down: set[str] = set()

    async def enter(self, files: dict[str, bytes]) -> None:
        writer = new_writer(self.folder)
        writer.set_header(MAIN, b"ftyp+moov", 2)
        append(writer, b"media")
        writer.finish(STARTED_AT)
        writer.close()
        (record,) = find_recordings(self.recorder.options.directory)
        await self.recorder.index.save(record)
        if files:
            self.folder.thumbnails.mkdir(parents=True)
        for name, content in files.items():
            (self.folder.thumbnails / name).write_bytes(content)

    async def get(self, path: str, **headers: str) -> tuple[int, str, bytes]:
        async with self.client.get(path, headers=headers) as answer:
            return answer.status, answer.headers["Content-Type"], await answer.read()

    async def statuses(self) -> set[int]:
        names = ("poster.jpg", "storyboard.vtt", "storyboard-0.jpg")
        return {(await self.get(f"/vod/{self.folder.id}/{name}"))[0] for name in names}


@pytest_asyncio.fixture
async def door(store: KeyStore, tmp_path: Path) -> AsyncIterator[Door]:
    recorder = Recorder(
        RecorderOptions(RecordingMode.ALL, tmp_path), RecordingIndex(store.database), clock := ManualClock()
    )
    taken_down: set[str] = set()
    vod = VodRoutes(
        recorder=recorder,
        is_taken_down=taken_down.__contains__,
        clock=clock,
        metrics=Metrics(),
        timeouts=MediaTimeouts,
    )
    app = web.Application()
    harden(app)
    vod.add_to(app)
    VodPictures(vod).add_to(app)
    async with TestClient(TestServer(app)) as client:
        door = Door(client, recorder)
        door.taken_down = taken_down
        yield door
    await recorder.close()


async def test_they_are_sent_as_they_lie(door: Door) -> None:
    await door.enter(FILES)
    url = f"/vod/{door.folder.id}"
    assert await door.get(f"{url}/poster.jpg") == (200, "image/jpeg", b"a poster")
    assert await door.get(f"{url}/storyboard.vtt") == (200, "text/vtt; charset=utf-8", b"WEBVTT\n")
    assert await door.get(f"{url}/storyboard-0.jpg") == (200, "image/jpeg", b"a sheet")
    assert (await door.get(f"{url}/poster.jpg", Range="bytes=2-3"))[::2] == (206, b"po")
    async with door.client.get(f"/api/v1/recordings/{door.folder.id}") as answer:
        facts = await answer.json()
    assert (facts["poster"], facts["storyboard"]) == (f"{url}/poster.jpg", f"{url}/storyboard.vtt")


async def test_a_recording_without_any_says_so(door: Door) -> None:
    await door.enter({})
    assert await door.statuses() == {404}
    async with door.client.get(f"/api/v1/recordings/{door.folder.id}") as answer:
        facts = await answer.json()
    assert (facts["poster"], facts["storyboard"]) == (None, None)


@pytest.mark.parametrize(
    "name",
    [
        "storyboard-1.jpg",
        "storyboard-00000.jpg",
        "storyboard--1.jpg",
        "storyboard-x.jpg",
        "thumb.jpg",
        "..%2fthumb.jpg",
    ],
)
async def test_no_other_file_is_there(door: Door, name: str) -> None:
    await door.enter(FILES)
    assert (await door.get(f"/vod/{door.folder.id}/{name}"))[0] == 404


@pytest.mark.parametrize("name", ["poster.jpg", "storyboard.vtt", "storyboard-0.jpg"])
@pytest.mark.parametrize("recording_id", ["..", "..%2f..", "rec_..", "rec_01aryz6s41tsv4rrffq69g5fav"])
async def test_an_id_is_no_path(door: Door, recording_id: str, name: str) -> None:
    await door.enter(FILES)
    assert (await door.get(f"/vod/{recording_id}/{name}"))[0] == 404


async def test_they_go_with_their_recording(door: Door) -> None:
    await door.enter(FILES)
    assert await door.statuses() == {200}
    door.taken_down.add("alice")
    assert await door.statuses() == {410}
    door.taken_down.clear()
    await door.recorder.index.change(door.folder.id, visibility=Visibility.PRIVATE)
    assert await door.statuses() == {404}

"""The past as the routes keep it for viewers to come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.clock import ManualClock
from streamd.doors.web.public.dvr import DvrRoutes
from streamd.doors.web.public.media import MediaTimeouts
from streamd.doors.web.public.vod import VodRoutes
from streamd.services.live.waiters import WaiterBudget
from streamd.services.metrics import Metrics
from streamd.services.recording.folder import RecordingFolder
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.past import Pasts
from streamd.services.recording.playlist_file import parse_playlist
from streamd.services.recording.recorder import Recorder, RecorderOptions, RecordingMode
from tests.services.recording.test_past_playlist import segment
from tests.support.storage import StorageRoom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore

pytestmark = pytest.mark.asyncio

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Door:
    """The routes of the past, and a viewer."""

    def __init__(self, recorder: Recorder, pasts: Pasts, directory: Path, vod: VodRoutes | None = None) -> None:
        self.pasts = pasts
        self.directory = directory
        self.routes = DvrRoutes(
            pasts=pasts,
            recorder=recorder,
            is_taken_down=lambda _: False,
            metrics=Metrics(),
            timeouts=MediaTimeouts,
            vod=vod,
        )
        app = web.Application()
        self.routes.add_to(app)
        self.client: TestClient[web.Request, web.Application] = TestClient(TestServer(app))

    def begin(self, recording_id: str, segments: int) -> None:
        """Have Alice broadcast some segments of two seconds."""
        past = self.pasts.begin("alice", RecordingFolder(self.directory / recording_id), AT, WaiterBudget(10))
        assert past is not None
        past.set_target("main", 2)
        for number in range(segments):
            past.add("main", segment(number))

    async def get(self, *queries: str) -> None:
        """Ask for the playlist with each of some queries."""
        for query in queries:
            asked = self.client.get(f"/live/alice/dvr/main.m3u8{query}", headers={"Accept-Encoding": "gzip"})
            async with asked as answer:
                assert (answer.status, (await answer.read())[:7]) == (200, b"#EXTM3U")


@pytest_asyncio.fixture
async def door(store: KeyStore, tmp_path: Path) -> AsyncIterator[Door]:
    clock = ManualClock(AT)
    recorder = Recorder(RecorderOptions(RecordingMode.OFF, tmp_path), RecordingIndex(store.database), clock)
    door = Door(recorder, Pasts(3600, clock), tmp_path)
    async with door.client:
        yield door
    await recorder.close()


async def test_what_is_kept_for_viewers_is_counted_and_goes_with_its_past(door: Door) -> None:
    door.begin("rec_1", 300)
    assert door.routes.held_bytes == 0
    await door.get("", "?_HLS_skip=YES")
    long_bytes = door.routes.held_bytes
    assert long_bytes > 1000
    door.pasts.drop("rec_1")
    door.begin("rec_2", 1)
    await door.get("")
    assert 0 < door.routes.held_bytes < long_bytes / 3


async def test_what_an_ended_past_has_in_the_bucket_is_sent_under_its_own_name(store: KeyStore, tmp_path: Path) -> None:
    room = StorageRoom(store, tmp_path)
    folder = room.write()
    record = await room.record()
    room.storage.has_ended(record)
    await room.settle()
    assert not list(folder.path.rglob("*.m4s"))
    vod = VodRoutes(
        recorder=room.recorder,
        is_taken_down=lambda _: False,
        clock=room.clock,
        metrics=Metrics(),
        timeouts=MediaTimeouts,
        stored=room.storage.stored,
    )
    pasts = Pasts(3600, room.clock)
    door = Door(room.recorder, pasts, tmp_path, vod)
    past = pasts.begin("alice", folder, AT, WaiterBudget(10))
    assert past is not None
    past.restore({"main": parse_playlist(folder.playlist("main").read_text())})
    past.end()
    url = f"/live/alice/dvr/{record.id}/main"
    async with door.client as client:
        # Who was let in to the past is let in to no recording: they are not sent elsewhere.
        async with client.get(f"{url}/000000.m4s", allow_redirects=False, headers={"Range": "bytes=1-2"}) as answer:
            assert (answer.status, await answer.read()) == (206, b"ed")
        async with client.get(f"{url}/000009.m4s", allow_redirects=False) as answer:
            assert answer.status == 404
    await room.end()

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
from streamd.services.live.waiters import WaiterBudget
from streamd.services.metrics import Metrics
from streamd.services.recording.folder import RecordingFolder
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.past import Pasts
from streamd.services.recording.recorder import Recorder, RecorderOptions, RecordingMode
from tests.services.recording.test_past_playlist import segment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore

pytestmark = pytest.mark.asyncio

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Door:
    """The routes of the past, and a viewer."""

    def __init__(self, recorder: Recorder, pasts: Pasts, directory: Path) -> None:
        self.pasts = pasts
        self.directory = directory
        self.routes = DvrRoutes(
            pasts=pasts,
            recorder=recorder,
            is_taken_down=lambda _: False,
            metrics=Metrics(),
            timeouts=MediaTimeouts,
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

"""The past of a live stream for viewers: media that is on the disk no more, and what is kept for viewers to come."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypeVar, cast

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.clock import ManualClock
from streamd.doors.web.headers import harden
from streamd.doors.web.public.dvr import DvrRoutes
from streamd.doors.web.public.media import MediaTimeouts
from streamd.doors.web.public.web_entrance import WebEntrance, refusals
from streamd.services.live.waiters import WaiterBudget
from streamd.services.metrics import Metrics
from streamd.services.playback.claims import Audience
from streamd.services.playback.policy import Policy
from streamd.services.playback.view_blocks import ViewBlock
from streamd.services.playback.visitor import Visitor
from streamd.services.recording.folder import RecordingFolder
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.past import Pasts
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.records import RecordingMode
from streamd.services.recording.watched import Watched
from tests.services.recording.test_past_playlist import segment
from tests.support.playback_gate import GateHouse, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore
    from streamd.services.playback.hook import ViewerHook

    T = TypeVar("T")

pytestmark = pytest.mark.asyncio

RECORDING = "rec_1"
FILE = "main/000000.m4s"


class Reader:
    """Reads at once."""

    watched = Watched(ManualClock())

    async def read(self, work: Callable[[], T]) -> T:
        return work()


async def sent_on(
    house: GateHouse, path: str, directory: Path, hidden: frozenset[str] = frozenset()
) -> tuple[int, str, str]:
    """The status of an answer, where it leads, and for how long it is kept."""
    past = SimpleNamespace(
        id=RECORDING,
        name="demo",
        is_ended=True,
        may_be_read=lambda _variant, _number: True,
        folder=SimpleNamespace(variant=directory.joinpath),
    )
    routes = DvrRoutes(
        pasts=cast("Pasts", SimpleNamespace(get=lambda _name, _id: past, find=lambda _name: past)),
        recorder=cast("Recorder", Reader()),
        is_taken_down=lambda _: False,
        is_hidden=hidden.__contains__,
        metrics=Metrics(),
        timeouts=MediaTimeouts,
        entrance=WebEntrance(house.gate, cast("ViewerHook", None)),
    )
    app = web.Application(middlewares=[refusals])
    harden(app)
    routes.add_to(app)
    async with (
        TestClient(TestServer(app)) as client,
        client.get(path, allow_redirects=False) as answer,
    ):
        return answer.status, answer.headers.get("Location", ""), answer.headers["Cache-Control"]


async def test_of_an_open_channel_everybody_is_sent_to_the_recording(tmp_path: Path) -> None:
    at = f"/live/demo/dvr/{RECORDING}/{FILE}"
    assert await sent_on(GateHouse(Policy.PUBLIC), at, tmp_path) == (
        302,
        f"../../../../../vod/{RECORDING}/{FILE}",
        "no-store",
    )


@pytest.mark.parametrize("path", ["index.m3u8", "main.m3u8", f"{RECORDING}/{FILE}"])
async def test_the_past_of_a_recording_that_was_taken_down_or_blocked(tmp_path: Path, path: str) -> None:
    at = f"/live/demo/dvr/{path}"
    house = GateHouse(Policy.PUBLIC)
    assert (await sent_on(house, at, tmp_path, frozenset((RECORDING,))))[0] == 410
    for subject in (RECORDING, "demo"):
        house.gate.block(ViewBlock(subject), "blk_1")
        assert (await sent_on(house, at, tmp_path))[0] == 451
        house.gate.unblock(ViewBlock(subject), "blk_1")


async def test_who_was_let_into_the_channel_is_let_into_its_recording(tmp_path: Path) -> None:
    house = GateHouse()
    viewing = house.gate.admit("demo", token(), Audience.VIDEO, Visitor("127.0.0.1"))
    at = f"/live/demo/~{viewing.text}/dvr/{RECORDING}/{FILE}"
    status, place, caching = await sent_on(house, at, tmp_path)
    assert (status, caching) == (302, "no-store")
    found = re.fullmatch(rf"(?:\.\./)+vod/{RECORDING}/~([^/]+)/{FILE}", place)
    assert found is not None
    house.gate.enter(RECORDING, found[1], Audience.VIDEO, "127.0.0.1", watches=False, owner="demo")
    assert (await sent_on(house, f"/live/demo/dvr/{RECORDING}/{FILE}", tmp_path))[0] == 401


async def test_what_is_decided_for_the_recording_alone_is_asked_there(tmp_path: Path) -> None:
    house = GateHouse()
    house.rule(RECORDING, Policy.HOOK)
    viewing = house.gate.admit("demo", token(), Audience.VIDEO, Visitor("127.0.0.1"))
    _, place, _ = await sent_on(house, f"/live/demo/~{viewing.text}/dvr/{RECORDING}/{FILE}", tmp_path)
    assert place.endswith(f"/vod/{RECORDING}/{FILE}")


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

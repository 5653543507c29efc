"""The past of a live stream whose media is on the disk no more."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypeVar, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.doors.web.headers import harden
from streamd.doors.web.public.dvr import DvrRoutes
from streamd.doors.web.public.media import MediaTimeouts
from streamd.doors.web.public.web_entrance import WebEntrance, refusals
from streamd.services.metrics import Metrics
from streamd.services.playback.claims import Audience
from streamd.services.playback.gate import Visitor
from streamd.services.playback.policy import Policy
from tests.support.playback_gate import GateHouse, token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streamd.services.playback.hook import ViewerHook
    from streamd.services.recording.past import Pasts
    from streamd.services.recording.recorder import Recorder

    T = TypeVar("T")

pytestmark = pytest.mark.asyncio

RECORDING = "rec_1"
FILE = "main/000000.m4s"


class Reader:
    """Reads at once."""

    async def read(self, work: Callable[[], T]) -> T:
        return work()


async def sent_on(house: GateHouse, path: str, directory: Path) -> tuple[int, str, str]:
    """The status of an answer, where it leads, and for how long it is kept."""
    past = SimpleNamespace(
        id=RECORDING,
        name="demo",
        is_ended=True,
        may_be_read=lambda _variant, _number: True,
        folder=SimpleNamespace(variant=directory.joinpath),
    )
    routes = DvrRoutes(
        pasts=cast("Pasts", SimpleNamespace(get=lambda _name, _id: past)),
        recorder=cast("Recorder", Reader()),
        is_taken_down=lambda _: False,
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

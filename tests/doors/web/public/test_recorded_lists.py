"""The public recordings of a channel, as its page asks for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.clock import ManualClock
from streamd.doors.web.public.recorded_lists import PAGE_RECORDINGS, RecordedLists
from streamd.doors.web.public.web_entrance import TICKET_FIELD
from streamd.doors.web.shared_reads import HOLDS_S
from streamd.errors import PlaybackRefusedError, StoreUnavailableError
from streamd.services.recording.records import RecordingState, Visibility
from tests.support.recorded import record_of, recorder_of, recording_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.services.keys.key_store import KeyStore
    from streamd.services.playback.gate import PlaybackGate
    from streamd.services.recording.recorder import Recorder

pytestmark = pytest.mark.asyncio


@dataclass
class Door:
    """The call, and what stands behind it."""

    recorder: Recorder
    clock: ManualClock
    client: TestClient[web.Request, web.Application]
    taken_down: set[str] = field(default_factory=set)

    async def page(self, name: str = "alice", query: str = "", status: int = 200) -> dict[str, Any]:
        async with self.client.get(f"/api/v1/streams/{name}/recordings{query}") as answer:
            assert answer.status == status, await answer.text()
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            found: dict[str, Any] = await answer.json(content_type=None)
            return found

    async def ids(self, name: str = "alice", query: str = "") -> list[str]:
        return [each["id"] for each in (await self.page(name, query))["recordings"]]


@pytest_asyncio.fixture
async def door(store: KeyStore, tmp_path: Path) -> AsyncIterator[Door]:
    clock, taken_down = ManualClock(), set[str]()
    recorder = recorder_of(store, tmp_path, clock=clock)
    lists = RecordedLists(recorder, taken_down.__contains__, clock, is_hidden=taken_down.__contains__)
    app = web.Application()
    app.add_routes([web.get(operation.path, operation.handler) for operation in lists.operations()])
    async with TestClient(TestServer(app)) as client:
        yield Door(recorder, clock, client, taken_down)
    await recorder.close()


async def test_everybody_sees_what_is_public_and_the_newest_first(door: Door) -> None:
    assert await door.page() == {"recordings": [], "next_before": None}
    every: list[dict[str, Any]] = [
        {},
        {"visibility": Visibility.UNLISTED},
        {"visibility": Visibility.PRIVATE},
        {"state": RecordingState.DELETED},
        {"state": RecordingState.FAILED, "duration_ms": 0, "reason": "No space left on device"},
        {"state": RecordingState.FAILED, "reason": "No space left on device"},
        {"state": RecordingState.RECORDING},
        {"user": "bob"},
    ]
    for number, facts in enumerate(every):
        await door.recorder.index.save(record_of(number, **facts))
    door.clock.advance(HOLDS_S + 0.1)
    # Of what failed at once there is nothing to see.
    assert await door.ids() == [recording_id(6), recording_id(5), recording_id(0)]
    assert await door.ids("bob") == [recording_id(7)]
    newest = (await door.page())["recordings"][0]
    assert newest == {
        "id": recording_id(6),
        "state": "recording",
        "title": "",
        "started_at": "2026-03-01T18:00:00Z",
        "duration_s": 90.0,
        "playlist": f"/vod/{recording_id(6)}/index.m3u8",
        "mp4": f"/vod/{recording_id(6)}.mp4",
        "watch": f"/watch/vod/{recording_id(6)}",
    }, "neither its size nor its reason nor its folder"


async def test_what_is_hidden_is_hidden_at_once(door: Door) -> None:
    await door.recorder.index.save(record_of(0))
    assert await door.ids() == [recording_id(0)]
    await door.recorder.index.change(recording_id(0), visibility=Visibility.PRIVATE)
    assert await door.ids() == []


async def test_many_are_read_page_by_page(door: Door) -> None:
    for number in range(PAGE_RECORDINGS + 1):
        await door.recorder.index.save(record_of(number))
    first = await door.page()
    assert len(first["recordings"]) == PAGE_RECORDINGS
    assert await door.ids(query=f"?before={first['next_before']}") == [recording_id(0)]


async def test_a_recording_that_was_taken_down_by_itself_is_not_listed(door: Door) -> None:
    for number in range(PAGE_RECORDINGS + 1):
        await door.recorder.index.save(record_of(number))
    assert recording_id(PAGE_RECORDINGS) in await door.ids()
    # Both of the ends of a page, whose next one is found all the same.
    door.taken_down.update({recording_id(PAGE_RECORDINGS), recording_id(1)})
    door.recorder.index.note_edit()
    first = await door.page()
    assert len(first["recordings"]) == PAGE_RECORDINGS - 2
    assert await door.ids(query=f"?before={first['next_before']}") == [recording_id(0)]


async def test_a_channel_that_was_taken_down_lists_nothing(door: Door) -> None:
    await door.recorder.index.save(record_of(0))
    door.taken_down.add("alice")
    assert (await door.page(status=410))["detail"] == "This channel has been taken down."


@pytest.mark.parametrize("query", ["?before=rec_", "?before=1%20or%201=1", "?limit=5", "?before=&before="])
async def test_a_query_that_does_not_fit_is_refused(door: Door, query: str) -> None:
    await door.page(query=query, status=422)


async def test_a_name_that_is_none_has_no_page(door: Door) -> None:
    for name in ("A", "a", ".x", "x" * 65, "ä"):
        await door.page(name, status=404)


async def test_a_store_that_is_away_is_told_and_not_remembered(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def page(*_: object, **__: object) -> None:
        raise StoreUnavailableError("a secret of the database's")

    with monkeypatch.context() as away:
        away.setattr(door.recorder.index, "page", page)
        assert (await door.page(status=503))["detail"] == "Recordings cannot be looked up at the moment."
    assert await door.ids() == []


async def test_a_channel_that_is_not_for_everybody_lists_nothing_to_strangers(door: Door) -> None:
    await door.recorder.index.save(record_of(0))

    class Gate:
        """Lets in who shows the right ticket."""

        def is_locked(self, name: str) -> bool:
            return name == "alice"

        def check_blocked(self, _address: str, _name: str) -> None:
            pass

        def enter(self, _name: str, ticket: str, *_: object, **__: object) -> None:
            if ticket != "good":
                raise PlaybackRefusedError(403, "no_token", "Show a ticket.")

    lists = RecordedLists(door.recorder, lambda _: False, door.clock, gate=cast("PlaybackGate", Gate()))
    app = web.Application()
    app.add_routes([web.get(operation.path, operation.handler) for operation in lists.operations()])
    async with TestClient(TestServer(app)) as client:
        for ticket, shown in (("", 0), ("bad", 0), ("good", 1)):
            fields = {TICKET_FIELD: ticket} if ticket else {}
            async with client.get("/api/v1/streams/alice/recordings", headers=fields) as answer:
                assert answer.status == 200
                assert len((await answer.json())["recordings"]) == shown
                assert answer.headers["Cache-Control"] == "no-store"


async def test_a_page_of_which_all_was_taken_down_leads_to_the_next(door: Door) -> None:
    for number in range(PAGE_RECORDINGS + 1):
        await door.recorder.index.save(record_of(number))
    door.taken_down.update(recording_id(number) for number in range(1, PAGE_RECORDINGS + 1))
    first = await door.page()
    assert first["recordings"] == []
    assert await door.ids(query=f"?before={first['next_before']}") == [recording_id(0)]

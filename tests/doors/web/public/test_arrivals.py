from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from streamd.doors.delivery.answer import Absence
from streamd.doors.web.public import arrivals
from streamd.doors.web.public.arrivals import QUIET_S, Arrivals, ChannelState, state_of

if TYPE_CHECKING:
    from streamd.doors.delivery.channels import PublicChannels

pytestmark = pytest.mark.asyncio

OFFLINE, LIVE = ChannelState.OFFLINE, ChannelState.LIVE


class Channels:
    """How channels are, by name; the others are offline."""

    def __init__(self) -> None:
        self.states: dict[str, ChannelState] = {}
        self.looks = 0

    def __call__(self, name: str) -> ChannelState:
        self.looks += 1
        return self.states.get(name, OFFLINE)


async def turn(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_who_waits_is_answered_when_the_channel_is_another_way() -> None:
    channels = Channels()
    waiting = Arrivals(channels)
    task = asyncio.create_task(waiting.wait("alice", OFFLINE, "192.0.2.1"))
    await turn()
    waiting.look()
    await turn()
    assert not task.done()
    channels.states["bob"] = LIVE
    waiting.look()
    await turn()
    assert not task.done()
    channels.states["alice"] = LIVE
    waiting.look()
    await task
    assert waiting.waiting == 0


async def test_who_does_not_know_how_it_is_is_answered_at_once() -> None:
    channels = Channels()
    channels.states["alice"] = LIVE
    await Arrivals(channels).wait("alice", OFFLINE, "")


async def test_it_looks_by_itself_while_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "LOOK_INTERVAL_S", 0)
    channels = Channels()
    waiting = Arrivals(channels)
    task = asyncio.create_task(waiting.wait("alice", OFFLINE, ""))
    await turn()
    channels.states["alice"] = LIVE
    await task
    looks = channels.looks
    await turn(20)
    assert channels.looks == looks


async def test_the_wait_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "WAIT_S", 0)
    waiting = Arrivals(Channels())
    await waiting.wait("alice", OFFLINE, "")
    assert waiting.waiting == 0


async def test_no_more_wait_than_may_of_one_address_and_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "WAITING_MAX", 3)
    monkeypatch.setattr(arrivals, "WAITING_PER_ADDRESS_MAX", 2)
    waiting = Arrivals(Channels())
    tasks = [asyncio.create_task(waiting.wait("alice", OFFLINE, source)) for source in ("a", "a", "a", "b", "c")]
    await turn()
    assert [task.done() for task in tasks] == [False, False, True, False, True]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert waiting.waiting == 0
    assert waiting._waiting == {}


async def test_one_name_is_looked_at_once_for_all_who_wait_and_they_wake_a_slice_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrivals, "WAKE_PAUSE_S", 3600)
    channels = Channels()
    waiting = Arrivals(channels)
    count = 3 * arrivals.WAKE_SLICE
    tasks = [asyncio.create_task(waiting.wait("alice", OFFLINE, str(number))) for number in range(count)]
    await turn()
    before = channels.looks
    channels.states["alice"] = LIVE
    waiting.look()
    assert channels.looks == before + 1
    await turn()
    assert sum(task.done() for task in tasks) == arrivals.WAKE_SLICE
    for _ in range(2):
        waiting._wake_slice()
        await turn()
    await asyncio.gather(*tasks)


async def test_a_server_that_stops_answers_all() -> None:
    waiting = Arrivals(Channels())
    task = asyncio.create_task(waiting.wait("alice", OFFLINE, ""))
    await turn()
    waiting.close()
    await task
    await waiting.wait("alice", OFFLINE, "")


class TestTheState:
    def found(self, now: float = 0, **stream: object) -> ChannelState:
        values = {"is_live": True, "presentation": object(), "media_at": 0.0} | stream
        channels = SimpleNamespace(find=lambda _: SimpleNamespace(**values))
        return state_of(cast("PublicChannels", channels), "alice", now)

    async def test_of_who_is_not_there(self) -> None:
        for absence, state in ((Absence.UNKNOWN, OFFLINE), (Absence.TAKEN_DOWN, ChannelState.GONE)):
            channels = SimpleNamespace(find=lambda _, absence=absence: absence)
            assert state_of(cast("PublicChannels", channels), "alice", 0) is state
        assert self.found(is_live=False) is OFFLINE

    async def test_a_publisher_without_a_picture_yet_is_starting(self) -> None:
        assert self.found(presentation=None) is ChannelState.STARTING

    async def test_a_publisher_who_is_quiet_or_away_is_waited_for(self) -> None:
        assert self.found(QUIET_S) is LIVE
        assert self.found(QUIET_S + 0.1) is ChannelState.WAITING
        assert self.found(media_at=float("-inf")) is ChannelState.WAITING

"""What is begun behind a report: in its order, bounded, and without holding anybody up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from streamd.clock import ManualClock
from streamd.services.moderation.cases import follow_ups
from streamd.services.moderation.cases.follow_ups import AGAIN_S, WORKERS_MAX, FollowUps
from streamd.services.moderation.target import Target
from tests.support.doors import until
from tests.support.moderation import ALICE, ModerationHouse

pytestmark = pytest.mark.asyncio

AT = datetime(2026, 3, 1, tzinfo=UTC)


class Room:
    """Evidence and the machine's help in one."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, float]] = []
        self.reporters: list[str] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.fails = False

    def begin(self, case_id: str, target: Target, at_s: float, reporter: str) -> None:
        self.reporters.append(reporter)
        self.done.append(("begin", case_id, at_s))
        if self.fails:
            raise OSError("no space left")

    async def look_at(self, case_id: str, target: Target) -> None:
        self.done.append(("look_at", case_id, 0.0))
        await self.may_go_on.wait()
        if self.fails:
            raise ValueError("no picture")


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def works(room: Room, clock: ManualClock) -> FollowUps:
    works = FollowUps(clock)
    works.evidence = works.assistance = room
    return works


async def test_evidence_is_kept_and_then_looked_at(works: FollowUps, room: Room) -> None:
    assert works.begin("case_1", ALICE, AT)
    await works.drained()
    assert room.done == [("begin", "case_1", AT.timestamp()), ("look_at", "case_1", 0.0)]


async def test_whose_share_of_the_room_it_takes_is_told(works: FollowUps, room: Room) -> None:
    works.begin("case_1", ALICE, AT, reporter="somebody")
    works.begin("case_2", ALICE, AT)
    assert room.reporters == ["somebody", ""]


async def test_evidence_waits_for_no_look(works: FollowUps, room: Room) -> None:
    """A look takes seconds, and what was reported leaves the memory meanwhile."""
    room.may_go_on.clear()
    for number in range(20):
        assert works.begin(f"case_{number}", ALICE, AT)
        await asyncio.sleep(0)
    assert [case for act, case, _ in room.done if act == "begin"] == [f"case_{number}" for number in range(20)]
    room.may_go_on.set()
    await works.drained()
    assert len(room.done) == 40


async def test_a_crowd_makes_one_and_later_another(works: FollowUps, room: Room, clock: ManualClock) -> None:
    assert [works.begin("case_1", ALICE, AT) for _ in range(100)] == [True, *[False] * 99]
    clock.advance(AGAIN_S)
    assert works.begin("case_1", ALICE, AT)
    await works.drained()
    assert sorted(act for act, _, _ in room.done) == ["begin", "begin", "look_at", "look_at"]


async def test_what_fails_is_said_and_ends_nothing(
    works: FollowUps, room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    room.fails = True
    works.begin("case_1", ALICE, AT)
    works.begin("case_2", ALICE, AT)
    await works.drained()
    messages = sorted(record.message for record in caplog.records)
    assert messages == ["assistance.failed"] * 2 + ["evidence.failed"] * 2
    assert sorted(case for act, case, _ in room.done if act == "look_at") == ["case_1", "case_2"]


async def test_what_waits_is_bounded(works: FollowUps, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_ups, "WAITING_MAX", 3)
    room.may_go_on.clear()
    for number in range(4):
        works.begin(f"busy_{number}", ALICE, AT)
        await asyncio.sleep(0)
    assert [works.begin(f"case_{number}", ALICE, AT) for number in range(5)] == [True] * 3 + [False] * 2
    assert (len(works), works.dropped) == (3, 2)
    room.may_go_on.set()
    await works.drained()
    # One that was left out may come again.
    assert works.begin("case_4", ALICE, AT)
    await works.drained()


async def test_what_is_remembered_is_bounded(works: FollowUps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_ups, "REMEMBERED_MAX", 2)
    for number in range(5):
        works.begin(f"case_{number}", ALICE, AT)
    assert len(works._last) == 2
    await works.drained()


async def test_the_end_waits_for_nothing(works: FollowUps, room: Room) -> None:
    room.may_go_on.clear()
    for number in range(6):
        works.begin(f"case_{number}", ALICE, AT)
        await asyncio.sleep(0)
    await works.close()
    assert len(works) == 0
    assert len([act for act, _, _ in room.done if act == "look_at"]) == WORKERS_MAX


async def test_without_rooms_nothing_is_begun(clock: ManualClock) -> None:
    assert not FollowUps(clock).begin("case_1", ALICE, AT)


async def test_a_report_begins_it_without_waiting(house: ModerationHouse, room: Room) -> None:
    room.may_go_on.clear()
    house.moderation.follow_ups.evidence = house.moderation.follow_ups.assistance = room
    receipt = await house.report(at=house.clock.now())
    assert receipt.reference
    await until(lambda: len(room.done) == 2)
    room.may_go_on.set()
    await house.moderation.follow_ups.drained()
    assert room.done[0] == ("begin", (await house.case()).id, house.clock.now().timestamp())

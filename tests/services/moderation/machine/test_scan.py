"""Which channels are looked at, and when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from streamd.clock import ManualClock
from streamd.media.packager.presentation import Presentation
from streamd.services.metrics import Metrics
from streamd.services.moderation.machine.scan import EVERY_S, FIRST_MINUTE_S, ScanMode, Scanner, ScanOptions
from tests.support.chunk_feeder import ChunkFeeder, feed, start_rendition

if TYPE_CHECKING:
    from streamd.media.packager.rendition import Keyframe
    from streamd.services.live.channel import Channel

pytestmark = pytest.mark.asyncio


@dataclass(eq=False)
class StandInChannel:
    """What a scan sees of a channel."""

    name: str
    live_since: datetime
    presentation: Presentation | None = None
    feeder: ChunkFeeder = field(default_factory=ChunkFeeder)

    def show(self) -> None:
        """A segment more, with a keyframe."""
        if self.presentation is None:
            self.presentation = Presentation([start_rendition()])
        (rendition,) = self.presentation.renditions.values()
        feed(rendition, self.feeder, [2])


class House:
    def __init__(self, mode: ScanMode = ScanMode.ALL, pictures_per_s: int = 10) -> None:
        self.clock, self.metrics = ManualClock(), Metrics()
        self.channels: list[StandInChannel] = []
        self.looked: list[str] = []
        self.error: Exception | None = None
        self.may_look = asyncio.Event()
        self.may_look.set()
        self.scanner = Scanner(
            ScanOptions(mode, pictures_per_s),
            lambda: cast("list[Channel]", self.channels),
            self._look,
            self.clock,
            self.metrics,
        )

    async def _look(self, name: str, keyframe: Keyframe) -> None:
        assert keyframe.fragment
        self.looked.append(name)
        await self.may_look.wait()
        if self.error is not None:
            raise self.error

    def add(self, count: int = 1) -> None:
        for _ in range(count):
            channel = StandInChannel(f"c{len(self.channels)}", self.clock.now())
            channel.show()
            self.channels.append(channel)

    async def second(self, *, shows: bool = True) -> list[str]:
        """Let a second pass; who was looked at in it."""
        self.looked.clear()
        self.clock.advance(1)
        for channel in self.channels:
            if shows and channel.presentation is not None:
                channel.show()
        self.scanner.tick()
        await self.scanner.settled()
        return [*self.looked]

    @property
    def waiting(self) -> float | None:
        return self.metrics.registry.get_sample_value("streamd_moderation_scan_waiting")


async def test_each_channel_is_looked_at_each_ten_seconds() -> None:
    house = House()
    house.add(3)
    seen = [await house.second() for _ in range(21)]
    assert [second for second, names in enumerate(seen) if names] == [0, 10, 20]
    assert seen[10] == ["c0", "c1", "c2"]


@pytest.mark.parametrize("mode", [ScanMode.OFF, ScanMode.REPORTED])
async def test_none_is_looked_at_that_nobody_reported(mode: ScanMode) -> None:
    house = House(mode)
    house.add(3)
    assert [await house.second() for _ in range(12)] == [[]] * 12


async def test_the_first_minute_of_each_is_looked_at() -> None:
    house = House(ScanMode.FIRST_MINUTE)
    house.add()
    house.channels[0].live_since -= timedelta(seconds=FIRST_MINUTE_S)
    house.add()
    seen = [names for _ in range(90) if (names := await house.second())]
    assert seen == [["c1"]] * 6


async def test_no_more_are_looked_at_in_a_second_than_are_allowed_and_all_in_turn() -> None:
    house = House(pictures_per_s=4)
    house.add(100)
    seen = []
    for _ in range(50):
        names = await house.second()
        assert len(names) == 4
        seen += names
    # 40 were looked at in the last ten seconds.
    assert house.waiting == 100 - 40
    assert sorted(seen) == sorted(channel.name for channel in house.channels for _ in range(2))


async def test_a_machine_that_is_slow_is_not_given_more_before_it_is_done() -> None:
    house = House()
    house.add(5)
    house.may_look.clear()
    for _ in range(60):
        house.clock.advance(1)
        house.scanner.tick()
        await asyncio.sleep(0)
    assert house.looked == ["c0"]
    house.may_look.set()
    await house.scanner.settled()
    assert house.looked == ["c0", "c1", "c2", "c3", "c4"]
    await house.scanner.close()


async def test_a_channel_without_a_new_picture_is_not_looked_at_and_takes_no_others_turn() -> None:
    house = House(pictures_per_s=2)
    house.add(4)
    house.channels[0].presentation = house.channels[1].presentation = None
    seen = [await house.second(shows=False) for _ in range(3)]
    assert seen == [[], ["c2", "c3"], []]
    house.clock.advance(EVERY_S)
    assert await house.second(shows=False) == []
    assert await house.second(shows=False) == [], "the same segment is newest still"


async def test_a_fault_in_one_is_not_the_others(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    house.add(3)
    house.error = RuntimeError("a bug")
    assert await house.second() == ["c0", "c1", "c2"]
    assert caplog.messages == ["scan.broke"] * 3


async def test_a_stop_in_the_middle_of_a_picture_waits_for_nothing() -> None:
    house = House()
    house.add()
    house.may_look.clear()
    house.scanner.tick()
    await asyncio.sleep(0)
    await house.scanner.close()
    assert house.looked == ["c0"]
    await House().scanner.close()

from __future__ import annotations

import asyncio
import threading

import pytest

from streamd.clock import ManualClock
from streamd.process.loop_watch import BEAT_S, BLOCKED_S, LoopWatch
from streamd.services.metrics import Metrics

pytestmark = pytest.mark.asyncio


class Watched:
    """A watch on the test's own loop, whose time is the test's."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.beats = 0
        self.watch = LoopWatch(self.clock, self.metrics, self._beat)

    def _beat(self) -> None:
        self.beats += 1

    def beat_after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.watch.beat()
        self.watch.stop()  # the timer that it set would be real

    def lag_s(self) -> float:
        value = self.metrics.registry.get_sample_value("streamd_loop_lag_seconds_sum")
        assert value is not None
        return value


async def test_a_loop_in_time_is_not_late(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    watched.beat_after(BEAT_S)
    assert (watched.lag_s(), watched.beats) == (0, 1)
    assert not caplog.records


async def test_lateness_is_measured(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    watched.beat_after(BEAT_S + 0.1)
    assert watched.lag_s() == pytest.approx(0.1)
    assert not caplog.records


async def test_where_a_blocked_loop_stands_is_told_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    watched.clock.advance(BEAT_S + BLOCKED_S)

    def look() -> None:
        for _ in range(3):
            watched.watch.look()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    (record,) = caplog.records
    assert record.message == "loop.blocking"
    assert __file__ in record.__dict__["stack"]
    watched.beat_after(1)
    assert [each.message for each in caplog.records] == ["loop.blocking", "loop.blocked"]
    assert caplog.records[1].__dict__["blocked_s"] == pytest.approx(2)
    caplog.clear()
    watched.clock.advance(BEAT_S + BLOCKED_S)
    watched.watch.look()
    assert [each.message for each in caplog.records] == ["loop.blocking"], "the next time is told of as well"


async def test_it_beats_by_itself_until_it_is_stopped() -> None:
    watched = Watched()
    beaten = asyncio.Event()
    watch = LoopWatch(watched.clock, watched.metrics, beaten.set)
    watch.start()
    await beaten.wait()
    watch.stop()

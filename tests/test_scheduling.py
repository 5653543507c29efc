"""What ``pytest -n`` runs beside each other, without any worker."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support import scheduling
from tests.support.scheduling import REAL_TIME_AT_ONCE_MAX, Kind, RealTimeScheduling, kind_of, yielding_to_what_plays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xdist.workermanage import WorkerController

WATCH = [f"tests/browser/test_watch.py::test_{number}" for number in range(12)]
SERVE = [f"tests/integration/test_serve.py::test_{number}" for number in range(6)]
# It has one server for all of its tests.
ATTACKS = [f"tests/integration/test_hostile.py::test_{number}" for number in range(6)]
CHUNKS = [f"tests/formats/rtmp/test_chunk.py::test_{number}" for number in range(6)]
FLV = [f"tests/formats/flv/test_tag.py::test_{number}" for number in range(6)]


class Worker:
    """Does what it is told, in order."""

    def __init__(self) -> None:
        self.gateway = SimpleNamespace(id="gw")
        self.shutting_down = False
        self.queue: list[int] = []
        self.done: list[str] = []

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        assert not self.shutting_down
        self.queue += indices

    def shutdown(self) -> None:
        self.shutting_down = True


class Crew:
    """Some workers, and the tests that they have."""

    def __init__(self, tests: list[str], workers: int) -> None:
        config: Any = SimpleNamespace(
            option=SimpleNamespace(loadscopereorder=True), getvalue=lambda _: ["popen"] * workers
        )
        self.tests = tests
        self.workers = [Worker() for _ in range(workers)]
        self.scheduler = RealTimeScheduling(config)
        for worker in self.workers:
            self.scheduler.add_node(self._node(worker))
            self.scheduler.add_node_collection(self._node(worker), tests)
        self.scheduler.schedule()

    @staticmethod
    def _node(worker: Worker) -> WorkerController:
        return cast("WorkerController", worker)

    def running(self) -> list[Kind]:
        return [kind_of(self.tests[worker.queue[0]]) for worker in self.workers if worker.queue]

    def step(self) -> None:
        """Every worker ends the test that it has begun."""
        for worker in self.workers:
            # A worker keeps its last test until it knows what comes after, or that nothing does.
            if len(worker.queue) > 1 or (worker.queue and worker.shutting_down):
                index = worker.queue.pop(0)
                worker.done.append(self.tests[index])
                self.scheduler.mark_test_complete(self._node(worker), index)

    def finish(self) -> None:
        for _ in self.tests:
            assert self.running().count(Kind.REAL_TIME) <= REAL_TIME_AT_ONCE_MAX
            self.step()


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(
    "tests",
    [WATCH, SERVE, ATTACKS, CHUNKS, WATCH + CHUNKS, WATCH + FLV + ATTACKS + CHUNKS + SERVE],
    ids=["browser", "programs", "one server", "unit", "browser and unit", "all"],
)
def test_every_test_runs_once_however_many_workers_there_are(tests: list[str], workers: int) -> None:
    crew = Crew(tests, workers)
    crew.finish()
    assert sorted(name for worker in crew.workers for name in worker.done) == sorted(tests)
    assert crew.scheduler.tests_finished


def test_what_waits_and_what_computes_run_beside_what_plays() -> None:
    crew = Crew(WATCH + FLV + ATTACKS + CHUNKS + SERVE, 5)
    assert crew.running() == [*[Kind.REAL_TIME] * REAL_TIME_AT_ONCE_MAX, Kind.UNIT, Kind.WITH_PROGRAMS]


def test_tests_that_share_a_server_stay_together_and_others_do_not() -> None:
    crew = Crew(SERVE + ATTACKS, 2)
    crew.finish()
    assert [sum(name in worker.done for name in ATTACKS) for worker in crew.workers] in ([6, 0], [0, 6])
    assert all(any(name in worker.done for name in SERVE) for worker in crew.workers)


def test_who_has_nothing_left_to_do_beside_what_plays_goes() -> None:
    """More browsers at once would starve each other."""
    crew = Crew(WATCH, 5)
    assert [worker.shutting_down for worker in crew.workers].count(True) == 5 - REAL_TIME_AT_ONCE_MAX


@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="needs priorities of processes")
@pytest.mark.parametrize("may_go_first", [True, False])
def test_a_unit_test_yields_only_where_that_can_be_taken_back(
    monkeypatch: pytest.MonkeyPatch, *, may_go_first: bool
) -> None:
    """In a container that lacks CAP_SYS_NICE, root may not."""
    niceness = [7]

    def set_niceness(_which: int, _who: int, wanted: int) -> None:
        if wanted < niceness[-1] and not may_go_first:
            raise PermissionError
        niceness.append(wanted)

    monkeypatch.setattr("os.getpriority", lambda *_: niceness[-1])
    monkeypatch.setattr("os.setpriority", set_niceness)
    scheduling.may_take_it_back.cache_clear()
    try:
        with yielding_to_what_plays(CHUNKS[0]):
            assert niceness[-1] == 7 + scheduling.UNIT_NICENESS * may_go_first
    finally:
        scheduling.may_take_it_back.cache_clear()
    assert niceness[-1] == 7

"""Which tests run beside each other under ``pytest -n``: those that play in real time are not to starve each other.

What waits, waits together: a test of the real programs takes a quarter of a core, and a unit test all of one. So there
are some of the first at a time, and one file of the second beside them.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xdist.workermanage import WorkerController

ROOT = Path(__file__).parents[2]
# What a browser or an encoder does at once, at the speed at which a viewer would see it.
REAL_TIME = ("tests/browser/", "tests/integration/test_obs", "tests/integration/test_clients")
WITH_PROGRAMS = (*REAL_TIME, "tests/integration/")
# A browser or an encoder takes a third of a core, and two cores have the servers as well.
REAL_TIME_AT_ONCE_MAX = 3
UNIT_AT_ONCE_MAX = 1
# As few points as let a program that plays in real time go first; a unit test still gets on where others take it all.
UNIT_NICENESS = 5


class Kind(enum.Enum):
    """What the tests of a file take."""

    REAL_TIME = enum.auto()
    """Some of a core, when it is due."""
    WITH_PROGRAMS = enum.auto()
    """Little: they wait for real programs."""
    UNIT = enum.auto()
    """All of a core."""


def kind_of(path: str) -> Kind:
    """The kind of a test, by its file or its id."""
    if path.startswith(REAL_TIME):
        return Kind.REAL_TIME
    return Kind.WITH_PROGRAMS if path.startswith(WITH_PROGRAMS) else Kind.UNIT


@functools.cache
def has_module_fixture(path: str) -> bool:
    """Whether the tests of a file share something that each process would make anew."""
    return 'scope="module"' in (ROOT / path).read_text("utf-8")


class RealTimeScheduling(LoadFileScheduling):
    """``--dist loadfile``, with so many at once that play in real time, and others beside them.

    A test of the real programs whose file makes nothing for all of its tests is a unit of its own, with its parameters:
    where one file is long, nobody waits for its end alone.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        if kind_of(path) is Kind.UNIT or has_module_fixture(path):
            return path
        return nodeid.partition("[")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        scope = self._choose([each for each in self.assigned_work if each is not node])
        if scope is None:
            # What is left is for those who have enough of it already.
            node.shutdown()
            return
        self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)

    def _choose(self, others: list[WorkerController]) -> str | None:
        busy = [self._kinds(each) for each in others]

        def at_once(kind: Kind) -> int:
            return sum(kind in kinds for kinds in busy)

        wanted: list[Kind] = []
        if at_once(Kind.REAL_TIME) < REAL_TIME_AT_ONCE_MAX:
            wanted.append(Kind.REAL_TIME)
        if at_once(Kind.UNIT) < UNIT_AT_ONCE_MAX:
            wanted.append(Kind.UNIT)
        wanted += [Kind.WITH_PROGRAMS, Kind.UNIT]
        first: dict[Kind, str] = {}
        for scope in self.workqueue:
            first.setdefault(kind_of(scope), scope)
        return next((first[kind] for kind in wanted if kind in first), None)

    def _kinds(self, node: WorkerController) -> set[Kind]:
        """What a worker still has to do."""
        return {kind_of(scope) for scope, tests in self.assigned_work[node].items() if not all(tests.values())}


@functools.cache
def may_take_it_back() -> bool:
    """Whether this process may raise its claim to the processor: root in a container often may not."""
    if not hasattr(os, "setpriority"):
        return False
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, before - 1)
    except PermissionError:
        return False
    os.setpriority(os.PRIO_PROCESS, 0, before)
    return True


@contextlib.contextmanager
def yielding_to_what_plays(nodeid: str) -> Iterator[None]:
    """Run a unit test with less of a claim to the processor, where the process may take it back after that."""
    if kind_of(nodeid) is not Kind.UNIT or not may_take_it_back():
        yield
        return
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, before + UNIT_NICENESS)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)

"""Which tests run beside each other under ``pytest -n``: those that play in real time are not to starve each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

# A browser or an encoder takes most of a core.
REAL_TIME = ("tests/browser/", "tests/integration/test_obs", "tests/integration/test_clients")
REAL_TIME_AT_ONCE_MAX = 2


def is_real_time(path: str) -> bool:
    """Whether the tests of a file watch or encode at the speed at which a viewer would see it."""
    return path.startswith(REAL_TIME)


class RealTimeScheduling(LoadFileScheduling):
    """``--dist loadfile``, with so many files at once that play in real time, and others beside them."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        others = [files for each, files in self.assigned_work.items() if each is not node]
        at_once = sum(
            any(is_real_time(path) and not all(tests.values()) for path, tests in files.items()) for files in others
        )
        wants_real_time = at_once < REAL_TIME_AT_ONCE_MAX
        path = next((path for path in self.workqueue if is_real_time(path) is wants_real_time), None)
        if path is not None:
            self.workqueue.move_to_end(path, last=False)
        super()._assign_work_unit(node)

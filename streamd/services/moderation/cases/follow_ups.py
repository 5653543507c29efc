"""Work that a report begins without waiting: evidence is kept, and the machine looks at it.

A crowd that reports one thing makes one evidence of it, and another where somebody reports later. Evidence is begun in
this step, while what was reported is still in memory; its room has a queue of its own. The machine takes seconds for a
picture, so what it is to look at waits behind nothing but other looks.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.moderation.target import Target

log = logging.getLogger(__name__)

# Cases that wait to be looked at. A look takes two seconds at the most where all is well; past so many the newest is
# left out, said and counted: moderators see the case all the same.
WAITING_MAX: Final = 256
# At once: one picture is drawn while another is looked at.
WORKERS_MAX: Final = 4
# One case again, when it goes on being reported.
AGAIN_S: Final = 60.0
# Cases whose last time is remembered, 100 bytes each.
REMEMBERED_MAX: Final = 4096


class KeepsEvidence(Protocol):
    """The room of evidence."""

    def begin(self, case_id: str, target: Target, at_s: float, reporter: str) -> object:
        """Have what was shown be kept; what is in memory of it is held when this returns.

        Args:
            case_id: The case.
            target: What is reported.
            at_s: When it was shown, seconds since 1970.
            reporter: Whose share of the room it takes; empty for nobody's.
        """


class LooksAtCases(Protocol):
    """The machine's help."""

    async def look_at(self, case_id: str, target: Target) -> object:
        """Look at what a case is about."""


@dataclass(frozen=True, slots=True)
class _Job:
    case_id: str
    target: Target


class FollowUps:
    """Begins it.

    Args:
        clock: For how long ago the last time of a case was.
    """

    def __init__(self, clock: Clock) -> None:
        self.evidence: KeepsEvidence | None = None
        """The room of evidence; None where there is none."""
        self.assistance: LooksAtCases | None = None
        """The machine's help; None where there is none."""
        self.dropped = 0
        """Cases that were not looked at, because too many waited."""
        self._clock = clock
        self._waiting: deque[_Job] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._last: dict[str, float] = {}

    def __len__(self) -> int:
        """How many wait to be looked at."""
        return len(self._waiting)

    def begin(self, case_id: str, target: Target, at: datetime, reporter: str = "") -> bool:
        """Have evidence kept, and looked at, if there was none of this case a moment ago.

        Args:
            case_id: The case.
            target: What is reported.
            at: When it was shown.
            reporter: Whose share of the room for evidence it takes; empty for nobody's.

        Returns:
            Whether all of it was begun.
        """
        now = self._clock.monotonic()
        if now - self._last.get(case_id, float("-inf")) < AGAIN_S:
            return False
        if self.evidence is not None:
            try:
                self.evidence.begin(case_id, target, at.timestamp(), reporter)
            except Exception:
                # The report is taken all the same, and the machine may see what is shown now.
                log.exception("evidence.failed", extra={"case": case_id})
        if self.assistance is not None and not self._look_later(_Job(case_id, target)):
            return False
        self._last.pop(case_id, None)
        while len(self._last) >= REMEMBERED_MAX:
            del self._last[next(iter(self._last))]
        self._last[case_id] = now
        return self.evidence is not None or self.assistance is not None

    async def drained(self) -> None:
        """Return when nothing waits and nothing is being looked at."""
        while self._workers:
            await asyncio.wait(self._workers)

    async def close(self) -> None:
        """Begin nothing more, and end what is being done."""
        self._waiting.clear()
        for worker in [*self._workers]:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)

    def _look_later(self, job: _Job) -> bool:
        if len(self._waiting) >= WAITING_MAX:
            self.dropped += 1
            log.warning("look.dropped", extra={"case": job.case_id, "waiting": len(self._waiting)})
            return False
        self._waiting.append(job)
        if len(self._workers) < WORKERS_MAX:
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return True

    async def _work(self) -> None:
        while self._waiting:
            job = self._waiting.popleft()
            if self.assistance is None:
                continue
            try:
                await self.assistance.look_at(job.case_id, job.target)
            except Exception:
                # A failure for one case must not end the others.
                log.exception("assistance.failed", extra={"case": job.case_id})

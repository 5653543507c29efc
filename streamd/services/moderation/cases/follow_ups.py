"""What is begun behind a report without waiting: evidence is kept, and then the machine looks at it.

A crowd that reports one thing makes one evidence of it, and another where somebody reports later. What waits is
bounded, and whoever comes first is served first.
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

# Cases that wait for their evidence. One takes a second at the most; past it the newest is left out, said and counted:
# by then the window of a live stream has moved on.
WAITING_MAX: Final = 256
# At once: evidence is read from memory and written to a disk.
WORKERS_MAX: Final = 4
# Evidence of one case again, when it goes on being reported.
AGAIN_S: Final = 60.0
# Cases whose last evidence is remembered, 100 bytes each.
REMEMBERED_MAX: Final = 4096


class KeepsEvidence(Protocol):
    """The room of evidence."""

    async def keep(self, case_id: str, target: Target, at_s: float) -> object:
        """Keep what was shown.

        Args:
            case_id: The case.
            target: What is reported.
            at_s: When it was shown, seconds since 1970.
        """


class LooksAtCases(Protocol):
    """The machine's help."""

    async def look_at(self, case_id: str, target: Target) -> object:
        """Look at what a case is about."""


@dataclass(frozen=True, slots=True)
class _Job:
    case_id: str
    target: Target
    at: datetime


class FollowUps:
    """Begins it.

    Args:
        clock: For how long ago the last evidence of a case was.
    """

    def __init__(self, clock: Clock) -> None:
        self.evidence: KeepsEvidence | None = None
        """The room of evidence; None where there is none."""
        self.assistance: LooksAtCases | None = None
        """The machine's help; None where there is none."""
        self.dropped = 0
        """Cases that got none, because too many waited."""
        self._clock = clock
        self._waiting: deque[_Job] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._last: dict[str, float] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def begin(self, case_id: str, target: Target, at: datetime) -> bool:
        """Have evidence kept, and looked at, if there was none of this case a moment ago.

        Returns:
            Whether it was begun.
        """
        if self.evidence is None and self.assistance is None:
            return False
        now = self._clock.monotonic()
        if now - self._last.get(case_id, float("-inf")) < AGAIN_S:
            return False
        if len(self._waiting) >= WAITING_MAX:
            self.dropped += 1
            log.warning("evidence.dropped", extra={"case": case_id, "waiting": len(self._waiting)})
            return False
        self._last.pop(case_id, None)
        while len(self._last) >= REMEMBERED_MAX:
            del self._last[next(iter(self._last))]
        self._last[case_id] = now
        self._waiting.append(_Job(case_id, target, at))
        if len(self._workers) < WORKERS_MAX:
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return True

    async def drained(self) -> None:
        """Return when nothing waits and nothing is being done."""
        while self._workers:
            await asyncio.wait(self._workers)

    async def close(self) -> None:
        """Begin nothing more, and end what is being done."""
        self._waiting.clear()
        for worker in [*self._workers]:
            worker.cancel()
        if self._workers:
            await asyncio.wait(self._workers)

    async def _work(self) -> None:
        while self._waiting:
            job = self._waiting.popleft()
            if self.evidence is not None:
                await self._do("evidence.failed", self.evidence.keep(job.case_id, job.target, job.at.timestamp()), job)
            if self.assistance is not None:
                await self._do("assistance.failed", self.assistance.look_at(job.case_id, job.target), job)

    async def _do(self, event: str, work: object, job: _Job) -> None:
        try:
            await work  # type: ignore[misc]  # a coroutine of either room
        except Exception:
            # What fails for one case must not end the others.
            log.exception(event, extra={"case": job.case_id})

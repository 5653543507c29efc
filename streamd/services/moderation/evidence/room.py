"""Evidence of what was reported: kept within seconds, off the loop, and for as long as it may be asked for.

A report hands over a case and a target, and need not wait. Media in memory is held in that moment; the
rest is done by a few workers: the media and the picture are written into a folder of their own, hashed, and linked to
the piece before. It is a copy: a takedown, a rule or a broadcaster who deletes a recording takes none of it away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from streamd.errors import StorageError, StoreUnavailableError
from streamd.services.moderation.evidence.folder import PICTURE_NAME
from streamd.services.moderation.evidence.maker import Wanted
from streamd.services.moderation.evidence.shares import Shares
from streamd.services.moderation.evidence.sources import HeldFacts
from streamd.services.moderation.ids import IdKind, new_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from concurrent.futures import Executor
    from typing import Any

    from streamd.clock import Clock
    from streamd.services.moderation.evidence.maker import EvidenceMaker
    from streamd.services.moderation.evidence.shelf import EvidenceShelf
    from streamd.services.moderation.evidence.sources import EvidenceTarget

log = logging.getLogger(__name__)

# Threads for all of it: a disk that is slow holds two pieces up, and no stream.
THREADS = 2
# Pieces that are kept at once: beside each other they wait for the disk, and for the one process that draws.
WORKERS = 4
# Reports that wait for a worker: a worker takes half a second, so the last of them waits for half a minute. Past it
# reports go on, and those cases have what others have kept of the channel.
WAITING_MAX = 256
# Media that waits in memory for its turn, of all reports together: thirty seconds of 6 Mb/s are 22 MB, most of which
# the window has anyway. Past it a report holds none, and its worker takes what the window has then.
HELD_BYTES_MAX = 256 * 1024 * 1024
# A crowd reports one thing: a case gets a piece in this time, and no more than so many.
EVERY_S = 60.0
PER_CASE_MAX = 8
# Cases whose last piece is remembered.
CASES_REMEMBERED = 4096
# A piece that takes longer is given up: its disk hangs.
PIECE_S = 30.0
# A moderator who looks at a case's picture waits for a piece that is being kept, and no longer.
PICTURE_WAIT_S = 10.0
# Between two looks at what is to be deleted, and at what waits for a stamp.
RETENTION_INTERVAL_S = 600.0
STAMP_INTERVAL_S = 60.0


class Sources(Protocol):
    """Finds what is kept (``EvidenceSources``)."""

    @property
    def held_bytes(self) -> int:
        """Memory of what is kept for the next time, bytes."""

    def hold(self, name: str) -> HeldFacts:
        """Hold what is known of a channel now."""


@dataclass(slots=True)
class _Job:
    """A piece that is to be kept."""

    wanted: Wanted
    held_bytes: int
    reporter: str = ""
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Case:
    """What was kept of a case lately."""

    next_at: float
    """Loop time before which nothing more is kept."""
    pieces: int = 0
    is_counted: bool = False
    """The index was asked for what an earlier server has kept."""


class EvidenceRoom:
    """Has evidence kept, and its house in order.

    Args:
        shelf: Where it stands.
        maker: Makes pieces.
        sources: Find media and facts.
        clock: For dates and pauses.
        pool: Threads that may wait for the disk; shut down with it.
        count: Called with what has become of each piece: ``kept``, ``failed`` or ``refused``.
        on_kept: Called when a piece is whole: whoever looks at its case already sees it then.

    Attributes:
        shelf: As given.
    """

    def __init__(
        self,
        shelf: EvidenceShelf,
        maker: EvidenceMaker,
        sources: Sources,
        clock: Clock,
        pool: Executor,
        *,
        count: Callable[[str], object] = lambda _: None,
        on_kept: Callable[[], object] = lambda: None,
    ) -> None:
        self.shelf = shelf
        self._maker = maker
        self._sources = sources
        self._clock = clock
        self._pool = pool
        self._count = count
        self._on_kept = on_kept
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(WAITING_MAX)
        self._held_bytes = 0
        # By id; the case that was reported last stands last.
        self._cases: OrderedDict[str, _Case] = OrderedDict()
        self._pending: dict[str, list[_Job]] = {}
        self._shares = Shares()
        self._workers: list[asyncio.Task[None]] = []
        self._housekeeping: asyncio.Task[None] | None = None
        self._retain_at = self._stamp_at = clock.monotonic()

    async def open(self) -> None:
        """Finish what an earlier server has begun, and begin to work."""
        await self._keep_house(self.shelf.open)
        self._workers = [asyncio.create_task(self._work()) for _ in range(WORKERS)]

    async def close(self) -> None:
        """End; what waits is given up."""
        tasks = [*self._workers, *([self._housekeeping] if self._housekeeping is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._maker.close()
        self._pool.shutdown(wait=False)

    def look(self) -> None:
        """Do what is due; called about once a second."""
        if self._housekeeping is not None and not self._housekeeping.done():
            return
        now = self._clock.monotonic()
        works: Coroutine[Any, Any, None]
        if now >= self._retain_at:
            self._retain_at = now + RETENTION_INTERVAL_S
            works = self._keep_house(self.shelf.retain, self.shelf.settle)
        elif now >= self._stamp_at and self.shelf.has_stamper:
            self._stamp_at = now + STAMP_INTERVAL_S
            works = self._keep_house(self.shelf.stamp)
        else:
            return
        self._housekeeping = asyncio.create_task(works)

    @property
    def held_bytes(self) -> int:
        """Media in memory that waits for its turn, and what is remembered of playlists, bytes."""
        return self._held_bytes + self._sources.held_bytes

    def begin(self, case_id: str, target: EvidenceTarget, at_s: float | None = None, reporter: str = "") -> str:
        """Have evidence kept; what is in memory is held before this returns, and nobody is waited for.

        Args:
            case_id: The case.
            target: What was reported.
            at_s: When what was reported was seen, seconds since 1970 (EXT-X-PROGRAM-DATE-TIME); of a recording or a
                clip also from its beginning. None for now, or the beginning.
            reporter: Whose report it is kept for, as reports know them; empty for nobody whose share is bounded.

        Returns:
            The id that the piece will have; empty where none is kept, for the case has one of this minute, or too many
            wait.
        """
        now = self._clock.monotonic()
        case = self._cases.get(case_id)
        if case is not None and (now < case.next_at or case.pieces >= PER_CASE_MAX):
            return ""
        if self._jobs.full():
            self._count("refused")
            log.warning("evidence.refused", extra={"case_id": case_id, "reason": f"{WAITING_MAX} pieces wait"})
            return ""
        held = self._sources.hold(target.channel)
        held_bytes = held.snapshot.size_bytes
        if self._held_bytes + held_bytes > HELD_BYTES_MAX:
            held, held_bytes = HeldFacts(), 0
        self._held_bytes += held_bytes
        asked_at = self._clock.now()
        evidence_id = new_id(IdKind.EVIDENCE, asked_at)
        is_small = bool(reporter) and self._shares.is_spent(reporter, self.shelf.options.bytes_max, now)
        job = _Job(Wanted(evidence_id, case_id, target, at_s, asked_at, held, is_small), held_bytes, reporter)
        self._remember(case_id, now)
        self._pending.setdefault(case_id, []).append(job)
        self.shelf.writing.add(evidence_id)
        self._jobs.put_nowait(job)
        return evidence_id

    async def wait(self, case_id: str) -> None:
        """Wait until nothing of a case is being kept any more: before what it is of is taken down, for one."""
        for job in tuple(self._pending.get(case_id, ())):
            await job.done.wait()

    async def picture(self, case_id: str) -> bytes | None:
        """The newest picture of a case, JPEG; waits for one that is being kept.

        For machines of ours alone: no row of the audit log tells of it.

        Raises:
            StoreUnavailableError: The index cannot be read.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PICTURE_WAIT_S):
                await self.wait(case_id)
        page = await self.shelf.store.page(case_id=case_id, limit=PER_CASE_MAX)
        for record in page.items:
            if record.has_picture and record.deleted_at is None:
                with contextlib.suppress(OSError):
                    return await self.shelf.on_disk((self.shelf.directory / record.id / PICTURE_NAME).read_bytes)
        return None

    # -- inside ------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                async with asyncio.timeout(PIECE_S):
                    await self._keep(job)
            except Exception as exc:  # noqa: BLE001  # a piece that fails is one piece
                self._note_failure(job.wanted, exc)
            finally:
                self._end(job)
            # The media that it held is let go before the next one is waited for.
            del job

    async def _keep(self, job: _Job) -> None:
        wanted, began = job.wanted, self._clock.monotonic()
        case = self._cases.get(wanted.case_id)
        if case is not None and not case.is_counted:
            # An earlier server may have kept some, or another.
            case.is_counted = True
            case.pieces += await self.shelf.store.count_of(wanted.case_id)
            if case.pieces > PER_CASE_MAX:
                return
        record = await self._maker.make(wanted)
        if job.reporter:
            self._shares.spend(job.reporter, record.size_bytes, began)
        # The next look has it stamped.
        self._stamp_at = began
        self._count("kept")
        self._on_kept()
        log.info(
            "evidence.kept",
            extra={
                "evidence_id": record.id, "case_id": record.case_id, "stream": record.channel,
                "media_s": record.media_ms / 1000, "bytes": record.size_bytes, "has_picture": record.has_picture,
                "took_s": round(self._clock.monotonic() - began, 3),
            },
        )  # fmt: skip

    def _end(self, job: _Job) -> None:
        wanted = job.wanted
        self._held_bytes -= job.held_bytes
        self.shelf.writing.discard(wanted.id)
        jobs = self._pending[wanted.case_id]
        jobs.remove(job)
        if not jobs:
            del self._pending[wanted.case_id]
        job.done.set()

    def _note_failure(self, wanted: Wanted, exc: Exception) -> None:
        self._count("failed")
        is_known = isinstance(exc, (OSError, StoreUnavailableError, StorageError))
        reason = (getattr(exc, "strerror", None) or str(exc) or "it took too long") if is_known else "internal error"
        log.error(
            "evidence.failed",
            extra={"case_id": wanted.case_id, "stream": wanted.target.channel, "reason": reason},
            exc_info=None if is_known else exc,
        )

    def _remember(self, case_id: str, now: float) -> None:
        case = self._cases.pop(case_id, None) or _Case(now)
        self._cases[case_id] = case
        case.next_at = now + EVERY_S
        case.pieces += 1
        if len(self._cases) > CASES_REMEMBERED:
            self._cases.popitem(last=False)

    async def _keep_house(self, *works: Callable[[], Awaitable[None]]) -> None:
        for work in works:
            try:
                await work()
            except (OSError, StoreUnavailableError) as exc:
                log.warning("evidence.delayed", extra={"reason": str(exc)})

"""Moderation as the rest of the server knows it: one object, where it is switched on."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from streamd.errors import StoreUnavailableError
from streamd.services.moderation.cases.appeal_store import AppealStore
from streamd.services.moderation.cases.appeals import Appeals
from streamd.services.moderation.cases.case_store import CaseStore
from streamd.services.moderation.cases.cases import Cases
from streamd.services.moderation.cases.follow_ups import FollowUps
from streamd.services.moderation.cases.receipts import Receipts
from streamd.services.moderation.cases.report_status import ReportStatuses
from streamd.services.moderation.cases.report_store import ReportStore
from streamd.services.moderation.cases.reports import Reports
from streamd.services.moderation.cases.subjects import Subjects

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.services.events.event import EventSink
    from streamd.services.moderation.cases.subjects import ChannelViewers
    from streamd.services.moderation.options import ModerationOptions
    from streamd.services.moderation.target import Targets
    from streamd.services.store.database import Database

log = logging.getLogger(__name__)

# Who said what in cases that are long over is forgotten a slice at a time.
FORGET_INTERVAL_S: Final = 3600.0
FORGET_ROWS_MAX: Final = 500


class Moderation:
    """The rooms of moderation, built in the order in which they know each other.

    Args:
        options: As configured.
        database: The key store's.
        clock: For all times.
        targets: Finds what a text names.
        viewers: Says how many watch a channel, and whether there is one.
        tell: Gets the events.

    Attributes:
        options: As given; another may be put in its place while it runs.
        subjects: Finds what is reported.
        reports: Takes reports.
        statuses: Tells reporters what became of theirs.
        cases: The acts of moderators.
        appeals: Complaints about decisions.
        follow_ups: Has evidence kept and looked at behind a report; its rooms are put in by whoever builds them.
    """

    def __init__(
        self,
        options: ModerationOptions,
        database: Database,
        clock: Clock,
        *,
        targets: Targets,
        viewers: ChannelViewers,
        tell: EventSink,
    ) -> None:
        self.options = options
        self._clock = clock
        self._receipts: Receipts | None = None
        self._listeners: list[Callable[[], None]] = []
        self._next_forget_at = clock.monotonic()
        self.revision = 0
        """A number that changes with every change that moderators should see."""
        self._report_store = ReportStore(database)
        case_store, appeal_store = CaseStore(database), AppealStore(database)
        self.follow_ups = FollowUps(clock)
        self.subjects = Subjects(targets, self._report_store, viewers)
        self.reports = Reports(
            self._report_store,
            clock,
            lambda: self.options,
            lambda: self.receipts,
            self.follow_ups,
            tell=tell,
            on_change=self.note_change,
        )
        self.cases = Cases(case_store, clock, lambda: self.receipts, tell=tell, on_change=self.note_change)
        self.appeals = Appeals(
            appeal_store, self.cases, clock, lambda: self.receipts, tell=tell, on_change=self.note_change
        )
        self.statuses = ReportStatuses(case_store, appeal_store, clock, lambda: self.receipts)

    @property
    def receipts(self) -> Receipts:
        """Makes and reads tokens; there once it is started."""
        assert self._receipts is not None, "started"
        return self._receipts

    def listen(self, on_change: Callable[[], None]) -> None:
        """Have somebody called at every change that moderators should see."""
        self._listeners.append(on_change)

    async def start(self) -> None:
        """Read what has to be known, and finish what was left half done.

        Raises:
            StoreUnavailableError: The store cannot be read.
        """
        self._receipts = Receipts(await self._report_store.secret())
        await self.cases.start()
        await self.appeals.start()

    async def close(self) -> None:
        """Write what waits, and finish what was begun."""
        await self.reports.close()
        await self.cases.close()
        await self.follow_ups.close()

    async def look(self) -> None:
        """Finish what was left half done, and forget who said what in cases that are long over; once a second or so."""
        try:
            await self.cases.look()
            await self.appeals.look()
        except StoreUnavailableError as exc:
            log.debug("moderation.unsettled", extra={"reason": str(exc)})
        now = self._clock.monotonic()
        if now < self._next_forget_at:
            return
        self._next_forget_at = now + FORGET_INTERVAL_S
        wall = self._clock.now()
        before = wall - timedelta(days=self.options.evidence_keep_days)
        try:
            forgotten = await self._report_store.forget(before, now=wall, limit=FORGET_ROWS_MAX)
        except StoreUnavailableError as exc:
            log.warning("reporters.kept", extra={"reason": str(exc)})
            return
        if forgotten:
            log.info("reporters.forgotten", extra={"rows": forgotten})
            if forgotten >= FORGET_ROWS_MAX:
                self._next_forget_at = now

    def note_change(self) -> None:
        """Tell moderators that there is something new."""
        self.revision += 1
        for listener in self._listeners:
            listener()

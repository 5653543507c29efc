"""Taking reports: bounds for those who send them, one queue, and one transaction for all that came meanwhile.

Each report is answered when it is written. Those that come while one transaction is under way wait for the next, all of
them together, so that a crowd costs as many transactions a second as the disk can sync, and the loop's time goes to
whoever watches. The queue is bounded, and so are the reports of one address.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from streamd.errors import (
    ReporterSuspendedError,
    ReportRefusedError,
    ReportsBusyError,
    StoreUnavailableError,
    TooManyReportsError,
)
from streamd.formats.address import source_of
from streamd.services.events.event import Event, EventType, Value
from streamd.services.keys.guessing import Budgets
from streamd.services.keys.stream_key import StreamKey
from streamd.services.moderation.cases.case_records import NewReport, Taken
from streamd.services.moderation.ids import IdKind, new_id, reference_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.clock import Clock
    from streamd.services.events.event import EventSink
    from streamd.services.moderation.cases.follow_ups import FollowUps
    from streamd.services.moderation.cases.receipts import Receipts
    from streamd.services.moderation.cases.report_store import ReportStore
    from streamd.services.moderation.categories import Category, Keyword
    from streamd.services.moderation.options import ModerationOptions
    from streamd.services.moderation.target import Target

log = logging.getLogger(__name__)

# Characters of an explanation: as many as the Commission's schema has for facts.
EXPLANATION_LENGTH_MAX: Final = 5000
CONTACT_LENGTH_MAX: Final = 200
# Reports that wait to be written: 20 kB each at the most, 10 MB. A transaction takes some milliseconds.
WAITING_MAX: Final = 512
# Written in one transaction; the loop has its turn between two.
BATCH_MAX: Final = 64
WINDOW_S: Final = 600.0
# Budgets of addresses that are not full: about 150 bytes each, 10 MB. A crowd with more addresses is bounded by what
# waits, and by what is kept of a case.
SOURCES_MAX: Final = 65_536
# A reporter's clock may be wrong by so much; what is further ahead has not been shown.
AHEAD_MAX: Final = timedelta(minutes=5)
# No broadcast of this server is older.
OLDEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
# Characters that turn the direction of what stands behind them, or that nobody sees: what a moderator reads is what
# was written. Those that join letters are left, for Persian, Hindi and families of emoji need them (U+200C, U+200D).
_UNSEEN: Final = dict.fromkeys(
    (
        *(0x00AD, 0x061C, 0x180E, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF),
        *range(0x202A, 0x202F),
        *range(0x2061, 0x2070),
        *range(0xE0000, 0xE0080),
    )
)
# Characters that databases refuse and pages hide: control characters but for tabs and the ends of lines, and halves of
# characters.
_UNSHOWN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a reporter gets."""

    id: str
    reference: str
    """What they say aloud: ``7F3K-92``."""
    status_token: str = field(repr=False)
    """By which they ask what became of it."""


@dataclass(slots=True)
class _Waiting:
    report: NewReport
    done: asyncio.Future[Taken]


class Reports:
    """Takes reports.

    Args:
        store: Keeps them.
        clock: Wall time for reports, loop time for those who send them.
        options: What is configured, now.
        receipts: Makes tokens.
        follow_ups: Has evidence kept behind them.
        tell: Gets the events.
        on_change: Called when there is something new for moderators.
    """

    def __init__(
        self,
        store: ReportStore,
        clock: Clock,
        options: Callable[[], ModerationOptions],
        receipts: Callable[[], Receipts],
        follow_ups: FollowUps,
        *,
        tell: EventSink,
        on_change: Callable[[], None],
    ) -> None:
        self.store = store
        self._clock = clock
        self._options = options
        self._receipts = receipts
        self._follow_ups = follow_ups
        self._tell = tell
        self._on_change = on_change
        self._per_address = options().reports_per_address_per_10_min
        self._budgets = Budgets(self._per_address, SOURCES_MAX, WINDOW_S)
        self._waiting: deque[_Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None
        self.written = 0
        """Reports so far."""
        self.batches = 0
        """Transactions so far."""

    @property
    def waiting(self) -> int:
        """Reports that wait to be written."""
        return len(self._waiting)

    def flagger_of(self, token: str) -> str | None:
        """The name of the trusted flagger with a token; None where nobody has it."""
        shown = sha256(token.encode(errors="replace")).hexdigest()
        found = None
        # All are compared, so that the time tells nothing.
        for text in self._options().trusted_flaggers:
            name, _, expected = text.rpartition("=")
            if hmac.compare_digest(shown, expected):
                found = name
        return found

    def spend(self, address: str) -> None:
        """Take what a report or an appeal from an address costs.

        Raises:
            TooManyReportsError: It has none left.
        """
        per_address = self._options().reports_per_address_per_10_min
        if per_address != self._per_address:
            self._per_address = per_address
            self._budgets.resize(per_address)
        now, source = self._clock.monotonic(), source_of(address)
        if not self._budgets.has_token(source, now):
            raise TooManyReportsError(WINDOW_S / per_address)
        self._budgets.spend(source, now)

    async def file(
        self,
        target: Target | None,
        category: Category,
        *,
        keyword: Keyword | None = None,
        explanation: str = "",
        at: datetime | None = None,
        contact: str = "",
        address: str = "",
        flagger: str = "",
        viewers: int = 0,
    ) -> Receipt:
        """Take a report; when this returns it is written, and moderators see it.

        Args:
            target: What it is about; None where there is no such thing, which its reporter does not learn.
            category: What is wrong with it.
            keyword: What precisely.
            explanation: In the reporter's words.
            at: What was playing.
            contact: How they want to be reached.
            address: IP address that it came from.
            flagger: The trusted flagger that it came from.
            viewers: Of the channel, now.

        Raises:
            ReportRefusedError: Something in it cannot be.
            TooManyReportsError: The address has sent too many.
            ReporterSuspendedError: What comes from there is not looked at for a while.
            ReportsBusyError: Too many wait.
            StoreUnavailableError: It could not be written.
        """
        now = self._clock.now()
        at = shown_at(at, now)
        explanation = said(explanation, EXPLANATION_LENGTH_MAX, "the explanation")
        contact = said(contact, CONTACT_LENGTH_MAX, "the contact")
        if len(self._waiting) >= WAITING_MAX:
            raise ReportsBusyError
        if not flagger:
            self.spend(address)
        report = NewReport(
            id=new_id(IdKind.REPORT, now),
            target=target,
            category=category,
            received_at=now,
            source=f"flagger:{flagger}" if flagger else self._receipts().source(address),
            keyword=keyword,
            explanation=explanation,
            at=at,
            contact=contact,
            flagger=flagger,
            viewers=viewers,
        )
        done: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(report, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        # The report is written also where whoever sent it has left meanwhile.
        taken = await asyncio.shield(done)
        if taken.is_suspended:
            raise ReporterSuspendedError(
                "reports from your address were unfounded, and are not looked at for some weeks; "
                "write to the contact at /legal"
            )
        return Receipt(report.id, reference_of(report.id), self._receipts().status_token(report.id, taken.case_id))

    async def close(self) -> None:
        """Write what waits."""
        while self._writer is not None:
            await asyncio.wait([self._writer])

    # -- inside ---------------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
                try:
                    taken = await self.store.take([each.report for each in batch], self._clock.now())
                except StoreUnavailableError as exc:
                    _fail(batch, exc)
                    continue
                except Exception as exc:
                    # Those that wait behind them must not wait for ever.
                    log.exception("reports.failed", extra={"reports": len(batch)})
                    _fail(batch, StoreUnavailableError(str(type(exc).__name__)))
                    continue
                self.written += len(batch)
                self.batches += 1
                self._settle(batch, taken)
        finally:
            self._writer = None

    def _settle(self, batch: list[_Waiting], taken: list[Taken]) -> None:
        for each, result in zip(batch, taken, strict=True):
            if not each.done.done():
                each.done.set_result(result)
        is_new = False
        for each, result in zip(batch, taken, strict=True):
            target = each.report.target
            if target is None or result.is_suspended:
                continue
            is_new = True
            if result.is_first:
                self._tell(self._event(EventType.CASE_OPENED, each.report, result))
            if result.is_kept:
                self._tell(self._event(EventType.REPORT_RECEIVED, each.report, result))
                # Trusted flaggers are held to no share.
                reporter = "" if each.report.flagger else each.report.source
                self._follow_ups.begin(
                    result.case_id, target, each.report.at or each.report.received_at, reporter=reporter
                )
        if is_new:
            self._on_change()

    def _event(self, event_type: EventType, report: NewReport, taken: Taken) -> Event:
        assert report.target is not None
        about: dict[str, Value] = {
            "user": report.target.channel,
            "case": taken.case_id,
            "target": report.target.id,
            "kind": report.target.kind.value,
            "category": report.category.value,
            "reporters": taken.reporters,
        }
        if event_type is EventType.REPORT_RECEIVED:
            about |= {"report": report.id, "reference": reference_of(report.id)}
        return Event(event_type, report.received_at, about)


def _fail(batch: list[_Waiting], error: StoreUnavailableError) -> None:
    for each in batch:
        if not each.done.done():
            each.done.set_exception(error)
            # It is read here: whoever sent it may have left.
            each.done.exception()


def shown_at(at: datetime | None, now: datetime) -> datetime | None:
    """When the reported thing was shown; a clock that is a little fast is taken for now.

    Raises:
        ReportRefusedError: It lies in the future, or before all broadcasts.
    """
    if at is None:
        return None
    if at > now + AHEAD_MAX:
        raise ReportRefusedError("at is in the future: nothing was shown then")
    if at < OLDEST:
        raise ReportRefusedError("at is before anything was shown here")
    return min(at, now)


def said(text: str, length_max: int, what: str) -> str:
    """A text as it was written, without what nobody sees and what turns the direction of the rest, and without secrets.

    A viewer who saw a stream key may write it down; moderators have no keys, and neither has the audit log.

    Raises:
        ReportRefusedError: It is too long.
    """
    if len(text) > length_max:
        raise ReportRefusedError(f"{what} has {length_max} characters at most")
    text = text.replace("\r\n", "\n").translate(_UNSEEN)
    return StreamKey.hidden_in(_UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", text).strip())

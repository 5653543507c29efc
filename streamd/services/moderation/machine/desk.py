"""The cases as the machine knows them: it reads what is said in one, sets its priority, and opens one of its own.

A case of its own is opened as one that nobody reported (``SOURCE_VOLUNTARY``); a report of the same joins it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert

from streamd.errors import CaseNotFoundError
from streamd.services.audit.audit_log import append_entries, entry_of
from streamd.services.audit.records import SERVER
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.cases.case_records import CaseAct, NewReport
from streamd.services.moderation.cases.case_rows import note, open_case
from streamd.services.moderation.cases.report_store import new_case
from streamd.services.moderation.categories import Category
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.moderation.machine.drafts import EXPLANATIONS_MAX, CaseFacts
from streamd.services.moderation.statement import SourceType
from streamd.services.moderation.target import Target, TargetKind
from streamd.services.store.schema import cases as cases_table

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.services.moderation.cases.cases import Cases
    from streamd.services.moderation.cases.follow_ups import FollowUps
    from streamd.services.moderation.cases.report_store import ReportStore
    from streamd.services.store.database import Database


class MachineDesk:
    """What the machine may do with cases (``assistance.CaseDesk``).

    Args:
        database: The key store's.
        cases: The acts on cases.
        reports: What reporters wrote.
        follow_ups: Has evidence kept.
        clock: For the times of acts.
    """

    def __init__(
        self, database: Database, cases: Cases, reports: ReportStore, follow_ups: FollowUps, clock: Clock
    ) -> None:
        self._database = database
        self._cases = cases
        self._reports = reports
        self._follow_ups = follow_ups
        self._clock = clock

    async def facts(self, case_id: str) -> CaseFacts | None:
        """What is known of a case; None where there is none.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        try:
            found = await self._cases.find(case_id)
        except CaseNotFoundError:
            return None
        page = await self._reports.reports_of(case_id, limit=EXPLANATIONS_MAX)
        return CaseFacts(
            case_id,
            found.target.channel,
            found.category,
            found.opened_at,
            found.source_type,
            keywords=tuple(dict.fromkeys(report.keyword for report in page.items if report.keyword)),
            explanations=tuple(report.explanation for report in page.items if report.explanation),
            reports=found.reports,
        )

    async def note_machine(
        self, case_id: str, *, priority_factor: float, on_top: bool, restricted: bool, summary: str
    ) -> None:
        """Set what the machine says about a case's priority, and who sees its evidence; a case that is gone has none.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        try:
            await self._cases.note_machine(
                case_id, priority_factor=priority_factor, on_top=on_top, restricted=restricted, summary=summary
            )
        except CaseNotFoundError:
            return

    async def open_by_machine(self, channel: str, category: Category, summary: str) -> str:
        """Open a case about a channel that nobody has reported, or find the one that is open, and keep evidence.

        Args:
            channel: Its name.
            category: What was found is a sign of.
            summary: What was found, in words.

        Returns:
            The case's id.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        now = self._clock.now()
        target = Target(TargetKind.CHANNEL, channel, channel)
        wanted = NewReport(new_id(IdKind.REPORT, now), target, category, now, source="")
        async with self._database.writing() as connection:
            found = await open_case(connection, wanted.case_key)
            # Nobody has said what precisely it is: until somebody has looked, no page shows it by itself.
            is_restricted = category is Category.PROTECTION_OF_MINORS
            row = new_case(wanted, now, SourceType.VOLUNTARY) | {"is_restricted": is_restricted}
            case_id: str = row["id"] if found is None else found.id
            if found is None:
                await connection.execute(insert(cases_table).values(row))
                await note(connection, case_id, now, SERVER.name, CaseAct.OPENED, summary)
                details = ActDetails(category.value, SourceType.VOLUNTARY.value, automated_detection=True, seconds=0)
                act = entry_of(now, SERVER, "case.opened", stream=channel, subject=case_id, reason=details.text())
                await append_entries(connection, [act])
        self._follow_ups.begin(case_id, target, now)
        return case_id

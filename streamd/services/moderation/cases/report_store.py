"""Reports in the database: each joins the open case of its target and category, or opens one.

Reports are taken many at a time (reports.py). The work for them grows with the cases that they join and not with
their number: one case is read and written once for all of them, and of a case no more than so many texts are kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, insert, or_, select, update

from streamd.services.audit.audit_log import append_entries
from streamd.services.audit.records import AuditEntry
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.cases import reporter_record
from streamd.services.moderation.cases.case_records import (
    AppealState,
    Case,
    CaseAct,
    CaseState,
    NewReport,
    Report,
    Taken,
)
from streamd.services.moderation.cases.case_rows import note, open_case
from streamd.services.moderation.cases.priority import Weight, priority_of
from streamd.services.moderation.categories import Category, is_restricted
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.moderation.statement import SourceType
from streamd.services.store.page import Page
from streamd.services.store.schema import appeals, case_history, cases, decisions, recordings, reports, salts, users

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Column, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from streamd.services.store.database import Database

SALT_NAME: Final = "reports"
# No moderator reads more about one case: 5,000 characters each are 5 to 20 MB of the database. Further reports are
# counted, and their reporters have the same receipt and the same answers.
REPORTS_KEPT_MAX: Final = 1000
# Different texts of one address in one case: a school or an office behind one.
REPORTS_PER_SOURCE_MAX: Final = 5
# Who writes the rows of what came from outside.
PUBLIC: Final = "viewer"
_DIGEST_LENGTH: Final = 32


class ReportStore:
    """Reports in one database.

    Args:
        database: The key store's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def secret(self) -> bytes:
        """The secret of receipts, which whoever shares the database shares."""
        async with self._database.reading() as connection:
            row = await connection.execute(select(salts.c.value).where(salts.c.name == SALT_NAME))
            found: bytes = row.scalar_one()
            return found

    async def is_known(self, channel: str) -> bool:
        """Whether there is a user of this name, or a recording of such a channel."""
        is_user = select(users.c.name).where(users.c.name == channel).exists()
        is_recorded = select(recordings.c.id).where(recordings.c.user == channel).exists()
        async with self._database.reading() as connection:
            return bool((await connection.execute(select(or_(is_user, is_recorded)))).scalar_one())

    async def take(self, batch: Sequence[NewReport], now: datetime) -> list[Taken]:
        """Take reports, each into its case; one that has none opens one.

        Returns:
            What became of each, in their order.

        Raises:
            StoreUnavailableError: None of them was written.
        """
        groups: dict[str, list[int]] = defaultdict(list)
        for index, report in enumerate(batch):
            groups[report.case_key].append(index)
        taken: dict[int, Taken] = {}
        async with self._database.writing() as connection:
            records = await reporter_record.records_of(connection, {report.source for report in batch})
            entries: list[AuditEntry] = []
            for key, indices in groups.items():
                some = []
                for index in indices:
                    report = batch[index]
                    record = records.get(report.source, reporter_record.NEW)
                    # A report of harm to children is looked at, whoever says it.
                    if record.is_suspended(now) and report.category is not Category.PROTECTION_OF_MINORS:
                        taken[index] = Taken(new_id(IdKind.CASE, now), is_suspended=True)
                    else:
                        some.append(index)
                if not some:
                    continue
                group = [batch[index] for index in some]
                if key:
                    results = await self._join(connection, group, records, now, entries)
                else:
                    # A case that is nowhere: its receipt looks like any other.
                    results = [Taken(new_id(IdKind.CASE, now)) for _ in group]
                    entries += _counted(group, now, None)
                taken.update(zip(some, results, strict=True))
            await append_entries(connection, entries)
        return [taken[index] for index in range(len(batch))]

    async def _join(
        self,
        connection: AsyncConnection,
        group: Sequence[NewReport],
        records: dict[str, reporter_record.ReporterRecord],
        now: datetime,
        entries: list[AuditEntry],
    ) -> list[Taken]:
        """Let reports of one target and category into their case."""
        first = group[0]
        found = await open_case(connection, first.case_key)
        is_new = found is None
        if found is None:
            await connection.execute(
                self._database.insert_new(cases).values(new_case(first, now, SourceType.ARTICLE_16))
            )
            # Another server may have opened it in the same moment.
            found = await open_case(connection, first.case_key)
            assert found is not None, "it was just written"
            is_new = found.reports == 0
        known = await _said(connection, found.id, {report.source for report in group})
        kept = found.reports_kept
        reporters, weight = found.reporters, found.records
        rows: list[dict[str, Any]] = []
        results: list[Taken] = []
        for report in group:
            digest = _digest(report)
            texts = known.setdefault(report.source, set())
            is_kept = kept < REPORTS_KEPT_MAX and len(texts) < REPORTS_PER_SOURCE_MAX and digest not in texts
            if is_kept:
                if not texts:
                    reporters += 1
                    weight += records.get(report.source, reporter_record.NEW).weight
                texts.add(digest)
                kept += 1
                rows.append(_row(report, found.id, digest))
            results.append(Taken(found.id, is_new and not results, is_kept, reporters=reporters))
        if rows:
            await connection.execute(insert(reports), rows)
        has_flagger = found.has_flagger or any(report.flagger for report in group)
        viewers = max(found.viewers, *(report.viewers for report in group))
        changed: dict[str, Any] = {
            "reports": found.reports + len(group),
            "reports_kept": kept,
            "reporters": reporters,
            "records": weight,
            "has_flagger": has_flagger,
            "source_type": (SourceType.TRUSTED_FLAGGER if has_flagger else SourceType.ARTICLE_16).value,
            "is_restricted": found.is_restricted or any(is_restricted(report.keyword) for report in group),
            "viewers": viewers,
            "last_report_at": now,
            "priority": priority_of(
                Weight(
                    found.category,
                    reporters,
                    weight,
                    has_flagger,
                    viewers,
                    found.machine_factor,
                    is_on_top=found.is_on_top,
                )
            ),
        }
        await connection.execute(update(cases).where(cases.c.id == found.id).values(changed))
        if is_new:
            await note(connection, found.id, now, PUBLIC, CaseAct.OPENED, "")
            details = ActDetails(found.category.value, changed["source_type"], seconds=0)
            entries.append(
                AuditEntry(
                    now, PUBLIC, "case.opened", stream=found.target.channel, subject=found.id, reason=details.text()
                )
            )
        entries += _counted(group, now, found)
        return results

    async def reports_of(self, case_id: str, *, after: str = "", limit: int) -> Page[Report]:
        """The reports of a case whose texts were kept, in the order in which they came."""
        query = select(reports).where(reports.c.case_id == case_id).order_by(reports.c.id).limit(limit + 1)
        if after:
            query = query.where(reports.c.id > after)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return Page([_report(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def find_reports(self, reference: str, *, limit: int) -> list[Report]:
        """The reports that have a reference (``ids.reference_end``): one, nearly always."""
        query = select(reports).where(reports.c.reference == reference).order_by(reports.c.id).limit(limit)
        async with self._database.reading() as connection:
            return [_report(row) for row in await connection.execute(query)]

    async def forget(self, over_before: datetime, *, now: datetime, limit: int) -> int:
        """Forget who reported, and what people wrote, in cases that were over before a time; a few rows at once.

        Decisions stay, with their reasons, and so do the acts of a case without their words.

        Args:
            over_before: A case is over when it is decided, and no complaint waits or was decided since.
            now: Aware.
            limit: Rows of each kind.

        Returns:
            How many rows were emptied.

        Raises:
            StoreUnavailableError: They could not be.
        """
        needed = select(appeals.c.case_id).where(
            or_(appeals.c.state == AppealState.OPEN, appeals.c.decided_at >= over_before)
        )
        old = (
            select(cases.c.id)
            .join(decisions, decisions.c.id == cases.c.decision_id)
            .where(cases.c.state == CaseState.DECIDED, decisions.c.at < over_before, cases.c.id.not_in(needed))
        )
        told = (reports.c.source, reports.c.contact, reports.c.explanation, reports.c.digest)
        emptied: list[tuple[Table, Column[Any], Sequence[Column[Any]]]] = [
            (reports, reports.c.id, told),
            (appeals, appeals.c.id, (appeals.c.text,)),
            (case_history, case_history.c.sequence, (case_history.c.text,)),
        ]
        done = 0
        async with self._database.writing() as connection:
            for table, key, columns in emptied:
                has_words = or_(*(column != "" for column in columns))
                some = select(key).where(table.c.case_id.in_(old), has_words).limit(limit)
                nothing = dict.fromkeys((column.name for column in columns), "")
                found = await connection.execute(update(table).where(key.in_(some)).values(nothing))
                done += int(found.rowcount)
            await reporter_record.forget_old(connection, now)
        return done


def new_case(report: NewReport, now: datetime, source_type: SourceType) -> dict[str, Any]:
    """The row of a case that is about what a report is about, and has none yet.

    Args:
        report: Of its target and category.
        now: Aware.
        source_type: How it came to be looked at.
    """
    assert report.target is not None
    return {
        "id": new_id(IdKind.CASE, now),
        "open_key": report.case_key,
        "target_kind": report.target.kind.value,
        "target_id": report.target.id,
        "channel": report.target.channel,
        "category": report.category.value,
        "source_type": source_type.value,
        "state": CaseState.OPEN.value,
        "is_restricted": False,
        "is_on_top": False,
        "priority": 0.0,
        "reports": 0,
        "reports_kept": 0,
        "reporters": 0,
        "records": 0.0,
        "has_flagger": False,
        "viewers": 0,
        "machine_factor": 1.0,
        "machine_summary": "",
        "opened_at": now,
        "last_report_at": now,
        "claimed_by": "",
        "claimed_at": None,
        "decision_id": None,
    }


def _row(report: NewReport, case_id: str, digest: str) -> dict[str, Any]:
    return {
        "id": report.id,
        "case_id": case_id,
        "reference": report.id[-6:],
        "received_at": report.received_at,
        "at": report.at,
        "source": report.source,
        "digest": digest,
        "keyword": "" if report.keyword is None else report.keyword.value,
        "explanation": report.explanation,
        "contact": report.contact,
        "flagger": report.flagger,
    }


def _digest(report: NewReport) -> str:
    """Of what is said in a report: two that say the same are one to read."""
    said = f"{report.keyword or ''}\0{' '.join(report.explanation.split()).lower()}"
    return sha256(said.encode(errors="replace")).hexdigest()[:_DIGEST_LENGTH]


async def _said(connection: AsyncConnection, case_id: str, sources: set[str]) -> dict[str, set[str]]:
    """What some reporters have said in a case before."""
    found: dict[str, set[str]] = {}
    wanted = list(sources)
    for start in range(0, len(wanted), reporter_record.SOURCES_PER_QUERY):
        some = wanted[start : start + reporter_record.SOURCES_PER_QUERY]
        query = select(reports.c.source, reports.c.digest).where(
            reports.c.case_id == case_id, reports.c.source.in_(some)
        )
        for row in await connection.execute(query):
            found.setdefault(row.source, set()).add(row.digest)
    return found


def _counted(group: Iterable[NewReport], now: datetime, found: Case | None) -> list[AuditEntry]:
    """One row for all reports of a case from one kind of source that came together."""
    counts = Counter((report.category, bool(report.flagger)) for report in group)
    action = "report.unmatched" if found is None else "report.received"
    entries = []
    for (category, is_flagged), number in counts.items():
        source = SourceType.TRUSTED_FLAGGER if is_flagged else SourceType.ARTICLE_16
        details = ActDetails(category.value, source.value)
        channel, case_id = (found.target.channel, found.id) if found is not None else (None, None)
        entries.append(
            AuditEntry(now, PUBLIC, action, stream=channel, subject=case_id, reason=details.text(), count=number)
        )
    return entries


def _report(row: Row[Any]) -> Report:
    return Report(
        row.id,
        row.case_id,
        row.received_at,
        row.at,
        row.keyword,
        row.explanation,
        row.contact,
        row.flagger,
    )

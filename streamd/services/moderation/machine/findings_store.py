"""Findings in the database, and whether people agreed with them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from streamd.errors import ModerationStateError
from streamd.services.audit.audit_log import append_entries, entry_of
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.cases.case_records import CaseState
from streamd.services.moderation.categories import Category
from streamd.services.moderation.machine.findings import (
    Duplicate,
    FindingSource,
    MachineRecord,
    PictureFinding,
    Suggestion,
)
from streamd.services.moderation.machine.hash_lists import QUALITY_MIN
from streamd.services.moderation.machine.sight import Look, Match
from streamd.services.store.schema import cases, decisions, findings

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Row

    from streamd.services.audit.records import Actor
    from streamd.services.store.database import Database

# Of a case that is reported for hours, whose picture is looked at each half minute at most: the last ones are shown.
SHOWN_MAX = 50
# Scores under it say nothing, and a classifier may have a thousand labels.
SCORE_KEPT_MIN = 0.05


class FindingsStore:
    """Adds, reads and judges findings.

    Args:
        database: The key store's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, finding: PictureFinding, by: Actor, details: ActDetails) -> None:
        """Add a finding; where the machine found something, the audit log has it too.

        Args:
            finding: As found.
            by: The server.
            details: What is counted of it.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            await connection.execute(insert(findings).values(**_values(finding)))
            if finding.signs:
                act = entry_of(
                    finding.at,
                    by,
                    "machine.found",
                    stream=finding.channel,
                    subject=finding.case_id,
                    reason=details.text("; ".join(finding.signs)[:500]),
                )
                await append_entries(connection, [act])

    async def suggest(self, finding_id: str, suggestion: Suggestion) -> None:
        """Add what the assistant made of it.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            await connection.execute(
                update(findings).where(findings.c.id == finding_id).values(suggestion=json.dumps(asdict(suggestion)))
            )

    async def of_case(self, case_id: str) -> list[PictureFinding]:
        """The last findings of a case, the newest first.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        query = select(findings).where(findings.c.case_id == case_id).order_by(findings.c.id.desc()).limit(SHOWN_MAX)
        async with self._database.reading() as connection:
            return [_finding(row) for row in (await connection.execute(query)).all()]

    async def hashes(self, limit: int) -> list[tuple[str, str]]:
        """The pictures of the last findings that say something, with their cases, the oldest first.

        Args:
            limit: How many.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        query = (
            select(findings.c.case_id, findings.c.hash)
            .where(findings.c.quality >= QUALITY_MIN, findings.c.hash != "")
            .order_by(findings.c.id.desc())
            .limit(limit)
        )
        async with self._database.reading() as connection:
            return [(row.case_id, row.hash) for row in reversed((await connection.execute(query)).all())]

    async def judge(self, case_id: str, *, agreed: bool, by: Actor, now: datetime, details: ActDetails) -> int:
        """Note whether a person saw in a case what the machine found there.

        A finding is judged once for each decision: a later one, after an appeal, stands in its place. What somebody has
        said of one finding by itself (``judge_one``) stays.

        Args:
            case_id: The case that they decided.
            agreed: Whether they did.
            by: The person.
            now: Aware.
            details: What is counted of it.

        Returns:
            How many findings are judged otherwise than before; those in which nothing was found are none.

        Raises:
            StoreUnavailableError: It could not be written.
        """
        async with self._database.writing() as connection:
            judged = await connection.execute(
                update(findings)
                .where(findings.c.case_id == case_id, findings.c.signs != "[]", findings.c.is_judged_alone.is_(False))
                .where((findings.c.agreed.is_(None)) | (findings.c.agreed != agreed))
                .values(agreed=agreed, judged_by=by.name, judged_at=now)
            )
            if judged.rowcount:
                action = "machine.agreed" if agreed else "machine.disagreed"
                act = entry_of(now, by, action, subject=case_id, reason=details.text(), count=judged.rowcount)
                await append_entries(connection, [act])
        return int(judged.rowcount)

    async def judge_one(
        self, case_id: str, finding_id: str, *, agreed: bool, by: Actor, now: datetime
    ) -> tuple[PictureFinding, bool] | None:
        """Note what a person makes of one finding, whatever they decide about its case.

        Args:
            case_id: Its case.
            finding_id: Its id.
            agreed: Whether they saw what the machine found.
            by: The person.
            now: Aware.

        Returns:
            The finding, and whether it is judged otherwise than before; None where there is none.

        Raises:
            ModerationStateError: Nothing was found in it.
            StoreUnavailableError: It could not be written.
        """
        chosen = (findings.c.case_id == case_id, findings.c.id == finding_id)
        query = select(findings, cases.c.category).outerjoin(cases, cases.c.id == findings.c.case_id).where(*chosen)
        async with self._database.writing() as connection:
            row = (await connection.execute(query)).one_or_none()
            if row is None:
                return None
            if row.signs == "[]":
                raise ModerationStateError("the machine has found nothing in this picture: there is nothing to judge")
            is_new = row.agreed is not agreed
            await connection.execute(
                update(findings)
                .where(*chosen)
                .values(agreed=agreed, judged_by=by.name, judged_at=now, is_judged_alone=True)
            )
            if is_new:
                details = ActDetails(category=row.category or "", automated_detection=True)
                action = "machine.agreed" if agreed else "machine.disagreed"
                act = entry_of(now, by, action, subject=case_id, reason=details.text(finding_id))
                await append_entries(connection, [act])
        return replace(_finding(row), agreed=agreed, judged_by=by.name, judged_at=now), is_new

    async def record(self) -> MachineRecord:
        """How good the machine is.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        query = (
            select(findings.c.agreed, func.count().label("findings"))
            .where(findings.c.signs != "[]")
            .group_by(findings.c.agreed)
        )
        async with self._database.reading() as connection:
            counts = {row.agreed: int(row.findings) for row in (await connection.execute(query)).all()}
        return MachineRecord(counts.get(True, 0), counts.get(False, 0), counts.get(None, 0))

    async def forget(self, decided_before: datetime, *, limit: int) -> int:
        """Remove findings of cases that were decided before a time, a few at once.

        Args:
            decided_before: Aware.
            limit: How many at most.

        Returns:
            How many.

        Raises:
            StoreUnavailableError: They could not be removed.
        """
        old = (
            select(cases.c.id)
            .join(decisions, decisions.c.id == cases.c.decision_id)
            .where(cases.c.state == CaseState.DECIDED, decisions.c.at < decided_before)
        )
        some = select(findings.c.id).where(findings.c.case_id.in_(old)).limit(limit)
        async with self._database.writing() as connection:
            done = await connection.execute(delete(findings).where(findings.c.id.in_(some)))
            return int(done.rowcount)


def _values(finding: PictureFinding) -> dict[str, Any]:
    look = finding.look
    return {
        "id": finding.id,
        "case_id": finding.case_id,
        "channel": finding.channel,
        "at": finding.at,
        "source": finding.source.value,
        "hash": look.hash,
        "quality": look.quality,
        "matches": json.dumps([asdict(match) for match in look.matches]),
        "scores": json.dumps([[label, score] for label, score in look.scores if score >= SCORE_KEPT_MIN]),
        "words": json.dumps(look.words),
        "fault": look.fault,
        "duplicates": json.dumps([asdict(each) for each in finding.duplicates]),
        "signs": json.dumps(finding.signs),
        "suggestion": json.dumps(asdict(finding.suggestion)) if finding.suggestion is not None else "",
        "agreed": finding.agreed,
        "judged_by": finding.judged_by,
        "judged_at": finding.judged_at,
    }


def _finding(row: Row[Any]) -> PictureFinding:
    return PictureFinding(
        id=row.id,
        case_id=row.case_id,
        channel=row.channel,
        at=row.at,
        source=FindingSource(row.source),
        look=Look(
            hash=row.hash,
            quality=row.quality,
            matches=tuple(
                Match(each["list_name"], Category(each["category"]), each["hash"], each["distance"])
                for each in json.loads(row.matches)
            ),
            scores=tuple((label, score) for label, score in json.loads(row.scores)),
            words=tuple(json.loads(row.words)),
            fault=row.fault,
        ),
        duplicates=tuple(Duplicate(**each) for each in json.loads(row.duplicates)),
        signs=tuple(json.loads(row.signs)),
        suggestion=_suggestion(row.suggestion),
        agreed=row.agreed,
        judged_by=row.judged_by,
        judged_at=row.judged_at,
    )


def _suggestion(text: str) -> Suggestion | None:
    if not text:
        return None
    said = json.loads(text)
    category = Category(said["category"]) if said["category"] else None
    return Suggestion(category, said["factor"], said["summary"])

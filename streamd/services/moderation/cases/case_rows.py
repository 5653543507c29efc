"""The rows of a case in the database: how they are read, held, and written in every act."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, func, insert, select

from streamd.errors import CaseNotFoundError, CaseStateError
from streamd.services.audit.audit_log import entry_of
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.cases.case_records import Case, CaseAct, CaseState, Decision, Outcome
from streamd.services.moderation.categories import Category
from streamd.services.moderation.statement import SourceType
from streamd.services.moderation.target import Target, TargetKind
from streamd.services.store.schema import case_history, cases, decisions

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from streamd.services.audit.records import Actor, AuditEntry

# A case has some ten acts; two who write notes to each other must not fill the disk.
HISTORY_MAX: Final = 1000


async def open_case(connection: AsyncConnection, key: str) -> Case | None:
    """The open case of a target and category, which nobody else changes until the transaction has ended."""
    query = select(cases).where(cases.c.open_key == key).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else case_from(row)


def details_of(found: Case, now: datetime, **more: Any) -> ActDetails:
    """What is counted of an act on a case."""
    seconds = max(0, int((now - found.opened_at).total_seconds()))
    return ActDetails(found.category.value, found.source_type.value, seconds=seconds, **more)


def case_entry(
    now: datetime, by: Actor, action: str, found: Case, *, words: str = "", details: ActDetails | None = None
) -> AuditEntry:
    """The audit row of an act on a case; ``details`` are those of the case where none are given."""
    text = (details or details_of(found, now)).text(words)
    return entry_of(now, by, action, stream=found.target.channel, subject=found.id, reason=text)


async def held(connection: AsyncConnection, case_id: str) -> Case:
    """A case, which nobody else changes until the transaction has ended."""
    query = select(cases).where(cases.c.id == case_id).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise CaseNotFoundError(f"there is no case {case_id}")
    return case_from(row)


async def note(
    connection: AsyncConnection,
    case_id: str,
    now: datetime,
    actor: str,
    act: CaseAct,
    text: str,
    *,
    is_needed: bool = False,
) -> None:
    """Write an act into the history of a case.

    Raises:
        CaseStateError: It has too many, and this one could be left out.
    """
    number = select(func.count()).select_from(case_history).where(case_history.c.case_id == case_id)
    # Of what nobody may refuse, a place is left for as many again.
    if (await connection.execute(number)).scalar_one() >= HISTORY_MAX and not is_needed:
        raise CaseStateError(f"a case has {HISTORY_MAX} notes at most")
    values = {"case_id": case_id, "at": now, "actor": actor, "act": act.value, "text": text}
    await connection.execute(insert(case_history).values(values))


async def find_decision(connection: AsyncConnection, decision_id: str) -> Decision | None:
    """Find a decision; None where there is none."""
    row = (await connection.execute(select(decisions).where(decisions.c.id == decision_id))).one_or_none()
    return None if row is None else decision_of(row)


def decision_row(decision: Decision) -> dict[str, Any]:
    """A decision as its row."""
    return {
        "id": decision.id,
        "case_id": decision.case_id,
        "at": decision.at,
        "actor": decision.actor,
        "outcome": decision.outcome.value,
        "reason": decision.reason,
        "statement": json.dumps(decision.statement),
        "takedown_id": decision.takedown_id,
        "is_unfounded": decision.is_unfounded,
        "reversed_at": decision.reversed_at,
    }


def decision_of(row: Row[Any]) -> Decision:
    """A row as a decision."""
    values = row._asdict()
    return Decision(**values | {"outcome": Outcome(values["outcome"]), "statement": json.loads(values["statement"])})


def case_from(row: Row[Any]) -> Case:
    """A row as a case."""
    return case_of(row._asdict())


def case_of(values: dict[str, Any]) -> Case:
    """The values of a row as a case."""
    kind, named, channel = values["target_kind"], values["target_id"], values["channel"]
    others = {
        name: value
        for name, value in values.items()
        if name not in ("open_key", "target_kind", "target_id", "channel", "category", "source_type", "state")
    }
    return Case(
        target=Target(TargetKind(kind), named, channel),
        category=Category(values["category"]),
        source_type=SourceType(values["source_type"]),
        state=CaseState(values["state"]),
        **others,
    )


def state_before(claimed_by: str) -> CaseState:
    """How a case stood before it was decided."""
    return CaseState.CLAIMED if claimed_by else CaseState.OPEN

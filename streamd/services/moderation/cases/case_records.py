"""Reports, cases, decisions and appeals, as the store has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from streamd.services.moderation.categories import Category, Keyword
from streamd.services.moderation.statement import SourceType
from streamd.services.moderation.target import Target


class CaseState(StrEnum):
    """How a case stands."""

    OPEN = "open"
    """It waits for somebody."""
    CLAIMED = "claimed"
    """A moderator looks at it."""
    DECIDED = "decided"


class Outcome(StrEnum):
    """What was decided."""

    TAKEN_DOWN = "taken_down"
    NO_ACTION = "no_action"


class CaseAct(StrEnum):
    """What was done in a case."""

    OPENED = "opened"
    CLAIMED = "claimed"
    NOTED = "noted"
    DECIDED = "decided"
    REOPENED = "reopened"
    APPEALED = "appealed"
    ANSWERED = "answered"
    """An appeal was decided."""
    REVERSED = "reversed"
    """It is open again, as an appeal against leaving it alone was right."""


class Party(StrEnum):
    """Who appeals."""

    REPORTER = "reporter"
    BROADCASTER = "broadcaster"


class AppealState(StrEnum):
    """How an appeal stands."""

    OPEN = "open"
    UPHELD = "upheld"
    """The decision stays."""
    REVERSED = "reversed"


@dataclass(frozen=True, slots=True)
class NewReport:
    """A report on its way to the store."""

    id: str
    target: Target | None
    """None: there is no such thing; nothing is kept of it, and its reporter is answered like others."""
    category: Category
    received_at: datetime
    source: str
    """Whom it is counted as."""
    keyword: Keyword | None = None
    explanation: str = ""
    at: datetime | None = None
    contact: str = field(default="", repr=False)
    flagger: str = ""
    viewers: int = 0
    """Of the channel, at this moment."""

    @property
    def case_key(self) -> str:
        """Of the open case that it joins: one a target and category; empty where there is no target."""
        return "" if self.target is None else f"{self.target.kind.value}:{self.target.id}:{self.category.value}"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a report."""

    case_id: str
    is_first: bool = False
    """It has opened the case."""
    is_kept: bool = False
    """Its text is there for moderators to read."""
    is_suspended: bool = False
    """It was not taken: its reporter is suspended."""
    reporters: int = 0
    """Different ones of the case, with this one."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report whose text was kept."""

    id: str
    case_id: str
    received_at: datetime
    at: datetime | None
    """What played, where its reporter has said so."""
    keyword: str
    explanation: str
    contact: str = field(repr=False)
    flagger: str
    """The trusted flagger that it came from; empty for none."""


@dataclass(frozen=True, slots=True)
class Case:
    """A case."""

    id: str
    target: Target
    category: Category
    source_type: SourceType
    state: CaseState
    is_restricted: bool
    """Child sexual abuse: its evidence is for those who must see it."""
    is_on_top: bool
    priority: float
    reports: int
    reports_kept: int
    reporters: int
    records: float
    has_flagger: bool
    viewers: int
    machine_factor: float
    machine_summary: str
    opened_at: datetime
    last_report_at: datetime
    claimed_by: str
    claimed_at: datetime | None
    decision_id: str | None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One act in a case."""

    sequence: int
    at: datetime
    actor: str
    act: str
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision."""

    id: str
    case_id: str
    at: datetime
    actor: str
    outcome: Outcome
    reason: str
    """In the moderator's words, for whoever is told."""
    statement: dict[str, Any]
    """The statement of reasons; empty where nothing was taken down."""
    takedown_id: str
    is_unfounded: bool
    """The reports were manifestly unfounded (Digital Services Act, article 23)."""
    reversed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Appeal:
    """A complaint about a decision."""

    id: str
    decision_id: str
    case_id: str
    party: Party
    text: str
    received_at: datetime
    state: AppealState
    decided_by: str
    decided_at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases are asked for; all that is said must hold."""

    state: CaseState | None = None
    channel: str = ""
    claimed_by: str = ""


ALL_CASES: Final = CaseFilter()

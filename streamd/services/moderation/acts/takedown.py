"""A takedown: what is dark since when, by whom and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Self

# The journal makes takedowns of its lines.
from streamd.services.moderation.statement import Statement
from streamd.services.moderation.target import Target


@dataclass(frozen=True, slots=True)
class Hold:
    """What a takedown keeps dark, where, and until when."""

    target: Target
    territory: tuple[str, ...] = ()
    """Countries; none for everywhere."""
    ends_on: date | None = None
    """The last day of it (UTC); None for no end."""

    @classmethod
    def by(cls, target: Target, statement: Statement) -> Self:
        """What a statement of reasons means for a target."""
        ends = (
            statement.end_date_visibility_restriction,
            statement.end_date_service_restriction,
            statement.end_date_account_restriction,
        )
        return cls(target, statement.territorial_scope, max(filter(None, ends), default=None))


@dataclass(frozen=True, slots=True)
class Takedown:
    """One takedown, as it is kept."""

    id: str
    """``tkd_…``."""
    target: Target
    statement: Statement
    made_at: datetime
    made_by: str
    case_id: str | None = None
    order_id: str | None = None
    restored_at: datetime | None = None
    restored_by: str | None = None
    restore_reason: str = ""

    @property
    def hold(self) -> Hold:
        """What it keeps dark."""
        return Hold.by(self.target, self.statement)


@dataclass(frozen=True, slots=True)
class CacheFault:
    """A cache in front that was not told."""

    url: str
    why: str


@dataclass(frozen=True, slots=True)
class TakedownResult:
    """A completed takedown: everything of its target was dark before it was made."""

    takedown: Takedown
    closed: tuple[str, ...]
    """Names of the streams that were closed."""
    took_s: float
    """From the call until it was dark."""
    unwritten: str = ""
    """Why the store does not have it yet; empty where it does."""
    caches: tuple[CacheFault, ...] = ()
    nodes: Mapping[str, str] = field(default_factory=dict)
    """What became of it at the nodes of a cluster; empty for a server that is alone."""

    @property
    def id(self) -> str:
        """Of the takedown."""
        return self.takedown.id


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """A completed restore."""

    takedown: Takedown
    still_dark_by: tuple[str, ...] = ()
    """Ids of the other takedowns and blocks that keep the same dark."""
    caches: tuple[CacheFault, ...] = ()

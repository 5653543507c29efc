"""An authority's order, and what was done about each thing that it names."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

# Targets of one order. Each is an act of some milliseconds, and the answer waits for all of them.
URLS_MAX: Final = 200
TEXT_CHARS_MAX: Final = 500
# Regulation (EU) 2021/784: terrorist content.
TERRORIST: Final = re.compile(r"2021/784")


class Effect(enum.StrEnum):
    """What was done about one thing that an order names."""

    TAKEN_DOWN = "taken_down"
    BLOCKED = "blocked"
    """In the order's territory."""
    NOT_HERE = "not_here"
    """It is of another site, or there is no such thing."""
    IMPOSSIBLE = "impossible"
    """It could not be done; the detail says why."""


@dataclass(frozen=True, slots=True)
class OrderEffect:
    """What was done about one thing that an order names."""

    url: str
    """As the order names it."""
    effect: Effect
    act_id: str = ""
    """Of the takedown or the block."""
    target: str = ""
    """Kind and id of what it is."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """One order, as it is kept."""

    id: str
    """``ord_…``."""
    authority: str
    reference: str
    """The authority's own."""
    legal_basis: str
    urls: tuple[str, ...]
    territorial_scope: tuple[str, ...]
    """Countries; empty for everywhere."""
    received_at: datetime
    acted_at: datetime
    """When all of it was carried out."""
    acted_by: str
    deadline: datetime | None = None
    reasons: str = ""
    """The authority's."""
    redress: str = ""
    """How one can complain about it, as the authority says."""
    statement: dict[str, Any] = field(default_factory=dict)
    """Of reasons, in the Commission's schema."""
    effects: tuple[OrderEffect, ...] = ()
    answered_at: datetime | None = None
    """When the reply was sent."""
    answered_by: str | None = None

    @property
    def took_s(self) -> float:
        """From its receipt until it was carried out, seconds."""
        return max(0.0, (self.acted_at - self.received_at).total_seconds())

    @property
    def is_terrorist(self) -> bool:
        """Whether it orders within one hour."""
        return TERRORIST.search(self.legal_basis) is not None

    @property
    def is_in_time(self) -> bool:
        """Whether it was carried out before its deadline."""
        return self.deadline is None or self.acted_at <= self.deadline


@dataclass(frozen=True, slots=True)
class OrderResult:
    """An order that was carried out."""

    order: Order
    reply: str
    """Text for the authority."""
    unwritten: str = ""
    """Why the store does not have it yet; empty where it does."""

"""What comes first: the priority of a case."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streamd.services.moderation.categories import SEVERITY

if TYPE_CHECKING:
    from streamd.services.moderation.categories import Category

# A trusted flagger's record, whatever else is reported.
FLAGGER_RECORD: Final = 10.0
RECORD_MIN: Final = 0.2
RECORD_MAX: Final = 3.0
# Above what the formula gives anything: severity 10, 1,000 reporters, a trusted flagger, a billion viewers and the
# machine's factor come to 45,000.
ON_TOP: Final = 1_000_000.0
# The machine's weight at most: a finding of an uncertain kind never outweighs many people.
MACHINE_FACTOR_MIN: Final = 0.5
MACHINE_FACTOR_MAX: Final = 5.0


@dataclass(frozen=True, slots=True)
class Weight:
    """What the priority of a case is made of."""

    category: Category
    reporters: int
    """Different ones."""
    records: float
    """The sum of their records."""
    has_flagger: bool = False
    """A trusted flagger is among them."""
    viewers: int = 0
    """The most that there were at a report."""
    machine_factor: float = 1.0
    is_on_top: bool = False
    """A picture of it is known: it comes before all that is not."""


def priority_of(weight: Weight) -> float:
    """How soon a case should be looked at; more is sooner.

    Severity of the category x log2(1 + different reporters) x the reporters' record x log10(10 + viewers), and what the
    machine makes of it: ten times the reporters count four times as much, so that a crowd that was sent does not bury
    what one person saw.
    """
    reporters = max(1, weight.reporters)
    record = FLAGGER_RECORD if weight.has_flagger else weight.records / reporters if weight.records else 1.0
    record = max(RECORD_MIN, min(record, FLAGGER_RECORD))
    factor = max(MACHINE_FACTOR_MIN, min(weight.machine_factor, MACHINE_FACTOR_MAX))
    found = SEVERITY[weight.category] * math.log2(1 + reporters) * record * math.log10(10 + max(0, weight.viewers))
    return (ON_TOP if weight.is_on_top else 0.0) + found * factor


def record_of(upheld: int, rejected: int) -> float:
    """How far a reporter is believed, 0.2 to 3; whoever is new, 1.

    Args:
        upheld: Their reports that were right.
        rejected: Those that were not.
    """
    return max(RECORD_MIN, min((1 + upheld) / (1 + rejected), RECORD_MAX))

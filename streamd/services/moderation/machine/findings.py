"""The machine's findings in a picture, how much they weigh, and whether a person agreed.

It sets the order in which people look, and decides nothing: no act begins here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streamd.services.moderation.categories import SEVERITY, Category

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from streamd.services.moderation.machine.sight import Look

# A finding multiplies a case's priority by at most this; what is on a list of known pictures goes before all anyway.
FACTOR_MAX: Final = 4.0
# A case is at least this much more urgent for a picture that people took down before.
DUPLICATE_FACTOR: Final = 2.0
# Of nudenet's 18 labels, those that a rule against nudity means; the others are faces, feet and what is covered.
EXPOSED: Final = (
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
    "ANUS_EXPOSED",
    "BUTTOCKS_EXPOSED",
)
# Lines of text in a summary for a list of cases.
SIGNS_SHOWN_MAX: Final = 3


class FindingSource(enum.StrEnum):
    """Why the machine looked."""

    REPORT = "report"
    SCAN = "scan"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another case with the same picture."""

    case_id: str
    distance: int
    """In how many of 256 bits their hashes differ."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What the assistant made of a case; nobody has checked it."""

    category: Category | None = None
    factor: float = 1.0
    """By which the case is more urgent (above 1) or less."""
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Weight:
    """What follows of a look for the order of cases."""

    signs: tuple[str, ...] = ()
    """What was found, in words; empty where nothing was."""
    factor: float = 1.0
    is_on_top: bool = False
    """It is a known picture: before all other cases."""
    category: Category | None = None
    """What it is a sign of."""

    @property
    def summary(self) -> str:
        """For the list of cases."""
        shown = "; ".join(self.signs[:SIGNS_SHOWN_MAX])
        more = len(self.signs) - SIGNS_SHOWN_MAX
        return f"{shown}; {more} more" if more > 0 else shown


@dataclass(frozen=True, slots=True)
class PictureFinding:
    """A picture that was looked at for a case."""

    id: str
    case_id: str
    channel: str
    at: datetime
    source: FindingSource
    look: Look
    duplicates: tuple[Duplicate, ...] = ()
    signs: tuple[str, ...] = ()
    """As of ``Weight``."""
    suggestion: Suggestion | None = None
    agreed: bool | None = None
    """Whether whoever decided the case saw what the machine found; None while nobody has, and where it found none."""
    judged_by: str = ""
    judged_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MachineRecord:
    """How good the machine is: findings, by what those who decided made of them."""

    agreed: int = 0
    disagreed: int = 0
    waiting: int = 0
    """Nobody has decided."""

    @property
    def error_rate(self) -> float | None:
        """The share of those judged that people disagreed with; None where none is."""
        judged = self.agreed + self.disagreed
        return round(self.disagreed / judged, 4) if judged else None


def flagged(look: Look, labels: Collection[str], threshold: float) -> tuple[tuple[str, float], ...]:
    """The labels of a look that count as found.

    Args:
        look: What was seen.
        labels: Which labels count; none for all of the classifier's.
        threshold: From which score on.
    """
    return tuple(
        (label, score) for label, score in look.scores if score >= threshold and (not labels or label in labels)
    )


def weigh(
    look: Look, duplicates: Collection[Duplicate], labels: Collection[str], threshold: float, label_category: Category
) -> Weight:
    """Say what a look comes to.

    Args:
        look: What was seen.
        duplicates: Other cases with the picture.
        labels: As of ``flagged``.
        threshold: Likewise.
        label_category: What a label of the classifier is a sign of.
    """
    found = flagged(look, labels, threshold)
    signs = [f"known picture: {match.list_name}, {match.distance} of 256 bits off" for match in look.matches]
    signs += [f"{label} {score:.2f}" for label, score in found]
    signs += [f"same picture as {each.case_id}" for each in duplicates]
    categories = [match.category for match in look.matches] or ([label_category] if found else [])
    factor = 1.0
    if found:
        # From 1 at the threshold to FACTOR_MAX where the classifier is certain.
        share = (found[0][1] - threshold) / (1 - threshold) if threshold < 1 else 1.0
        factor = 1 + (FACTOR_MAX - 1) * share
    if duplicates:
        factor = max(factor, DUPLICATE_FACTOR)
    return Weight(
        tuple(signs),
        FACTOR_MAX if look.matches else factor,
        is_on_top=bool(look.matches),
        category=max(categories, key=lambda each: SEVERITY[each], default=None),
    )

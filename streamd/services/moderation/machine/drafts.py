"""A draft of a statement of reasons: what is known of a case, put where the Commission's schema has it.

The ground and its explanation stay empty. They are the decision, and that is a person's.

Spec: Regulation (EU) 2022/2065 article 17; the fields are those of ``statement.Statement``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streamd.services.moderation.categories import TITLES, Category
from streamd.services.moderation.statement import FACTS_CHARS_MAX, Ground, SourceType, Visibility

if TYPE_CHECKING:
    from datetime import datetime

    from streamd.services.moderation.machine.findings import PictureFinding

# Words of reporters and of pictures that a draft repeats: enough to decide by, and not all that a crowd writes.
EXPLANATIONS_MAX: Final = 5
EXPLANATION_CHARS_MAX: Final = 500
WORDS_CHARS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What a draft and the assistant know of a case; of reporters, only what they wrote."""

    case_id: str
    channel: str
    category: Category
    opened_at: datetime
    source_type: SourceType = SourceType.ARTICLE_16
    keywords: tuple[str, ...] = ()
    """The Commission's, ``KEYWORD_…``."""
    explanations: tuple[str, ...] = ()
    """The reporters', the first ones."""
    reports: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """A statement that a person has still to complete."""

    statement: dict[str, Any]
    """Its JSON."""
    missing: tuple[str, ...]
    """Fields that are the person's to write."""


def draft_statement(facts: CaseFacts, finding: PictureFinding | None) -> Draft:
    """Fill a statement from what is known.

    Args:
        facts: Of the case.
        finding: The machine's, where it looked.
    """
    is_own_rule = facts.category is Category.OTHER_VIOLATION_TC
    kind = "incompatible_content" if is_own_rule else "illegal_content"
    ground = f"{kind}_ground" if is_own_rule else f"{kind}_legal_ground"
    statement: dict[str, Any] = {
        "decision_visibility": [Visibility.CONTENT_DISABLED.value],
        "decision_ground": (Ground.INCOMPATIBLE_CONTENT if is_own_rule else Ground.ILLEGAL_CONTENT).value,
        ground: "",
        f"{kind}_explanation": "",
        "decision_facts": _facts(facts, finding),
        "category": f"STATEMENT_CATEGORY_{facts.category.value}",
        "source_type": facts.source_type.value,
        # "Yes" is for what nobody had reported: a machine found it.
        "automated_detection": "Yes" if facts.source_type is SourceType.VOLUNTARY and finding is not None else "No",
        "automated_decision": "AUTOMATED_DECISION_NOT_AUTOMATED",
        "content_type": ["CONTENT_TYPE_VIDEO"],
        "content_date": facts.opened_at.date().isoformat(),
    }
    if facts.keywords:
        statement["category_specification"] = list(facts.keywords)
    return Draft(statement, (ground, f"{kind}_explanation"))


def _facts(facts: CaseFacts, finding: PictureFinding | None) -> str:
    began = f"{facts.opened_at:%Y-%m-%d %H:%M} UTC"
    times = "once" if facts.reports == 1 else f"{facts.reports} times"
    paragraphs = [
        f"The channel {facts.channel} was reported {times} since {began}: {TITLES[facts.category]}."
        if facts.reports
        else f"The channel {facts.channel} was looked at since {began}: {TITLES[facts.category]}."
    ]
    said = [_one_line(each, EXPLANATION_CHARS_MAX) for each in facts.explanations[:EXPLANATIONS_MAX]]
    paragraphs += [f'Reporters wrote: "{each}"' for each in said if each]
    if finding is not None:
        at = f"{finding.at:%Y-%m-%d %H:%M:%S} UTC"
        if finding.signs:
            paragraphs.append(f"A machine found in a picture of {at}: {'; '.join(finding.signs)}.")
        if finding.look.words:
            words = _one_line(" / ".join(finding.look.words), WORDS_CHARS_MAX)
            paragraphs.append(f'Words in a picture of {at}: "{words}"')
    return "\n".join(paragraphs)[:FACTS_CHARS_MAX]


def _one_line(text: str, chars_max: int) -> str:
    return " ".join(text.split())[:chars_max]

"""The facts of an act of moderation, as its row of the audit log carries them: what the public counts are made of.

The row's ``reason`` begins with a JSON object, and the words of whoever acted follow it. The object stands first, and
is written by the server alone: what people write cannot pass for it, and counts nowhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

# Of one text in the object, and how many stand in a list: a row of another's making costs little to read.
TEXT_LENGTH_MAX = 64
LIST_LENGTH_MAX = 64
# The longest object that is read.
DETAILS_LENGTH_MAX = 8 * 1024
# A century: what a clock that was set wrongly says counts as no time.
SECONDS_MAX = 100 * 366 * 86_400

_DECODER: Final = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class ActDetails:
    """What is counted of an act; what is not known, or has no meaning for it, is empty."""

    category: str = ""
    """The DSA's category."""
    source_type: str = ""
    """Where it came from: ``SOURCE_ARTICLE_16``, ``SOURCE_TRUSTED_FLAGGER``, ``SOURCE_VOLUNTARY``, …"""
    territorial_scope: tuple[str, ...] = ()
    """Countries that it is for, two letters each; none for everywhere."""
    automated_detection: bool = False
    """A machine has found it."""
    automated_decision: str = ""
    """``AUTOMATED_DECISION_FULLY``, ``AUTOMATED_DECISION_PARTIALLY`` or ``AUTOMATED_DECISION_NOT_AUTOMATED``."""
    ground: str = ""
    """``ILLEGAL_CONTENT`` or ``INCOMPATIBLE_CONTENT``."""
    outcome: str = ""
    """What a decision or an appeal came to, such as ``upheld`` or ``reversed``."""
    seconds: int | None = None
    """From the report, order or appeal to this act."""

    def text(self, words: str = "") -> str:
        """The audit row's ``reason``.

        Args:
            words: What whoever acted wrote; may be empty.
        """
        facts: dict[str, Any] = {
            "category": self.category,
            "source_type": self.source_type,
            "territorial_scope": list(self.territorial_scope),
            "automated_detection": self.automated_detection,
            "automated_decision": self.automated_decision,
            "ground": self.ground,
            "outcome": self.outcome,
        }
        known = {name: value for name, value in facts.items() if value}
        if self.seconds is not None:
            known["seconds"] = self.seconds
        return f"{json.dumps(known, separators=(',', ':'))} {words}".rstrip()

    @classmethod
    def parse(cls, reason: str) -> ActDetails:
        """Read what ``text`` has written; a row without details has none, and what has another form is left out."""
        found = _object(reason)
        scope = found.get("territorial_scope")
        seconds = found.get("seconds")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds <= SECONDS_MAX:
            seconds = None
        return cls(
            category=_text(found.get("category")),
            source_type=_text(found.get("source_type")),
            territorial_scope=tuple(filter(None, map(_text, scope[:LIST_LENGTH_MAX])))
            if isinstance(scope, list)
            else (),
            # The Commission's schema says Yes and No.
            automated_detection=found.get("automated_detection") in (True, "Yes"),
            automated_decision=_text(found.get("automated_decision")),
            ground=_text(found.get("ground")),
            outcome=_text(found.get("outcome")),
            seconds=None if seconds is None else int(seconds),
        )


def words_of(reason: str) -> str:
    """What whoever acted wrote, without the object before it."""
    if not reason.startswith("{"):
        return reason
    try:
        _, end = _DECODER.raw_decode(reason)
    except (ValueError, RecursionError):
        return reason
    return reason[end:].lstrip()


def _object(reason: str) -> dict[str, Any]:
    if not reason.startswith("{"):
        return {}
    try:
        found, _ = _DECODER.raw_decode(reason[:DETAILS_LENGTH_MAX])
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value[:TEXT_LENGTH_MAX] if isinstance(value, str) else ""

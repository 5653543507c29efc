"""The ids of moderation: a prefix that says of what, and a ULID; and the short reference that people say aloud."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from streamd.services.ulid import DIGITS, PATTERN, new_ulid

if TYPE_CHECKING:
    from datetime import datetime

# Of the 80 random bits of a ULID, the reference shows 30: with 100,000 reports open, one in ten thousand references is
# of two of them, and whoever looks one up sees both.
_REFERENCE_LENGTH = 6
_REFERENCE = re.compile(rf"([{DIGITS}]{{4}})-?([{DIGITS}]{{2}})")
# Letters that people write in place of digits that look like them (Crockford's base 32).
_LOOKALIKES = str.maketrans({"i": "1", "l": "1", "o": "0"})


class IdKind(StrEnum):
    """What an id is of; the value is its prefix."""

    REPORT = "rpt_"
    CASE = "case_"
    DECISION = "dec_"
    TAKEDOWN = "tkd_"
    ORDER = "ord_"
    APPEAL = "apl_"
    EVIDENCE = "evi_"
    BLOCK = "blk_"
    FINDING = "fnd_"


_FORMS = {kind: re.compile(kind.value + PATTERN) for kind in IdKind}


def new_id(kind: IdKind, now: datetime) -> str:
    """Make an id.

    Args:
        kind: What it is of.
        now: Aware; ids of a kind sort by it, to the millisecond.
    """
    return kind.value + new_ulid(now)


def is_id(kind: IdKind, text: str) -> bool:
    """Say whether a text has the form of an id of a kind."""
    return _FORMS[kind].fullmatch(text) is not None


def id_pattern(kind: IdKind) -> str:
    """The regular expression of an id, for the models of calls."""
    return f"^{_FORMS[kind].pattern}$"


def reference_of(an_id: str) -> str:
    """The reference of an id, as a person says it to another: ``7F3K-92``."""
    last = an_id[-_REFERENCE_LENGTH:].upper()
    return f"{last[:4]}-{last[4:]}"


def reference_end(text: str) -> str | None:
    """The end of the ids that have a reference, however it was typed; None where the text is no reference."""
    match = _REFERENCE.fullmatch(text.strip().lower().replace(" ", "").translate(_LOOKALIKES))
    return None if match is None else match[1] + match[2]

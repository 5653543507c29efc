"""How much work something is, counted: a time would be the machine's as well."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def count_calls(work: Callable[[], object]) -> int:
    """Do some work, and return how many functions were called for it, of Python and of C.

    What is compiled calls without being seen: this is for modules that are not.
    """
    calls = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls

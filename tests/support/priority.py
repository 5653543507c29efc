"""What an encoder takes for itself, given back."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def keeping_priority() -> Iterator[None]:
    """Undo what SVT-AV1 does to a thread of root that opens it: SCHED_FIFO 99, which every child then inherits.

    A Chromium that was started so kept both cores of a machine for itself.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)

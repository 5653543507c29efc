"""Turns of the connections of one port that have more to be parsed than others should wait for.

A connection alone is parsed a little at a time. A thousand of them would have their little in the same step of the
loop: so they stand in line, and the line has a few milliseconds of each step.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Of one step of the loop; a part is late by no more. Each line wakes its reader, which takes about as long again.
SLICE_S = 0.005


class Turns:
    """The line of one port."""

    def __init__(self) -> None:
        self._line: deque[Callable[[], None]] = deque()
        self._is_due = False

    def wait(self, step: Callable[[], None]) -> None:
        """Have a step called when those before it had their turn; it may wait again for the rest."""
        self._line.append(step)
        self._serve_soon()

    def _serve_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        self._is_due = False
        now = asyncio.get_running_loop().time
        until = now() + SLICE_S
        # Those who wait again have their turn in the next step.
        for _ in range(len(self._line)):
            self._line.popleft()()
            if now() >= until:
                break
        if self._line:
            self._serve_soon()

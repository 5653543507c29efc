"""A description that is made once for all who ask within a moment of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from streamd.clock import Clock

# A hundred streams take 3 ms to describe, in which nothing else is done. Figures move by the second.
SERVES_S = 0.5


class Described:
    """A body that many ask for.

    Args:
        clock: For how long it serves.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: list[Hashable] = []
        self._body = b""
        self._until = float("-inf")

    def body(self, of: Sequence[Hashable], describe: Callable[[], bytes]) -> bytes:
        """The description of now, or of a moment ago.

        Args:
            of: What it is about: with another there, or one gone, it is made anew at once.
            describe: Makes it.
        """
        now = self._clock.monotonic()
        if now >= self._until or self._of != list(of):
            self._body, self._of, self._until = describe(), list(of), now + SERVES_S
        return self._body

"""A description that is made once for all requests of a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from streamd.clock import Clock

# A description of a hundred streams holds the loop for 3 ms. Figures move by the second.
SERVES_S = 0.5


class Described:
    """A body that many ask for.

    Args:
        clock: Measures its age.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: list[Hashable] = []
        self._body = b""
        self._until = float("-inf")

    def body(self, of: Sequence[Hashable], describe: Callable[[], bytes]) -> bytes:
        """The description of now, or of a moment ago.

        Args:
            of: Its subjects: with one more or one less, it is made anew at once.
            describe: Makes it.
        """
        now = self._clock.monotonic()
        if now >= self._until or self._of != list(of):
            self._body, self._of, self._until = describe(), list(of), now + SERVES_S
        return self._body

"""A bound for the lines of the log that one source may cause.

An event that any outsider can cause is logged some times a minute for each source, and some times for all; metrics
count the rest.
"""

from __future__ import annotations

from collections import OrderedDict

# Sources with lines in the minute that runs: about 100 bytes each. Past it the source heard least lately is forgotten,
# and the bound for all sources together holds.
SOURCES_MAX = 4096
_MINUTE_S = 60.0


class LineBudget:
    """Lines about peers, by source and in all, in each minute.

    Args:
        per_source: Lines a minute about one source: an address or a key id.
        in_all: Lines a minute about all of them.
    """

    def __init__(self, per_source: int, in_all: int) -> None:
        self.per_source = per_source
        self.in_all = in_all
        self._lines: OrderedDict[str, int] = OrderedDict()
        self._until = 0.0
        self.written = 0
        """Lines of the current minute."""
        self.suppressed = 0
        """Lines that were not written since the start."""

    def may_log(self, source: str, now: float) -> bool:
        """Tell whether one line more about ``source`` may be written, and count it.

        Args:
            source: An address or a key id.
            now: Loop time, seconds.
        """
        if now >= self._until:
            self._lines.clear()
            self.written, self._until = 0, now + _MINUTE_S
        lines = self._lines.get(source, 0) + 1
        self._lines[source] = lines
        self._lines.move_to_end(source)
        if len(self._lines) > SOURCES_MAX:
            self._lines.popitem(last=False)
        if lines > self.per_source or self.written >= self.in_all:
            self.suppressed += 1
            return False
        self.written += 1
        return True

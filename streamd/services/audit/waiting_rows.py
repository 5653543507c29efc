"""Audit rows of acts that are done, and that the store could not take: they wait for it.

A kick or the end of a stream does not wait for the database, so its row may come later than the act.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamd.services.audit.records import AuditEntry

log = logging.getLogger(__name__)

# A row is about 0.5 kB. Operators' kicks and the ends of a server's streams come to some thousands in a day; past this
# the oldest are lost, and the log says so.
ROWS_MAX = 10_000


class WaitingRows:
    """Rows that wait to be written, in the order of their acts."""

    def __init__(self) -> None:
        self._rows: list[AuditEntry] = []

    def __len__(self) -> int:
        """How many wait."""
        return len(self._rows)

    def keep(self, entries: Iterable[AuditEntry]) -> None:
        """Have rows wait behind those that wait already."""
        self._rows += entries
        self._drop_oldest()

    def take(self) -> list[AuditEntry]:
        """All of them; they are forgotten here."""
        rows, self._rows = self._rows, []
        return rows

    def give_back(self, rows: list[AuditEntry]) -> None:
        """Keep rows that could not be written this time either, before those that came meanwhile."""
        self._rows = rows + self._rows
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        if (lost := len(self._rows) - ROWS_MAX) > 0:
            del self._rows[:lost]
            log.warning("audit.lost", extra={"rows": lost})

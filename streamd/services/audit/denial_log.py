"""Refused publishes on their way to the audit log: one row for many that are alike.

An encoder whose key was revoked retries for hours, and a guesser thousands of times a minute. The log tells of both,
and stays readable and small: refusals for one reason, from one address and with one key, are one row a window with a
count; past so many rows, one row a reason.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from streamd.formats.address import source_of
from streamd.services.audit.records import AuditEntry

# Seconds from the first refusal to its row. Long enough that a retrying encoder is one or two rows a minute at most.
WINDOW_S = 60.0
PUBLISH_DENIED = "publish.denied"
"""A refused publish."""
STUDIO_DENIED = "studio.denied"
"""A refused visit of the broadcaster's page."""
ADMIN_DENIED = "admin.denied"
"""A wrong admin token or code was shown."""


class DenialLog:
    """Counts refusals until their window is over.

    Args:
        actor: The refusing side, as the audit log names it.
        rows_max: Rows of one window that name an address; as many again name a key alone.
    """

    def __init__(self, actor: str, rows_max: int) -> None:
        self._actor = actor
        self.rows_max = rows_max
        self._rows: dict[tuple[str, str, str | None, str, str | None], AuditEntry] = {}
        self._window_ends_at = float("inf")

    def note(
        self,
        reason: str,
        address: str,
        key_id: str | None,
        *,
        at: datetime,
        now: float,
        action: str = PUBLISH_DENIED,
        user: str | None = None,
        subject: str | None = None,
    ) -> None:
        """Count a refusal.

        Args:
            reason: The reason, as in ``AuditEntry.reason``.
            address: IP address it came from.
            key_id: The key, if the store has it: ids that a guesser made up would be a row each.
            at: Wall time.
            now: Loop time, seconds.
            action: The refused act.
            user: The key's, where the key is good.
            subject: Whose token is good, and code is wrong.
        """
        if not self._rows:
            self._window_ends_at = now + WINDOW_S
        source = source_of(address)
        self._add(AuditEntry(at, self._actor, action, source, user, key_id, reason=reason, subject=subject))

    def forget(self, key_id: str) -> None:
        """Erase the addresses in waiting rows about a key that was deleted."""
        for place in [place for place in self._rows if place[2] == key_id]:
            self._add(replace(self._rows.pop(place), address=""))

    def take(self, now: float = float("inf")) -> list[AuditEntry]:
        """The rows of a window that is over by ``now``; they are forgotten here.

        Args:
            now: Loop time, seconds; by default every row, however young.
        """
        if not self._rows or now < self._window_ends_at:
            return []
        entries = [*self._rows.values()]
        self._rows.clear()
        return entries

    def give_back(self, entries: list[AuditEntry], now: float) -> None:
        """Keep rows that could not be written for another window."""
        self._window_ends_at = now + WINDOW_S
        for entry in entries:
            self._add(entry)

    def _add(self, entry: AuditEntry) -> None:
        place = (entry.action, entry.address, entry.key_id, entry.reason, entry.subject)
        if place not in self._rows and len(self._rows) >= self.rows_max:
            # A flood from many addresses hides no refusal of a key that exists: its row loses the address alone, up to
            # as many rows again.
            key_id, user = (entry.key_id, entry.user) if len(self._rows) < 2 * self.rows_max else (None, None)
            entry = replace(entry, address="", key_id=key_id, user=user)
            place = (entry.action, "", key_id, entry.reason, entry.subject)
        if (known := self._rows.get(place)) is not None:
            entry = replace(entry, at=max(known.at, entry.at), count=known.count + entry.count)
        self._rows[place] = entry

"""Time and address of keys' last uses, on the way to the store.

Without it every publish would be a write. The sweep makes one write of all of them; until then the lists show the uses
that wait here.
"""

from __future__ import annotations

from dataclasses import replace

from streamd.services.keys.records import KeyRecord, KeyUse

# Last uses that wait to be written. Each is a distinct key that opened a stream since the last
# sweep, so this passes only where the store cannot be written for long; then the oldest are lost.
USES_WAITING_MAX = 10_000


class LastUses:
    """The last use of each key that the store does not know of yet."""

    def __init__(self) -> None:
        # Oldest first.
        self._waiting: dict[str, KeyUse] = {}

    def note(self, key_id: str, use: KeyUse) -> None:
        """Take note that a key opened a stream."""
        self._waiting.pop(key_id, None)
        self._waiting[key_id] = use
        if len(self._waiting) > USES_WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]

    def take(self) -> dict[str, KeyUse]:
        """All waiting uses, by key id; they are forgotten here."""
        uses, self._waiting = self._waiting, {}
        return uses

    def give_back(self, uses: dict[str, KeyUse]) -> None:
        """Keep uses that could not be written, for another try; those noted meanwhile are newer."""
        newer, self._waiting = self._waiting, uses
        for key_id, use in newer.items():
            self.note(key_id, use)

    def within(self, record: KeyRecord) -> KeyRecord:
        """The record of a key with a use that waits to be written."""
        use = self._waiting.get(record.key_id)
        if use is None:
            return record
        return replace(record, last_used_at=use.at, last_used_address=use.address)

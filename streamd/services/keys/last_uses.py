"""When and from where keys were last used, on the way to the store.

Every publish would be a write; the sweep makes one of all of them, and until then the lists show what waits here.
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
        """All that waits, by key id; it is forgotten here."""
        uses, self._waiting = self._waiting, {}
        return uses

    def give_back(self, uses: dict[str, KeyUse]) -> None:
        """Keep what could not be written, for another try; what was noted meanwhile is newer."""
        newer, self._waiting = self._waiting, uses
        for key_id, use in newer.items():
            self.note(key_id, use)

    def within(self, record: KeyRecord) -> KeyRecord:
        """The record of a key with a use that waits to be written."""
        use = self._waiting.get(record.key_id)
        if use is None:
            return record
        return replace(record, last_used_at=use.at, last_used_address=use.address)

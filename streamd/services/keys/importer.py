"""Keys that exist elsewhere are taken over, so that encoders keep the key they have.

An import is done wholly or not at all, and doing it again changes nothing: a key that is there stays as it is, revoked
ones too. All faults are found before anything is written, each with the line that it is on; no fault repeats a secret.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from streamd.errors import ImportRefusedError, KeyRequestError
from streamd.services.keys.foreign_key import KEYS_MAX, ForeignKey, ImportedAs, ImportOutcome, find_faults, place_of
from streamd.services.keys.import_store import HeldKey, KeyToImport
from streamd.services.keys.imported_key import ImportedKey, ShownKey
from streamd.services.keys.request import checked_label
from streamd.services.keys.secret import hash_secret
from streamd.services.keys.stream_key import StreamKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.clock import Clock
    from streamd.services.audit.records import Actor
    from streamd.services.keys.import_store import ImportStore
    from streamd.services.keys.verifier import KeyVerifier

log = logging.getLogger(__name__)


class KeyImporter:
    """Takes over keys.

    Args:
        store: The import's side of the key store; started by the owner.
        clock: Wall time decides over expiry.
        verifier: Told of the new keys.
    """

    def __init__(self, store: ImportStore, clock: Clock, verifier: KeyVerifier) -> None:
        self._store = store
        self._clock = clock
        self._verifier = verifier

    async def take(
        self, given: Sequence[ForeignKey], *, by: Actor, allows_weak: bool = False, only_checks: bool = False
    ) -> list[ImportedAs]:
        """Take over keys, all of them or none.

        Args:
            given: At most ``KEYS_MAX``.
            by: The actor.
            allows_weak: Secrets that could be guessed are taken, too.
            only_checks: Nothing is written; the answer is what would be.

        Returns:
            What became of each, in their order.

        Raises:
            ImportRefusedError: Some of them cannot be taken, and so none was.
            KeyRequestError: They are too many for one call.
            StoreUnavailableError: It could not be written; nothing was imported.
        """
        if len(given) > KEYS_MAX:
            raise KeyRequestError(f"at most {KEYS_MAX} keys are imported at once")
        now = self._clock.now()
        if faults := list(find_faults(given, now, allows_weak=allows_weak)):
            raise ImportRefusedError(faults)
        each = [self._row_of(key) for key in given]
        wanted = {row.key_id: row for row in each}
        if only_checks:
            held = await self._store.held(wanted)
        else:
            held = await self._store.add(list(wanted.values()), now=now, by=by)
        faults = [
            f"{place_of(number, key)}: {_conflict(held[row.key_id], row)}"
            for number, (key, row) in enumerate(zip(given, each, strict=True), 1)
            if row.key_id in held and not held[row.key_id].is_same(row)
        ]
        if faults:
            raise ImportRefusedError(faults)
        new = {key_id for key_id in wanted if key_id not in held}
        if new and not only_checks:
            for key_id in new:
                self._verifier.learn(key_id, wanted[key_id].secret_hash)
            log.info("keys.imported", extra={"keys": len(new), "known": len(wanted) - len(new), "by": by.name})
        return [
            ImportedAs(row.key_id, row.user, ImportOutcome.IMPORTED if row.key_id in new else ImportOutcome.KNOWN)
            for row in each
        ]

    def _row_of(self, key: ForeignKey) -> KeyToImport:
        shown: ShownKey
        if key.secret is None:
            shown = ImportedKey.of_hash(key.secret_sha256 or "", self._store.salt)
        else:
            # A key of another streamd keeps its id.
            shown = StreamKey.parse(key.secret) or ImportedKey.of_text(key.secret, self._store.salt)
        secret_hash = hash_secret(shown.key_id, shown.secret)
        return KeyToImport(shown.key_id, secret_hash, key.user, checked_label(key.label), key.expires_at)


def _conflict(held: HeldKey, wanted: KeyToImport) -> str:
    if held.user != wanted.user and held.secret_hash == wanted.secret_hash:
        return f"the secret is that of key {wanted.key_id}, which another user has"
    return f"key id {wanted.key_id} is taken by another key; issue a new one for {wanted.user}"

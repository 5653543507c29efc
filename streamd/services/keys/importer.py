"""Keys that exist elsewhere are taken over, so that encoders keep the key they have.

An import is done wholly or not at all, and doing it again changes nothing: a key that is there stays as it is, revoked
ones too. All faults are found before anything is written, each with the line that it is on; no fault repeats a secret.
"""

from __future__ import annotations

import enum
import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from streamd.errors import ImportRefusedError, KeyRequestError
from streamd.services.keys.import_store import HeldKey, KeyToImport
from streamd.services.keys.imported_key import ImportedKey, ShownKey, fault_of_form, is_sha256, weakness_of
from streamd.services.keys.records import USER_NAME
from streamd.services.keys.request import USER_NAME_RULE, checked_label
from streamd.services.keys.secret import hash_secret
from streamd.services.keys.stream_key import StreamKey

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.services.audit.records import Actor
    from streamd.services.keys.import_store import ImportStore
    from streamd.services.keys.verifier import KeyVerifier

log = logging.getLogger(__name__)

# Keys of one call, which are one transaction and a few milliseconds of the loop.
KEYS_MAX = 200


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A key as another service has it."""

    user: str
    secret: str | None = field(default=None, repr=False)
    """What the encoder shows; None where only its hash is known."""
    secret_sha256: str | None = field(default=None, repr=False)
    """SHA-256 of it, 64 hexadecimal digits, in place of the secret."""
    label: str = ""
    expires_at: datetime | None = None
    line: int = 0
    """Where it stands, for the words about its faults; 0 for its place among the others."""


class ImportOutcome(enum.StrEnum):
    """What became of a key."""

    IMPORTED = "imported"
    KNOWN = "known"
    """It was there before, and stays as it is."""


@dataclass(frozen=True, slots=True)
class ImportedAs:
    """A key after its import."""

    key_id: str
    user: str
    outcome: ImportOutcome


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
            f"{_place(number, key)}: {_conflict(held[row.key_id], row)}"
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


def find_faults(given: Sequence[ForeignKey], now: datetime, *, allows_weak: bool) -> Iterator[str]:
    """Find what keeps keys from being imported, as far as it can be told without the store.

    Args:
        given: The keys.
        now: Wall time.
        allows_weak: Secrets that could be guessed are no fault.

    Yields:
        One text for each fault, with its place, and without the secret.
    """
    owners: dict[str, tuple[str, str]] = {}
    for number, key in enumerate(given, 1):
        place = _place(number, key)
        for fault in _faults_of(key, now, allows_weak=allows_weak):
            yield f"{place}: {fault}"
        digest = (key.secret_sha256 or "").lower()
        if key.secret:
            digest = hashlib.sha256(key.secret.encode("utf-8", "surrogatepass")).hexdigest()
        if digest:
            user, first = owners.setdefault(digest, (key.user, place))
            if user != key.user:
                yield f"{place}: {first} has the same secret for another user; a key opens one channel"


def _faults_of(key: ForeignKey, now: datetime, *, allows_weak: bool) -> Iterator[str]:
    if not USER_NAME.fullmatch(key.user):
        yield USER_NAME_RULE
    try:
        checked_label(key.label)
    except KeyRequestError as exc:
        yield str(exc)
    if key.expires_at is not None and key.expires_at <= now:
        yield "it has expired already; leave it out"
    if (key.secret is None) == (key.secret_sha256 is None):
        yield "give the secret, or its SHA-256, and not both"
    elif key.secret is None:
        if not is_sha256(key.secret_sha256 or ""):
            yield "a SHA-256 is 64 hexadecimal digits"
    elif (fault := fault_of_form(key.secret)) is not None:
        yield fault
    elif not allows_weak and (weakness := weakness_of(key.secret, key.user)) is not None:
        yield weakness


def _place(number: int, key: ForeignKey) -> str:
    return f"line {key.line}" if key.line else f"key {number}"


def _conflict(held: HeldKey, wanted: KeyToImport) -> str:
    if held.user != wanted.user and held.secret_hash == wanted.secret_hash:
        return f"the secret is that of key {wanted.key_id}, which another user has"
    return f"key id {wanted.key_id} is taken by another key; issue a new one for {wanted.user}"

"""A key as another service has it: what it says, what becomes of it, and what keeps it from being imported.

No fault repeats a secret.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from streamd.errors import KeyRequestError
from streamd.services.keys.imported_key import fault_of_form, is_sha256, weakness_of
from streamd.services.keys.records import USER_NAME
from streamd.services.keys.request import USER_NAME_RULE, checked_label

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
        place = place_of(number, key)
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


def place_of(number: int, key: ForeignKey) -> str:
    """The place of a key among those that were given, for the words about its faults."""
    return f"line {key.line}" if key.line else f"key {number}"

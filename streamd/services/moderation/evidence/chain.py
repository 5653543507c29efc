"""The chain of evidence: each piece's hash is over its hashes and the hash of the piece before.

A piece that was changed, removed, added or moved no longer fits. The formulas are written down here, so that another
program can check them:

- ``SHA256SUMS`` in the folder of a piece has the SHA-256 of each of its files, as ``sha256sum -c`` reads it.
- ``hash = SHA-256("streamd evidence 1" NUL, hash before, JSON)``, where JSON is the array of ``CHAINED_FIELDS`` in
  their order, in ASCII and without blanks; ``kept_at`` is ISO 8601 in UTC to the microsecond, and ``sums`` is the
  SHA-256 of ``SHA256SUMS`` in hexadecimal digits.
- The hash before the first piece is ``SHA-256("streamd evidence begin 1" NUL)``.

The row of a piece stays when its files are deleted, so that the chain holds on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

HASH_BYTES: Final = 32
BEGIN_HASH: Final = hashlib.sha256(b"streamd evidence begin 1\0").digest()
CHAINED_FIELDS: Final = (
    "sequence", "id", "case_id", "target_kind", "target_id", "channel", "category", "is_restricted", "kept_at", "sums",
)  # fmt: skip
_DOMAIN = b"streamd evidence 1\0"


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """A piece of evidence, as the database has it."""

    id: str
    case_id: str
    target_kind: str
    """``channel``, ``key``, ``recording`` or ``clip``."""
    target_id: str
    channel: str
    category: str
    is_restricted: bool
    """Nobody sees it who need not: child sexual abuse."""
    kept_at: datetime
    size_bytes: int
    """Of its files."""
    media_ms: int
    """Of the first variant's media; 0 where there was none."""
    has_picture: bool
    sums: bytes
    """SHA-256 of its ``SHA256SUMS``."""
    sequence: int = 0
    """Its place in the chain, from 1."""
    hash: bytes = b""
    stamped_at: datetime | None = None
    """When an authority stamped it with the time, by that authority's clock."""
    deleted_at: datetime | None = None
    """When its files were deleted."""
    delete_reason: str = ""


def link_hash(before: bytes, fields: Mapping[str, Any]) -> bytes:
    """The hash of a piece.

    Args:
        before: That of the piece before; ``BEGIN_HASH`` for the first.
        fields: ``CHAINED_FIELDS``, and others that do not matter.

    Returns:
        ``HASH_BYTES`` bytes.
    """
    content = json.dumps([_plain(fields[name]) for name in CHAINED_FIELDS], separators=(",", ":")).encode()
    return hashlib.sha256(_DOMAIN + before + content).digest()


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case bytes():
            return value.hex()
        case _:
            return value

"""The hash chain of the audit log: each row's hash is over its contents and the hash of the row before.

A row that was changed, removed, added or moved no longer fits its hash or its neighbours (verify.py). The formulas are
written down here, so that another program can check an export:

- ``hash = SHA-256("streamd audit row 1" NUL, hash before, JSON)``, where JSON is the array of ``CHAINED_FIELDS`` in
  their order, in ASCII and without blanks; ``at`` is ISO 8601 in UTC to the microsecond, a missing value is null, and
  ``address_digest`` is in hexadecimal digits.
- ``address_digest = SHA-256("streamd audit address 1" NUL, address_salt, address)``.
- The hash before the first row is ``SHA-256("streamd audit begin 1" NUL, lines)``, with a line of JSON, ended by LF,
  for each row that was there before the log was a chain: the array of ``BEGIN_FIELDS``. Their addresses are in no hash.

An address is erased after ``[privacy] keep_addresses_days``, and the chain has to hold all the same, so the row's hash
has the digest of its address and not the address. The salt of 16 random bytes is erased with the address: without it
the digest says nothing, while the digest alone of one of four thousand million addresses would be found by trying them
all. To leave addresses out of the hash would be simpler, and would let anybody put another address into a row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

HASH_BYTES = 32
SALT_BYTES = 16
CHAINED_FIELDS: Final = (
    "sequence", "at", "actor", "action", "user", "key_id", "stream", "subject", "reason", "count", "address_digest",
)  # fmt: skip
# Of rows that were there before the chain.
BEGIN_FIELDS: Final = ("sequence", "at", "actor", "action", "user", "key_id", "stream", "reason", "count")
BEGIN_DOMAIN = b"streamd audit begin 1\0"
_ROW_DOMAIN = b"streamd audit row 1\0"
_ADDRESS_DOMAIN = b"streamd audit address 1\0"


def row_hash(before: bytes, row: Mapping[str, Any]) -> bytes:
    """The hash of a row.

    Args:
        before: The hash of the row before; for the first row of the chain, that of its beginning.
        row: ``CHAINED_FIELDS``, and others that do not matter.

    Returns:
        ``HASH_BYTES`` bytes.
    """
    values = [_plain(row[name]) for name in CHAINED_FIELDS]
    content = json.dumps(values, separators=(",", ":")).encode()
    return hashlib.sha256(_ROW_DOMAIN + before + content).digest()


def begin_line(row: Mapping[str, Any]) -> bytes:
    """What a row from before the chain adds to the hash of its beginning."""
    return json.dumps([_plain(row[name]) for name in BEGIN_FIELDS], separators=(",", ":")).encode() + b"\n"


def address_digest(salt: bytes, address: str) -> bytes:
    """The digest that stands for an address in the hash of its row."""
    return hashlib.sha256(_ADDRESS_DOMAIN + salt + address.encode()).digest()


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case bytes():
            return value.hex()
        case _:
            return value

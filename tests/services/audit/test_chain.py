"""The formulas of the audit log's chain, over known values."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from streamd.services.audit.chain import CHAINED_FIELDS, address_digest, begin_line, row_hash

AT = datetime(2026, 3, 12, 9, 30, 0, 1500, UTC)
BEFORE = bytes(range(32))
ROW: dict[str, Any] = {
    "sequence": 7,
    "at": AT,
    "actor": "alice",
    "address": "192.0.2.1",
    "action": "key.revoked",
    "user": "bob",
    "key_id": "7k2m9xq4ct",
    "stream": None,
    "subject": None,
    "reason": "leaked – “twice”",
    "count": 1,
    "address_salt": b"s" * 16,
    "address_digest": b"\x01" * 32,
}


def test_a_row_is_hashed_as_the_page_says() -> None:
    content = json.dumps(
        [7, "2026-03-12T09:30:00.001500+00:00", "alice", "key.revoked", "bob", "7k2m9xq4ct", None, None,
         "leaked – “twice”", 1, "01" * 32],
        separators=(",", ":"),
    )  # fmt: skip
    assert content.isascii()
    assert row_hash(BEFORE, ROW) == hashlib.sha256(b"streamd audit row 1\0" + BEFORE + content.encode()).digest()


@pytest.mark.parametrize("name", CHAINED_FIELDS)
def test_every_field_is_in_the_hash(name: str) -> None:
    other: dict[str, Any] = {"sequence": 8, "at": AT + timedelta(microseconds=1), "count": 2, "address_digest": None}
    assert row_hash(BEFORE, ROW | {name: other.get(name, "other")}) != row_hash(BEFORE, ROW)


def test_the_hash_before_is_in_it() -> None:
    assert row_hash(bytes(32), ROW) != row_hash(BEFORE, ROW)


def test_neither_the_address_nor_its_salt_is_in_it_so_both_may_be_erased() -> None:
    assert row_hash(BEFORE, ROW | {"address": "", "address_salt": None}) == row_hash(BEFORE, ROW)


def test_an_instant_is_hashed_alike_in_every_zone() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert row_hash(BEFORE, ROW | {"at": elsewhere}) == row_hash(BEFORE, ROW)
    assert begin_line(ROW | {"at": elsewhere}) == begin_line(ROW)


def test_a_text_cannot_run_into_the_next_field() -> None:
    assert row_hash(BEFORE, ROW | {"actor": 'a","b', "action": "c"}) != row_hash(
        BEFORE, ROW | {"actor": "a", "action": 'b","c'}
    )


def test_one_address_has_another_digest_with_each_salt() -> None:
    assert address_digest(b"a" * 16, "192.0.2.1") != address_digest(b"b" * 16, "192.0.2.1")
    assert address_digest(b"a" * 16, "192.0.2.1") != address_digest(b"a" * 16, "192.0.2.2")

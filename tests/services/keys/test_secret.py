from __future__ import annotations

import hashlib

import pytest

from streamd.services.keys.secret import DUMMY_HASH, HASH_BYTES, hash_secret, secret_matches


def test_the_hash_is_sha256_of_use_id_and_secret() -> None:
    expected = hashlib.sha256(b"streamd stream key 1\0abc\0s3cret").digest()
    assert hash_secret("abc", "s3cret") == expected
    assert len(expected) == HASH_BYTES


def test_only_the_right_secret_of_the_right_key_matches() -> None:
    stored = hash_secret("abc", "s3cret")
    assert secret_matches("abc", "s3cret", stored)
    assert not secret_matches("abc", "s3creT", stored)
    assert not secret_matches("abd", "s3cret", stored)


def test_nothing_matches_where_nothing_is_stored() -> None:
    assert not secret_matches("abc", "s3cret", None)


@pytest.mark.parametrize("stored", [None, hash_secret("abc", "s3cret"), hash_secret("abc", "other")])
def test_every_outcome_hashes_and_compares_once(stored: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(shown: bytes, expected: bytes) -> bool:
        compared.append(expected)
        return shown == expected

    monkeypatch.setattr("hmac.compare_digest", compare)
    secret_matches("abc", "s3cret", stored)
    assert compared == [stored or DUMMY_HASH]

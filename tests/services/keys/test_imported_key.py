from __future__ import annotations

import hashlib
import secrets
import string

import pytest

from streamd.services.keys.imported_key import ImportedKey, fault_of_form, is_sha256, weakness_of
from streamd.services.keys.stream_key import StreamKey, is_key_id

SALT = bytes(range(32))
STRONG = "Xk29sQm4Tz81LdRw"


class TestTheId:
    def test_is_the_same_for_the_same_text_and_salt_and_looks_like_any_other(self) -> None:
        key = ImportedKey.of_text(STRONG, SALT)
        assert key == ImportedKey.of_text(STRONG, SALT)
        assert is_key_id(key.key_id)

    def test_cannot_be_told_without_the_salt(self) -> None:
        assert ImportedKey.of_text(STRONG, SALT).key_id != ImportedKey.of_text(STRONG, bytes(32)).key_id

    def test_of_a_hash_is_that_of_its_text_in_small_letters_or_large_ones(self) -> None:
        sha256 = hashlib.sha256(STRONG.encode()).hexdigest()
        key = ImportedKey.of_text(STRONG, SALT)
        assert ImportedKey.of_hash(sha256, SALT) == ImportedKey.of_hash(sha256.upper(), SALT) == key

    def test_spreads_over_all_letters(self) -> None:
        ids = {ImportedKey.of_text(str(number), SALT).key_id for number in range(1000)}
        assert len(ids) == 1000
        assert set("".join(ids)) == set("0123456789abcdefghjkmnpqrstvwxyz")

    def test_any_text_that_a_peer_can_send_has_one(self) -> None:
        assert is_key_id(ImportedKey.of_text("\ud800ß\U0001f600", SALT).key_id)

    def test_its_secret_is_in_no_repr(self) -> None:
        key = ImportedKey.of_text(STRONG, SALT)
        assert key.secret not in repr(key)
        assert STRONG not in repr(key)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no secret"),
        ("a" * 201, "201 characters, 200"),
        (" key", "blank or a quote"),
        ("key\u00a0", "blank or a quote"),
        ('"key"', "blank or a quote"),
        ("`key`", "blank or a quote"),
        ("key\u201d", "blank or a quote"),
        ("key\u200b", "blank or a quote"),
        ("ke\ny", "control character"),
        ("live/key", "'/' or '?'"),
        ("key?user=a", "'/' or '?'"),
    ],
)
def test_a_text_that_no_encoder_can_show_says_why(text: str, fault: str) -> None:
    assert fault in (fault_of_form(text) or "")


@pytest.mark.parametrize("text", [STRONG, "a" * 200, "live_123-456.x=y&z", "ключ", "a b"])
def test_all_others_can_be_shown(text: str) -> None:
    assert fault_of_form(text) is None


class TestWeakness:
    @pytest.mark.parametrize("secret", ["test", "alice", "hunter2", "20240131", "deadbeef", "a" * 40, "12345" * 8])
    def test_what_could_be_guessed_is_weak(self, secret: str) -> None:
        assert weakness_of(secret, "alice") is not None

    @pytest.mark.parametrize(
        "length_and_alphabet", [(16, "0123456789abcdef"), (20, string.digits), (14, "abcdefghijkl")]
    )
    def test_the_length_is_held_against_the_alphabet(self, length_and_alphabet: tuple[int, str]) -> None:
        length, alphabet = length_and_alphabet
        spread = (alphabet * 3)[:length]
        assert weakness_of(spread, "bob") is None
        assert "bits, 64 are needed" in (weakness_of(spread[: length // 2], "bob") or "")

    @pytest.mark.parametrize(
        "secret",
        ["550e8400-e29b-41d4-a716-446655440000", "abcd-efgh-1jkl-mnop-qrst", STRONG, "live_87654321_AbCdEfGh1jKlMn"],
    )
    def test_keys_of_other_services_are_strong(self, secret: str) -> None:
        assert weakness_of(secret, "alice") is None

    def test_keys_of_ours_are(self) -> None:
        assert weakness_of(StreamKey.generate().reveal(), "alice") is None

    def test_random_ones_are(self) -> None:
        assert sum(weakness_of(secrets.token_hex(8), "al") is not None for _ in range(1000)) <= 2

    def test_the_name_of_the_user_does_not_count(self) -> None:
        assert weakness_of("alice_in_wonderland_1234", "alice_in_wonderland") is not None


def test_a_sha256_is_64_hexadecimal_digits() -> None:
    assert is_sha256("9F" * 32)
    assert not is_sha256("9f" * 31)
    assert not is_sha256("9g" * 32)

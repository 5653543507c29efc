from __future__ import annotations

import pytest

from streamd.services.operators.token import HASH_BYTES, OperatorToken

TOKEN = OperatorToken("7k2m9xq4ct", "a" * 32)


def test_it_is_read_as_it_was_drawn() -> None:
    token = OperatorToken.generate()
    assert OperatorToken.parse(token.reveal()) == token


def test_no_two_are_alike() -> None:
    assert len({OperatorToken.generate().reveal() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "text",
    ["", "so_", TOKEN.reveal()[:-1], TOKEN.reveal() + "a", f" {TOKEN.reveal()}", TOKEN.reveal().replace("so_", "sk_"),
     TOKEN.reveal() + "\n", TOKEN.reveal().upper(), "so_7k2m9xq4cl_" + "a" * 32, "so_7k2m9xq4ct_" + "é" * 32],
)  # fmt: skip
def test_another_text_is_none(text: str) -> None:
    assert OperatorToken.parse(text) is None


def test_its_secret_is_in_no_print_of_it() -> None:
    assert "aaaa" not in repr(TOKEN)
    assert "aaaa" not in str(TOKEN)


def test_its_hash_depends_on_both_parts() -> None:
    assert len(TOKEN.hash()) == HASH_BYTES
    others = {OperatorToken("7k2m9xq4cd", "a" * 32).hash(), OperatorToken("7k2m9xq4ct", "b" * 32).hash()}
    assert TOKEN.hash() not in others
    assert len(others) == 2


@pytest.mark.parametrize(("stored", "matches"), [(TOKEN.hash(), True), (bytes(32), False), (None, False)])
def test_every_outcome_hashes_and_compares_once(
    stored: bytes | None, matches: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []

    def compare(shown: bytes, expected: bytes) -> bool:
        compared.append(expected)
        return shown == expected

    monkeypatch.setattr("hmac.compare_digest", compare)
    assert TOKEN.matches(stored) is matches
    assert len(compared) == 1

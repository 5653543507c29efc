from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.services.keys.stream_key import KEY_ID_ALPHABET, KEY_ID_LENGTH, SECRET_LENGTH, StreamKey, is_key_id

KEY_ID = "7k2m9xq4ct"
SECRET = "aB3" * 10 + "zZ"
TEXT = f"sk_{KEY_ID}_{SECRET}"


class TestGrammar:
    """``sk_<key id>_<secret>``."""

    def test_a_key_is_read_as_it_was_written(self) -> None:
        key = StreamKey.parse(TEXT)
        assert key == StreamKey(KEY_ID, SECRET)
        assert key is not None
        assert key.reveal() == TEXT

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "sk_",
            KEY_ID,
            f"sk_{KEY_ID}",
            f"sk_{KEY_ID}_",
            f"SK_{KEY_ID}_{SECRET}",
            f"sk_{KEY_ID.upper()}_{SECRET}",
            f"sk_{KEY_ID[:-1]}_{SECRET}",
            f"sk_{KEY_ID}_{SECRET[:-1]}",
            f"{TEXT}a",
            f"{TEXT}\n",
            f" {TEXT}",
            f"{TEXT}?x=y",
            f"{TEXT}/",
            f"sk_{KEY_ID}_{SECRET[:-1]}\x00",
            f"sk_{KEY_ID}_{SECRET[:-1]}é",
            f"sk_{KEY_ID}_{SECRET[:-1]}٣",
        ],
    )
    def test_what_is_nearly_a_key_is_none(self, text: str) -> None:
        assert StreamKey.parse(text) is None

    @given(st.text())
    def test_any_text_is_a_key_or_none(self, text: str) -> None:
        assert StreamKey.parse(text) is None or StreamKey.occurs_in(text)

    def test_a_key_id_alone_is_known_by_its_form(self) -> None:
        assert is_key_id(KEY_ID)
        assert not is_key_id(TEXT)
        assert not is_key_id("ilouilouil")


class TestGenerate:
    def test_a_new_key_obeys_the_grammar_and_can_be_typed_anywhere(self) -> None:
        key = StreamKey.generate()
        assert StreamKey.parse(key.reveal()) == key
        assert re.fullmatch(r"[A-Za-z0-9_]+", key.reveal())

    def test_the_secret_has_at_least_160_bits(self) -> None:
        assert 62**SECRET_LENGTH >= 2**160

    def test_the_id_has_no_letters_that_look_or_sound_alike(self) -> None:
        assert not set("ilou") & set(KEY_ID_ALPHABET)
        assert len(KEY_ID_ALPHABET) ** KEY_ID_LENGTH >= 2**50

    def test_no_two_keys_are_alike(self) -> None:
        keys = [StreamKey.generate() for _ in range(1000)]
        assert len({key.key_id for key in keys}) == len({key.secret for key in keys}) == 1000


class TestSecrecy:
    def test_neither_repr_nor_str_shows_the_secret(self) -> None:
        key = StreamKey(KEY_ID, SECRET)
        assert SECRET not in f"{key!r} {key} {[key]}"
        assert KEY_ID in repr(key)

    def test_a_key_within_a_text_is_found(self) -> None:
        assert StreamKey.occurs_in(f"my key is {TEXT}, ok?")
        assert not StreamKey.occurs_in(f"my key id is {KEY_ID}")
        assert StreamKey.hidden_in(f"{TEXT}, or {TEXT}?") == f"sk_{KEY_ID}_[hidden], or sk_{KEY_ID}_[hidden]?"
        assert StreamKey.hidden_in(f"my key id is {KEY_ID}") == f"my key id is {KEY_ID}"

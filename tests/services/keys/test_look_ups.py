from __future__ import annotations

import contextlib

import pytest

from streamd.errors import StoreUnavailableError
from streamd.services.keys.look_ups import PER_KEY_MAX, STRANGERS_MAX, STRANGERS_PER_SOURCE_MAX, LookUps

HERE = "192.0.2.1"


class TestStrangers:
    def test_of_one_address_have_a_share(self) -> None:
        look_ups = LookUps()
        with contextlib.ExitStack() as stack:
            for _ in range(STRANGERS_PER_SOURCE_MAX):
                stack.enter_context(look_ups.of_stranger(HERE))
            with pytest.raises(StoreUnavailableError), look_ups.of_stranger(HERE):
                pass
            with look_ups.of_stranger("192.0.2.2"):
                assert len(look_ups) == STRANGERS_PER_SOURCE_MAX + 1
        assert len(look_ups) == 0

    def test_from_everywhere_are_bounded_and_take_nobodys_place_who_is_known(self) -> None:
        look_ups = LookUps()
        with contextlib.ExitStack() as stack:
            for number in range(STRANGERS_MAX):
                stack.enter_context(look_ups.of_stranger(f"address {number}"))
            with pytest.raises(StoreUnavailableError), look_ups.of_stranger("another"):
                pass
            with look_ups.of_key("key"):
                assert len(look_ups) == STRANGERS_MAX + 1

    def test_one_that_fails_is_over(self) -> None:
        look_ups = LookUps()
        for _ in range(STRANGERS_MAX + 1):
            with contextlib.suppress(LookupError), look_ups.of_stranger(HERE):
                raise LookupError
        assert len(look_ups) == 0


class TestOneKey:
    def test_has_few_places_and_takes_no_others(self) -> None:
        look_ups = LookUps()
        with contextlib.ExitStack() as stack:
            for _ in range(PER_KEY_MAX):
                stack.enter_context(look_ups.of_key("key"))
            with pytest.raises(StoreUnavailableError), look_ups.of_key("key"):
                pass
            with look_ups.of_key("other"), look_ups.of_stranger(HERE):
                assert len(look_ups) == PER_KEY_MAX + 2
        assert len(look_ups) == 0

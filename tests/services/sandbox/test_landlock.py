from __future__ import annotations

import struct

import pytest

from streamd.services.sandbox import Layer, landlock

FILES, NETWORK, SIGNALS = Layer.FILES, Layer.FILES | Layer.NETWORK, Layer.FILES | Layer.NETWORK | Layer.SIGNALS


class TestRuleset:
    """<linux/landlock.h>, struct landlock_ruleset_attr."""

    @pytest.mark.parametrize(
        ("version", "words", "layers"),
        [
            (1, (0x1FFF,), FILES),
            (2, (0x3FFF,), FILES),
            (3, (0x7FFF,), FILES),
            (4, (0x7FFF, 0b11), NETWORK),
            (5, (0xFFFF, 0b11), NETWORK),
            (6, (0xFFFF, 0b11, 0b11), SIGNALS),
            (7, (0xFFFF, 0b11, 0b11), SIGNALS),
            (99, (0xFFFF, 0b11, 0b11), SIGNALS),
        ],
    )
    def test_it_handles_all_that_the_version_knows_and_no_more(
        self, version: int, words: tuple[int, ...], layers: Layer
    ) -> None:
        assert landlock.ruleset(version) == (struct.pack(f"={len(words)}Q", *words), layers)


class TestAKernelWithout:
    @pytest.fixture(autouse=True)
    def _refusing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> int:
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(landlock, "system_call", refuse)

    def test_has_no_version_and_no_layer(self) -> None:
        assert landlock.version() == 0
        assert landlock.refuse_everything() == Layer(0)


def test_a_ruleset_that_the_kernel_refuses_is_no_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([6])

    def answer_once(*_: object) -> int:
        for answer in answers:
            return answer
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(landlock, "system_call", answer_once)
    assert landlock.refuse_everything() == Layer(0)

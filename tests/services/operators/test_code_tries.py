from __future__ import annotations

from streamd.services.operators.code_tries import TRIES_MAX, TRY_S, CodeTries


def test_after_so_many_wrong_codes_one_waits() -> None:
    tries = CodeTries()
    for _ in range(TRIES_MAX):
        assert tries.wait_s("carol", 100.0) == 0
        tries.spend("carol", 100.0)
    assert tries.wait_s("carol", 100.0) == TRY_S
    assert tries.wait_s("dave", 100.0) == 0
    assert tries.wait_s("carol", 100.0 + TRY_S) == 0


def test_a_guesser_gets_one_more_each_time_the_wait_is_over() -> None:
    tries, looked_at = CodeTries(), 0
    for second in range(86_400):
        if not tries.wait_s("carol", float(second)):
            looked_at += 1
            tries.spend("carol", float(second))
    assert looked_at <= TRIES_MAX + 86_400 / TRY_S


def test_who_tries_no_more_is_forgotten() -> None:
    tries = CodeTries()
    tries.spend("carol", 0.0)
    tries.spend("dave", TRY_S + 1)
    assert len(tries) == 1

from __future__ import annotations

from itertools import count

from streamd.clock import ManualClock
from streamd.doors.web.described import SERVES_S, Described


def test_all_who_ask_within_a_moment_are_told_the_same() -> None:
    clock, made = ManualClock(), count()
    described = Described(clock)

    def ask(*of: str) -> bytes:
        return described.body(of, lambda: b"%d" % next(made))

    assert [ask("a"), ask("a"), ask("a")] == [b"0"] * 3
    clock.advance(SERVES_S)
    assert ask("a") == b"1"


def test_another_who_is_there_is_told_of_at_once() -> None:
    clock, made = ManualClock(), count()
    described = Described(clock)

    def ask(*of: str) -> bytes:
        return described.body(of, lambda: b"%d" % next(made))

    assert [ask("a"), ask("a", "b"), ask("a"), ask()] == [b"0", b"1", b"2", b"3"]

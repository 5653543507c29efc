"""The list of who has said what became of an act."""

from __future__ import annotations

from streamd.process.crew.confirmations import Asked, Confirmations, Word


def test_it_is_over_when_everybody_has_answered() -> None:
    ended: list[Asked] = []
    confirmations = Confirmations()
    number = confirmations.ask([0, 2], ended.append)
    confirmations.note(number, 0, Word.DONE, {"streams": 3})
    assert not ended
    confirmations.note(number, 2, Word.FAILED)
    assert [each.words for each in ended] == [{0: Word.DONE, 2: Word.FAILED}]
    assert ended[0].answers == {0: {"streams": 3}}
    assert not len(confirmations)


def test_with_nobody_to_ask_it_is_over_at_once() -> None:
    ended: list[Asked] = []
    Confirmations().ask([], ended.append)
    assert [each.words for each in ended] == [{}]


def test_one_that_dies_is_not_waited_for() -> None:
    ended: list[Asked] = []
    confirmations = Confirmations()
    first, second = (confirmations.ask([0, 1], ended.append) for _ in range(2))
    confirmations.note(first, 0, Word.DONE)
    confirmations.note_gone(1)
    assert [each.words for each in ended] == [{0: Word.DONE, 1: Word.GONE}]
    confirmations.note(second, 0, Word.DONE)
    assert ended[1].words == {0: Word.DONE, 1: Word.GONE}


def test_who_is_silent_for_too_long_is_named() -> None:
    ended: list[Asked] = []
    confirmations = Confirmations()
    number = confirmations.ask([0, 1, 2], ended.append)
    confirmations.note(number, 1, Word.DONE)
    assert confirmations.give_up(number) == (0, 2)
    assert ended[0].words == {1: Word.DONE, 0: Word.SILENT, 2: Word.SILENT}
    assert confirmations.give_up(number) == ()


def test_answers_that_nobody_waits_for_change_nothing() -> None:
    ended: list[Asked] = []
    confirmations = Confirmations()
    number = confirmations.ask([0, 1], ended.append)
    confirmations.note(number, 7, Word.DONE)
    confirmations.note(number + 1, 0, Word.DONE)
    confirmations.note(number, 0, Word.DONE)
    confirmations.note(number, 0, Word.FAILED)
    confirmations.note(number, 1, Word.DONE)
    assert ended[0].words == {0: Word.DONE, 1: Word.DONE}

"""What workers say to each other through the supervisor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamd.process.crew.confirmations import Asked, Word
from streamd.process.crew.switchboard import Switchboard


class FakeLine:
    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.files: list[int] = []
        self.is_open = True

    def send(self, message: dict[str, Any], files: Sequence[int] = ()) -> bool:
        self.told.append(message)
        self.files += files
        return self.is_open


class Board:
    def __init__(self, workers: int = 3) -> None:
        self.timers: list[Callable[[], object]] = []
        self.board = Switchboard(lambda _, call: self.timers.append(call))
        self.lines = [FakeLine() for _ in range(workers)]
        for number, line in enumerate(self.lines):
            self.board.join(number, line)

    def say(self, speaker: int, files: Sequence[int] = (), /, **message: object) -> list[int]:
        return self.board.hear(speaker, message, files)

    def last(self, worker: int) -> dict[str, Any]:
        return self.lines[worker].told[-1]


def test_what_is_told_to_all_reaches_all_others() -> None:
    board = Board()
    board.say(1, do="tell", subject="streamd.v1.control.kick", text="x")
    told = {"do": "told", "subject": "streamd.v1.control.kick", "text": "x"}
    assert [line.told for line in board.lines] == [[told], [], [told]]


def test_a_question_is_answered_when_all_others_have_answered() -> None:
    board = Board()
    board.say(0, do="ask", about={"metrics": None}, id=7)
    number = board.last(1)["ask"]
    assert board.last(2) == {"do": "question", "about": {"metrics": None}, "ask": number}
    board.say(2, do="did", ask=number, word="done", answer="two")
    assert board.lines[0].told == []
    board.say(1, do="did", ask=number, word="failed")
    assert board.last(0) == {"do": "answer", "id": 7, "words": {"w1": "failed", "w2": "done"}, "answers": {"w2": "two"}}


def test_one_worker_alone_is_asked() -> None:
    board = Board()
    board.say(0, do="ask", about={"yield": {}}, worker=2, id=8)
    assert board.lines[1].told == []
    board.say(2, do="did", ask=board.last(2)["ask"], word="done", answer=True)
    assert board.last(0)["answers"] == {"w2": True}


def test_a_question_to_a_worker_that_is_not_there_is_answered_at_once() -> None:
    board = Board()
    board.say(0, do="ask", about={"yield": {}}, worker=5, id=9)
    assert board.last(0) == {"do": "answer", "id": 9, "words": {}, "answers": {}}


def test_a_worker_that_dies_is_not_waited_for_and_is_no_node_any_more() -> None:
    board = Board()
    board.say(2, do="value", bucket="nodes", op="put", key="w2", value="me", last=0, id=1)
    board.say(0, do="ask", about={"metrics": None}, id=7)
    board.say(1, do="did", ask=board.last(1)["ask"], word="done")
    board.board.leave(2)
    board.board.leave(2)
    assert board.lines[0].told[-2]["words"] == {"w1": "done", "w2": "gone"}
    assert board.last(0) == {"do": "changed", "bucket": "nodes", "key": "w2", "found": None}


def test_a_worker_whose_line_is_broken_is_gone() -> None:
    board = Board()
    board.lines[1].is_open = False
    board.say(0, do="ask", about={"metrics": None}, worker=1, id=7)
    assert board.last(0)["words"] == {"w1": "gone"}


def test_a_silent_worker_is_given_up() -> None:
    board = Board()
    board.say(0, do="ask", about={"metrics": None}, id=7)
    board.timers[0]()
    assert board.last(0)["words"] == {"w1": "silent", "w2": "silent"}


def test_the_directory_is_read_and_written_and_all_are_told() -> None:
    board = Board()

    def value(op: str, **fields: object) -> dict[str, Any]:
        board.say(1, do="value", bucket="streams", op=op, id=3, **fields)
        return {name: found for name, found in board.last(1).items() if name not in ("do", "id")}

    first = value("put", key="alice", value="one", last=0)["revision"]
    changed = {"do": "changed", "bucket": "streams", "key": "alice", "found": ["one", first]}
    assert board.lines[0].told == board.lines[2].told == [changed]
    assert value("put", key="alice", value="two", last=0) == {"conflict": True}
    assert value("get", key="alice") == {"found": ["one", first]}
    assert value("get", key="bob") == {"found": None}
    assert value("all") == {"found": {"alice": ["one", first]}}
    assert value("delete", key="alice", last=first + 1) == {"conflict": True}
    assert value("delete", key="alice", last=first) == {}
    assert board.last(0)["found"] is None


def test_a_line_to_another_worker_is_passed_on_with_its_end() -> None:
    board = Board()
    assert board.say(2, [40], do="connect", worker=0, about={"feed": {"name": "alice"}}) == []
    assert board.last(0) == {"do": "line", "about": {"feed": {"name": "alice"}}}
    assert board.lines[0].files == [40]


def test_what_is_not_understood_is_passed_over_and_its_files_are_left() -> None:
    board = Board()
    assert board.say(2, [41], do="connect", worker=9, about={}) == [41]
    assert board.say(2, [42], do="sing") == [42]
    assert board.say(2, do="value", bucket="songs", op="get", key="x", id=1) == []
    assert all(not line.told for line in board.lines)


def test_the_supervisor_asks_all() -> None:
    board = Board(2)
    ended: list[Asked] = []
    board.board.ask_all({"do": "reload"}, ended.append, within_s=30)
    for number in range(2):
        board.say(number, do="did", ask=board.last(number)["ask"], word="done")
    assert ended[0].words == {0: Word.DONE, 1: Word.DONE}

"""Who has said *done* of what all were told: the supervisor's list of each act and each question."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Word(enum.StrEnum):
    """What is known of one worker and one act."""

    DONE = "done"
    FAILED = "failed"
    """It says that it could not."""
    GONE = "gone"
    """It has died: it serves nothing, and the next one reads the store before it serves."""
    SILENT = "silent"
    """It has not answered in time."""


@dataclass(slots=True)
class Asked:
    """One act or question under way."""

    waiting: set[int]
    """The workers that have not answered."""
    on_all: Callable[[Asked], None]
    words: dict[int, Word] = field(default_factory=dict)
    answers: dict[int, Any] = field(default_factory=dict)
    """What they said beside it."""


class Confirmations:
    """The acts and questions under way, by number."""

    def __init__(self) -> None:
        self._asked: dict[int, Asked] = {}
        self._last = 0

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._asked)

    def ask(self, workers: Iterable[int], on_all: Callable[[Asked], None]) -> int:
        """Begin one.

        Args:
            workers: Who is asked; with nobody it ends at once.
            on_all: Gets it when everybody has answered, has died or was given up.

        Returns:
            Its number.
        """
        self._last += 1
        number = self._last
        asked = self._asked[number] = Asked(set(workers), on_all)
        self._end_if_all(number, asked)
        return number

    def note(self, number: int, worker: int, word: Word, answer: Any = None) -> None:
        """A worker has answered; an answer that nobody waits for is passed over."""
        asked = self._asked.get(number)
        if asked is None or worker not in asked.waiting:
            return
        asked.waiting.discard(worker)
        asked.words[worker] = word
        if answer is not None:
            asked.answers[worker] = answer
        self._end_if_all(number, asked)

    def note_gone(self, worker: int) -> None:
        """A worker has died: nobody waits for it."""
        for number in tuple(self._asked):
            self.note(number, worker, Word.GONE)

    def give_up(self, number: int) -> tuple[int, ...]:
        """Wait no longer; returns the workers that have not answered."""
        asked = self._asked.get(number)
        silent = tuple(sorted(asked.waiting)) if asked is not None else ()
        for worker in silent:
            self.note(number, worker, Word.SILENT)
        return silent

    def _end_if_all(self, number: int, asked: Asked) -> None:
        if not asked.waiting:
            del self._asked[number]
            asked.on_all(asked)

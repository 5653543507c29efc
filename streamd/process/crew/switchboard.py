"""What the workers say to each other through the supervisor: acts and questions for all, the directory, and lines.

Messages of a worker, by ``do``; what needs an answer has an ``id``, which stands in the answer.

``tell``     ``subject``, ``text``: for all other workers; not answered.
``ask``      ``about``, and ``worker``: a question to one other worker, or to all. Answered with what each said.
``did``      ``ask``, ``word``, ``answer``: the answer to an act or a question.
``value``    ``bucket``, ``op``, ``key``, ``value``, ``last``: a look into the directory, or a change of it.
``connect``  ``worker``, ``about`` and one descriptor: the other end of a line, for one worker.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from streamd.process.crew.confirmations import Asked, Confirmations, Word
from streamd.process.crew.values import Conflict, Stored, Values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streamd.process.crew.link import Message

log = logging.getLogger(__name__)

# Workers answer within milliseconds; an owner that is asked to give a channel away waits for two seconds of silence.
ANSWER_S = 5.0
BUCKETS = ("nodes", "streams")


class Line(Protocol):
    """A worker, as it is spoken to."""

    def send(self, message: Message, files: Sequence[int] = ()) -> bool:
        """Send a message, with descriptors that are closed here."""


def node_name(number: int) -> str:
    """The name of a worker among the nodes."""
    return f"w{number}"


class Switchboard:
    """The lines of all workers.

    Args:
        later: Calls a function after so many seconds.
    """

    def __init__(self, later: Callable[[float, Callable[[], object]], object]) -> None:
        self._later = later
        self._lines: dict[int, Line] = {}
        self._asked = Confirmations()
        self._buckets = {name: Values(partial(self._changed, name)) for name in BUCKETS}

    @property
    def revision(self) -> int:
        """Grows with each change of a channel's entry."""
        return self._buckets["streams"].revision

    def kept(self) -> dict[str, str]:
        """The channels' entries, for the supervisor after this one."""
        return {key: stored.value.decode() for key, stored in self._buckets["streams"].all().items()}

    def restore(self, kept: Mapping[str, str]) -> None:
        """Go on with the entries that the supervisor before this one kept; before any worker is there."""
        self._buckets["streams"].restore({key: value.encode() for key, value in kept.items()})

    def join(self, worker: int, line: Line) -> None:
        """A worker is there, and is told of all from now on."""
        self._lines[worker] = line

    def leave(self, worker: int) -> None:
        """A worker is gone: what it had is free, and nobody waits for it."""
        if self._lines.pop(worker, None) is None:
            return
        self._asked.note_gone(worker)
        self._buckets["nodes"].delete(node_name(worker))

    def ask_all(self, message: Message, on_all: Callable[[Asked], None], *, within_s: float) -> None:
        """Say something to all workers, and have a function called when each has answered.

        Args:
            message: The words; ``ask`` is put in.
            on_all: Gets the answers.
            within_s: Seconds for the answers.
        """
        self._ask(message, [*self._lines], on_all, within_s)

    def _ask(self, message: Message, workers: Sequence[int], on_all: Callable[[Asked], None], within_s: float) -> None:
        number = self._asked.ask(workers, on_all)
        for worker in workers:
            if not self._lines[worker].send({**message, "ask": number}):
                self._asked.note(number, worker, Word.GONE)

        def give_up() -> None:
            for worker in self._asked.give_up(number):
                log.warning("worker.unanswering", extra={"worker": worker, "seconds": within_s})

        self._later(within_s, give_up)

    def hear(self, worker: int, message: Message, files: Sequence[int]) -> list[int]:
        """Do what a worker says.

        Args:
            worker: Who.
            message: The words.
            files: Descriptors that came with it.

        Returns:
            Those of them that were not passed on.
        """
        match message:
            case {"do": "tell", "subject": subject, "text": text}:
                for other, line in self._lines.items():
                    if other != worker:
                        line.send({"do": "told", "subject": subject, "text": text})
            case {"do": "ask", "about": about, "id": asker}:
                asked = [other for other in self._lines if other != worker and message.get("worker", other) == other]
                self._ask({"do": "question", "about": about}, asked, partial(self._answer, worker, asker), ANSWER_S)
            case {"do": "did", "ask": int(number), "word": word}:
                self._asked.note(number, worker, Word(word), message.get("answer"))
            case {"do": "value", "bucket": bucket, "op": op, "id": asker} if bucket in self._buckets:
                self._lines[worker].send({"do": "answer", "id": asker, **self._value(bucket, op, message)})
            case {"do": "connect", "worker": int(other), "about": about} if other in self._lines and files:
                self._lines[other].send({"do": "line", "about": about}, files)
                return []
            case _:
                log.debug("worker.unheard", extra={"worker": worker, "said": str(message.get("do"))})
        return [*files]

    def _answer(self, worker: int, asker: object, asked: Asked) -> None:
        if (line := self._lines.get(worker)) is not None:
            words = {node_name(other): word.value for other, word in sorted(asked.words.items())}
            answers = {node_name(other): answer for other, answer in sorted(asked.answers.items())}
            line.send({"do": "answer", "id": asker, "words": words, "answers": answers})

    def _value(self, bucket: str, op: str, message: Message) -> Message:
        values = self._buckets[bucket]
        key = str(message.get("key", ""))
        match op:
            case "get":
                return {"found": _shown(values.get(key))}
            case "all":
                return {"found": {key: _shown(stored) for key, stored in values.all().items()}}
            case "put":
                try:
                    revision = values.put(key, str(message["value"]).encode(), int(message["last"]))
                except Conflict:
                    return {"conflict": True}
                return {"revision": revision}
            case "delete":
                try:
                    values.delete(key, int(message["last"]))
                except Conflict:
                    return {"conflict": True}
            case _:
                pass
        return {}

    def _changed(self, bucket: str, key: str, stored: Stored | None) -> None:
        for line in self._lines.values():
            line.send({"do": "changed", "bucket": bucket, "key": key, "found": _shown(stored)})


def _shown(stored: Stored | None) -> Any:
    return None if stored is None else [stored.value.decode(), stored.revision]

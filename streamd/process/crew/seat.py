"""A worker's side of its line to the supervisor: who it is, what it is handed, what it asks and answers."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamd.process.crew.link import Link, close_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from streamd.process.crew.link import Message

log = logging.getLogger(__name__)

# The supervisor answers at once, or when all workers have: it gives up a worker that hangs after five seconds.
ANSWER_S_MAX = 10.0
# Acts that come while the store is opened wait; they are as many as operators do in seconds.
EARLY_MAX = 1000


@dataclass(frozen=True, slots=True)
class Welcome:
    """The supervisor's first words."""

    number: int
    """Which worker this is, from 0; the first one has the admin port."""
    count: int
    rtmp: str
    """Where broadcasters are accepted, as ``host:port``; empty where they are not."""
    rtmps: str
    http: str
    admin: str

    @property
    def node(self) -> str:
        """Its name among the nodes."""
        return f"w{self.number}"

    @property
    def is_first(self) -> bool:
        """Whether it has what there is only once."""
        return self.number == 0


class Seat:
    """The line of one worker.

    Args:
        sock: Its end of the line, ours from here on.

    Attributes:
        welcome: Who it is; known after ``open``.
        admin: The sockets of the admin port, which listen already.
        gone: Set when the supervisor is gone.
        taken: Connections that were handed over, in all.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.welcome: Welcome
        self.admin: list[socket.socket] = []
        self.gone = asyncio.Event()
        self.taken = 0
        self._link = Link(sock, self._hear, self.gone.set)
        self._welcomed: asyncio.Future[None] | None = None
        self._ids = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._early: deque[tuple[Message, list[int]]] = deque(maxlen=EARLY_MAX)
        self._is_open = False
        self._take: Callable[[str, socket.socket], None] | None = None
        self._on_line: dict[str, Callable[[Any, socket.socket], None]] = {}
        self._on_question: dict[str, Callable[[Any], Awaitable[Any]]] = {}
        self._on_told: Callable[[str, str], Coroutine[Any, Any, None]] | None = None
        self._on_change: dict[str, list[Callable[[str, Any], None]]] = {}
        self._do: dict[str, Callable[[Message], Awaitable[Any]]] = {}
        self._doing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Hear who we are."""
        self._welcomed = asyncio.get_running_loop().create_future()
        self._link.begin()
        async with asyncio.timeout(ANSWER_S_MAX):
            await self._welcomed

    # -- what others have us do ----------------------------------------------------------------------

    def on_take(self, take: Callable[[str, socket.socket], None]) -> None:
        """Have a function given the sockets that are handed over, with the name of their door."""
        self._take = take

    def on_line(self, what: str, take: Callable[[Any, socket.socket], None]) -> None:
        """Have a function given the lines that other workers begin about something, with the rest that they say."""
        self._on_line[what] = take

    def on_question(self, what: str, answer: Callable[[Any], Awaitable[Any]]) -> None:
        """Have a function answer what other workers ask about something."""
        self._on_question[what] = answer

    def on_told(self, hear: Callable[[str, str], Coroutine[Any, Any, None]]) -> None:
        """Have a function hear what other workers tell all, with its subject."""
        self._on_told = hear

    def on_change(self, bucket: str, do: Callable[[str, Any], None]) -> None:
        """Have a function told of each change of a bucket."""
        self._on_change.setdefault(bucket, []).append(do)

    def on(self, what: str, do: Callable[[Message], Awaitable[Any]]) -> None:
        """Have a function do what the supervisor tells all (``reload``)."""
        self._do[what] = do

    def join(self) -> None:
        """Be told of all from now on; what is told before ``begin`` waits."""
        self._link.send({"do": "join"})

    def begin(self) -> None:
        """Be ready: do what waits, and take connections."""
        self._is_open = True
        while self._early:
            self._dispatch(*self._early.popleft())
        self._link.send({"do": "ready"})

    # -- what we say -----------------------------------------------------------------------------------

    def tell_load(self, connections: int) -> None:
        """Say how many broadcasters' connections we have; called about once a second."""
        self._link.send({"do": "load", "connections": connections, "taken": self.taken})

    async def ask(self, message: Message, files: Sequence[int] = ()) -> Message:
        """Ask the supervisor, and wait for its answer.

        Raises:
            TimeoutError: There is none.
            ConnectionError: The supervisor is gone.
        """
        number = next(self._ids)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            if not self._link.send({**message, "id": number}, files):
                raise ConnectionError("the supervisor is gone")
            async with asyncio.timeout(ANSWER_S_MAX):
                told: Message = await answer
            return told
        finally:
            del self._asked[number]

    def tell(self, subject: str, text: str) -> bool:
        """Tell all other workers something; returns whether it is under way."""
        return self._link.send({"do": "tell", "subject": subject, "text": text})

    def connect(self, worker: int, about: object) -> socket.socket:
        """Begin a line to another worker; its end is closed there if it does not want it.

        Raises:
            ConnectionError: The supervisor is gone.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        if not self._link.send({"do": "connect", "worker": worker, "about": about}, (theirs.detach(),)):
            ours.close()
            raise ConnectionError("the supervisor is gone")
        return ours

    def close(self) -> None:
        """Leave."""
        for task in self._doing:
            task.cancel()
        for answer in self._asked.values():
            answer.cancel()
        self._link.close()

    # -- inside ------------------------------------------------------------------------------------------

    def _hear(self, message: Message, files: list[int]) -> None:
        match message:
            case {"do": "welcome"}:
                self.admin = [socket.socket(fileno=file) for file in files]
                known = {name: message[name] for name in Welcome.__dataclass_fields__}
                self.welcome = Welcome(**known)
                if self._welcomed is not None and not self._welcomed.done():
                    self._welcomed.set_result(None)
            case {"do": "answer", "id": int(number)}:
                if (answer := self._asked.get(number)) is not None and not answer.done():
                    answer.set_result(message)
            case {"do": "changed", "bucket": bucket, "key": key, "found": found}:
                for tell in self._on_change.get(bucket, ()):
                    tell(key, found)
            case _ if not self._is_open:
                self._early.append((message, files))
            case _:
                self._dispatch(message, files)

    def _dispatch(self, message: Message, files: list[int]) -> None:
        match message:
            case {"do": "take", "door": door} if files and self._take is not None:
                self.taken += 1
                self._take(door, _socket(files.pop(0)))
            case {"do": "line", "about": dict(about)} if files:
                for what, rest in about.items():
                    if files and what in self._on_line:
                        self._on_line[what](rest, _socket(files.pop(0)))
            case {"do": "told", "subject": str(subject), "text": str(text)} if self._on_told is not None:
                self._begin(self._on_told(subject, text))
            case {"do": what, "ask": number}:
                self._begin(self._answer(str(what), int(number), message))
            case _:
                pass
        close_all(files)

    def _begin(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(doing)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    async def _answer(self, what: str, number: int, message: Message) -> None:
        word, answer = "failed", None
        try:
            if what == "question":
                for about, rest in message["about"].items():
                    answer = await self._on_question[about](rest)
                    word = "done"
            elif (do := self._do.get(what)) is not None:
                answer = await do(message)
                word = "done"
        except Exception:
            # The one who asked is told; this worker goes on.
            log.exception("worker.failed", extra={"asked": what})
        self._link.send({"do": "did", "ask": number, "word": word, "answer": answer})


def _socket(file: int) -> socket.socket:
    sock = socket.socket(fileno=file)
    sock.setblocking(False)
    return sock

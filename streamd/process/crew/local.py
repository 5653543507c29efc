"""What the workers of one machine share in place of NATS and HTTP: all of it goes over their lines.

The buckets of the directory are the supervisor's; acts and answers go through it; a feed is a line from one worker to
another, over which the feed's own records go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, cast

from streamd.errors import ClusterUnavailableError, ConflictError
from streamd.formats.feed import Body, FeedReader, Hello, Part, Record, head_of
from streamd.process.crew.switchboard import node_name
from streamd.services.cluster.act import Act, NodeAnswer
from streamd.services.cluster.key_value import Kept

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from streamd.process.crew.link import Message
    from streamd.process.crew.seat import Seat
    from streamd.services.cluster.entries import NodeEntry
    from streamd.services.cluster.feed import FeedOutput

log = logging.getLogger(__name__)

READ_BYTES = 256 * 1024


def _kept(found: Any) -> Kept | None:
    return None if found is None else Kept(str(found[0]).encode(), int(found[1]))


class LocalValues:
    """A bucket of the supervisor's (``KeyValue``).

    Args:
        seat: The line to it.
        bucket: The name.
    """

    def __init__(self, seat: Seat, bucket: str) -> None:
        self._seat = seat
        self._bucket = bucket

    async def get(self, key: str) -> Kept | None:
        """Read a value."""
        return _kept((await self._ask("get", key=key))["found"])

    async def all(self) -> Mapping[str, Kept]:
        """Read all of them."""
        found = (await self._ask("all"))["found"]
        return {key: kept for key, each in found.items() if (kept := _kept(each)) is not None}

    async def create(self, key: str, value: bytes) -> int:
        """Write a value where there is none."""
        return await self.update(key, value, 0)

    async def update(self, key: str, value: bytes, last: int) -> int:
        """Write a value in place of one."""
        return int((await self._ask("put", key=key, value=value.decode(), last=last))["revision"])

    async def delete(self, key: str, last: int) -> None:
        """Remove a value."""
        await self._ask("delete", key=key, last=last)

    def watch(self, on_change: Callable[[str, Kept | None], None]) -> None:
        """Be told of changes from now on; None stands for a value that was removed."""
        self._seat.on_change(self._bucket, lambda key, found: on_change(key, _kept(found)))

    async def _ask(self, op: str, **fields: object) -> Message:
        answer = await _asked(self._seat, {"do": "value", "bucket": self._bucket, "op": op, **fields})
        if answer.get("conflict"):
            raise ConflictError("another entry stands there")
        return answer


async def _asked(seat: Seat, message: Message) -> Message:
    try:
        return await seat.ask(message)
    except OSError as exc:
        raise ClusterUnavailableError(str(exc) or type(exc).__name__) from exc


class LocalWire:
    """Messages to all workers (``Wire``).

    Args:
        seat: The line to the supervisor.
    """

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._subscribed: list[tuple[str, Callable[[str, bytes], Awaitable[None]]]] = []
        seat.on_told(self._hear)

    async def publish(self, subject: str, data: bytes) -> None:
        """Send a message to all others."""
        if not self._seat.tell(subject, data.decode()):
            raise ClusterUnavailableError("the supervisor is gone")

    def subscribe(self, subject: str, on_message: Callable[[str, bytes], Awaitable[None]]) -> None:
        """Be told of messages; ``>`` at the end stands for any rest of a subject."""
        self._subscribed.append((subject, on_message))

    async def _hear(self, subject: str, text: str) -> None:
        for pattern, on_message in self._subscribed:
            if subject == pattern or (pattern.endswith(">") and subject.startswith(pattern[:-1])):
                await on_message(subject, text.encode())


class LocalPeers:
    """Questions to one worker, and feeds of its channels (``Peers`` and ``FeedOpener``).

    Args:
        seat: The line to the supervisor.
    """

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    async def tell(self, node: NodeEntry, act: Act) -> NodeAnswer | None:
        """Tell one worker of an act; None where it does not answer in time."""
        answer = await self._ask(node, {"act": act.encode().decode()})
        return NodeAnswer(answer) if isinstance(answer, str) and answer in {*NodeAnswer} else None

    async def ask_to_yield(self, node: NodeEntry, name: str, key_id: str) -> bool | None:
        """Ask the owner of a channel to give it to a key; None where it does not answer in time."""
        answer = await self._ask(node, {"yield": {"name": name, "key_id": key_id}})
        return answer if isinstance(answer, bool) else None

    async def _ask(self, node: NodeEntry, about: object) -> object:
        try:
            answer = await self._seat.ask({"do": "ask", "about": about, "worker": worker_of(node)})
        except OSError:
            return None
        answers: dict[str, object] = answer.get("answers", {})
        return answers.get(node.node)

    @contextlib.asynccontextmanager
    async def open(
        self, owner: NodeEntry, name: str, *, from_part: int, epoch_min: int
    ) -> AsyncIterator[AsyncIterator[Sequence[Record]]]:
        """Follow a stream (``FeedOpener``)."""
        try:
            sock = self._seat.connect(worker_of(owner), {"feed": {"name": name, "from": from_part}})
        except OSError as exc:
            raise ClusterUnavailableError(str(exc)) from exc
        with sock:
            yield _records(sock, FeedReader(name, epoch_min))


async def _records(sock: socket.socket, reader: FeedReader) -> AsyncIterator[Sequence[Record]]:
    loop = asyncio.get_running_loop()
    while True:
        try:
            data = await loop.sock_recv(sock, READ_BYTES)
        except OSError as exc:
            raise ClusterUnavailableError(str(exc)) from exc
        if not data:
            return
        if records := reader.receive(data):
            yield records


def worker_of(node: NodeEntry) -> int:
    """The number of the worker that a node is."""
    return int(node.node.removeprefix(node_name(0)[:-1]))


class LocalServer:
    """Answers other workers.

    Args:
        seat: The line to the supervisor.
        node: This worker's name.
        find: The feed of a channel of this node and its epoch; None where it is not this node's.
        do: Does an act.
        give: Gives a channel to a key.
    """

    def __init__(
        self,
        seat: Seat,
        node: str,
        *,
        find: Callable[[str], tuple[FeedOutput, int] | None],
        do: Callable[[Act], Awaitable[NodeAnswer]],
        give: Callable[[str, str], Awaitable[bool]],
    ) -> None:
        self._node = node
        self._find = find
        self._do = do
        self._give = give
        self._followers: set[_Follower] = set()
        self._taking: set[asyncio.Task[Any]] = set()
        seat.on_question("act", self._act)
        seat.on_question("yield", self._yield)
        seat.on_line("feed", self._feed)

    @property
    def followers(self) -> int:
        """Feeds that are followed now."""
        return len(self._followers)

    async def _act(self, told: Any) -> str:
        return (await self._do(Act.decode(str(told).encode()))).value

    async def _yield(self, told: Any) -> bool:
        return await self._give(str(told["name"]), str(told["key_id"]))

    def _feed(self, about: Any, sock: socket.socket) -> None:
        name, from_part = str(about["name"]), int(about["from"])
        found = self._find(name)
        if found is None or found[0].is_full:
            sock.close()
            return
        output, epoch = found
        follower = _Follower(self._followers.discard)
        self._followers.add(follower)

        def begin() -> asyncio.Protocol:
            return follower

        def follow(task: asyncio.Task[Any]) -> None:
            self._taking.discard(task)
            if task.cancelled() or task.exception() is not None:
                self._followers.discard(follower)
                sock.close()
                return
            follower.take(Hello(name, self._node, epoch))
            follower.leave = output.follow(follower, from_part)
            log.info("feed.followed", extra={"stream": name, "from_part": from_part})

        task = asyncio.create_task(_connected(begin, sock))
        self._taking.add(task)
        task.add_done_callback(follow)


async def _connected(make: Callable[[], asyncio.Protocol], sock: socket.socket) -> None:
    await asyncio.get_running_loop().connect_accepted_socket(make, sock)


class _Follower(asyncio.Protocol):
    """A line to a worker that follows (``Follower``)."""

    def __init__(self, on_gone: Callable[[_Follower], None]) -> None:
        self.leave: Callable[[], None] = lambda: None
        self._transport: asyncio.Transport | None = None
        self._on_gone = on_gone

    @property
    def queued_bytes(self) -> int:
        """What waits to be sent, bytes."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def take(self, record: Record) -> None:
        """Send a record, behind those before."""
        if self._transport is None or self._transport.is_closing():
            return
        head = head_of(record)
        if isinstance(record, Body | Part):
            self._transport.writelines((head, record.content))
        else:
            self._transport.write(head)

    def close(self) -> None:
        """Send no more; what waits is sent."""
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other worker has let go, or is gone."""
        self.leave()
        self._on_gone(self)

"""Requests to other nodes: feeds of their channels, and what is asked of one of them (``FeedOpener``, ``Peers``)."""

from __future__ import annotations

import contextlib
import json
from http import HTTPStatus
from typing import TYPE_CHECKING

import aiohttp

from streamd.doors.cluster.node_server import ACT_PATH, DRAIN_PATH, FEED_PATH, YIELD_PATH
from streamd.errors import ClusterUnavailableError
from streamd.formats.feed import FeedReader
from streamd.services.cluster.act import Act, NodeAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from streamd.clock import Clock
    from streamd.doors.cluster.proof import Secret
    from streamd.formats.feed import Record
    from streamd.services.cluster.entries import NodeEntry

CONNECT_TIMEOUT_S = 1.0
# Three words of life (``node_server.PING_S``) that did not come.
SILENCE_S = 3.0
ACT_TIMEOUT_S = 2.0
# The owner waits up to two seconds for its publisher to send something.
YIELD_TIMEOUT_S = 4.0
# A node drains at fifty publishers a second.
DRAIN_TIMEOUT_S = 60.0
ANSWER_BYTES_MAX = 4096
READ_BYTES = 1024 * 1024


class NodeClient:
    """Asks other nodes; ``start`` and ``close`` it.

    Args:
        secret: Known to all nodes.
        node: This node's name.
        clock: For the proofs' time.
    """

    def __init__(self, secret: Secret, node: str, clock: Clock) -> None:
        self._secret = secret
        self._node = node
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Get ready, on the running loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    @contextlib.asynccontextmanager
    async def open(
        self, owner: NodeEntry, name: str, *, from_part: int, epoch_min: int
    ) -> AsyncIterator[AsyncIterator[Sequence[Record]]]:
        """Follow a stream (``FeedOpener``)."""
        assert self._session is not None, "started"
        target = f"{FEED_PATH}/{name}?from={from_part}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_S)
        try:
            async with self._session.get(
                owner.advertise + target,
                headers={"Authorization": self._proof("GET", target)},
                timeout=timeout,
                allow_redirects=False,
                read_bufsize=READ_BYTES,
            ) as response:
                if response.status != HTTPStatus.OK:
                    raise ClusterUnavailableError(f"{owner.node} answers {response.status}")
                yield _records(response, FeedReader(name, epoch_min))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            raise ClusterUnavailableError(f"{owner.node}: {str(exc) or type(exc).__name__}") from exc

    async def tell(self, node: NodeEntry, act: Act) -> NodeAnswer | None:
        """Tell one node of an act (``Peers``)."""
        told = await self._post(node, ACT_PATH, act.encode(), ACT_TIMEOUT_S)
        try:
            return NodeAnswer(str(told["answer"])) if told is not None else None
        except (KeyError, ValueError, TypeError):
            return None

    async def ask_to_yield(self, node: NodeEntry, name: str, key_id: str) -> bool | None:
        """Ask an owner to give a channel to a key (``Peers``)."""
        body = json.dumps({"name": name, "key_id": key_id}).encode()
        told = await self._post(node, YIELD_PATH, body, YIELD_TIMEOUT_S)
        yielded = told.get("yielded") if told is not None else None
        return yielded if isinstance(yielded, bool) else None

    async def drain(self, node: NodeEntry) -> bool:
        """Have another node drain; whether it has."""
        told = await self._post(node, DRAIN_PATH, b"{}", DRAIN_TIMEOUT_S)
        return told is not None and told.get("drained") is True

    async def _post(self, node: NodeEntry, target: str, body: bytes, timeout_s: float) -> dict[str, object] | None:
        assert self._session is not None, "started"
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        try:
            async with self._session.post(
                node.advertise + target,
                data=body,
                headers={"Authorization": self._proof("POST", target, body), "Content-Type": "application/json"},
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                if response.status != HTTPStatus.OK:
                    return None
                told = json.loads(await response.content.read(ANSWER_BYTES_MAX))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError):
            return None
        return told if isinstance(told, dict) else None

    def _proof(self, method: str, target: str, body: bytes = b"") -> str:
        return self._secret.prove(self._node, int(self._clock.now().timestamp()), method, target, body)


async def _records(response: aiohttp.ClientResponse, reader: FeedReader) -> AsyncIterator[Sequence[Record]]:
    async for data in response.content.iter_any():
        if records := reader.receive(data):
            yield records

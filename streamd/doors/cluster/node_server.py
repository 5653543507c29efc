"""The port for other nodes: feeds of this node's channels, and what is asked of this node alone."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from streamd.errors import ActError
from streamd.formats import feed
from streamd.services.cluster.act import ACT_BYTES_MAX, Act

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streamd.clock import Clock
    from streamd.doors.cluster.proof import Checked, Secret
    from streamd.services.cluster.act import NodeAnswer
    from streamd.services.cluster.feed import FeedOutput

log = logging.getLogger(__name__)

FEED_PATH = "/feed/v1"
ACT_PATH = "/node/v1/act"
YIELD_PATH = "/node/v1/yield"
DRAIN_PATH = "/node/v1/drain"
# A word of life on a feed on which nothing else is sent, seconds.
PING_S = 1.0
# A follower that takes nothing for so long is let go.
WRITE_TIMEOUT_S = 10.0
BODY_BYTES_MAX = 2 * ACT_BYTES_MAX
# Records are put together into writes of this size at the most, so that small ones do not cost a write each.
WRITE_BYTES = 256 * 1024
# A request with a wrong code is answered slowly enough that guessing is told in the log once a minute, not each time.
REFUSAL_LOG_S = 60.0
_NUMBER_DIGITS_MAX = 15


class _HttpFollower:
    """A connection that follows (``Follower``)."""

    def __init__(self) -> None:
        self.queued_bytes = 0
        self.is_closed = False
        self.is_due = asyncio.Event()
        self._queue: deque[bytes] = deque()

    def take(self, record: feed.Record) -> None:
        self._put(feed.head_of(record))
        if isinstance(record, feed.Body | feed.Part):
            self._put(record.content)
        self.is_due.set()

    def close(self) -> None:
        self.is_closed = True
        self.is_due.set()

    def next(self) -> bytes | None:
        """What is to be written next; None for nothing."""
        queue = self._queue
        if not queue:
            return None
        if len(queue[0]) >= WRITE_BYTES or len(queue) == 1:
            data = queue.popleft()
        else:
            pieces: list[bytes] = []
            size = 0
            while queue and size + len(queue[0]) <= WRITE_BYTES:
                size += len(queue[0])
                pieces.append(queue.popleft())
            data = b"".join(pieces)
        self.queued_bytes -= len(data)
        return data

    def _put(self, data: bytes) -> None:
        self._queue.append(data)
        self.queued_bytes += len(data)


class NodeServer:
    """Answers other nodes.

    Args:
        secret: Known to all nodes.
        node: This node's name.
        clock: For the proofs' time.
        find: The feed of a channel of this node and its epoch; None where it is not this node's.
        do: Does an act.
        give: Gives a channel to a key.
        drain: Drains this node.
    """

    def __init__(
        self,
        secret: Secret,
        node: str,
        clock: Clock,
        *,
        find: Callable[[str], tuple[FeedOutput, int] | None],
        do: Callable[[Act], Awaitable[NodeAnswer]],
        give: Callable[[str, str], Awaitable[bool]],
        drain: Callable[[], Awaitable[None]],
    ) -> None:
        self._secret = secret
        self._node = node
        self._clock = clock
        self._find = find
        self._do = do
        self._give = give
        self._drain = drain
        self._followers: set[_HttpFollower] = set()
        self._refusal_told_at = float("-inf")
        self._runner: web.AppRunner | None = None

    @property
    def followers(self) -> int:
        """Feeds that are followed now."""
        return len(self._followers)

    def app(self) -> web.Application:
        """The application."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_get(FEED_PATH + "/{name}", self._feed)
        app.router.add_post(ACT_PATH, self._act)
        app.router.add_post(YIELD_PATH, self._yield)
        app.router.add_post(DRAIN_PATH, self._drain_node)
        return app

    async def start(self, host: str | None, port: int) -> int:
        """Listen.

        Returns:
            The port.

        Raises:
            OSError: It cannot be bound.
        """
        self._runner = web.AppRunner(self.app(), access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, shutdown_timeout=1.0)
        await site.start()
        server = site._server
        assert server is not None
        return int(server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]

    async def close(self) -> None:
        """Close the port, and every feed."""
        for follower in self._followers:
            follower.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _check(self, request: web.Request, body: bytes = b"") -> Checked:
        """Return who asks.

        Raises:
            web.HTTPUnauthorized: Nobody of this cluster.
        """
        field = request.headers.get("Authorization", "")
        now_s = int(self._clock.now().timestamp())
        checked = self._secret.check(field, now_s, request.method, request.path_qs, body)
        if checked is None:
            now = self._clock.monotonic()
            if now - self._refusal_told_at >= REFUSAL_LOG_S:
                self._refusal_told_at = now
                log.warning("node.refused", extra={"peer": request.remote, "reason": "no proof, or a wrong one"})
            raise web.HTTPUnauthorized
        return checked

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        checked = await self._check(request)
        name = request.match_info["name"]
        number = request.query.get("from", "0")
        if not (number.isascii() and number.isdigit()) or len(number) > _NUMBER_DIGITS_MAX:
            raise web.HTTPBadRequest
        found = self._find(name)
        if found is None:
            raise web.HTTPNotFound
        output, epoch = found
        if output.is_full:
            raise web.HTTPServiceUnavailable
        response = web.StreamResponse(
            headers={"Content-Type": "application/vnd.streamd.feed", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        follower = _HttpFollower()
        follower.take(feed.Hello(name, self._node, epoch))
        leave = output.follow(follower, int(number))
        self._followers.add(follower)
        log.info("feed.followed", extra={"stream": name, "node": checked.node, "from_part": int(number)})
        try:
            await self._write_all(response, follower)
        except (ConnectionError, TimeoutError, OSError) as exc:
            log.info("feed.left", extra={"stream": name, "node": checked.node, "reason": type(exc).__name__})
        finally:
            leave()
            self._followers.discard(follower)
        return response

    async def _write_all(self, response: web.StreamResponse, follower: _HttpFollower) -> None:
        while True:
            follower.is_due.clear()
            while (data := follower.next()) is not None:
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await response.write(data)
            if follower.is_closed:
                return
            try:
                async with asyncio.timeout(PING_S):
                    await follower.is_due.wait()
            except TimeoutError:
                follower.take(feed.Ping())

    async def _act(self, request: web.Request) -> web.Response:
        body = await request.read()
        checked = await self._check(request, body)
        try:
            act = Act.decode(body)
        except ActError as exc:
            raise web.HTTPBadRequest from exc
        if act.node != checked.node:
            raise web.HTTPBadRequest
        answer = await self._do(act)
        return web.json_response({"answer": answer.value})

    async def _yield(self, request: web.Request) -> web.Response:
        body = await request.read()
        await self._check(request, body)
        try:
            told = json.loads(body)
            name, key_id = told["name"], told["key_id"]
            if not isinstance(name, str) or not isinstance(key_id, str):
                raise TypeError
        except (ValueError, TypeError, KeyError, RecursionError) as exc:
            raise web.HTTPBadRequest from exc
        return web.json_response({"yielded": await self._give(name, key_id)}, status=HTTPStatus.OK)

    async def _drain_node(self, request: web.Request) -> web.Response:
        body = await request.read()
        await self._check(request, body)
        await self._drain()
        return web.json_response({"drained": True})

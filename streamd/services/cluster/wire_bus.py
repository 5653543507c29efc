"""The bus over messages that may be lost: an act is told again until each node has answered, or its lease is over.

Whoever does not answer over the wire is asked at its own address. A node whose lease runs out is fenced, so that it
reads what it missed before it serves again; then it need not be waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

from streamd.errors import ActError, ClusterUnavailableError
from streamd.services.cluster.act import ACT_BYTES_MAX, Act, ActKind, NodeAnswer
from streamd.services.cluster.permit import GRACE_S
from streamd.services.cluster.wire import ANSWER_SUBJECT, CONTROL_SUBJECT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from streamd.clock import Clock
    from streamd.services.cluster.cluster_metrics import ClusterMetrics
    from streamd.services.cluster.entries import NodeEntry
    from streamd.services.cluster.kv_directory import KvDirectory
    from streamd.services.cluster.wire import Peers, Wire

log = logging.getLogger(__name__)

# An act is told anew after so long without an answer, and the node is asked at its own address.
RETELL_S = 0.3
# A node that is renewed and does not do what it is told is waited for no longer: its operator has to look.
ACT_WAIT_S_MAX = 20.0
# Acts that are remembered, so that one that comes twice is done once.
HEARD_MAX = 1024
ANSWER_BYTES_MAX = 512


class _Told:
    """A node that was told of an act."""

    def __init__(self) -> None:
        self.answer: NodeAnswer | None = None
        self.event = asyncio.Event()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, or a time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class WireBus:
    """The bus of one node.

    Args:
        directory: Knows who can serve.
        wire: Carries messages.
        peers: Asks single nodes.
        clock: For time limits.
        metrics: Counted into.
        sleep: How it waits for an event or a time, seconds; tests pass their own.
    """

    def __init__(
        self,
        directory: KvDirectory,
        wire: Wire,
        peers: Peers,
        *,
        clock: Clock,
        metrics: ClusterMetrics,
        sleep: Callable[[asyncio.Event, float], Awaitable[None]] = _wait,
    ) -> None:
        self._directory = directory
        self._wire = wire
        self._peers = peers
        self._clock = clock
        self._metrics = metrics
        self._sleep = sleep
        self._do: Callable[[Act], Awaitable[None]] | None = None
        self._answers: dict[str, dict[str, _Told]] = {}
        self._heard: OrderedDict[str, asyncio.Task[NodeAnswer]] = OrderedDict()

    def listen(self) -> None:
        """Hear acts and answers from now on."""
        me = self._directory.me
        self._wire.subscribe(f"{CONTROL_SUBJECT}.>", self._note_act)
        self._wire.subscribe(f"{ANSWER_SUBJECT}.{me.session}", self._note_answer)

    def hear(self, do: Callable[[Act], Awaitable[None]]) -> None:
        """Have a function do what other nodes tell."""
        self._do = do

    # -- telling --------------------------------------------------------------------------------

    async def tell(self, kind: ActKind, subject: str = "", *, is_written: bool = True) -> Mapping[str, NodeAnswer]:
        """Tell every other node that can serve of an act, and wait for each (``Bus``)."""
        me = self._directory.me
        # Drawn for this act: no answer to another can be taken for one to it.
        act = Act(kind, subject, secrets.token_hex(16), me.node, is_written)
        others = [node for node in self._directory.nodes() if node.session != me.session]
        answers = {me.node: NodeAnswer.DONE}
        if not others:
            return answers
        self._answers[act.act_id] = waiting = {node.node: _Told() for node in others}
        started_at = self._clock.monotonic()
        try:
            await self._publish(act, me.session)
            found = await asyncio.gather(*(self._wait_for(node, act, waiting[node.node]) for node in others))
        finally:
            del self._answers[act.act_id]
        for node, answer in zip(others, found, strict=True):
            answers[node.node] = answer
            self._metrics.acts_total.labels(answer.value).inc()
            if answer is not NodeAnswer.DONE:
                log.warning("act.unconfirmed", extra={"act": kind.value, "node": node.node, "answer": answer.value})
        self._metrics.act_seconds.observe(self._clock.monotonic() - started_at)
        return answers

    async def _publish(self, act: Act, session: str) -> None:
        try:
            message = json.dumps({"answer_to": session, "act": act.encode().decode()}, separators=(",", ":"))
            await self._wire.publish(f"{CONTROL_SUBJECT}.{act.kind.value}", message.encode())
        except ClusterUnavailableError as exc:
            log.info("act.untold", extra={"act": act.kind.value, "reason": str(exc)})

    async def _wait_for(self, node: NodeEntry, act: Act, told: _Told) -> NodeAnswer:
        """Wait until a node has done an act, or can serve no more; what is neither for too long has failed."""
        started_at = self._clock.monotonic()
        asking: asyncio.Task[None] | None = None
        try:
            while True:
                if told.answer is not NodeAnswer.DONE:
                    await self._sleep(told.event, RETELL_S)
                if told.answer is NodeAnswer.DONE:
                    return NodeAnswer.DONE
                told.event.clear()
                if await self._is_over(node):
                    return NodeAnswer.UNREACHABLE
                if self._clock.monotonic() - started_at > ACT_WAIT_S_MAX:
                    return NodeAnswer.FAILED
                if asking is None or asking.done():
                    await self._publish(act, self._directory.me.session)
                    asking = asyncio.create_task(self._ask(node, act, told))
        finally:
            if asking is not None:
                asking.cancel()

    async def _ask(self, node: NodeEntry, act: Act, told: _Told) -> None:
        """Ask a node at its own address."""
        answer = await self._peers.tell(node, act)
        if answer is not None and told.answer is not NodeAnswer.DONE:
            told.answer = answer
            told.event.set()

    async def _is_over(self, node: NodeEntry) -> bool:
        """Whether a node's lease is over, and the node fenced."""
        if self._directory.is_alive(node.node, node.session):
            return False
        try:
            if not await self._directory.fence(node):
                return False
        except ClusterUnavailableError:
            return False
        # It goes on so much longer than its lease lasts.
        await self._sleep(asyncio.Event(), GRACE_S)
        return True

    async def _note_answer(self, subject: str, data: bytes) -> None:
        del subject
        try:
            if len(data) > ANSWER_BYTES_MAX:
                raise ValueError
            told = json.loads(data)
            waiting = self._answers[told["act_id"]][told["node"]]
            answer = NodeAnswer(told["answer"])
        except (ValueError, TypeError, KeyError, RecursionError):
            # Late, of another act, or none at all.
            return
        if waiting.answer is not NodeAnswer.DONE:
            waiting.answer = answer
            waiting.event.set()

    # -- hearing --------------------------------------------------------------------------------

    async def _note_act(self, subject: str, data: bytes) -> None:
        try:
            if len(data) > 2 * ACT_BYTES_MAX:
                raise ActError(f"{len(data)} bytes")
            told = json.loads(data)
            answer_to, text = told["answer_to"], told["act"]
            if not isinstance(answer_to, str) or not isinstance(text, str) or not answer_to.isalnum():
                raise ActError("no act")
            act = Act.decode(text.encode(), subject.removeprefix(f"{CONTROL_SUBJECT}."))
        except (ActError, ValueError, TypeError, KeyError, RecursionError) as exc:
            log.warning("act.unreadable", extra={"reason": str(exc) if isinstance(exc, ActError) else "no act"})
            return
        if answer_to == self._directory.me.session:
            return
        answer = await self.do(act)
        message = json.dumps({"act_id": act.act_id, "node": self._directory.me.node, "answer": answer.value})
        try:
            await self._wire.publish(f"{ANSWER_SUBJECT}.{answer_to}", message.encode())
        except ClusterUnavailableError as exc:
            log.info("act.unanswered", extra={"act": act.kind.value, "reason": str(exc)})

    async def do(self, act: Act) -> NodeAnswer:
        """Do what another node tells, once, and say what became of it."""
        task = self._heard.get(act.act_id)
        if task is None or (task.done() and task.result() is NodeAnswer.FAILED):
            task = self._heard[act.act_id] = asyncio.create_task(self._do_once(act))
            while len(self._heard) > HEARD_MAX:
                self._heard.popitem(last=False)
        return await asyncio.shield(task)

    async def _do_once(self, act: Act) -> NodeAnswer:
        if self._do is None:
            return NodeAnswer.FAILED
        try:
            await self._do(act)
        except Exception:
            log.exception("act.failed", extra={"act": act.kind.value, "node": act.node})
            return NodeAnswer.FAILED
        log.info("act.done", extra={"act": act.kind.value, "node": act.node})
        return NodeAnswer.DONE

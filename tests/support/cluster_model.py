"""Nodes of a cluster in one process: the real directory, permit and bus over a store, wires and clocks that are not.

The store is one list of writes, as JetStream's is. What goes to it and comes from it may take any time, may be lost on
the way there or back, and a watch may stall; a node may be stopped for any time. Every clock runs at the same rate, and
none is set: that is what leases rest on.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from streamd.errors import ClusterUnavailableError, ConflictError, PublishError
from streamd.services.cluster.act import Act, ActKind, NodeAnswer
from streamd.services.cluster.cluster_metrics import ClusterMetrics
from streamd.services.cluster.entries import NodeEntry
from streamd.services.cluster.key_value import Kept
from streamd.services.cluster.kv_directory import KvDirectory
from streamd.services.cluster.permit import READ_GOOD_S, Permit, Standing
from streamd.services.cluster.wire_bus import WireBus
from streamd.services.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from streamd.services.cluster.kv_directory import KvLease

LEASE_S = 6.0
BEAT_S = LEASE_S / 3
CALL_TIMEOUT_S = LEASE_S / 3
START = datetime(2026, 3, 1, tzinfo=UTC)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


class World:
    """Time, and all that happens at a time. Everything is a step of one queue, so that a seed decides all."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.steps = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, delay_s: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (self.now + delay_s, self._count, do))

    async def run(self, steps: int) -> None:
        """Do so many steps, and let the tasks go on after each."""
        for _ in range(steps):
            if not self._due:
                return
            self.now, _, do = heapq.heappop(self._due)
            self.steps += 1
            do()
            # Tasks that a step wakes run until they wait for another step.
            for _ in range(TURNS):
                await asyncio.sleep(0)

    async def sleep(self, seconds: float) -> None:
        done = asyncio.get_running_loop().create_future()
        self.at(seconds, lambda: None if done.done() else done.set_result(None))
        await done


# Of the loop, for a task that was woken to come to where it waits next.
TURNS = 6


class Store:
    """The truth of one bucket: a value under each name, with the number of its write."""

    def __init__(self) -> None:
        self.values: dict[str, Kept | None] = {}
        self.revision = 0
        self.watchers: list[Callable[[str, int, Kept | None], None]] = []

    def write(self, key: str, value: bytes | None, last: int | None) -> int:
        found = self.values.get(key)
        if last is not None and (found.revision if found is not None else 0) != last:
            raise ConflictError(f"{key}: {last}")
        self.revision += 1
        kept = Kept(value, self.revision) if value is not None else None
        self.values[key] = kept
        for watcher in self.watchers:
            watcher(key, self.revision, kept)
        return self.revision


class Line:
    """A node's way to a bucket (``KeyValue``): slow, lossy, and cut for a while."""

    def __init__(self, world: World, store: Store, node: Node) -> None:
        self._world = world
        self._store = store
        self._node = node
        self._on_change: Callable[[str, Kept | None], None] | None = None
        self._behind: list[tuple[str, Kept | None]] = []
        self.stalled_until = 0.0

    async def _call(self, do: Callable[[], Any]) -> Any:
        """Have something done at the store: the request, the answer, or both may be lost."""
        world, node = self._world, self._node
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def settle(result: Any, error: Exception | None) -> None:
            def tell() -> None:
                if not answered.done():
                    if error is not None:
                        answered.set_exception(error)
                    else:
                        answered.set_result(result)

            node.deliver(tell)

        def arrive() -> None:
            if world.now < node.cut_until:
                return
            result, error = None, None
            try:
                result = do()
            except ConflictError as exc:
                error = exc
            if world.random.random() >= node.loss:
                world.at(world.random.expovariate(1 / node.delay_s), lambda: settle(result, error))

        def give_up() -> None:
            settle(None, ClusterUnavailableError("no answer"))

        if world.random.random() >= node.loss:
            world.at(world.random.expovariate(1 / node.delay_s), arrive)
        world.at(CALL_TIMEOUT_S, give_up)
        return await answered

    async def get(self, key: str) -> Kept | None:
        found: Kept | None = await self._call(lambda: self._store.values.get(key))
        return found

    async def all(self) -> Mapping[str, Kept]:
        found: dict[str, Kept] = await self._call(
            lambda: {key: kept for key, kept in self._store.values.items() if kept is not None}
        )
        return found

    async def create(self, key: str, value: bytes) -> int:
        revision: int = await self._call(lambda: self._store.write(key, value, 0))
        return revision

    async def update(self, key: str, value: bytes, last: int) -> int:
        revision: int = await self._call(lambda: self._store.write(key, value, last))
        return revision

    async def delete(self, key: str, last: int) -> None:
        await self._call(lambda: self._store.write(key, None, last))

    def watch(self, on_change: Callable[[str, Kept | None], None]) -> None:
        self._on_change = on_change
        self._store.watchers.append(self._note)

    def _note(self, key: str, revision: int, kept: Kept | None) -> None:
        """A watch is in order, and arrives at any time; one that stalls catches up at once."""
        del revision
        self._behind.append((key, kept))
        world = self._world
        delay_s = max(world.random.expovariate(1 / self._node.delay_s), self.stalled_until - world.now)
        world.at(delay_s, lambda: self._node.deliver(self._take))

    def _take(self) -> None:
        if self._world.now < max(self.stalled_until, self._node.cut_until):
            self._world.at(
                max(self.stalled_until, self._node.cut_until) - self._world.now, lambda: self._node.deliver(self._take)
            )
            return
        if self._behind and self._on_change is not None:
            key, kept = self._behind.pop(0)
            self._on_change(key, kept)


class NodeClock:
    """The clock of all nodes."""

    def __init__(self, world: World, apart_s: float) -> None:
        self._world = world
        self._apart_s = apart_s

    def monotonic(self) -> float:
        return self._world.now

    def cpu(self) -> float:
        return self._world.now

    def now(self) -> datetime:
        return START + timedelta(seconds=self._world.now + self._apart_s)


class Promise(NamedTuple):
    """What whoever revoked a key was told of a node."""

    node: str
    key_id: str
    answer: NodeAnswer
    at: float


@dataclass
class Truth:
    """The database: which keys are dead, and when."""

    dead: dict[str, float] = field(default_factory=dict)
    is_down: bool = False


class Node:
    """One node, with what of it decides."""

    def __init__(self, world: World, cluster: ModelCluster, name: str) -> None:
        self.world = world
        self.cluster = cluster
        self.name = name
        self.cut_until = 0.0
        self.stopped_until = 0.0
        self.loss = 0.02
        self.delay_s = 0.005
        self._inbox: list[Callable[[], None]] = []
        # The clocks of nodes may be an hour apart.
        clock = NodeClock(world, world.random.uniform(-3600, 3600))
        self.clock = clock
        self.permit = Permit(clock, lease_s=LEASE_S, isolation_s=20, keeps_on=False)
        self.streams_line = Line(world, cluster.streams, self)
        self.nodes_line = Line(world, cluster.nodes, self)
        self.known_dead: set[str] = set()
        self.leases: dict[str, tuple[KvLease, str]] = {}
        entry = NodeEntry(node=name, session=f"{world.random.getrandbits(64):016x}", advertise="http://x")
        self.directory = KvDirectory(
            entry,
            nodes=self.nodes_line,
            streams=self.streams_line,
            clock=clock,
            permit=self.permit,
            lease_s=LEASE_S,
            reconnect_window_s=30,
            ask_to_yield=self._ask_to_yield,
            sleep=world.sleep,
        )
        self.directory.on_lost = self._lose
        self.bus = WireBus(
            self.directory,
            self,
            self,
            clock=clock,
            metrics=ClusterMetrics(Metrics()),
            sleep=self._wait,
        )
        self.bus.hear(self._do)
        self._subscriptions: list[tuple[str, Callable[[str, bytes], Awaitable[None]]]] = []
        self.tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.cluster.faults.append(error)

    @property
    def is_stopped(self) -> bool:
        return self.world.now < self.stopped_until

    def deliver(self, do: Callable[[], None]) -> None:
        """Have something reach this node; one that is stopped gets it when it wakes."""
        if self.is_stopped:
            self.world.at(self.stopped_until - self.world.now, lambda: self.deliver(do))
        else:
            do()

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for an event, or a time."""
        done = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        self.world.at(seconds, lambda: self.deliver(wake))
        waiting = asyncio.ensure_future(event.wait())
        await asyncio.wait({done, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        wake()

    async def start(self) -> None:
        self.directory.listen()
        self.bus.listen()
        self.spawn(self._run())

    async def _run(self) -> None:
        while True:
            began_at = self.permit.begin_try()
            reading = asyncio.ensure_future(self._read()) if self._is_reading_due else None
            try:
                await self.directory.renew(began_at)
                if self.permit.has_missed:
                    await self.directory.read_all()
            except (ClusterUnavailableError, ConflictError):
                pass
            if reading is not None:
                await reading
            if self.permit.has_missed:
                await self._read()
            self.permit.note_tried(began_at)
            self.directory.look()
            woken = asyncio.get_running_loop().create_future()
            left_s = self.permit.leased_until - self.world.now
            beat_s = BEAT_S * self.world.random.uniform(0.8, 1.2)
            self.world.at(
                left_s if 0 < left_s < beat_s else beat_s,
                partial(self.deliver, partial(_wake, woken)),
            )
            await woken

    @property
    def _is_reading_due(self) -> bool:
        return self.permit.has_missed or not self.permit.lease_is_good

    async def _read(self) -> None:
        """Read the database, which takes a moment."""
        began_at = self.world.now
        await self.world.sleep(self.world.random.uniform(0.001, 0.05))
        if self.cluster.truth.is_down or self.world.now < self.cut_until or self.is_stopped:
            return
        self.known_dead |= self.cluster.truth.dead.keys()
        self.permit.note_read(began_at)

    # -- what is asked of it ------------------------------------------------------------------------

    async def publish_stream(self, name: str, key_id: str) -> None:
        """A publisher comes, and goes again."""
        try:
            lease = await self.directory.claim(name, key_id)
        except PublishError:
            return
        if key_id in self.known_dead or name in self.leases:
            lease.release()
            return
        self.leases[name] = (lease, key_id)

    def end_stream(self, name: str) -> None:
        found = self.leases.pop(name, None)
        if found is not None:
            found[0].release()

    def _lose(self, name: str) -> None:
        self.leases.pop(name, None)

    async def _ask_to_yield(self, owner: NodeEntry, name: str, key_id: str) -> bool | None:
        del key_id
        other = self.cluster.nodes_by_name[owner.node]
        await self.world.sleep(self.world.random.uniform(0.001, 0.1))
        if other.is_stopped or self.world.now < max(self.cut_until, other.cut_until):
            return None
        return self.world.random.random() < 0.2 and name not in other.leases

    async def revoke(self, key_id: str) -> None:
        """Kill a key in the database, and tell all; what they promise then is looked at."""
        world = self.world
        if self.cluster.truth.is_down or world.now < self.cut_until or not self.permit.lease_is_good:
            return
        self.cluster.truth.dead[key_id] = world.now
        self.known_dead.add(key_id)
        nodes = {node.node for node in self.directory.nodes()}
        answers = await self.bus.tell(ActKind.REVOKE, key_id)
        for node, answer in answers.items():
            if answer is not NodeAnswer.FAILED:
                self.cluster.promises.append(Promise(node, key_id, answer, world.now))
        assert nodes <= answers.keys()

    async def _do(self, act: Act) -> None:
        await self.world.sleep(self.world.random.uniform(0.001, 0.02))
        self.known_dead.add(act.subject)

    # -- ``Wire`` and ``Peers`` ---------------------------------------------------------------------

    async def publish(self, subject: str, data: bytes) -> None:
        world = self.world
        if world.now < self.cut_until:
            raise ClusterUnavailableError("cut")
        for node in self.cluster.nodes_by_name.values():
            # Lost, twice, late, out of order.
            for _ in range(2 if world.random.random() < 0.05 else 1):
                if world.random.random() < max(self.loss, node.loss):
                    continue
                world.at(world.random.expovariate(1 / node.delay_s), partial(node.hear, subject, data))

    def subscribe(self, subject: str, on_message: Callable[[str, bytes], Awaitable[None]]) -> None:
        self._subscriptions.append((subject.removesuffix(">"), on_message))

    def hear(self, subject: str, data: bytes) -> None:
        if self.world.now < self.cut_until:
            return

        def take() -> None:
            for prefix, on_message in self._subscriptions:
                if subject.startswith(prefix):
                    self.spawn(on_message(subject, data))  # type: ignore[arg-type]

        self.deliver(take)

    async def tell(self, node: NodeEntry, act: Act) -> NodeAnswer | None:
        other = self.cluster.nodes_by_name[node.node]
        await self.world.sleep(self.world.random.uniform(0.001, 1.0))
        if other.is_stopped or self.world.now < max(self.cut_until, other.cut_until):
            return None
        if self.world.random.random() < 0.5:
            return None
        return await other.bus.do(act)

    async def ask_to_yield(self, node: NodeEntry, name: str, key_id: str) -> bool | None:
        return await self._ask_to_yield(node, name, key_id)


class ModelCluster:
    """Three nodes, and what goes wrong."""

    def __init__(self, seed: int, names: str = "abc", channels: int = 2, keys: int = 3) -> None:
        self.world = World(seed)
        self.nodes = Store()
        self.streams = Store()
        self.truth = Truth()
        self.promises: list[Promise] = []
        self.faults: list[BaseException] = []
        self.nodes_by_name: dict[str, Node] = {}
        self.channels = [f"channel{number}" for number in range(channels)]
        self.keys = [f"key{number}" for number in range(keys)]
        self.epochs: dict[str, int] = {}
        self.claims = self.revocations = self.checks = self.owned = 0
        for name in names:
            self.nodes_by_name[name] = Node(self.world, self, name)

    async def run(self, steps: int) -> None:
        for node in self.nodes_by_name.values():
            await node.start()
        self._trouble()
        try:
            while self.world.steps < steps:
                await self.world.run(1)
                self.check()
        finally:
            for node in self.nodes_by_name.values():
                for task in [*node.tasks, *node.directory._writes, *node.bus._heard.values()]:
                    task.cancel()
            await asyncio.sleep(0)

    def _trouble(self) -> None:
        """Something happens, and then something else."""
        world, random_ = self.world, self.world.random
        node = random_.choice([*self.nodes_by_name.values()])
        match random_.randrange(12):
            case 0:
                node.stopped_until = max(node.stopped_until, world.now + random_.choice([0.5, 3, 7, 15]))
            case 1:
                node.cut_until = max(node.cut_until, world.now + random_.choice([0.5, 3, 7, 15]))
            case 2:
                node.nodes_line.stalled_until = world.now + random_.choice([1, 5, 12])
            case 3:
                node.streams_line.stalled_until = world.now + random_.choice([1, 5, 12])
            case 4:
                node.loss, node.delay_s = random_.choice([(0.02, 0.005), (0.3, 0.05), (0.1, 0.8)])
            case 5:
                self.truth.is_down = not self.truth.is_down and random_.random() < 0.3
            case 6 if not node.is_stopped:
                self.revocations += 1
                key_id = random_.choice(self.keys)
                if key_id not in self.truth.dead:
                    node.spawn(node.revoke(key_id))
                    self.keys[self.keys.index(key_id)] = f"key{len(self.truth.dead) + 10}x{world.steps}"
            case 7 if not node.is_stopped and node.leases:
                node.end_stream(random_.choice([*node.leases]))
            case _ if not node.is_stopped:
                # Two publishers with one key in the same moment, often.
                name, key_id = random_.choice(self.channels), random_.choice(self.keys)
                for each in random_.sample([*self.nodes_by_name.values()], random_.choice([1, 2])):
                    if not each.is_stopped:
                        self.claims += 1
                        each.spawn(each.publish_stream(name, key_id))
            case _:
                pass
        world.at(random_.expovariate(1.0), self._trouble)

    def check(self) -> None:
        """What holds at every step."""
        self.checks += 1
        if self.faults:
            raise self.faults[0]
        for name in self.channels:
            owners = [node.name for node in self.nodes_by_name.values() if node.directory.owns(name)]
            self.owned += len(owners)
            assert len(owners) <= 1, f"{name} is {owners}'s at step {self.world.steps}"
            for node in self.nodes_by_name.values():
                entry = node.directory.owner(name)
                if entry is not None:
                    key = f"{node.name}/{name}"
                    assert entry.epoch >= self.epochs.get(key, 0), f"the epoch of {name} runs back at {node.name}"
                    self.epochs[key] = entry.epoch
        for promise in self.promises:
            node = self.nodes_by_name[promise.node]
            if node.is_stopped or promise.key_id in node.known_dead:
                continue
            standing = node.permit.standing
            since_s = self.world.now - promise.at
            # Whoever was said to have done it shows nothing of the key from then on, and whoever is gone hears of it
            # before it is heard again; one that reaches the database alone reads it each five seconds.
            is_late = (
                standing is Standing.DATABASE and promise.answer is NodeAnswer.UNREACHABLE and since_s < READ_GOOD_S
            )
            assert is_late or standing in (Standing.NONE, Standing.ALONE), (
                f"{promise.node} may show {promise.key_id}: {promise.answer} at step {self.world.steps}"
            )
        if len(self.promises) > 64:
            self.promises = [promise for promise in self.promises if self.world.now - promise.at < 120]


def run_model(seed: int, steps: int) -> ModelCluster:
    """Run nodes from a seed for so many steps."""
    cluster = ModelCluster(seed)
    asyncio.run(cluster.run(steps))
    return cluster


def main() -> None:
    """Run a number of steps from seeds that follow each other: ``python -m tests.support.cluster_model 1000000``."""
    import logging
    import sys
    import time

    logging.disable(logging.CRITICAL)
    steps_max, steps, seed = int(sys.argv[1]), 0, int(sys.argv[2]) if len(sys.argv) > 2 else 0
    began_at = time.monotonic()
    claims = acts = owned = 0
    while steps < steps_max:
        cluster = run_model(seed, 20_000)
        steps += cluster.world.steps
        claims, acts, owned = claims + cluster.claims, acts + len(cluster.truth.dead), owned + cluster.owned
        seed += 1
    seconds = time.monotonic() - began_at
    sys.stdout.write(f"{steps} steps of {seed} seeds in {seconds:.0f} s: {claims} claims, {acts} acts, owned {owned}\n")


if __name__ == "__main__":
    main()

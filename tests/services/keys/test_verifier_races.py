"""A publish and a death of its key in the same instant, in every order: no stream is left running.

The store is replaced by one whose reads and commits wait at gates that the test opens one by one, so
each order of the four steps in verifier.py's docstring is driven by hand.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Collection, Coroutine, Iterator
from typing import Any

import pytest

from streamd.clock import ManualClock
from streamd.errors import KeyRejectedError
from streamd.services.audit.records import Actor
from streamd.services.keys.admission import Admission
from streamd.services.keys.service import KeyService
from streamd.services.keys.verifier import KeyVerifier
from tests.support.gated_store import KEY, GatedStore, Gates

pytestmark = pytest.mark.asyncio

ADMIN = Actor("admin")
# More turns of the loop than any step between two gates takes.
TURNS = 12


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Registry:
    """Who is live: registers and closes as the real one must."""

    def __init__(self, gates: Gates) -> None:
        self._gates = gates
        self.live: dict[str, Admission] = {}

    def begin(self, verifier: KeyVerifier, admission: Admission) -> None:
        if not verifier.admissions.is_admissible(admission):
            raise KeyRejectedError("died_while_verified", admission.key_id)
        self.live[admission.user] = admission

    async def close_streams(self, key_ids: Collection[str], reason: str) -> list[str]:
        closed = [name for name, admission in self.live.items() if admission.key_id in key_ids]
        for name in closed:
            del self.live[name]
        await self._gates.wait("kill")
        return closed


Killer = Callable[[KeyService], Coroutine[Any, Any, object]]
KILLERS: dict[str, Killer] = {
    "revoke": lambda keys: keys.revoke(KEY.key_id, by=ADMIN),
    "rotate": lambda keys: keys.rotate(KEY.key_id, by=ADMIN),
    "suspend": lambda keys: keys.suspend("alice", by=ADMIN),
}


class Race:
    """One publish (or more) against one death (or more)."""

    def __init__(self) -> None:
        clock = ManualClock()
        self.gates = Gates()
        self.registry = Registry(self.gates)
        store = GatedStore(self.gates, clock.now())
        self.verifier = KeyVerifier(store, clock)
        self.verifier.admissions.attach(self.registry)
        self.keys = KeyService(store, clock, self.verifier)

    async def publish(self) -> None:
        """What the ingest door does, with a pause between the verdict and the registration."""
        admission = await self.verifier.verify(KEY.reveal(), "192.0.2.1")
        await self.gates.wait("verify")
        self.registry.begin(self.verifier, admission)

    async def finish(self, publishes: list[asyncio.Task[None]], kills: list[asyncio.Task[object]]) -> None:
        """Let everything end, then look: the key is dead and nothing runs."""
        self.gates.open()
        await asyncio.gather(*kills, return_exceptions=True)
        await self.keys.close()
        # The deaths are done: whoever has not registered by now must not any more.
        assert self.registry.live == {}
        for outcome in await asyncio.gather(*publishes, return_exceptions=True):
            assert outcome is None or isinstance(outcome, KeyRejectedError | asyncio.CancelledError)
        assert self.registry.live == {}
        with pytest.raises(KeyRejectedError):
            await self.publish()


def orders(steps: dict[str, int]) -> Iterator[tuple[str, ...]]:
    """Every order of the steps of each task."""
    yield from set(itertools.permutations([task for task, count in steps.items() for _ in range(count)]))


@pytest.mark.parametrize("killer", KILLERS)
async def test_in_every_order_of_their_steps_no_stream_is_left_running(killer: str) -> None:
    # verify: before the read, after it, before it registers, and two more where it must read again.
    # kill: before the commit, after it, and while the socket closes.
    for order in orders({"verify": 5, "kill": 3}):
        race = Race()
        publishing = asyncio.create_task(race.publish())
        killing = asyncio.create_task(KILLERS[killer](race.keys))
        await settle()
        for task in order:
            race.gates.let_on(task)
            await settle()
        await race.finish([publishing], [killing])


async def test_a_publish_that_is_admitted_before_the_death_is_closed_by_it() -> None:
    race = Race()
    publishing = asyncio.create_task(race.publish())
    for _ in range(3):
        await settle()
        race.gates.let_on("verify")
    await publishing
    assert list(race.registry.live) == ["alice"]
    race.gates.open()
    result = await race.keys.revoke(KEY.key_id, by=ADMIN)
    assert result.closed == ("alice",)


async def test_a_publish_that_read_before_the_commit_and_resumes_after_it_reads_again() -> None:
    race = Race()
    publishing = asyncio.create_task(race.publish())
    await settle()
    race.gates.let_on("verify")  # it has read a good key, and waits with it
    await settle()
    killing = asyncio.create_task(race.keys.revoke(KEY.key_id, by=ADMIN))
    for _ in range(3):
        await settle()
        race.gates.let_on("kill")
    await killing
    race.gates.open()
    with pytest.raises(KeyRejectedError) as caught:
        await publishing
    assert caught.value.reason == "revoked"


@pytest.mark.parametrize("killer", KILLERS)
@pytest.mark.parametrize("steps_before_leaving", range(3))
async def test_a_caller_who_goes_away_does_not_stop_a_death_half_way(killer: str, steps_before_leaving: int) -> None:
    race = Race()
    publishing = asyncio.create_task(race.publish())
    for _ in range(3):
        await settle()
        race.gates.let_on("verify")
    await publishing
    killing = asyncio.create_task(KILLERS[killer](race.keys))
    for _ in range(steps_before_leaving):
        await settle()
        race.gates.let_on("kill")
    await settle()
    killing.cancel()
    await race.finish([], [killing])


async def test_two_revocations_at_once_are_one_and_answer_alike() -> None:
    race = Race()
    race.gates.open()
    await race.publish()
    race.gates = Gates()
    answers = await asyncio.gather(*(race.keys.revoke(KEY.key_id, by=ADMIN) for _ in range(3)))
    assert answers[0].closed == ("alice",)
    assert answers == [answers[0]] * 3


async def test_thousands_of_random_orders_of_many_publishes_and_deaths() -> None:
    draw = random.Random(20260101)
    for _ in range(1500):
        race = Race()
        publishes = [asyncio.create_task(race.publish()) for _ in range(draw.randint(1, 4))]
        kills: list[asyncio.Task[object]] = [
            asyncio.create_task(draw.choice(list(KILLERS.values()))(race.keys)) for _ in range(draw.randint(1, 3))
        ]
        await asyncio.sleep(0)  # each has begun: a kill that is cancelled before that has killed nothing
        for _ in range(draw.randint(0, 20)):
            race.gates.let_on(draw.choice(["verify", "kill"]))
            for _ in range(draw.randint(0, 4)):
                await asyncio.sleep(0)
            if draw.random() < 0.05:
                draw.choice([*publishes, *kills]).cancel()
        await race.finish(publishes, kills)

"""The corpus of attacks, against a server with one control stream: every answer as it should be, and nobody else hurt.

All attacks run once, some at a time; then each row's answer is looked at, and what they did to the control stream.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.hostile.attacker import Attack, Target, grouped, load_attacks, prepare, run_attack
from tests.hostile.siege import (
    CHANNEL,
    LIMITS,
    Footprint,
    Witness,
    control_stream,
    limit_hits,
    wait_until_back,
    watching,
)
from tests.support.server import run_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

ATTACKS = load_attacks()
# At a time: most of them wait for a time limit.
GROUP = 16
# What the allocators of a server that has served all this keep, with the window of the control stream.
GROWTH_BYTES = 48 * 1024 * 1024
PARTS_MIN = 20
WARM_UP = ("keys in floods", "a reset of a stream that plays", "a wait for the end of time")


@dataclass(frozen=True)
class Siege:
    """What came of it."""

    server: LiveServer
    answers: dict[str, list[str]]
    hits: dict[str, float]
    witness: Witness
    before: Footprint


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with (
        run_server(tmp_path_factory.mktemp("attacked"), **LIMITS) as attacked,
        run_server(tmp_path_factory.mktemp("quiet")) as quiet,
        control_stream((attacked, quiet)),
    ):
        target = Target(attacked.rtmp_port, attacked.http_port, attacked.issue_key, CHANNEL)
        attacks = [prepare(row) for row in ATTACKS]
        # What a server keeps for good once it has been busy: threads, connections to its database.
        asyncio.run(attack(target, [(0, row) for row in attacks if row.name in WARM_UP]))
        before = Footprint.of(attacked)
        answers: dict[str, list[str]] = {}
        with watching(attacked, quiet) as witness:
            for group in grouped(attacks, GROUP):
                answers |= asyncio.run(attack(target, group))
        yield Siege(attacked, answers, limit_hits(attacked), witness, before)


async def attack(target: Target, group: list[tuple[int, Attack]]) -> dict[str, list[str]]:
    answers = await asyncio.gather(*(run_attack(target, each, number) for number, each in group))
    return {each.name: answer for (_, each), answer in zip(group, answers, strict=True)}


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ATTACKS])
def test_an_attack_is_answered_as_its_row_says(siege: Siege, row: Attack) -> None:
    assert siege.answers[row.name] == [str(row.answer)] * row.connections
    assert not row.limit or siege.hits[row.limit] > 0


def test_the_control_stream_was_undisturbed(siege: Siege) -> None:
    assert siege.witness.compare() >= PARTS_MIN
    delays_ms = sorted(1000 * delay_s for delay_s in siege.witness.delays_s)
    *_, p99 = statistics.quantiles(delays_ms, n=100)
    print(f"later than unattacked: median {statistics.median(delays_ms):.0f} ms, p99 {p99:.0f} ms")  # noqa: T201


def test_memory_and_descriptors_are_back_where_they_were(siege: Siege) -> None:
    wait_until_back(siege.server, siege.before, GROWTH_BYTES)


def test_nothing_broke_inside(siege: Siege) -> None:
    broken = [
        line for line in siege.server.log_text().splitlines() if "Traceback" in line or '"level": "error"' in line
    ]
    assert broken == []


def test_every_limit_that_publishers_and_viewers_can_reach_alone_was_reached(siege: Siege) -> None:
    reached = {row.limit for row in ATTACKS if row.limit}
    assert reached <= {limit for limit, hits in siege.hits.items() if hits}

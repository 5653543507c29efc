"""The streams, viewers and metrics of all workers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, Gauge

from streamd.process.crew.roll import Roll, heard, told
from streamd.process.crew.seat import Seat
from streamd.services.cluster.edges import Edges
from streamd.services.live.health import Finding, Health, HealthCode, HealthStatus, Severity
from streamd.services.live.meter import StreamSummary
from streamd.services.live.registry import LiveRegistry

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def summary(name: str, viewers: Mapping[str, int] = MappingProxyType({})) -> StreamSummary:
    findings = (Finding(HealthCode.BITRATE_LOW, Severity.WARNING, "few bits", "more bits", NOW),)
    return StreamSummary(
        name=name,
        key_id="k123",
        live_since=NOW,
        publisher_address="192.0.2.1",
        encoder="obs",
        codecs=("avc1.640028", "mp4a.40.2"),
        width=1280,
        height=720,
        bitrate_bps=2_500_000.5,
        frame_rate=30.0,
        keyframe_interval_s=None,
        health=Health(HealthStatus.GOOD, findings),
        viewers=viewers,
        tags_dropped=3,
    )


class Channel:
    is_live = True

    def __init__(self, name: str, viewers: Mapping[str, int]) -> None:
        self.name = name
        self.viewers = viewers


class Worker:
    """One worker's roll; questions go to the worker that ``others`` names, over JSON."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.others: list[Worker] = []
        self.asked: dict[str, Callable[[Any], Awaitable[Any]]] = {}
        self.streams: list[StreamSummary] = []
        self.watched: list[Channel] = []
        self.kicked: list[str] = []
        self.figures = CollectorRegistry()
        self.streams_live = Gauge("streamd_streams_live", "Live.", registry=self.figures)
        self.roll = Roll(cast("Seat", self), number, cast("LiveRegistry", self), cast("Edges", self), self.figures)

    def on_question(self, what: str, answer: Callable[[Any], Awaitable[Any]]) -> None:
        self.asked[what] = answer

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        [(what, rest)] = message["about"].items()
        answers = {f"w{other.number}": await other.asked[what](rest) for other in self.others}
        return cast("dict[str, Any]", json.loads(json.dumps({"answers": answers})))

    def summaries(self) -> list[StreamSummary]:
        return self.streams

    def summary(self, name: str) -> StreamSummary | None:
        return next((each for each in self.streams if each.name == name), None)

    def channels(self) -> list[Channel]:
        return self.watched

    async def kick(self, name: str) -> bool:
        self.kicked.append(name)
        return self.summary(name) is not None

    async def look(self) -> None:
        self.roll._unread = await self.roll._ask("streams", None)


@pytest.fixture
def workers() -> list[Worker]:
    found = [Worker(number) for number in range(3)]
    for each in found:
        each.others = [other for other in found if other is not each]
    return found


def test_a_summary_is_the_same_after_its_way() -> None:
    whole = summary("alice", {"hls": 3, "flv": 1})
    assert heard(json.loads(json.dumps(told(whole)))) == whole


@pytest.mark.asyncio
async def test_all_streams_are_there_with_the_viewers_of_all_workers(workers: list[Worker]) -> None:
    first, second, third = workers
    first.streams = [summary("alice", {"hls": 1})]
    second.streams = [summary("bob", {"hls": 10, "flv": 5})]
    second.watched = [Channel("alice", {"hls": 2})]
    third.watched = [Channel("alice", {"hls": 4}), Channel("bob", {"hls": 20})]
    first.watched = [Channel("bob", {"hls": 40})]
    await first.look()
    assert {each.name: dict(each.viewers) for each in first.roll.summaries()} == {
        "alice": {"hls": 7},
        "bob": {"hls": 70, "flv": 5},
    }
    found = first.roll.summary("bob")
    assert found is not None
    assert found.viewers == {"hls": 70, "flv": 5}
    assert first.roll.summary("carol") is None


@pytest.mark.asyncio
async def test_a_stream_that_has_come_here_is_listed_once(workers: list[Worker]) -> None:
    first, second, _ = workers
    second.streams = [summary("alice")]
    await first.look()
    first.streams = [summary("alice", {"hls": 1})]
    assert [each.viewers for each in first.roll.summaries()] == [{"hls": 1}]


@pytest.mark.asyncio
async def test_an_answer_that_cannot_be_read_takes_no_other_along(workers: list[Worker]) -> None:
    first, second, third = workers
    third.streams = [summary("bob")]

    async def lie(_: Any) -> str:
        return '{"streams": [{"health": ["fine", []]}], "viewers": {}}'

    second.asked["streams"] = lie
    await first.look()
    assert [each.name for each in first.roll.summaries()] == ["bob"]


@pytest.mark.asyncio
async def test_a_stream_is_kicked_wherever_it_is(workers: list[Worker]) -> None:
    first, second, third = workers
    third.streams = [summary("bob")]
    assert await first.roll.kick("bob")
    assert not await first.roll.kick("nobody")
    first.streams = [summary("alice")]
    assert await first.roll.kick("alice")
    assert second.kicked == ["bob", "nobody"]


@pytest.mark.asyncio
async def test_metrics_of_all_are_on_one_page(workers: list[Worker]) -> None:
    for each in workers:
        each.streams_live.set(each.number * 10)
    page = (
        await workers[1].roll.merged_metrics(b"# HELP streamd_streams_live Live.\nstreamd_streams_live 7.0\n")
    ).decode()
    assert [line for line in page.splitlines() if not line.startswith("#")] == [
        'streamd_streams_live{worker="0"} 0.0',
        'streamd_streams_live{worker="1"} 7.0',
        'streamd_streams_live{worker="2"} 20.0',
    ]

"""The streams, viewers and metrics of all workers, as the admin port shows them: at most two seconds old."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from dataclasses import fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import generate_latest

from streamd.process.crew.figures import merge
from streamd.services.live.health import Finding, Health, HealthCode, HealthStatus, Severity
from streamd.services.live.meter import StreamSummary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    from streamd.process.crew.seat import Seat
    from streamd.services.cluster.edges import Edges
    from streamd.services.live.registry import LiveRegistry

log = logging.getLogger(__name__)

# Viewers are told of a second late by the worker that has them. To tell, pass on and read 500 streams is 0.1 s of a
# core, so it is not asked for more often, and the answer is read when somebody looks.
ASK_INTERVAL_S = 1.0


class Roll:
    """What this worker tells of itself, and knows of the others (``LiveStreams``).

    Args:
        seat: The line to the supervisor.
        number: Which worker this is.
        registry: Its streams.
        edges: The channels of other workers that are watched here.
        figures: Its metrics.
    """

    def __init__(
        self, seat: Seat, number: int, registry: LiveRegistry, edges: Edges, figures: CollectorRegistry
    ) -> None:
        self._seat = seat
        self._number = number
        self._registry = registry
        self._edges = edges
        self._figures = figures
        self._unread: Mapping[str, Any] = {}
        self._others: list[StreamSummary] = []
        self._elsewhere: dict[str, Counter[str]] = {}
        seat.on_question("streams", self._tell_streams)
        seat.on_question("kick", self._kick)
        seat.on_question("metrics", self._tell_metrics)

    # -- what the admin port shows -----------------------------------------------------------------

    def summaries(self) -> list[StreamSummary]:
        """All live streams of all workers, with all their viewers."""
        self._look()
        here = self._registry.summaries()
        names = {each.name for each in here}
        found = [*here, *(each for each in self._others if each.name not in names)]
        return [self._with_viewers(each) for each in found]

    def summary(self, name: str) -> StreamSummary | None:
        """The live stream of this name; None where it is not live."""
        self._look()
        found = self._registry.summary(name)
        if found is None:
            found = next((each for each in self._others if each.name == name), None)
        return self._with_viewers(found) if found is not None else None

    async def kick(self, name: str) -> bool:
        """Close its publisher, wherever it is; False where none was live."""
        if await self._registry.kick(name):
            return True
        return any(answer is True for answer in (await self._ask("kick", name)).values())

    async def merged_metrics(self, page: bytes) -> bytes:
        """Put the metrics of the others with ours."""
        pages = {self._number: page.decode()}
        for node, answer in (await self._ask("metrics", None)).items():
            pages[int(node[1:])] = str(answer)
        return merge(pages).encode()

    async def run(self) -> None:
        """Ask the others once a second, for ever; cancel to stop."""
        while True:
            try:
                self._unread = await self._ask("streams", None)
            except Exception:
                # The page of operators must outlive a fault in one answer.
                log.exception("roll.failed")
            await asyncio.sleep(ASK_INTERVAL_S)

    # -- what this worker tells --------------------------------------------------------------------

    async def _tell_streams(self, _: Any) -> str:
        viewers = {channel.name: dict(channel.viewers) for channel in self._edges.channels()}
        streams = [told(each) for each in self._registry.summaries()]
        # As a text, which the supervisor passes on as it is.
        return json.dumps({"streams": streams, "viewers": viewers}, separators=(",", ":"))

    async def _kick(self, name: Any) -> bool:
        return await self._registry.kick(str(name))

    async def _tell_metrics(self, _: Any) -> str:
        return generate_latest(self._figures).decode()

    # -- inside ------------------------------------------------------------------------------------

    async def _ask(self, what: str, rest: object) -> Mapping[str, Any]:
        try:
            answer = await self._seat.ask({"do": "ask", "about": {what: rest}})
        except OSError as exc:
            log.debug("roll.unanswered", extra={"reason": str(exc)})
            return {}
        answers: dict[str, Any] = answer.get("answers", {})
        return answers

    def _look(self) -> None:
        """Read what the others have told last."""
        answers, self._unread = self._unread, {}
        if not answers:
            return
        others: list[StreamSummary] = []
        elsewhere: dict[str, Counter[str]] = {}
        for node, answer in answers.items():
            try:
                said = json.loads(answer)
                others += [heard(each) for each in said["streams"]]
                for name, viewers in said["viewers"].items():
                    elsewhere.setdefault(name, Counter()).update(viewers)
            except (ValueError, TypeError, KeyError) as exc:
                log.warning("roll.unreadable", extra={"node": node, "reason": type(exc).__name__})
        self._others, self._elsewhere = others, elsewhere

    def _with_viewers(self, summary: StreamSummary) -> StreamSummary:
        """A summary with those who watch the stream at workers that do not have it."""
        viewers = Counter(summary.viewers)
        viewers.update(self._elsewhere.get(summary.name, {}))
        for channel in self._edges.channels():
            if channel.name == summary.name:
                viewers.update(channel.viewers)
        return summary if viewers == summary.viewers else replace(summary, viewers=dict(viewers))


def told(summary: StreamSummary) -> dict[str, Any]:
    """A summary as JSON has it."""
    health = [
        [each.code.value, each.severity.value, each.message, each.advice, each.since.isoformat()]
        for each in summary.health.findings
    ]
    plain = {each.name: getattr(summary, each.name) for each in fields(summary)}
    return plain | {
        "live_since": summary.live_since.isoformat(),
        "health": [summary.health.status.value, health],
        "viewers": dict(summary.viewers),
    }


def heard(plain: dict[str, Any]) -> StreamSummary:
    """A summary out of JSON.

    Raises:
        ValueError: It has a word that nobody knows.
        TypeError: It lacks a field, or has one more.
        KeyError: Likewise.
    """
    status, findings = plain["health"]
    health = Health(
        HealthStatus(status),
        tuple(
            Finding(HealthCode(code), Severity(severity), message, advice, datetime.fromisoformat(since))
            for code, severity, message, advice, since in findings
        ),
    )
    return StreamSummary(
        **plain
        | {
            "live_since": datetime.fromisoformat(plain["live_since"]),
            "codecs": tuple(plain["codecs"]),
            "health": health,
        }
    )

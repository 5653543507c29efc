"""Live streams in memory, for tests of what operators see of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

from streamd.services.keys.admission import Admission
from streamd.services.live.health import Finding, Health, HealthCode, HealthStatus, Severity
from streamd.services.live.meter import StreamSummary

LIVE_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
HEALTH = Health(
    HealthStatus.OK,
    (Finding(HealthCode.FRAMES_MISSING, Severity.WARNING, "Frames are missing.", "Send them.", LIVE_SINCE),),
)


def summary(name: str, key_id: str = "7k2m9xq4ct") -> StreamSummary:
    """What is told of a stream that arrives with some frames missing."""
    return StreamSummary(
        name=name,
        key_id=key_id,
        live_since=LIVE_SINCE,
        publisher_address="192.0.2.1",
        encoder="obs",
        codecs=("avc1.640028", "mp4a.40.2"),
        width=1920,
        height=1080,
        bitrate_bps=6e6,
        frame_rate=60.0,
        keyframe_interval_s=2.0,
        health=HEALTH,
        viewers={"hls": 3},
    )


class Streams:
    """Live streams that close as the registry's do."""

    def __init__(self) -> None:
        self.live: dict[str, StreamSummary] = {}

    def summaries(self) -> Sequence[StreamSummary]:
        return [*self.live.values()]

    def summary(self, name: str) -> StreamSummary | None:
        return self.live.get(name)

    async def kick(self, name: str) -> bool:
        return self.live.pop(name, None) is not None

    def channels(self) -> Sequence[StreamSummary]:
        return [*self.live.values()]

    async def close_barred(self, is_barred: Callable[[Admission], bool]) -> list[str]:
        closed = [name for name, stream in self.live.items() if is_barred(Admission(stream.key_id, name))]
        for name in closed:
            del self.live[name]
        return closed

    async def close_streams(self, key_ids: Collection[str], reason: str) -> list[str]:
        closed = [name for name, stream in self.live.items() if stream.key_id in key_ids]
        for name in closed:
            del self.live[name]
        return closed

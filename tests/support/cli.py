"""The command line called as a shell would, and streams that a server could have."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from streamd.cli import main
from streamd.live.health import Health, HealthStatus


def run(*arguments: str, data_dir: Path | None = None, env: dict[str, str] | None = None) -> Result:
    options = [] if data_dir is None else ["--data-dir", str(data_dir)]
    return CliRunner().invoke(main, [*arguments, *options], env=env, prog_name="streamd")


def issue(data_dir: Path, user: str = "alice", *options: str) -> dict[str, Any]:
    result = run("keys", "issue", user, "--json", *options, data_dir=data_dir)
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


HEALTHY = Health(HealthStatus.GOOD)


@dataclass(frozen=True)
class Summary:
    name: str
    key_id: str
    live_since: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    publisher_address: str = "192.0.2.1"
    encoder: str = "obs"
    codecs: tuple[str, ...] = ("avc1.640028",)
    width: int = 1920
    height: int = 1080
    bitrate_bps: float = 6e6
    frame_rate: float = 60.0
    keyframe_interval_s: float | None = None
    health: Health = HEALTHY
    viewers: dict[str, int] = field(default_factory=lambda: {"hls": 3})
    tags_dropped: int = 0
    timestamps_repaired: int = 0


class Streams:
    def __init__(self) -> None:
        self.live: dict[str, Summary] = {}

    def summaries(self) -> Sequence[Summary]:
        return [*self.live.values()]

    def summary(self, name: str) -> Summary | None:
        return self.live.get(name)

    async def kick(self, name: str) -> bool:
        return self.live.pop(name, None) is not None

    async def close_streams(self, key_ids: Collection[str], reason: str) -> list[str]:
        closed = [name for name, stream in self.live.items() if stream.key_id in key_ids]
        for name in closed:
            del self.live[name]
        return closed

"""The watch page behind bad networks: it keeps playing, or plays again as soon as it can."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.bad_network import GOOD, BadNetwork, Conditions
from tests.support.chromium import Playback, viewer
from tests.support.publisher import publish

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.support.server import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio]

# 1.2 Mb/s of video, 128 kb/s of audio, and what HTTP puts around it.
STREAM_BPS = 1_400_000
WATCH_S = 12
OUTAGE_S = 6


def tell(name: str, got: Playback) -> None:
    """Figures for bench/README.md; shown with ``pytest -s``."""
    figures = {
        "name": f"bad_network.{name}",
        "watched_s": round(got.watched_s, 1),
        "played_s": round(got.played_s, 1),
        "stalls": got.stalls,
        "stood_still_s": round(got.stood_still_s, 2),
        "latency_ms": got.latency_ms if got.latencies_ms else None,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


# Conditions, and the share of the time that must have been played under them.
CASES: dict[str, tuple[Conditions, float]] = {
    # Another continent.
    "far": (Conditions(delay_s=0.1), 0.9),
    # A crowded mobile cell.
    "jitter": (Conditions(delay_s=0.03, jitter_s=0.12), 0.85),
    # Retransmission timers of 0.2 to 0.5 s are what a lossy radio link looks like from above TCP.
    "loss": (Conditions(delay_s=0.03, stall_every_s=2.0, stall_s=0.4), 0.75),
    "narrow": (Conditions(delay_s=0.03, bits_per_second=1.8 * STREAM_BPS), 0.85),
}


@pytest.mark.parametrize("name", CASES)
async def test_it_plays_on(server: LiveServer, channel: str, browser: Browser, name: str) -> None:
    conditions, share = CASES[name]
    with publish(server.rtmp_url, server.issue_key(channel)):
        server.wait_until_playable(channel)
        async with BadNetwork(server.http_port).running() as network, viewer(browser) as watching:
            network.conditions = conditions
            await watching.open(f"http://127.0.0.1:{network.port}/watch/{channel}")
            await watching.wait_for_state("playing")
            await watching.wait_until_moving(1)
            tell(name, await watching.watch_until(lambda got: got.played_s > share * got.watched_s, WATCH_S))
            assert (network.stalls > 0) == (conditions.stall_every_s is not None)
            assert watching.errors == []


# What no buffer of a low-latency player bridges: it has to come back by itself.
@pytest.mark.parametrize("name", ["standstill", "starved"])
async def test_it_comes_back_by_itself(server: LiveServer, channel: str, browser: Browser, name: str) -> None:
    with publish(server.rtmp_url, server.issue_key(channel)):
        server.wait_until_playable(channel)
        async with BadNetwork(server.http_port).running() as network, viewer(browser) as watching:
            await watching.open(f"http://127.0.0.1:{network.port}/watch/{channel}")
            await watching.wait_for_state("playing")
            await watching.wait_until_moving(2)
            if name == "standstill":
                network.stall(OUTAGE_S)
            else:
                network.conditions = Conditions(bits_per_second=STREAM_BPS / 3)
            during = await watching.watch(OUTAGE_S)
            network.conditions = GOOD
            await watching.wait_until_moving(1)
            after = await watching.watch_until(lambda got: got.played_s > 0.9 * got.watched_s, 4)
            tell(f"{name}.during", during)
            tell(f"{name}.after", after)
            assert watching.errors == []

"""The wall clock of a running server steps an hour, forward and back: streams do not notice, dates of keys do."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from streamd.clock import SystemClock
from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until
from tests.support.socket_publisher import answer_to_publish
from tests.support.stepped_clock import SteppedClock

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

HOUR_S = 3600
STARTED, DENIED = "NetStream.Publish.Start", "NetStream.Publish.Denied"
# Between the server's clock and ours, beside the step: what a loaded machine takes to answer.
SLACK_S = 60


class Watched:
    """The playlist of a channel that has to go on."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self._began_at = self.dates()[0]

    def dates(self) -> list[datetime]:
        return [datetime.fromisoformat(date) for date in re.findall(r"PROGRAM-DATE-TIME:(\S+)", self._text())]

    def check_that_it_goes_on(self) -> None:
        """It has new parts, without a break, dated as if no clock had been touched."""
        part = self._last_part()
        wait_until(lambda: self._last_part() > part + 4, PATIENCE_S, "parts")
        text = self._text()
        assert "#EXT-X-DISCONTINUITY\n" not in text
        durations = [timedelta(seconds=float(seconds)) for seconds in re.findall(r"EXTINF:([0-9.]+)", text)]
        dates = self.dates()
        for date, duration, following in zip(dates, durations, dates[1:], strict=False):
            assert abs(following - date - duration) < timedelta(milliseconds=2)
        assert timedelta(0) <= dates[-1] - self._began_at < timedelta(seconds=SLACK_S)

    def _text(self) -> str:
        text = self._server.get("/live/alice/main.m3u8")[2].decode()
        assert "#EXT-X-ENDLIST" not in text
        return text

    def _last_part(self) -> int:
        return max(int(number) for number in re.findall(r"part(\d+)\.m4s", self._text()))


def step(server: LiveServer, clock: SteppedClock, offset_s: int) -> None:
    """Step the server's clock, and wait until it tells that time."""
    clock.step_to(offset_s)

    def is_seen() -> bool:
        told = parsedate_to_datetime(server.get("/")[1]["date"])
        return abs((told - SystemClock().now()).total_seconds() - offset_s) < SLACK_S

    wait_until(is_seen, PATIENCE_S, f"a clock that is off by {offset_s} s")


def test_a_stream_goes_on_and_keys_die_and_live_by_the_clock(tmp_path: Path) -> None:
    clock = SteppedClock(tmp_path)
    with run_server(tmp_path, clock.prefix) as server:
        in_half_an_hour = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
        bob, carol = (server.issue_key(user, expires_at=in_half_an_hour) for user in ("bob", "carol"))
        with publish(server.rtmp_url, server.issue_key("alice")), publish(server.rtmp_url, carol) as dying:
            server.wait_until_playable("alice")
            server.wait_until_playable("carol")
            alice = Watched(server)

            step(server, clock, HOUR_S)
            alice.check_that_it_goes_on()
            server.wait_for_log("stream.closed", stream="carol", reason="expired")
            assert dying.wait() != 0
            assert answer_to_publish(server.rtmp_port, bob) == DENIED

            step(server, clock, -HOUR_S)
            alice.check_that_it_goes_on()
            assert answer_to_publish(server.rtmp_port, bob) == STARTED

            step(server, clock, 0)
            alice.check_that_it_goes_on()
        assert not server.log_events("stream.failed")

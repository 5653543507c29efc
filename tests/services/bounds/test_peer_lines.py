from __future__ import annotations

import logging
from collections import Counter

import pytest

from streamd.clock import ManualClock
from streamd.services.bounds.peer_lines import OTHER_LINES_MAX, STREAM_LINES_MAX, PeerLineLimits, PeerLines


class Log:
    """A filter, and what has passed it."""

    def __init__(self, limits: PeerLineLimits) -> None:
        self.clock = ManualClock()
        self.acted: Counter[str] = Counter()
        self.lines = PeerLines(limits, now=self.clock.monotonic, count_limit=lambda limit: self.acted.update([limit]))

    def writes(
        self, event: str, *, level: int = logging.INFO, name: str = "streamd.x", fault: bool = False, **fields: object
    ) -> bool:
        exc_info = (ValueError, ValueError(), None) if fault else None
        record = logging.LogRecord(name, level, "", 0, event, (), exc_info)
        record.__dict__.update(fields)
        return self.lines.filter(record)


@pytest.fixture
def log() -> Log:
    return Log(PeerLineLimits(log_lines_per_address_max=3, unpublished_lines_per_minute_max=5))


def test_the_first_lines_about_an_address_are_written(log: Log) -> None:
    assert [log.writes("connection.closed_early", peer="192.0.2.1") for _ in range(5)] == 3 * [True] + 2 * [False]
    assert log.acted == {"log_lines_per_address_max": 2}


def test_all_strangers_together_have_their_lines(log: Log) -> None:
    written = [log.writes("connection.closed_early", peer=f"192.0.2.{number}") for number in range(9)]
    assert sum(written) == 5
    assert log.acted == {"unpublished_lines_per_minute_max": 4}


def test_publishing_and_saying_goodbye_writes_each_event_some_times(log: Log) -> None:
    for event in ("publish.accepted", "stream.ended"):
        written = [log.writes(event, peer="192.0.2.1", stream="alice") for _ in range(100)]
        assert sum(written) == STREAM_LINES_MAX
    assert log.writes("publish.accepted", peer="192.0.2.1", stream="bob")


def test_what_an_operator_does_is_always_written(log: Log) -> None:
    assert all(log.writes("key.revoked", key_id="k", by="admin") for _ in range(1000))


def test_who_wants_all_lines_gets_them(log: Log) -> None:
    assert all(log.writes("connection.refused", level=logging.DEBUG, peer="192.0.2.1") for _ in range(1000))


def test_tracebacks_and_the_lines_of_libraries_are_bounded_too(log: Log) -> None:
    assert sum(log.writes("sweep.failed", fault=True) for _ in range(100)) == OTHER_LINES_MAX
    assert sum(log.writes(f"Error {n}", name="aiohttp.server") for n in range(100)) == OTHER_LINES_MAX


def test_a_new_minute_begins_anew_and_says_what_was_left_out(log: Log, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(10):
        log.writes("connection.closed_early", peer="192.0.2.1")
    log.lines.tell()
    assert not caplog.records
    log.clock.advance(60)
    log.lines.tell()
    log.lines.tell()
    (record,) = caplog.records
    assert (record.message, record.__dict__["lines"], record.__dict__["of"]) == (
        "log.lines_left_out",
        7,
        "connection.closed_early 7",
    )
    assert log.writes("connection.closed_early", peer="192.0.2.1")
    log.clock.advance(60)
    log.lines.tell()
    assert len(caplog.records) == 1


def test_other_limits_hold_at_once(log: Log) -> None:
    log.lines.configure(PeerLineLimits(log_lines_per_address_max=1, unpublished_lines_per_minute_max=5))
    assert [log.writes("x", peer="192.0.2.1") for _ in range(2)] == [True, False]

from __future__ import annotations

from types import SimpleNamespace

from streamd.doors.ingest.tally import ConnectionTally
from streamd.formats.rtmp.events import MessageDropped, MessageDropReason
from streamd.services.metrics import Metrics


def new_tally() -> tuple[ConnectionTally, SimpleNamespace, Metrics]:
    connection, metrics = SimpleNamespace(bytes_received=0, messages_received=0), Metrics()
    return ConnectionTally(connection, metrics, 100.0), connection, metrics  # type: ignore[arg-type]  # its counts


def test_bytes_are_counted_once() -> None:
    tally, connection, metrics = new_tally()
    connection.bytes_received = 5000
    tally.count_bytes()
    tally.count_bytes()
    connection.bytes_received = 7000
    tally.count_bytes()
    assert metrics.registry.get_sample_value("streamd_ingest_bytes_total") == 7000


def test_a_flood_is_more_messages_than_fit_into_the_time() -> None:
    tally, connection, _ = new_tally()
    connection.messages_received = 1000
    assert not tally.is_flood(101.0, 1000)
    connection.messages_received = 2001
    assert tally.is_flood(102.0, 1000)
    # Nobody looked for four seconds.
    connection.messages_received = 6001
    assert not tally.is_flood(106.0, 1000)


def test_two_looks_in_one_second_have_a_second_each() -> None:
    tally, connection, _ = new_tally()
    connection.messages_received = 900
    assert not tally.is_flood(100.1, 1000)


def test_dropped_messages_are_counted_by_reason_and_limit() -> None:
    tally, _, metrics = new_tally()
    tally.count_dropped(
        [
            MessageDropped(MessageDropReason.TOO_LARGE, 20, "command_bytes_max", 3),
            MessageDropped(MessageDropReason.MALFORMED, 20),
        ]
    )
    value = metrics.registry.get_sample_value
    assert value("streamd_messages_dropped_total", {"reason": "too_large"}) == 3
    assert value("streamd_messages_dropped_total", {"reason": "malformed"}) == 1
    assert value("streamd_limit_hits_total", {"limit": "command_bytes_max"}) == 3

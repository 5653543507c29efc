from __future__ import annotations

from datetime import UTC, datetime, timedelta

from streamd.services.audit.denial_log import WINDOW_S, DenialLog
from streamd.services.audit.records import AuditEntry
from streamd.services.keys.admission import Denial

AT = datetime(2026, 1, 1, tzinfo=UTC)

ROWS_MAX = 20


def note(log: DenialLog, address: str = "192.0.2.1", *, key_id: str | None = None, after_s: float = 0) -> None:
    log.note(Denial.UNKNOWN, address, key_id, at=AT + timedelta(seconds=after_s), now=1000 + after_s)


def test_what_is_alike_is_one_row_at_the_end_of_the_window() -> None:
    log = DenialLog("streamd", ROWS_MAX)
    for second in range(50):
        note(log, after_s=second)
    log.note(Denial.REVOKED, "2001:db8::1", "7k2m9xq4ct", at=AT, now=1050)
    assert log.take(1000 + WINDOW_S - 0.1) == []
    assert log.take(1000 + WINDOW_S) == [
        AuditEntry(
            AT + timedelta(seconds=49), "streamd", "publish.denied", address="192.0.2.1", reason="unknown", count=50
        ),
        AuditEntry(
            AT, "streamd", "publish.denied", address="2001:db8::/64", key_id="7k2m9xq4ct", reason="revoked", count=1
        ),
    ]
    assert log.take(1000 + WINDOW_S) == []


def test_each_window_begins_with_its_first_refusal() -> None:
    log = DenialLog("streamd", ROWS_MAX)
    note(log)
    assert len(log.take(2000)) == 1
    note(log, after_s=5000)
    assert log.take(6000 + WINDOW_S - 0.1) == []
    assert len(log.take(6000 + WINDOW_S)) == 1


def test_past_so_many_rows_they_are_counted_together() -> None:
    log = DenialLog("streamd", ROWS_MAX)
    for number in range(10 * ROWS_MAX):
        note(log, f"2001:db8:0:{number:x}::1")
    entries = log.take()
    assert len(entries) == ROWS_MAX + 1
    assert (entries[-1].address, entries[-1].key_id, entries[-1].count) == ("", None, 9 * ROWS_MAX)
    assert sum(entry.count for entry in entries) == 10 * ROWS_MAX


def test_a_flood_hides_no_key_that_exists() -> None:
    log = DenialLog("streamd", ROWS_MAX)
    for number in range(10 * ROWS_MAX):
        note(log, f"2001:db8:0:{number:x}::1")
    for _ in range(2):
        log.note("busy", "192.0.2.9", "7k2m9xq4ct", user="alice", at=AT, now=1001)
    (entry,) = (entry for entry in log.take() if entry.key_id)
    assert (entry.address, entry.key_id, entry.user, entry.reason, entry.count) == (
        "",
        "7k2m9xq4ct",
        "alice",
        "busy",
        2,
    )


def test_rows_that_name_a_key_alone_are_bounded_too() -> None:
    log = DenialLog("streamd", ROWS_MAX)
    for number in range(10 * ROWS_MAX):
        note(log, f"2001:db8:0:{number:x}::1", key_id=f"{number:010}")
    entries = log.take()
    assert len(entries) == 2 * ROWS_MAX + 1
    assert (entries[-1].address, entries[-1].key_id) == ("", None)
    assert sum(entry.count for entry in entries) == 10 * ROWS_MAX


def test_rows_that_could_not_be_written_wait_and_grow() -> None:
    log = DenialLog("streamd", ROWS_MAX)
    note(log)
    entries = log.take(2000)
    note(log, after_s=1000)
    log.give_back(entries, 2000)
    assert log.take(2000 + WINDOW_S - 0.1) == []
    (entry,) = log.take(2000 + WINDOW_S)
    assert (entry.count, entry.at) == (2, AT + timedelta(seconds=1000))

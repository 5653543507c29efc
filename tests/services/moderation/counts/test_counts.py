"""Counts are a recount of the audit log: of the days as they are kept, and as they are told."""

from __future__ import annotations

import asyncio
import csv
import io
import statistics
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from streamd.clock import ManualClock
from streamd.errors import StoreUnavailableError
from streamd.services.audit.audit_log import AuditLog
from streamd.services.audit.records import AuditEntry
from streamd.services.keys.key_store import KeyStore
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.counts import public_counts
from streamd.services.moderation.counts.counts import ACTS, CSV_HEAD, OTHER, TIMED, VALUES_MAX, DayCounts
from streamd.services.moderation.counts.public_counts import DAYS_ASKED_MAX, LOOK_INTERVAL_S, PublicCounts, recount
from streamd.services.store.schema import transparency_days
from tests.support.ingest import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)

DETAILS = st.builds(
    ActDetails,
    category=st.sampled_from(("", "VIOLENCE", "SELF_HARM", '=1+1,"x"')),
    source_type=st.sampled_from(("", "SOURCE_ARTICLE_16", "SOURCE_TRUSTED_FLAGGER")),
    territorial_scope=st.lists(st.sampled_from(("DE", "FR", "AT")), max_size=3).map(tuple),
    automated_detection=st.booleans(),
    automated_decision=st.sampled_from(("", "AUTOMATED_DECISION_NOT_AUTOMATED")),
    ground=st.sampled_from(("", "ILLEGAL_CONTENT")),
    outcome=st.sampled_from(("", "upheld", "reversed")),
    seconds=st.none() | st.integers(0, 3599),
)
ENTRIES = st.builds(
    AuditEntry,
    at=st.integers(0, 3 * 86_400 + 43_200).map(lambda seconds: NOW - timedelta(seconds=seconds)),
    actor=st.just("mo"),
    action=st.sampled_from((*ACTS, "key.issued", "evidence.read", "case.noted")),
    reason=st.builds(ActDetails.text, DETAILS, st.sampled_from(("", '{"category":"SELF_HARM"}'))) | st.text(max_size=9),
    count=st.integers(1, 5),
)


def counted_by_hand(entries: Sequence[AuditEntry], day: str, act: str) -> dict[str, Any]:
    """The plain reading of the rows, written down once more."""
    found = [each for each in entries if each.at.date().isoformat() == day and ACTS.get(each.action) == act]
    details = [(ActDetails.parse(each.reason), each.count) for each in found]
    seconds = sorted(each.seconds for each, count in details if each.seconds is not None for _ in range(count))
    by: Counter[tuple[str, str]] = Counter()
    for each, count in details:
        for name in ("category", "source_type", "automated_decision", "ground", "outcome"):
            if getattr(each, name):
                by[name, getattr(each, name)] += count
        by["automated_detection", "yes" if each.automated_detection else "no"] += count
        for country in set(each.territorial_scope) or {"everywhere"}:
            by["country", country] += count
    median = statistics.median_low(seconds) if seconds and act in TIMED else None
    return {"total": sum(count for _, count in details), "by": dict(by), "median": median}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(ENTRIES, max_size=12), max_size=4), st.booleans())
def test_counts_are_a_recount_of_the_log(batches: list[list[AuditEntry]], starts_again: bool) -> None:
    """Whenever it was read, in whatever order of days, and by however many servers."""

    async def run(directory: str) -> None:
        store = KeyStore(f"sqlite+aiosqlite:///{Path(directory) / 'streamd.db'}")
        await store.start()
        clock = ManualClock(NOW)
        counts, other = PublicCounts(store.database, clock), PublicCounts(store.database, clock)
        for number, batch in enumerate(batches):
            await AuditLog(store.database).append(batch)
            await counts.catch_up()
            if number % 2:
                await other.catch_up()
            if starts_again:
                await counts.close()
                counts = PublicCounts(store.database, clock)
        await counts.catch_up()
        await other.catch_up()
        anew = await recount(store.database)
        entries = [entry for batch in batches for entry in batch]
        for day, found in counts.days(date(2026, 11, 27), NOW.date()):
            assert found == anew.get(day.isoformat(), DayCounts())
            assert DayCounts.from_json(found.to_json()) == found
            told = csv.DictReader(io.StringIO(CSV_HEAD + found.csv_lines(day.isoformat())))
            rows = {(row["what"], row["by"], row["value"].removeprefix("'")): int(row["count"]) for row in told}
            for act in ACTS.values():
                by_hand = counted_by_hand(entries, day.isoformat(), act)
                assert found.acts[act] == by_hand["total"] == rows[act, "", ""]
                assert found.median_s(act) == by_hand["median"]
                assert rows.get((act, "median_seconds", "")) == by_hand["median"]
                shown = found.shown()[act]
                for (dimension, value), number in by_hand["by"].items():
                    assert found.by(act, dimension)[value] == number == rows[act, dimension, value]
                    assert shown[f"by_{dimension}"][value] == number
        assert [*other.days(date(2026, 11, 27), NOW.date())] == [*counts.days(date(2026, 11, 27), NOW.date())]
        await store.close()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(directory))


class TestADay:
    def test_a_flood_of_values_is_bounded(self) -> None:
        counts = DayCounts()
        for number in range(10 * VALUES_MAX):
            counts.add("takedown.made", ActDetails(category=f"C{number}", seconds=number * 7919).text(), 1)
        by = counts.by("takedowns", "category")
        assert len(by) == VALUES_MAX + 1
        assert by[OTHER] == 9 * VALUES_MAX
        assert sum(by.values()) == counts.acts["takedowns"]

    def test_times_of_a_million_acts_are_few(self) -> None:
        counts = DayCounts()
        for seconds in range(0, 10**9, 10_007):
            counts.add("case.decided", ActDetails(seconds=seconds).text(), 1)
        assert len(counts.to_json()) < 2_000_000
        assert counts.median_s("cases_decided") == pytest.approx(10 * 366 * 86_400, rel=0.5)

    def test_several_days_together(self) -> None:
        first, second = DayCounts(), DayCounts()
        first.add("takedown.made", ActDetails("VIOLENCE", seconds=10).text(), 2)
        second.add("takedown.made", ActDetails("VIOLENCE", seconds=40).text(), 3)
        first.merge(second)
        assert first.acts["takedowns"] == first.by("takedowns", "category")["VIOLENCE"] == 5
        assert first.median_s("takedowns") == 40

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"acts":[],"by":{},"times":{}}', '{"acts":{"a":"b"}}'])
    def test_what_is_no_counts_is_told(self, text: str) -> None:
        with pytest.raises(ValueError, match="no counts"):
            DayCounts.from_json(text)

    def test_no_value_is_a_formula(self) -> None:
        counts = DayCounts()
        counts.add("takedown.made", ActDetails(category='=HYPERLINK("x")\r\n').text(), 1)
        (line,) = [line for line in csv.reader(io.StringIO(counts.csv_lines("2026-11-30"))) if "category" in line]
        assert line[3].startswith("'=")


@pytest.mark.asyncio
class TestCounting:
    def entry(self, at: datetime = NOW, action: str = "report.received") -> AuditEntry:
        return AuditEntry(at, "mo", action, reason=ActDetails("VIOLENCE").text())

    async def test_each_row_is_read_once_and_the_loop_is_given_back(
        self, store: KeyStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A log of many rows is gone through in steps, and never again."""
        monkeypatch.setattr(public_counts, "ROWS_AT_ONCE", 10)
        await AuditLog(store.database).append([self.entry()] * 995)
        added = 0
        add = DayCounts.add

        def count(self: DayCounts, *row: Any) -> bool:
            nonlocal added
            added += 1
            return add(self, *row)

        monkeypatch.setattr(DayCounts, "add", count)
        counts = PublicCounts(store.database, ManualClock(NOW))
        steps = 0

        async def others() -> None:
            nonlocal steps
            while True:
                steps += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        await counts.catch_up()
        task.cancel()
        assert added == 995
        assert steps >= 100
        again = PublicCounts(store.database, ManualClock(NOW))
        await again.catch_up()
        assert added == 995, "a complete day is not counted again"
        day = again.day(NOW.date())
        assert day is not None
        assert day.acts["reports"] == 995

    async def test_rows_that_count_nowhere_are_not_even_taken(self, store: KeyStore) -> None:
        await AuditLog(store.database).append([self.entry(action="key.issued")] * 50)
        counts = PublicCounts(store.database, ManualClock(NOW))
        revision = counts.revision
        await counts.catch_up()
        assert counts.revision == revision + 1, "loaded, and nothing counted"

    async def test_a_row_of_a_day_long_past_counts_on_that_day(self, store: KeyStore) -> None:
        counts = PublicCounts(store.database, ManualClock(NOW))
        await AuditLog(store.database).append([self.entry()])
        await counts.catch_up()
        await AuditLog(store.database).append([self.entry(NOW - timedelta(days=3))])
        await counts.catch_up()
        assert counts.first_day == (NOW - timedelta(days=3)).date()
        assert [found.acts["reports"] for _, found in counts.days(counts.first_day, counts.today)] == [1, 0, 0, 1]

    async def test_days_to_come_and_before_the_first_are_none(self, store: KeyStore) -> None:
        counts = PublicCounts(store.database, ManualClock(NOW))
        await counts.catch_up()
        assert counts.first_day == counts.today == NOW.date()
        assert counts.day(NOW.date() + timedelta(days=1)) is None
        assert counts.day(NOW.date() - timedelta(days=1)) is None
        assert counts.day(NOW.date()) == DayCounts()

    async def test_a_range_is_a_year_at_the_most(self, store: KeyStore) -> None:
        counts = PublicCounts(store.database, ManualClock(NOW))
        await AuditLog(store.database).append([self.entry(NOW - timedelta(days=2000))])
        await counts.catch_up()
        days = [day for day, _ in counts.days(date.min, NOW.date())]
        assert len(days) == DAYS_ASKED_MAX
        assert days[-1] == NOW.date()
        for edge in (date.min, date.max):
            assert list(counts.days(edge, edge)) == []

    async def test_looks_now_and_then_and_outlives_a_store_that_is_down(
        self, store: KeyStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = ManualClock(NOW)
        counts = PublicCounts(store.database, clock)
        load = PublicCounts._load

        async def fail(_: PublicCounts) -> None:
            raise StoreUnavailableError("down")

        monkeypatch.setattr(PublicCounts, "_load", fail)
        for _ in range(2):
            counts.look()
            await eventually(lambda: counts._task is not None and counts._task.done())
            clock.advance(LOOK_INTERVAL_S)
        assert [record.message for record in caplog.records] == ["transparency.delayed"]
        monkeypatch.setattr(PublicCounts, "_load", load)
        await AuditLog(store.database).append([self.entry()])
        counts.look()
        await eventually(lambda: counts._task is not None and counts._task.done())
        found = counts.day(NOW.date())
        assert found is not None
        assert found.acts["reports"] == 1
        counts.look()
        await counts.close()

    async def test_what_somebody_has_written_over_is_counted_anew(self, store: KeyStore) -> None:
        await AuditLog(store.database).append([self.entry()] * 3)
        counts = PublicCounts(store.database, ManualClock(NOW))
        await counts.catch_up()
        async with store.database.writing() as connection:
            await connection.execute(update(transparency_days).values(counts="{}"))
        again = PublicCounts(store.database, ManualClock(NOW))
        await again.catch_up()
        assert again.day(NOW.date()) == counts.day(NOW.date())
        third = PublicCounts(store.database, ManualClock(NOW))
        await third.catch_up()
        assert third.day(NOW.date()) == counts.day(NOW.date())

    async def test_a_recount_of_some_days(self, store: KeyStore) -> None:
        entries = [self.entry(NOW - timedelta(days=number)) for number in range(5)]
        await AuditLog(store.database).append([*entries, replace(entries[0], action="key.issued")])
        found = await recount(store.database, NOW.date() - timedelta(days=3), NOW.date() - timedelta(days=1))
        assert [*found] == ["2026-11-27", "2026-11-28", "2026-11-29"]
        assert len(await recount(store.database, date.min, date.max)) == 5


def test_nobody_reads_in_them_whether_the_name_that_they_reported_exists() -> None:
    """A report of a name that is not there counts as any other does, and no case that it opens is told of."""
    there, nowhere = DayCounts(), DayCounts()
    details = ActDetails("VIOLENCE", "SOURCE_ARTICLE_16").text()
    there.add("case.opened", details, 1)
    there.add("report.received", details, 1)
    nowhere.add("report.unmatched", details, 1)
    assert there == nowhere
    assert there.shown() == nowhere.shown()
    assert there.csv_lines("2026-11-30") == nowhere.csv_lines("2026-11-30")

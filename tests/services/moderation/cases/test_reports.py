"""Reports: into one case, by a bounded queue, with the same receipt for everybody."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from streamd.errors import (
    ReporterSuspendedError,
    ReportRefusedError,
    ReportsBusyError,
    StoreUnavailableError,
    TargetRefusedError,
    TooManyReportsError,
)
from streamd.services.events.event import Event, EventType
from streamd.services.keys.stream_key import StreamKey
from streamd.services.moderation.cases import reports as reports_module
from streamd.services.moderation.cases.case_records import CaseState, Outcome
from streamd.services.moderation.cases.report_status import ReportState
from streamd.services.moderation.cases.report_store import REPORTS_KEPT_MAX, REPORTS_PER_SOURCE_MAX, ReportStore
from streamd.services.moderation.cases.reports import BATCH_MAX, EXPLANATION_LENGTH_MAX, WAITING_MAX, said
from streamd.services.moderation.categories import Category, Keyword
from streamd.services.moderation.moderation import FORGET_INTERVAL_S
from streamd.services.moderation.options import ModerationOptions
from streamd.services.moderation.statement import SourceType
from streamd.services.moderation.target import Target, TargetKind
from streamd.services.store.schema import audit, cases, reports
from tests.support.moderation import ALICE, MAX, MINA, ModerationHouse

if TYPE_CHECKING:
    from streamd.services.keys.key_store import KeyStore

pytestmark = pytest.mark.asyncio

BOB = Target(TargetKind.CHANNEL, "bob", "bob")


async def rows(house: ModerationHouse, table: Any) -> int:
    async with house.store.database.reading() as connection:
        found: int = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
        return found


class TestJoining:
    async def test_the_first_opens_a_case_and_others_join_it(self, house: ModerationHouse) -> None:
        for number in range(3):
            await house.report(number)
        found = await house.case()
        assert (found.target, found.category, found.state) == (ALICE, Category.VIOLENCE, CaseState.OPEN)
        assert (found.reports, found.reports_kept, found.reporters) == (3, 3, 3)
        assert found.priority == pytest.approx(8 * 2)
        assert [(event.type, event.data["case"]) for event in house.told] == [
            (EventType.CASE_OPENED, found.id),
            *[(EventType.REPORT_RECEIVED, found.id)] * 3,
        ]

    async def test_another_category_or_target_is_another_case(self, house: ModerationHouse) -> None:
        await house.report()
        await house.report(category=Category.SELF_HARM)
        await house.report(target=BOB)
        await house.report(target=Target(TargetKind.CLIP, "clip_1", "alice"))
        assert len(await house.cases()) == 4

    async def test_a_decided_case_is_followed_by_another(self, house: ModerationHouse) -> None:
        await house.report()
        await house.decide((await house.case()).id)
        await house.report(2)
        assert {case.state for case in await house.cases()} == {CaseState.OPEN, CaseState.DECIDED}

    async def test_the_most_viewers_there_were_count(self, house: ModerationHouse) -> None:
        await house.report(1, viewers=90)
        await house.report(1, viewers=0)
        found = await house.case()
        assert found.viewers == 90
        assert found.priority == pytest.approx(8 * 2)

    async def test_it_is_counted_in_the_audit_log_without_an_address(self, house: ModerationHouse) -> None:
        await house.report()
        (entry,) = await house.audited("report.received")
        assert (entry.actor, entry.address, entry.stream, entry.count) == ("viewer", "", "alice", 1)
        ((details, _),) = await house.details("report.received")
        assert (details.category, details.source_type) == ("VIOLENCE", "SOURCE_ARTICLE_16")
        assert [details.seconds for details, _ in await house.details("case.opened")] == [0]

    async def test_what_was_said_is_there_for_moderators(self, house: ModerationHouse) -> None:
        at = house.clock.now() - timedelta(hours=1)
        receipt = await house.report(
            explanation="He hits her.",
            keyword=Keyword.INCITEMENT_VIOLENCE_HATRED,
            at=at,
            contact="Eva <eva@example.org>",
        )
        found = await house.case()
        (report,) = (await house.moderation.reports.store.reports_of(found.id, limit=10)).items
        assert (report.id, report.explanation, report.at) == (receipt.id, "He hits her.", at)
        assert (report.keyword, report.contact) == ("KEYWORD_INCITEMENT_VIOLENCE_HATRED", "Eva <eva@example.org>")
        assert "eva@" not in repr(report)

    async def test_child_sexual_abuse_makes_the_case_restricted_for_good(self, house: ModerationHouse) -> None:
        minors = Category.PROTECTION_OF_MINORS
        await house.report(1, category=minors)
        assert not (await house.case()).is_restricted
        await house.report(2, keyword=Keyword.CHILD_SEXUAL_ABUSE_MATERIAL, category=minors)
        await house.report(3, category=minors)
        assert (await house.case()).is_restricted


class TestReceipts:
    async def test_it_has_a_reference_and_a_token_that_opens_its_status(self, house: ModerationHouse) -> None:
        receipt = await house.report()
        assert re.fullmatch(r"[0-9A-Z]{4}-[0-9A-Z]{2}", receipt.reference)
        assert receipt.status_token not in repr(receipt)
        status = await house.moderation.statuses.of(receipt.id, receipt.status_token)
        assert (status.state, status.reference, status.decision) == (ReportState.RECEIVED, receipt.reference, None)

    async def test_it_is_found_by_its_reference(self, house: ModerationHouse) -> None:
        receipt = await house.report()
        await house.report(2)
        (found,) = await house.moderation.reports.store.find_reports(receipt.id[-6:], limit=10)
        assert found.id == receipt.id


class TestNamesThatNeverWere:
    """A report for a name that never was has the same answer as one for a quiet channel."""

    async def test_nobody_can_tell_and_nothing_is_kept(self, house: ModerationHouse) -> None:
        await house.keys.issue("quiet", by=MINA)
        targets = [await house.moderation.subjects.find(name) for name in ("quiet", "never-was")]
        assert [target and target.id for target in targets] == ["quiet", None]
        receipts = [await house.report(number, target) for number, target in enumerate(targets)]
        assert len({len(receipt.status_token) for receipt in receipts}) == 1
        statuses = [await house.moderation.statuses.of(each.id, each.status_token) for each in receipts]
        assert {(each.state, each.decision, each.appeal_until, each.is_warned) for each in statuses} == {
            (ReportState.RECEIVED, None, None, False)
        }
        assert await rows(house, cases) == await rows(house, reports) == 1
        # Both were written to the disk, so that their answers take as long.
        assert len(await house.audited("report.unmatched")) == 1

    async def test_it_costs_the_same_budget(self, store: KeyStore) -> None:
        house = await ModerationHouse(store, ModerationOptions(reports_per_address_per_10_min=2)).start()
        await house.report(1, None)
        await house.report(1, ALICE)
        for target in (None, ALICE):
            with pytest.raises(TooManyReportsError):
                await house.report(1, target)


class TestSubjects:
    async def test_a_channel_that_ended_an_hour_ago_is_known(self, house: ModerationHouse) -> None:
        find = house.moderation.subjects.find
        assert await find("hooked") is None
        house.moderation.subjects.note(Event(EventType.STREAM_ENDED, house.clock.now(), {"user": "hooked"}))
        house.clock.advance(3600)
        assert await find("hooked") == Target(TargetKind.CHANNEL, "hooked", "hooked")

    async def test_a_channel_that_is_live_is_known(self, house: ModerationHouse) -> None:
        house.viewers.live["now-live"] = 7
        target = await house.moderation.subjects.find("now-live")
        assert target is not None
        assert house.moderation.subjects.viewers_of(target) == 7

    async def test_channels_that_were_live_are_forgotten_the_oldest_first(
        self, house: ModerationHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("streamd.services.moderation.cases.subjects.LATELY_MAX", 2)
        for name in ("one", "two", "three"):
            house.moderation.subjects.note(Event(EventType.STREAM_STARTED, house.clock.now(), {"user": name}))
        assert [bool(await house.moderation.subjects.find(name)) for name in ("one", "two", "three")] == [
            False,
            True,
            True,
        ]

    async def test_a_name_like_the_id_of_a_key_is_a_channel(self, house: ModerationHouse) -> None:
        house.viewers.live["7k2m9xq4ct"] = 1
        target = await house.moderation.subjects.find("7k2m9xq4ct")
        assert target == Target(TargetKind.CHANNEL, "7k2m9xq4ct", "7k2m9xq4ct")

    async def test_a_url_of_ours_is_read(self, house: ModerationHouse) -> None:
        house.viewers.live["alice"] = 1
        for url in ("https://live.example.org/watch/alice?t=1", "/watch/alice", "http://other.example/live/alice.flv"):
            assert await house.moderation.subjects.find(url, ["other.example"]) == ALICE

    @pytest.mark.parametrize(
        "text",
        [
            "https://elsewhere.example/watch/alice",
            "https://live.example.org.evil.example/watch/alice",
            "https://live.example.org@evil.example/watch/alice",
            "javascript:alert(1)",
            "//evil.example/watch/alice",
            "https://live.example.org/watch/../studio",
            "al\u200bice",
            "\u202eecila",
            "<b>alice</b>",
            "",
            "x" * 100_000,
        ],
    )
    async def test_what_is_not_ours_is_refused(self, house: ModerationHouse, text: str) -> None:
        with pytest.raises(TargetRefusedError):
            await house.moderation.subjects.find(text)

    async def test_a_recording_that_is_not_there_is_none(self, house: ModerationHouse) -> None:
        assert await house.moderation.subjects.find(f"rec_0{'0' * 25}") is None


class TestTexts:
    async def test_a_megabyte_is_refused_before_it_costs_the_reporter_anything(self, store: KeyStore) -> None:
        house = await ModerationHouse(store, ModerationOptions(reports_per_address_per_10_min=1)).start()
        with pytest.raises(ReportRefusedError, match="5000 characters"):
            await house.report(explanation="x" * 1024 * 1024)
        await house.report(explanation="x" * EXPLANATION_LENGTH_MAX)

    async def test_html_is_kept_as_it_was_written(self, house: ModerationHouse) -> None:
        text = "<script>alert(1)</script> & <b>"
        await house.report(explanation=text)
        (report,) = (await house.moderation.reports.store.reports_of((await house.case()).id, limit=1)).items
        assert report.explanation == text

    @pytest.mark.parametrize(
        ("written", "read"),
        [
            ("pay\u202etxt.exe", "paytxt.exe"),
            ("a\u200bb\ufeffc\u2060d", "abcd"),
            ("\u2066x\u2069", "x"),
            ("line\r\nline\ttab", "line\nline\ttab"),
            ("nul\x00bell\x07", "nul\ufffdbell\ufffd"),
            ("lone \udc80", "lone \ufffd"),
            ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
            ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
            ("\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
            ("   ", ""),
        ],
    )
    async def test_what_nobody_sees_is_not_kept(self, house: ModerationHouse, written: str, read: str) -> None:
        assert said(written, 100, "it") == read
        await house.report(explanation=written)
        (report,) = (await house.moderation.reports.store.reports_of((await house.case()).id, limit=1)).items
        assert report.explanation == read

    async def test_a_stream_key_is_in_no_text_and_not_in_the_log(self, house: ModerationHouse) -> None:
        key = StreamKey.generate()
        hidden = f"Their key: sk_{key.key_id}_[hidden]"
        secret = f"Their key: sk_{key.key_id}_\u200b{key.secret}"
        await house.report(explanation=secret, contact=secret[11:])
        case_id = (await house.case()).id
        (report,) = (await house.moderation.reports.store.reports_of(case_id, limit=1)).items
        assert (report.explanation, report.contact) == (hidden, hidden[11:])
        await house.moderation.cases.note(case_id, secret, by=MINA)
        decision = await house.decide(case_id, outcome=Outcome.NO_ACTION, reason=secret)
        assert decision.reason == hidden
        history = await house.moderation.cases.store.history(case_id)
        assert not any(key.secret in str(each) for each in (*history, *await house.audited(), *house.told))


class TestTimes:
    @pytest.mark.parametrize("ahead", [timedelta(minutes=6), timedelta(days=3650)])
    async def test_what_plays_in_the_future_is_refused(self, house: ModerationHouse, ahead: timedelta) -> None:
        with pytest.raises(ReportRefusedError, match="future"):
            await house.report(at=house.clock.now() + ahead)

    async def test_a_clock_that_is_a_little_fast_is_taken_for_now(self, house: ModerationHouse) -> None:
        await house.report(at=house.clock.now() + timedelta(minutes=4))
        (report,) = (await house.moderation.reports.store.reports_of((await house.case()).id, limit=1)).items
        assert report.at == house.clock.now()

    async def test_what_is_before_all_broadcasts_is_refused(self, house: ModerationHouse) -> None:
        with pytest.raises(ReportRefusedError, match="before"):
            await house.report(at=house.clock.now() - timedelta(days=20 * 366))


class TestLimits:
    async def test_an_address_may_send_so_many_in_ten_minutes(self, store: KeyStore) -> None:
        house = await ModerationHouse(store, ModerationOptions(reports_per_address_per_10_min=5)).start()
        for _ in range(5):
            await house.report(1)
        with pytest.raises(TooManyReportsError) as refused:
            await house.report(1)
        await house.report(2)
        house.clock.advance(refused.value.wait_s)
        await house.report(1)
        with pytest.raises(TooManyReportsError):
            await house.report(1)

    async def test_a_site_of_ipv6_is_one_address(self, store: KeyStore) -> None:
        house = await ModerationHouse(store, ModerationOptions(reports_per_address_per_10_min=1)).start()
        await house.report(address="2001:db8:1:2::1")
        with pytest.raises(TooManyReportsError):
            await house.report(address="2001:db8:1:2:ffff::9")

    async def test_other_options_hold_at_once(self, store: KeyStore) -> None:
        house = await ModerationHouse(store, ModerationOptions(reports_per_address_per_10_min=1)).start()
        await house.report(1)
        house.moderation.options = ModerationOptions(reports_per_address_per_10_min=100)
        house.clock.advance(6)
        await house.report(1)

    async def test_one_more_than_may_wait_is_sent_away_and_costs_nothing(
        self, house: ModerationHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reports_module, "WAITING_MAX", 3)
        tasks = [asyncio.create_task(house.report(number)) for number in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(ReportsBusyError):
            await house.report(9)
        assert len(await asyncio.gather(*tasks)) == 3
        await house.report(9)

    async def test_who_leaves_has_reported_nevertheless(self, house: ModerationHouse) -> None:
        task = asyncio.create_task(house.report())
        await asyncio.sleep(0)
        task.cancel()
        await house.moderation.reports.close()
        assert (await house.case()).reports == 1

    async def test_a_store_that_fails_fails_those_who_wait_and_no_others(
        self, house: ModerationHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        take = ReportStore.take

        async def fails(*_: Any) -> Any:
            raise StoreUnavailableError("the disk is full")

        monkeypatch.setattr(ReportStore, "take", fails)
        results = await asyncio.gather(*(house.report(number) for number in range(3)), return_exceptions=True)
        assert all(isinstance(each, StoreUnavailableError) for each in results)
        monkeypatch.setattr(ReportStore, "take", take)
        await house.report()
        assert (await house.case()).reports == 1

    async def test_a_fault_of_ours_leaves_nobody_waiting(
        self, house: ModerationHouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def breaks(*_: Any) -> Any:
            raise ZeroDivisionError

        monkeypatch.setattr(ReportStore, "take", breaks)
        with pytest.raises(StoreUnavailableError):
            await house.report()
        assert [record.message for record in caplog.records] == ["reports.failed"]


class TestCrowds:
    async def test_the_same_report_ten_thousand_times_is_one_to_read(self, house: ModerationHouse) -> None:
        for _ in range(100):
            await asyncio.gather(*(house.report(1, explanation="The same.") for _ in range(100)))
        found = await house.case()
        assert (found.reports, found.reports_kept, found.reporters) == (10_000, 1, 1)
        assert await rows(house, reports) == 1
        assert sum(count for _, count in await house.details("report.received")) == 10_000
        assert found.priority == pytest.approx(8)

    async def test_thousands_of_addresses_leave_a_thousand_texts_and_each_has_a_receipt(
        self, house: ModerationHouse
    ) -> None:
        receipts = []
        for start in range(0, 3_000, 200):
            receipts += await asyncio.gather(*(house.report(start + number) for number in range(200)))
        found = await house.case()
        assert (found.reports, found.reports_kept, found.reporters) == (3_000, REPORTS_KEPT_MAX, REPORTS_KEPT_MAX)
        assert await rows(house, reports) == REPORTS_KEPT_MAX
        # One row of the log and one of the history a transaction at the most, and not one a report.
        taken = house.moderation.reports
        assert taken.batches <= 3_000 / BATCH_MAX * 2
        assert await rows(house, audit) <= taken.batches + 1
        assert taken.waiting == 0
        status = await house.moderation.statuses.of(receipts[-1].id, receipts[-1].status_token)
        assert status.state is ReportState.RECEIVED
        assert len([event for event in house.told if event.type is EventType.REPORT_RECEIVED]) == REPORTS_KEPT_MAX

    async def test_work_of_the_store_is_the_same_for_one_and_for_sixty_four(self, house: ModerationHouse) -> None:
        await house.report(0)
        writes = house.store.writes
        await asyncio.gather(*(house.report(number) for number in range(1, 65)))
        # The first went alone, those that came meanwhile together.
        assert house.store.writes - writes <= 2

    async def test_one_address_is_heard_with_some_different_texts(self, house: ModerationHouse) -> None:
        for number in range(20):
            await house.report(1, explanation=f"Text {number}")
        found = await house.case()
        assert (found.reports, found.reports_kept, found.reporters) == (20, REPORTS_PER_SOURCE_MAX, 1)

    async def test_memory_is_bounded_by_what_may_wait(self) -> None:
        assert WAITING_MAX * (EXPLANATION_LENGTH_MAX * 4) <= 16 * 1024 * 1024


class TestTrustedFlaggers:
    TOKEN = "fl_0123456789abcdefghijklmnopqrstuv"
    OPTIONS = ModerationOptions(
        reports_per_address_per_10_min=1, trusted_flaggers=(f"Helpline={sha256(TOKEN.encode()).hexdigest()}",)
    )

    async def test_they_are_heard_first_and_without_the_limit_of_an_address(self, store: KeyStore) -> None:
        house = await ModerationHouse(store, self.OPTIONS).start()
        flagger = house.moderation.reports.flagger_of(self.TOKEN)
        assert flagger == "Helpline"
        for number in range(3):
            await house.report(1, flagger=flagger, explanation=str(number))
        found = await house.case()
        assert (found.source_type, found.has_flagger) == (SourceType.TRUSTED_FLAGGER, True)
        assert found.priority == pytest.approx(80)
        assert {details.source_type for details, _ in await house.details("report.received")} == {
            "SOURCE_TRUSTED_FLAGGER"
        }

    @pytest.mark.parametrize("token", ["", "fl_", TOKEN.upper(), TOKEN + "x", "\udc80"])
    async def test_another_token_is_nobodys(self, store: KeyStore, token: str) -> None:
        house = await ModerationHouse(store, self.OPTIONS).start()
        assert house.moderation.reports.flagger_of(token) is None


class TestRecords:
    """Of reporters; article 23 of the Digital Services Act."""

    async def test_who_was_right_weighs_more_and_who_was_wrong_less(self, house: ModerationHouse) -> None:
        await house.report(1)
        await house.decide((await house.case()).id)
        await house.report(2, BOB)
        await house.decide((await house.cases(CaseState.OPEN))[0].id, outcome=Outcome.NO_ACTION)
        carol = Target(TargetKind.CHANNEL, "carol", "carol")
        await house.report(1, carol)
        await house.report(2, carol, Category.SELF_HARM)
        priorities = {case.category: case.priority for case in await house.cases(CaseState.OPEN)}
        assert priorities[Category.VIOLENCE] == pytest.approx(8 * 2)
        assert priorities[Category.SELF_HARM] == pytest.approx(9 * 0.5)

    async def unfounded(self, house: ModerationHouse, times: int) -> Any:
        receipt = None
        for number in range(times):
            receipt = await house.report(1, Target(TargetKind.CHANNEL, f"user-{number}", f"user-{number}"))
            (found,) = await house.cases(CaseState.OPEN)
            await house.decide(found.id, outcome=Outcome.NO_ACTION, is_unfounded=True)
        return receipt

    async def test_the_first_unfounded_ones_warn_and_the_third_suspends(self, house: ModerationHouse) -> None:
        receipt = await self.unfounded(house, 2)
        assert (await house.moderation.statuses.of(receipt.id, receipt.status_token)).is_warned
        await self.unfounded(house, 1)
        with pytest.raises(ReporterSuspendedError):
            await house.report(1)
        await house.report(2)
        house.clock.advance(31 * 86_400)
        await house.report(1)

    async def test_what_is_done_to_children_is_looked_at_whoever_says_it(self, house: ModerationHouse) -> None:
        await self.unfounded(house, 3)
        await house.report(1, category=Category.PROTECTION_OF_MINORS)
        assert [case.category for case in await house.cases(CaseState.OPEN)] == [Category.PROTECTION_OF_MINORS]

    async def test_who_said_what_is_forgotten_when_a_case_is_long_over(self, house: ModerationHouse) -> None:
        moderation, keep_s = house.moderation, house.moderation.options.evidence_keep_days * 86_400
        receipt = await house.report(1, explanation="Eva does it.", contact="eva@example.org")
        await house.report(2, BOB, explanation="Bob does it.", contact="max@example.org")
        decided = next(case for case in await house.cases() if case.target == ALICE)
        await moderation.cases.note(decided.id, "Eva lives next door.", by=MINA)
        decision = await house.decide(decided.id)
        house.clock.advance(keep_s - 10)
        appeal = await moderation.appeals.file(decision.id, moderation.appeals.token_for(decision.id), "Eva lies.")

        async def said() -> str:
            written = [
                repr(each) for case in await house.cases() for each in await moderation.cases.store.history(case.id)
            ]
            written += [repr(each) for each in await moderation.appeals.store.of_case(decided.id)]
            for case in await house.cases():
                kept = (await moderation.reports.store.reports_of(case.id, limit=10)).items
                written += [f"{each.explanation} {each.contact}" for each in kept]
            return " ".join(written)

        # A complaint waits, and then was decided a moment ago: all of it may be needed.
        house.clock.advance(20)
        await moderation.look()
        await moderation.appeals.decide(appeal.id, is_reversed=False, reason="It stays.", by=MAX)
        house.clock.advance(keep_s - 10)
        await moderation.look()
        kept = await said()
        assert [
            text for text in ("Eva does it.", "Eva lies.", "next door", "eva@example.org") if text not in kept
        ] == []
        house.clock.advance(FORGET_INTERVAL_S + 20)
        await moderation.look()
        left = await said()
        assert "Eva" not in left
        assert "eva@" not in left
        # What is not decided is kept, and so is what was decided, and its reason for the reporter.
        assert "Bob does it." in left
        assert "It stays." in left
        status = await moderation.statuses.of(receipt.id, receipt.status_token)
        assert status.decision is not None

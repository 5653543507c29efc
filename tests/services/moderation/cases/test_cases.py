"""What moderators do: nobody decides over anybody, and what is decided is carried out or taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamd.errors import (
    CaseNotFoundError,
    CaseStateError,
    ReportRefusedError,
    StatementError,
    StoreUnavailableError,
)
from streamd.services.events.event import EventType
from streamd.services.moderation.cases.case_records import Case, CaseFilter, CaseState, Outcome
from streamd.services.moderation.cases.case_store import CaseStore
from streamd.services.moderation.cases.priority import ON_TOP
from streamd.services.moderation.cases.report_status import ReportState
from streamd.services.moderation.categories import Category
from streamd.services.moderation.target import Target, TargetKind
from tests.support.doors import until
from tests.support.moderation import ALICE, MAX, MINA, STATEMENT, ModerationHouse

pytestmark = pytest.mark.asyncio


async def case_id(house: ModerationHouse) -> str:
    await house.report()
    return (await house.case()).id


async def acts(house: ModerationHouse, of: str) -> list[tuple[str, str, str]]:
    return [(each.act, each.actor, each.text) for each in await house.moderation.cases.store.history(of)]


class TestClaiming:
    async def test_whoever_has_it_is_named_and_the_reporter_learns_that_it_is_looked_at(
        self, house: ModerationHouse
    ) -> None:
        receipt = await house.report()
        case = await house.moderation.cases.claim((await house.case()).id, by=MINA)
        assert (case.state, case.claimed_by, case.claimed_at) == (CaseState.CLAIMED, "mina", house.clock.now())
        status = await house.moderation.statuses.of(receipt.id, receipt.status_token)
        assert status.state is ReportState.UNDER_REVIEW

    async def test_another_is_told_who_has_it_and_may_take_it_over(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        claim = house.moderation.cases.claim
        await claim(found, by=MINA)
        await claim(found, by=MINA)
        with pytest.raises(CaseStateError, match="mina has the case"):
            await claim(found, by=MAX)
        assert (await claim(found, by=MAX, takes_over=True)).claimed_by == "max"
        assert [act[:2] for act in await acts(house, found)] == [
            ("opened", "viewer"),
            ("claimed", "mina"),
            ("claimed", "max"),
        ]

    async def test_of_two_at_once_one_has_it(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        done = await asyncio.gather(
            *(house.moderation.cases.claim(found, by=by) for by in (MINA, MAX)), return_exceptions=True
        )
        assert sum(isinstance(each, CaseStateError) for each in done) == 1

    @pytest.mark.parametrize("wrong", ["", "case_", "alice", f"rpt_{'0' * 26}", f"case_{'0' * 26}"])
    async def test_a_case_that_is_not_there(self, house: ModerationHouse, wrong: str) -> None:
        cases = house.moderation.cases
        for act in (
            cases.find(wrong),
            cases.claim(wrong, by=MINA),
            cases.note(wrong, "x", by=MINA),
            cases.reopen(wrong, "", by=MINA),
            house.decide(wrong),
        ):
            with pytest.raises(CaseNotFoundError):
                await act


class TestNotes:
    async def test_they_are_in_the_history_and_not_in_the_log(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        await house.moderation.cases.note(found, "I know <b>him</b>.\u202e", by=MINA)
        assert (await acts(house, found))[-1] == ("noted", "mina", "I know <b>him</b>.")
        (entry,) = await house.audited("case.noted")
        assert "him" not in entry.reason

    @pytest.mark.parametrize("text", ["", " \u200b ", "x" * 5001])
    async def test_what_is_no_note(self, house: ModerationHouse, text: str) -> None:
        found = await case_id(house)
        with pytest.raises(ReportRefusedError):
            await house.moderation.cases.note(found, text, by=MINA)

    async def test_a_case_has_so_many(self, house: ModerationHouse, monkeypatch: pytest.MonkeyPatch) -> None:
        found = await case_id(house)
        monkeypatch.setattr("streamd.services.moderation.cases.case_rows.HISTORY_MAX", 3)
        for _ in range(2):
            await house.moderation.cases.note(found, "x", by=MINA)
        with pytest.raises(CaseStateError, match="at most"):
            await house.moderation.cases.note(found, "x", by=MINA)
        # What has to be written is written.
        await house.decide(found)


class TestDeciding:
    async def test_what_is_taken_down_is_down_when_it_returns(self, house: ModerationHouse) -> None:
        receipt = await house.report()
        found = (await house.case()).id
        house.clock.advance(42)
        decision = await house.decide(found, reason="He beats her.")
        ((target, statement, by, of),) = house.takedowns.done
        assert (target, by, of) == (ALICE, "mina", found)
        assert (statement.category, statement.source_type) == (Category.VIOLENCE, "SOURCE_ARTICLE_16")
        assert (decision.outcome, decision.takedown_id) == (Outcome.TAKEN_DOWN, f"tkd_{1:026}")
        case = await house.case()
        assert (case.state, case.decision_id) == (CaseState.DECIDED, decision.id)
        status = await house.moderation.statuses.of(receipt.id, receipt.status_token)
        assert (status.state, status.decision and status.decision.reason) == (ReportState.DECIDED, "He beats her.")
        ((details, _),) = await house.details("case.decided")
        assert (details.outcome, details.ground, details.seconds) == ("taken_down", "ILLEGAL_CONTENT", 42)
        assert details.automated_decision == "AUTOMATED_DECISION_NOT_AUTOMATED"
        event = house.told[-1]
        assert (event.type, event.data["takedown"]) == (EventType.CASE_DECIDED, decision.takedown_id)
        assert house.moderation.receipts.is_appeal_token(decision.id, str(event.data["appeal_token"]))

    async def test_what_stays_needs_a_reason_and_takes_nothing_down(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        with pytest.raises(ReportRefusedError, match="reason"):
            await house.decide(found, outcome=Outcome.NO_ACTION, reason="")
        await house.decide(found, outcome=Outcome.NO_ACTION)
        assert house.takedowns.done == []

    @pytest.mark.parametrize(
        "statement",
        [
            None,
            {},
            {name: value for name, value in STATEMENT.items() if name != "decision_ground"},
            {name: value for name, value in STATEMENT.items() if name != "illegal_content_legal_ground"},
            {name: value for name, value in STATEMENT.items() if name != "decision_facts"},
            STATEMENT | {"decision_ground": "BECAUSE"},
            STATEMENT | {"nothing": 1},
        ],
    )
    async def test_a_takedown_without_a_ground_is_none(
        self, house: ModerationHouse, statement: dict[str, Any] | None
    ) -> None:
        found = await case_id(house)
        with pytest.raises(StatementError):
            await house.decide(found, statement=statement)
        assert (await house.case()).state is CaseState.OPEN
        assert house.takedowns.done == []

    async def test_a_statement_for_what_stays_is_a_mistake(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        with pytest.raises(StatementError):
            await house.decide(found, outcome=Outcome.NO_ACTION, statement=STATEMENT)
        with pytest.raises(StatementError):
            await house.decide(found, is_unfounded=True)

    async def test_of_two_at_once_one_decides_and_one_takedown_is_made(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        done = await asyncio.gather(
            house.decide(found, MINA), house.decide(found, MAX, outcome=Outcome.NO_ACTION), return_exceptions=True
        )
        assert sum(isinstance(each, CaseStateError) for each in done) == 1
        assert len(await house.audited("case.decided")) == 1
        assert len(house.takedowns.done) <= 1

    async def test_two_servers_on_one_store_decide_once(self, house: ModerationHouse) -> None:
        other = await ModerationHouse(house.store, clock=house.clock).start()
        found = await case_id(house)
        done = await asyncio.gather(house.decide(found, MINA), other.decide(found, MAX), return_exceptions=True)
        assert sum(isinstance(each, CaseStateError) for each in done) == 1
        assert len(house.takedowns.done) + len(other.takedowns.done) == 1

    async def test_a_case_that_another_has_is_not_decided(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        await house.moderation.cases.claim(found, by=MINA)
        with pytest.raises(CaseStateError, match="mina has the case"):
            await house.decide(found, MAX)
        await house.decide(found, MINA)
        with pytest.raises(CaseStateError, match="mina has decided"):
            await house.decide(found, MAX)

    async def test_more_than_was_reported_can_be_taken_down(self, house: ModerationHouse) -> None:
        await house.report(target=Target(TargetKind.CLIP, "clip_1", "alice"))
        await house.decide((await house.case()).id, target=ALICE)
        assert house.takedowns.done[0][0] == ALICE

    async def test_a_decision_is_carried_out_though_its_moderator_leaves(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        task = asyncio.create_task(house.decide(found))
        await until(lambda: bool(house.moderation.cases._acts))
        task.cancel()
        await house.moderation.cases.close()
        assert (await house.case()).state is CaseState.DECIDED
        assert len(house.takedowns.done) == 1

    async def test_where_nothing_can_be_taken_down_nothing_is_decided(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        house.moderation.cases.takedowns = None
        with pytest.raises(CaseStateError):
            await house.decide(found)


class TestFailing:
    @pytest.mark.parametrize("is_claimed", [False, True])
    async def test_a_takedown_that_fails_leaves_the_case_as_it_was(
        self, house: ModerationHouse, is_claimed: bool
    ) -> None:
        found = await case_id(house)
        if is_claimed:
            await house.moderation.cases.claim(found, by=MINA)
        before = await house.case()
        house.takedowns.fails = True
        with pytest.raises(StoreUnavailableError):
            await house.decide(found)
        assert await house.case() == before
        await house.report(2)
        house.takedowns.fails = False
        await house.decide(found)

    async def test_the_next_server_takes_back_what_one_has_left(
        self, house: ModerationHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = await case_id(house)
        await house.moderation.cases.claim(found, by=MINA)
        house.takedowns.fails = True

        async def dies(*_: Any) -> None:
            raise StoreUnavailableError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(CaseStore, "undo_decision", dies)
            with pytest.raises(StoreUnavailableError):
                await house.decide(found)
        assert (await house.case()).state is CaseState.DECIDED
        # What another server on the database decides in this moment is its own.
        house.clock.advance(60)
        await ModerationHouse(house.store, clock=house.clock).start()
        case = await house.case()
        assert (case.state, case.claimed_by, case.decision_id) == (CaseState.CLAIMED, "mina", None)

    async def test_the_next_server_finishes_what_is_dark_already(
        self, house: ModerationHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The takedown stands: a case that is open again would be decided twice, and nobody could complain."""
        found = await case_id(house)

        async def dies(*_: Any, **__: Any) -> None:
            raise StoreUnavailableError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(CaseStore, "end_takedown", dies)
            with pytest.raises(StoreUnavailableError):
                await house.decide(found, reason="He beats her.")
        ((target, *_),) = house.takedowns.done
        assert target == ALICE
        after = ModerationHouse(house.store, clock=house.clock)
        after.takedowns.kept = house.takedowns.kept
        house.clock.advance(60)
        await after.start()
        (decision,) = await after.moderation.cases.store.decisions_of(found)
        assert (decision.actor, decision.takedown_id, decision.reason) == ("mina", f"tkd_{1:026}", "He beats her.")
        assert [event.type for event in after.told] == [EventType.CASE_DECIDED]
        assert [(entry.actor, entry.subject) for entry in await house.audited("case.decided")] == [("mina", found)]
        assert ("decided", "mina", "taken_down: He beats her.") in await acts(house, found)

    async def test_without_a_restart_it_is_finished_within_two_minutes(
        self, house: ModerationHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = await case_id(house)

        async def dies(*_: Any, **__: Any) -> None:
            raise StoreUnavailableError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(CaseStore, "end_takedown", dies)
            with pytest.raises(StoreUnavailableError):
                await house.decide(found)
        await house.moderation.look()
        assert await house.audited("case.decided") == []
        for _ in range(2):
            house.clock.advance(60)
            await house.moderation.look()
        assert len(await house.audited("case.decided")) == 1

    async def test_what_is_left_alone_is_written_as_a_whole(
        self, house: ModerationHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = await case_id(house)

        async def dies(*_: Any, **__: Any) -> None:
            raise StoreUnavailableError("gone")

        with monkeypatch.context() as patch:
            patch.setattr("streamd.services.moderation.cases.case_store.append_entries", dies)
            with pytest.raises(StoreUnavailableError):
                await house.decide(found, outcome=Outcome.NO_ACTION)
        assert (await house.case()).state is CaseState.OPEN
        await house.decide(found, outcome=Outcome.NO_ACTION)


class TestReopening:
    async def test_it_waits_again_and_has_both_decisions(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        await house.decide(found, outcome=Outcome.NO_ACTION)
        opened = await house.moderation.cases.reopen(found, "New facts.", by=MAX)
        assert (opened.state, opened.claimed_by) == (CaseState.OPEN, "")
        await house.report(2)
        # Decisions are in the order of their times.
        house.clock.advance(1)
        await house.decide(found, MAX)
        assert [each.actor for each in await house.moderation.cases.store.decisions_of(found)] == ["mina", "max"]

    async def test_one_that_is_open_is_not(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        with pytest.raises(CaseStateError):
            await house.moderation.cases.reopen(found, "", by=MINA)

    async def test_where_another_is_open_about_the_same_that_one_is_named(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        await house.decide(found)
        await house.report(2)
        (other,) = await house.cases(CaseState.OPEN)
        with pytest.raises(CaseStateError, match=other.id):
            await house.moderation.cases.reopen(found, "", by=MINA)


class TestTheQueue:
    async def test_the_most_urgent_come_first_and_pages_leave_none_out(self, house: ModerationHouse) -> None:
        for number, category in enumerate(Category):
            await house.report(number, category=category)
        await house.report(99, category=Category.OTHER_VIOLATION_TC)
        store = house.moderation.cases.store
        whole = list((await store.page(limit=100)).items)
        assert [case.priority for case in whole] == sorted((case.priority for case in whole), reverse=True)
        paged: list[Case] = []
        after = ""
        while True:
            page = await store.page(after=after, limit=3)
            paged += page.items
            if not page.has_more:
                break
            after = paged[-1].id
        assert paged == whole
        newest = [case.id for case in (await store.page(by_priority=False, limit=100)).items]
        assert newest == sorted(newest, reverse=True)
        after_one = (await store.page(by_priority=False, after=newest[0], limit=100)).items
        assert [case.id for case in after_one] == newest[1:]

    async def test_it_is_narrowed_down(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        await house.report(target=Target(TargetKind.CHANNEL, "bob", "bob"))
        await house.moderation.cases.claim(found, by=MINA)
        store = house.moderation.cases.store
        for narrow in (CaseFilter(CaseState.CLAIMED), CaseFilter(channel="alice"), CaseFilter(claimed_by="mina")):
            assert [case.id for case in (await store.page(narrow, limit=10)).items] == [found]
        assert await store.counts() == {CaseState.CLAIMED: 1, CaseState.OPEN: 1}

    async def test_what_the_machine_makes_of_it_moves_it_and_decides_nothing(self, house: ModerationHouse) -> None:
        found = await case_id(house)
        noted = await house.moderation.cases.note_machine(
            found, priority_factor=2.0, on_top=False, restricted=False, summary="blood"
        )
        assert noted.priority == pytest.approx(16)
        assert noted.machine_summary == "blood"
        noted = await house.moderation.cases.note_machine(
            found, priority_factor=1.0, on_top=True, restricted=False, summary="known"
        )
        assert noted.priority == pytest.approx(ON_TOP + 8)
        await house.report(2)
        case = await house.case()
        assert (case.is_on_top, case.state) == (True, CaseState.OPEN)
        assert case.priority > ON_TOP

    async def test_every_change_is_told_at_once(self, house: ModerationHouse) -> None:
        heard: list[int] = []
        house.moderation.listen(lambda: heard.append(house.moderation.revision))
        found = await case_id(house)
        await house.moderation.cases.claim(found, by=MINA)
        await house.moderation.cases.note(found, "x", by=MINA)
        await house.decide(found)
        await house.moderation.cases.reopen(found, "", by=MINA)
        assert heard == [1, 2, 3, 4, 5]

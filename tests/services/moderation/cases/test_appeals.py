"""Complaints: by whom, for how long, and never decided by whoever decided first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streamd.errors import (
    CaseNotFoundError,
    CaseStateError,
    ModerationStateError,
    OwnDecisionError,
    ReportRefusedError,
    StoreUnavailableError,
)
from streamd.services.audit.records import Actor
from streamd.services.events.event import EventType
from streamd.services.moderation.acts.restrictions import Restrictions
from streamd.services.moderation.cases.appeals import APPEAL_PERIOD
from streamd.services.moderation.cases.case_records import Appeal, AppealState, CaseState, Decision, Outcome, Party
from streamd.services.moderation.cases.reports import Receipt
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.moderation.statement import Statement
from tests.support.enforcement import Deck
from tests.support.moderation import ALICE, MAX, MINA, STATEMENT, ModerationHouse

pytestmark = pytest.mark.asyncio


async def decided(
    house: ModerationHouse, outcome: Outcome = Outcome.TAKEN_DOWN, by: Actor = MINA
) -> tuple[Receipt, Decision]:
    receipt = await house.report()
    decision: Decision = await house.decide((await house.case()).id, by, outcome=outcome)
    return receipt, decision


async def broadcaster(house: ModerationHouse, decision: Decision, text: str = "It was a play.") -> Appeal:
    appeals = house.moderation.appeals
    return await appeals.file(decision.id, appeals.token_for(decision.id), text)


async def reporter(house: ModerationHouse, decision: Decision, receipt: Receipt) -> Appeal:
    return await house.moderation.appeals.file(
        decision.id, receipt.status_token, "It is no play.", report_id=receipt.id
    )


class TestFiling:
    async def test_the_broadcaster_by_the_token_of_the_statement(self, house: ModerationHouse) -> None:
        _, decision = await decided(house)
        appeal = await broadcaster(house, decision)
        assert (appeal.party, appeal.state, appeal.text) == (Party.BROADCASTER, AppealState.OPEN, "It was a play.")
        assert (await house.moderation.appeals.store.page(AppealState.OPEN, limit=5)).items == [appeal]
        assert house.told[-1].type is EventType.APPEAL_RECEIVED
        assert len(await house.audited("appeal.received")) == 1

    async def test_the_reporter_by_their_status_token(self, house: ModerationHouse) -> None:
        receipt, decision = await decided(house, Outcome.NO_ACTION)
        appeal = await reporter(house, decision, receipt)
        assert appeal.party is Party.REPORTER
        status = await house.moderation.statuses.of(receipt.id, receipt.status_token)
        assert (status.appeal, status.appeal_until) == (appeal, None)

    async def test_each_appeals_once(self, house: ModerationHouse) -> None:
        receipt, decision = await decided(house)
        await broadcaster(house, decision)
        await reporter(house, decision, receipt)
        for again in (broadcaster(house, decision), reporter(house, decision, receipt)):
            with pytest.raises(CaseStateError, match="already"):
                await again

    async def test_so_many_of_one_decision(self, house: ModerationHouse, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("streamd.services.moderation.cases.appeal_store.APPEALS_PER_DECISION_MAX", 1)
        receipt, decision = await decided(house)
        await broadcaster(house, decision)
        with pytest.raises(CaseStateError, match="many"):
            await reporter(house, decision, receipt)

    async def test_for_six_months(self, house: ModerationHouse) -> None:
        receipt, decision = await decided(house)
        house.clock.advance(APPEAL_PERIOD.total_seconds())
        await broadcaster(house, decision)
        house.clock.advance(1)
        with pytest.raises(CaseStateError, match="six months"):
            await reporter(house, decision, receipt)
        assert (await house.moderation.statuses.of(receipt.id, receipt.status_token)).appeal_until is None

    async def test_a_token_of_something_else_opens_nothing(self, house: ModerationHouse) -> None:
        receipt, decision = await decided(house)
        other = await house.report(2)
        appeals = house.moderation.appeals
        wrong: list[tuple[str, str, str]] = [
            (decision.id, "", ""),
            (decision.id, receipt.status_token, ""),
            (decision.id, appeals.token_for(decision.id), receipt.id),
            (decision.id, other.status_token, other.id),
            (decision.id, receipt.status_token, other.id),
            (decision.id, appeals.token_for(new_id(IdKind.DECISION, house.clock.now())), ""),
            ("dec_nothing", appeals.token_for("dec_nothing"), ""),
            (new_id(IdKind.DECISION, house.clock.now()), receipt.status_token, receipt.id),
        ]
        for of, token, report in wrong:
            with pytest.raises(CaseNotFoundError):
                await appeals.file(of, token, "x", report_id=report)

    @pytest.mark.parametrize("text", ["", "\u200b", "x" * 5001])
    async def test_what_is_no_complaint(self, house: ModerationHouse, text: str) -> None:
        _, decision = await decided(house)
        with pytest.raises(ReportRefusedError):
            await broadcaster(house, decision, text)

    async def test_a_decision_that_does_not_stand_any_more(self, house: ModerationHouse) -> None:
        _, decision = await decided(house)
        await house.moderation.cases.reopen((await house.case()).id, "", by=MINA)
        await house.decide((await house.case()).id, MAX, outcome=Outcome.NO_ACTION)
        with pytest.raises(CaseStateError, match="stand"):
            await broadcaster(house, decision)


class TestDeciding:
    async def decide(self, house: ModerationHouse, appeal: Appeal, by: Actor = MAX, **more: Any) -> Appeal:
        given: dict[str, Any] = {"is_reversed": True, "reason": "It was a play."} | more
        return await house.moderation.appeals.decide(appeal.id, by=by, **given)

    async def test_a_reversal_restores_all_that_was_dark_in_one_act(self, house: ModerationHouse) -> None:
        receipt, decision = await decided(house)
        appeal = await self.decide(house, await broadcaster(house, decision))
        assert house.takedowns.restored == [(decision.takedown_id, "max", "It was a play.")]
        assert (appeal.state, appeal.decided_by) == (AppealState.REVERSED, "max")
        status = await house.moderation.statuses.of(receipt.id, receipt.status_token)
        assert status.decision is not None
        assert status.decision.reversed_at == house.clock.now()
        ((details, _),) = await house.details("appeal.decided")
        assert (details.outcome, details.category) == ("reversed", "VIOLENCE")
        assert house.told[-1].type is EventType.APPEAL_DECIDED

    async def test_what_was_left_alone_is_open_again(self, house: ModerationHouse) -> None:
        receipt, decision = await decided(house, Outcome.NO_ACTION)
        await self.decide(house, await reporter(house, decision, receipt))
        assert (await house.case()).state is CaseState.OPEN
        assert house.takedowns.restored == []

    async def test_one_that_is_upheld_changes_nothing(self, house: ModerationHouse) -> None:
        _, decision = await decided(house)
        appeal = await self.decide(house, await broadcaster(house, decision), is_reversed=False)
        assert (appeal.state, house.takedowns.restored) == (AppealState.UPHELD, [])

    @pytest.mark.parametrize(
        ("first", "second"), [("mina", "mina"), ("root", "cli/eva"), ("cli/eva", "cli/max"), ("cli/eva", "root")]
    )
    async def test_nobody_decides_over_their_own(self, house: ModerationHouse, first: str, second: str) -> None:
        _, decision = await decided(house, by=Actor(first))
        appeal = await broadcaster(house, decision)
        with pytest.raises(OwnDecisionError):
            await self.decide(house, appeal, Actor(second))
        assert house.takedowns.restored == []

    async def test_of_two_at_once_one_decides(self, house: ModerationHouse) -> None:
        _, decision = await decided(house)
        appeal = await broadcaster(house, decision)
        done = await asyncio.gather(
            self.decide(house, appeal, MAX),
            self.decide(house, appeal, Actor("eva"), is_reversed=False),
            return_exceptions=True,
        )
        assert sum(isinstance(each, CaseStateError) for each in done) == 1
        with pytest.raises(CaseStateError):
            await self.decide(house, appeal)

    async def test_two_appeals_reverse_once(self, house: ModerationHouse) -> None:
        receipt, decision = await decided(house)
        one, two = await broadcaster(house, decision), await reporter(house, decision, receipt)
        await self.decide(house, one)
        with pytest.raises(CaseStateError, match="another appeal"):
            await self.decide(house, two)
        assert len(house.takedowns.restored) == 1

    async def test_a_restore_that_fails_leaves_the_appeal_open(self, house: ModerationHouse) -> None:
        _, decision = await decided(house)
        appeal = await broadcaster(house, decision)
        house.takedowns.fails = True
        with pytest.raises(StoreUnavailableError):
            await self.decide(house, appeal)
        assert await house.moderation.appeals.store.find(appeal.id) == appeal
        house.takedowns.fails = False
        await self.decide(house, appeal)

    @pytest.mark.parametrize("is_restarted", [True, False])
    async def test_a_reversal_that_was_left_before_its_restore_is_finished(
        self, house: ModerationHouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_restarted: bool
    ) -> None:
        """As after a kill between two writes: the broadcaster was told that it is shown again."""
        deck = Deck(house.store, tmp_path, house.clock)
        await deck.room.start()
        house.moderation.cases.takedowns = deck.takedowns
        _, decision = await decided(house)
        appeal = await broadcaster(house, decision)

        async def dies(*_: Any, **__: Any) -> None:
            raise StoreUnavailableError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(deck.takedowns, "restore", dies)
            patch.setattr(house.moderation.appeals.store, "undo", dies)
            with pytest.raises(StoreUnavailableError):
                await self.decide(house, appeal)
        assert "alice" in deck.bars.channels
        after = ModerationHouse(house.store, clock=house.clock) if is_restarted else house
        after.moderation.cases.takedowns = deck.takedowns
        if is_restarted and house.store.database.is_sqlite:
            await after.start()
        else:
            for _ in range(2):
                house.clock.advance(60)
                await after.moderation.look()
        assert "alice" not in deck.bars.channels
        restored = await deck.takedowns.find(decision.takedown_id)
        assert (restored.restored_by, restored.restore_reason) == ("max", "It was a play.")
        await deck.room.close()

    async def test_a_reversal_that_was_left_before_it_opened_its_case_is_finished(
        self, house: ModerationHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        receipt, decision = await decided(house, Outcome.NO_ACTION)
        appeal = await reporter(house, decision, receipt)

        async def dies(*_: Any, **__: Any) -> None:
            raise StoreUnavailableError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(house.moderation.cases.store, "reopen", dies)
            patch.setattr(house.moderation.appeals.store, "undo", dies)
            with pytest.raises(StoreUnavailableError):
                await self.decide(house, appeal)
        assert (await house.case()).state is CaseState.DECIDED
        for _ in range(2):
            house.clock.advance(60)
            await house.moderation.look()
        assert (await house.case()).state is CaseState.OPEN

    async def test_a_decision_needs_a_reason(self, house: ModerationHouse) -> None:
        _, decision = await decided(house)
        appeal = await broadcaster(house, decision)
        with pytest.raises(ReportRefusedError):
            await self.decide(house, appeal, reason=" ")

    @pytest.mark.parametrize("wrong", ["", "apl_", f"apl_{'0' * 26}"])
    async def test_one_that_is_not_there(self, house: ModerationHouse, wrong: str) -> None:
        with pytest.raises(CaseNotFoundError):
            await house.moderation.appeals.decide(wrong, is_reversed=True, reason="x", by=MAX)

    async def test_a_reversal_takes_back_what_is_remembered_of_reporters(self, house: ModerationHouse) -> None:
        receipt, decision = await decided(house, Outcome.NO_ACTION)
        await self.decide(house, await reporter(house, decision, receipt))
        await house.decide((await house.case()).id, MAX)
        await house.report(1)
        (again,) = await house.cases(CaseState.OPEN)
        # Right twice, and wrong never.
        assert again.priority == pytest.approx(8 * 3)


class TestTakedownsOutsideOfCases:
    """A moderator's one act; its id is what the broadcaster knows."""

    async def made(self, house: ModerationHouse, case_id: str | None = None) -> str:
        statement = Statement.of(STATEMENT | {"category": "VIOLENCE"})
        return (await house.takedowns.take_down(ALICE, statement, actor=MINA, case_id=case_id)).id

    async def test_the_broadcaster_complains_about_it_and_another_lights_it(self, house: ModerationHouse) -> None:
        takedown, appeals = await self.made(house), house.moderation.appeals
        token = appeals.token_for(takedown)
        appeal = await appeals.file(takedown, token, "It was a play.")
        assert (await appeals.standing(takedown, token))[2] == appeal
        case = await house.case()
        assert (case.state, case.source_type, case.reports) == (CaseState.DECIDED, "SOURCE_VOLUNTARY", 0)
        with pytest.raises(CaseStateError, match="already"):
            await appeals.file(takedown, token, "Again.")
        with pytest.raises(OwnDecisionError):
            await appeals.decide(appeal.id, is_reversed=True, reason="x", by=MINA)
        await appeals.decide(appeal.id, is_reversed=True, reason="It was.", by=MAX)
        assert house.takedowns.restored == [(takedown, "max", "It was.")]
        # Nothing is open about it, and what is reported later is a case of its own.
        await house.report()
        assert len(await house.cases(CaseState.OPEN)) == 1

    async def test_one_that_decides_a_case_is_the_decision_of_that(self, house: ModerationHouse) -> None:
        _, decision = await decided(house)
        appeals = house.moderation.appeals
        appeal = await appeals.file(decision.takedown_id, appeals.token_for(decision.takedown_id), "It was a play.")
        assert appeal.decision_id == decision.id
        with pytest.raises(CaseStateError, match="already"):
            await broadcaster(house, decision)

    async def test_what_is_not_there_or_not_theirs(self, house: ModerationHouse) -> None:
        takedown, appeals = await self.made(house), house.moderation.appeals
        for named, token in ((takedown, "ap_x"), (f"tkd_{9:026}", appeals.token_for(f"tkd_{9:026}"))):
            with pytest.raises(CaseNotFoundError):
                await appeals.file(named, token, "x")
        assert await house.cases() == []

    async def test_one_that_names_a_case_and_does_not_decide_it_can_be_complained_about(
        self, house: ModerationHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        appeals = house.moderation.appeals
        await house.report()
        named = (await house.case()).id
        beside = await self.made(house, case_id=named)
        appeal = await appeals.file(beside, appeals.token_for(beside), "It was a play.")
        assert appeal.case_id != named
        await appeals.decide(appeal.id, is_reversed=True, reason="It was.", by=MAX)
        assert house.takedowns.restored == [(beside, "max", "It was.")]

        async def dies(*_: Any, **__: Any) -> None:
            raise StoreUnavailableError("gone")

        # Of a case that is being decided, the decision is known in a moment.
        with monkeypatch.context() as patch:
            patch.setattr(house.moderation.cases.store, "end_takedown", dies)
            with pytest.raises(StoreUnavailableError):
                await house.decide(named)
        with pytest.raises(CaseNotFoundError):
            await appeals.file(f"tkd_{2:026}", appeals.token_for(f"tkd_{2:026}"), "x")

    async def test_one_that_was_restored_by_hand_is_reversed_nevertheless(
        self, house: ModerationHouse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def restored_before(*_: Any, **__: Any) -> None:
            raise ModerationStateError("it was restored before")

        takedown, appeals = await self.made(house), house.moderation.appeals
        appeal = await appeals.file(takedown, appeals.token_for(takedown), "It was a play.")
        monkeypatch.setattr(house.takedowns, "restore", restored_before)
        decided = await appeals.decide(appeal.id, is_reversed=True, reason="It was.", by=MAX)
        assert decided.state is AppealState.REVERSED


class TestBlocks:
    """A block that no authority has ordered is a decision as a takedown is: with reasons, and a complaint about it."""

    async def test_the_broadcaster_complains_about_it_and_another_lifts_it(
        self, house: ModerationHouse, tmp_path: Path
    ) -> None:
        deck = Deck(house.store, tmp_path, house.clock)
        await deck.room.start()
        house.moderation.cases.takedowns = Restrictions(deck.takedowns, deck.blocks)
        appeals = house.moderation.appeals
        block = (await deck.blocks.add(kind="user", value="alice", reason="Sells fakes.", actor=MINA)).block
        appeal = await appeals.file(block.id, appeals.token_for(block.id), "They are mine.")
        decision, case, known = await appeals.standing(block.id, appeals.token_for(block.id))
        assert (case.target, case.state, known) == (ALICE, CaseState.DECIDED, appeal)
        assert decision.statement is not None
        assert Statement.of(decision.statement).decision_facts == "Sells fakes."
        with pytest.raises(OwnDecisionError):
            await appeals.decide(appeal.id, is_reversed=True, reason="x", by=MINA)
        await appeals.decide(appeal.id, is_reversed=True, reason="They are.", by=MAX)
        assert "alice" not in deck.bars.channels
        assert [entry.action for entry in await deck.audit()][-2:] == ["appeal.decided", "block.removed"]
        await deck.room.close()

    async def test_one_that_was_lifted_meanwhile_is_as_it_should_be(
        self, house: ModerationHouse, tmp_path: Path
    ) -> None:
        deck = Deck(house.store, tmp_path, house.clock)
        await deck.room.start()
        house.moderation.cases.takedowns = Restrictions(deck.takedowns, deck.blocks)
        appeals = house.moderation.appeals
        block = (await deck.blocks.add(kind="channel", value="alice", scope="view", actor=MINA)).block
        appeal = await appeals.file(block.id, appeals.token_for(block.id), "Why?")
        await deck.blocks.remove(block.id, actor=MINA)
        decided = await appeals.decide(appeal.id, is_reversed=True, reason="It was a slip.", by=MAX)
        assert decided.state is AppealState.REVERSED
        await deck.room.close()

    async def test_what_an_authority_has_ordered_and_what_is_no_channel_is_not_decided_here(
        self, house: ModerationHouse, tmp_path: Path
    ) -> None:
        deck = Deck(house.store, tmp_path, house.clock)
        await deck.room.start()
        house.moderation.cases.takedowns = Restrictions(deck.takedowns, deck.blocks)
        appeals = house.moderation.appeals
        ordered = await deck.blocks.add(kind="channel", value="alice", order="ord_7", actor=MINA)
        network = await deck.blocks.add(kind="network", value="192.0.2.0/24", actor=MINA)
        for done in (ordered, network):
            with pytest.raises(CaseNotFoundError):
                await appeals.file(done.block.id, appeals.token_for(done.block.id), "x")
        gone = f"blk_{9:026}"
        with pytest.raises(CaseNotFoundError):
            await appeals.file(gone, appeals.token_for(gone), "x")
        assert await house.cases() == []
        await deck.room.close()

"""What the machine may do with cases."""

from __future__ import annotations

import pytest

from streamd.services.audit.audit_log import AuditLog
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.cases.case_records import CaseState, Outcome
from streamd.services.moderation.categories import Category
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.moderation.machine.desk import MachineDesk
from streamd.services.moderation.statement import SourceType
from streamd.services.moderation.target import Target
from tests.support.moderation import MINA, ModerationHouse

pytestmark = pytest.mark.asyncio


def desk_of(house: ModerationHouse) -> MachineDesk:
    moderation = house.moderation
    return MachineDesk(
        house.store.database, moderation.cases, moderation.reports.store, moderation.follow_ups, house.clock
    )


class Evidence:
    """Keeps evidence, and notes of what."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str]] = []

    def begin(self, case_id: str, target: Target, at_s: float, reporter: str) -> str:
        assert at_s > 0
        assert not reporter
        self.kept.append((case_id, target.channel))
        return ""


async def test_a_case_of_its_own_is_one_that_nobody_reported(house: ModerationHouse) -> None:
    evidence = Evidence()
    house.moderation.follow_ups.evidence = evidence
    case_id = await desk_of(house).open_by_machine("alice", Category.PROTECTION_OF_MINORS, "known picture")
    found = await house.moderation.cases.find(case_id)
    assert (found.source_type, found.state, found.reports) == (SourceType.VOLUNTARY, CaseState.OPEN, 0)
    (opened,) = [
        record.entry
        for record in (await AuditLog(house.store.database).page(after=0, limit=99)).items
        if record.entry.action == "case.opened"
    ]
    assert (opened.actor, opened.stream, opened.subject) == ("streamd", "alice", case_id)
    details = ActDetails.parse(opened.reason)
    assert (details.source_type, details.automated_detection) == ("SOURCE_VOLUNTARY", True)
    await house.moderation.follow_ups.drained()
    assert evidence.kept == [(case_id, "alice")]


async def test_what_is_found_again_is_the_same_case_and_a_report_joins_it(house: ModerationHouse) -> None:
    desk = desk_of(house)
    first = await desk.open_by_machine("alice", Category.VIOLENCE, "blood 0.90")
    assert await desk.open_by_machine("alice", Category.VIOLENCE, "blood 0.95") == first
    assert await desk.open_by_machine("bob", Category.VIOLENCE, "blood 0.90") != first
    await house.report()
    found = await house.moderation.cases.find(first)
    assert (found.reports, found.source_type) == (1, SourceType.ARTICLE_16)


async def test_a_known_picture_of_a_child_is_on_no_page_by_itself(house: ModerationHouse) -> None:
    """Nobody has reported it, and so nobody has said that it is restricted."""
    desk = desk_of(house)
    of_child = await desk.open_by_machine("alice", Category.PROTECTION_OF_MINORS, "known picture")
    assert (await house.moderation.cases.find(of_child)).is_restricted
    await house.report()
    reported = await desk.open_by_machine("alice", Category.VIOLENCE, "")
    assert not (await house.moderation.cases.find(reported)).is_restricted
    for is_restricted in (True, False):
        await desk.note_machine(
            reported, priority_factor=4.0, on_top=True, restricted=is_restricted, summary="known picture"
        )
        assert (await house.moderation.cases.find(reported)).is_restricted


async def test_it_sets_the_priority_and_decides_nothing(house: ModerationHouse) -> None:
    desk = desk_of(house)
    await house.report()
    case_id = await desk.open_by_machine("alice", Category.VIOLENCE, "")
    before = await house.moderation.cases.find(case_id)
    await desk.note_machine(case_id, priority_factor=2.0, on_top=False, restricted=False, summary="blood 0.80")
    urgent = await house.moderation.cases.find(case_id)
    assert urgent.priority == pytest.approx(2 * before.priority)
    await desk.note_machine(case_id, priority_factor=4.0, on_top=True, restricted=False, summary="known picture")
    top = await house.moderation.cases.find(case_id)
    assert top.is_on_top
    assert (top.state, top.decision_id, top.machine_summary) == (CaseState.OPEN, None, "known picture")
    await desk.note_machine(
        new_id(IdKind.CASE, house.clock.now()), priority_factor=1.0, on_top=False, restricted=False, summary=""
    )
    assert house.takedowns.done == []


async def test_it_knows_what_reporters_wrote_and_nothing_of_them(house: ModerationHouse) -> None:
    desk = desk_of(house)
    for number in range(9):
        await house.report(number, explanation=f"they fight, {number}", contact=f"me{number}@example.org")
    case_id = await desk.open_by_machine("alice", Category.VIOLENCE, "")
    facts = await desk.facts(case_id)
    assert facts is not None
    assert (facts.channel, facts.category, facts.reports) == ("alice", Category.VIOLENCE, 9)
    assert len(facts.explanations) == 5
    assert "example.org" not in repr(facts)
    assert await desk.facts(new_id(IdKind.CASE, house.clock.now())) is None
    assert await desk.facts("case_") is None


async def test_a_decision_counts_whether_it_was_right(house: ModerationHouse) -> None:
    told = []

    class Assistance:
        async def note_decision(self, case_id: str, **said: object) -> None:
            told.append((case_id, said["agreed"]))

    house.moderation.cases.assistance = Assistance()
    case_id = await desk_of(house).open_by_machine("alice", Category.VIOLENCE, "blood 0.90")
    await house.moderation.cases.decide(case_id, Outcome.NO_ACTION, by=MINA, reason="a film")
    assert told == [(case_id, False)]

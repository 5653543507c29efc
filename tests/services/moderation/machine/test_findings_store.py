"""Findings on both databases, and what the audit log says of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streamd.services.audit.audit_log import AuditLog
from streamd.services.audit.records import SERVER, Actor
from streamd.services.audit.verify import verify_log
from streamd.services.keys.key_store import KeyStore
from streamd.services.moderation.act_details import ActDetails, words_of
from streamd.services.moderation.cases.case_records import Outcome
from streamd.services.moderation.categories import Category
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.moderation.machine.findings import (
    Duplicate,
    FindingSource,
    MachineRecord,
    PictureFinding,
    Suggestion,
)
from streamd.services.moderation.machine.findings_store import SHOWN_MAX, FindingsStore
from streamd.services.moderation.machine.sight import Look, Match
from tests.support.moderation import ModerationHouse

pytestmark = pytest.mark.asyncio

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
HASH = "ab" * 32
LOOK = Look(
    HASH,
    90,
    (Match("known.txt", Category.VIOLENCE, HASH, 4),),
    (("blood", 0.9), ("knife", 0.5)),
    ("зрелище", "fight"),
    "words: Error",
)
FOUND = ActDetails(category="VIOLENCE", automated_detection=True)
CAROL = Actor("carol", "192.0.2.7")


def finding(
    number: int = 0, case_id: str = "case_1", look: Look = LOOK, signs: tuple[str, ...] = ("blood 0.90",)
) -> PictureFinding:
    at = AT + timedelta(seconds=number)
    source = FindingSource.REPORT
    return PictureFinding(
        new_id(IdKind.FINDING, at), case_id, "demo", at, source, look, (Duplicate("case_2", 3),), signs
    )


async def acts(store: KeyStore) -> list[tuple[str, str | None, str]]:
    page = await AuditLog(store.database).page(after=0, limit=100)
    return [(each.entry.action, each.entry.subject, each.entry.actor) for each in page.items]


async def test_a_finding_is_read_as_it_was_written(store: KeyStore) -> None:
    findings, one = FindingsStore(store.database), finding()
    await findings.add(one, SERVER, FOUND)
    assert await findings.of_case("case_1") == [one]
    assert await findings.of_case("case_2") == []
    suggestion = Suggestion(Category.VIOLENCE, 1.5, "two people fight")
    await findings.suggest(one.id, suggestion)
    (read,) = await findings.of_case("case_1")
    assert read.suggestion == suggestion


async def test_what_was_found_is_in_the_audit_log_and_what_was_not_is_not(store: KeyStore) -> None:
    findings = FindingsStore(store.database)
    await findings.add(finding(0, signs=()), SERVER, ActDetails())
    assert await acts(store) == []
    await findings.add(finding(1), SERVER, FOUND)
    assert await acts(store) == [("machine.found", "case_1", "streamd")]
    (row,) = (await AuditLog(store.database).page(after=0, limit=9)).items
    assert row.entry.stream == "demo"
    assert ActDetails.parse(row.entry.reason) == FOUND
    assert words_of(row.entry.reason) == "blood 0.90"
    assert (await verify_log(store.database)).faults == ()


async def test_people_agree_or_not_and_change_their_minds(store: KeyStore) -> None:
    findings = FindingsStore(store.database)
    for number in range(3):
        await findings.add(finding(number), SERVER, FOUND)
    await findings.add(finding(3, signs=()), SERVER, FOUND)
    await findings.add(finding(4, "case_2"), SERVER, FOUND)
    assert await findings.record() == MachineRecord(0, 0, 4)
    assert await findings.judge("case_1", agreed=True, by=CAROL, now=AT, details=FOUND) == 3
    assert await findings.record() == MachineRecord(3, 0, 1)
    assert await findings.judge("case_1", agreed=True, by=CAROL, now=AT, details=FOUND) == 0, "said before"
    assert await findings.judge("case_1", agreed=False, by=CAROL, now=AT, details=FOUND) == 3
    assert await findings.record() == MachineRecord(0, 3, 1)
    newest, *judged = await findings.of_case("case_1")
    assert newest.agreed is None, "nothing was found in it"
    assert {(each.agreed, each.judged_by, each.judged_at) for each in judged} == {(False, "carol", AT)}
    said = [act for act in await acts(store) if act[0] != "machine.found"]
    assert said == [("machine.agreed", "case_1", "carol"), ("machine.disagreed", "case_1", "carol")]


async def test_a_decision_without_findings_is_no_row(store: KeyStore) -> None:
    findings = FindingsStore(store.database)
    assert await findings.judge("case_9", agreed=True, by=CAROL, now=AT, details=FOUND) == 0
    assert await acts(store) == []


async def test_pictures_of_the_last_cases_are_known_the_oldest_first(store: KeyStore) -> None:
    findings = FindingsStore(store.database)
    for number in range(4):
        await findings.add(finding(number, f"case_{number}", Look(f"{number:064x}", 90)), SERVER, FOUND)
    await findings.add(finding(4, "case_4", Look("f" * 64, 10)), SERVER, FOUND)
    await findings.add(finding(5, "case_5", Look()), SERVER, FOUND)
    assert await findings.hashes(3) == [(f"case_{number}", f"{number:064x}") for number in (1, 2, 3)]


async def test_the_last_of_a_case_are_shown_the_newest_first(store: KeyStore) -> None:
    findings = FindingsStore(store.database)
    for number in range(SHOWN_MAX + 5):
        await findings.add(finding(number, signs=()), SERVER, FOUND)
    shown = await findings.of_case("case_1")
    assert [each.at for each in shown] == [
        AT + timedelta(seconds=SHOWN_MAX + 4 - number) for number in range(SHOWN_MAX)
    ]


async def test_scores_that_say_nothing_are_not_kept(store: KeyStore) -> None:
    findings = FindingsStore(store.database)
    look = Look(scores=tuple((f"label{number}", 0.9 if number == 7 else 0.01) for number in range(1000)))
    await findings.add(finding(look=look), SERVER, FOUND)
    (read,) = await findings.of_case("case_1")
    assert read.look.scores == (("label7", 0.9),)


async def test_findings_of_a_case_are_forgotten_a_while_after_its_decision(house: ModerationHouse) -> None:
    findings = FindingsStore(house.store.database)
    await house.report()
    case = await house.case()
    for number in range(3):
        await findings.add(finding(number, case.id), SERVER, FOUND)
    later = house.clock.now() + timedelta(days=1)
    assert await findings.forget(later, limit=10) == 0, "nobody has decided"
    await house.decide(case.id, outcome=Outcome.NO_ACTION)
    assert await findings.forget(house.clock.now(), limit=10) == 0
    assert await findings.forget(later, limit=2) == 2
    assert len(await findings.of_case(case.id)) == 1
    assert await findings.forget(later, limit=2) == 1

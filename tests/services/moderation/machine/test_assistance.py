"""The machine's part in a case: what it looks at, what it says, and that it decides nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from streamd.clock import ManualClock
from streamd.errors import AssistantError, PictureError, PictureWorkerRestsError, StoreUnavailableError
from streamd.media.packager.rendition import Keyframe
from streamd.services.audit.audit_log import AuditLog
from streamd.services.audit.records import Actor
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.stream_key import StreamKey
from streamd.services.metrics import Metrics
from streamd.services.moderation.categories import Category
from streamd.services.moderation.machine import assistance as module
from streamd.services.moderation.machine.assistance import (
    FOUND_AGAIN_S,
    KEY_SHOWN,
    LOOK_AGAIN_S,
    REPORT_BOX,
    SCAN_BOX,
    Assistance,
    AssistanceOptions,
    Hands,
)
from streamd.services.moderation.machine.drafts import CaseFacts
from streamd.services.moderation.machine.findings import FACTOR_MAX, FindingSource, PictureFinding, Suggestion
from streamd.services.moderation.machine.findings_store import FindingsStore
from streamd.services.moderation.machine.sight import Look, Match, Wanted
from tests.support.assistance import StandInDesk, StandInHands

pytestmark = pytest.mark.asyncio

HASH, OTHER = "ab" * 32, "cd" * 32
KEYFRAME = Keyframe(7, b"header", b"fragment")
NOTHING = Look(HASH, 100, scores=(("face", 0.3),))
LISTED = Look(OTHER, 100, (Match("known.txt", Category.PROTECTION_OF_MINORS, OTHER, 2),))
SCORED = Look(HASH, 100, scores=(("blood", 0.8),))
KEY = StreamKey.generate().reveal()


@dataclass
class FakeAssistant:
    suggestion: Suggestion | Exception | None = None
    asked: list[tuple[CaseFacts, PictureFinding | None]] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def suggest(self, facts: CaseFacts, finding: PictureFinding | None) -> Suggestion | None:
        self.asked.append((facts, finding))
        await self.may_answer.wait()
        if isinstance(self.suggestion, Exception):
            raise self.suggestion
        return self.suggestion


@dataclass(frozen=True)
class Target:
    channel: str = "demo"


class House:
    """Assistance with what it stands on."""

    def __init__(self, store: KeyStore, assistant: FakeAssistant | None = None) -> None:
        self.clock, self.metrics = ManualClock(), Metrics()
        self.hands, self.desk = StandInHands(), StandInDesk(self.clock)
        self.desk.gone.add("case_none")
        self.jpeg: bytes | None = b"jpeg"
        self.keyframe: Keyframe | None = KEYFRAME
        self.store, self.findings = store, FindingsStore(store.database)
        self.assistant: Any = assistant
        self.assistance = Assistance(
            AssistanceOptions(),
            Hands(self.hands, self.hands, self.hands),
            self.findings,
            self.clock,
            self.metrics,
            desk=self.desk,
            pictures=self,
            keyframe_of=lambda _: self.keyframe,
            assistant=self.assistant,
        )

    async def picture(self, _case_id: str) -> bytes | None:
        return self.jpeg

    async def suggested(self) -> None:
        """Wait until the assistant has been heard."""
        await asyncio.gather(*self.assistance._suggestions)

    def count(self, source: str, result: str) -> float:
        labels = {"source": source, "result": result}
        return self.metrics.registry.get_sample_value("streamd_moderation_looks_total", labels) or 0

    async def actions(self) -> Sequence[str]:
        return [each.entry.action for each in (await AuditLog(self.store.database).page(after=0, limit=99)).items]


@pytest_asyncio.fixture
async def house(store: KeyStore) -> AsyncIterator[House]:
    house = House(store)
    await house.assistance.start()
    yield house
    await house.assistance.close()
    assert house.hands.closed == 3


class TestAReport:
    async def test_has_the_evidences_picture_looked_at_for_all(self, house: House) -> None:
        await house.assistance.look_at("case_1", Target())
        assert house.hands.drawn == [(b"", b"jpeg", REPORT_BOX)]
        assert house.hands.looked == [(b"jpeg", Wanted.SCORES | Wanted.WORDS)]
        (finding,) = await house.assistance.findings("case_1")
        assert (finding.source, finding.look, finding.signs) == (FindingSource.REPORT, NOTHING, ())
        assert house.desk.noted == [], "where nothing is found nothing is said"
        assert house.count("report", "nothing") == 1

    async def test_has_what_is_shown_now_looked_at_where_no_picture_is_kept(self, house: House) -> None:
        house.jpeg = None
        await house.assistance.look_at("case_1", Target())
        assert house.hands.drawn == [(b"header", b"fragment", REPORT_BOX)]

    async def test_of_what_shows_no_picture_finds_nothing(self, house: House) -> None:
        house.jpeg = house.keyframe = None
        await house.assistance.look_at("case_1", Target())
        house.jpeg, house.hands.is_undecodable = b"jpeg", True
        await house.assistance.look_at("case_2", Target(""))
        assert house.count("report", "no_picture") == 2
        assert await house.assistance.findings("case_1") == []

    async def test_of_a_known_picture_is_on_top_and_in_the_audit_log(self, house: House) -> None:
        house.hands.sees = LISTED
        await house.assistance.look_at("case_1", Target())
        assert house.desk.noted == [("case_1", FACTOR_MAX, True, "known picture: known.txt, 2 of 256 bits off")]
        assert house.desk.restricted == {"case_1"}
        assert await house.actions() == ["machine.found"]
        assert house.desk.opened == []

    async def test_by_a_crowd_is_looked_at_once_in_a_while(self, house: House) -> None:
        for _ in range(1000):
            await house.assistance.look_at("case_1", Target())
        assert len(house.hands.looked) == 1
        house.clock.advance(LOOK_AGAIN_S)
        await house.assistance.look_at("case_1", Target())
        assert len(house.hands.looked) == 2

    async def test_that_finds_less_than_before_does_not_make_a_case_wait(self, house: House) -> None:
        for look in (SCORED, NOTHING, SCORED, LISTED, SCORED):
            house.hands.sees = look
            await house.assistance.look_at("case_1", Target())
            house.clock.advance(LOOK_AGAIN_S)
        assert [(round(factor, 2), on_top) for _, factor, on_top, _ in house.desk.noted] == [(2.5, False), (4.0, True)]

    async def test_names_other_cases_with_the_picture(self, house: House) -> None:
        await house.assistance.look_at("case_1", Target())
        await house.assistance.look_at("case_2", Target("other"))
        (finding,) = await house.assistance.findings("case_2")
        assert [each.case_id for each in finding.duplicates] == ["case_1"]
        assert house.desk.noted[0][3] == "same picture as case_1"

    async def test_knows_the_pictures_of_a_server_before(self, house: House) -> None:
        await house.assistance.look_at("case_1", Target())
        later = House(house.store)
        await later.assistance.start()
        await later.assistance.look_at("case_2", Target())
        assert later.desk.noted[0][3] == "same picture as case_1"
        await later.assistance.close()

    async def test_keeps_no_stream_key_that_was_shown(self, house: House) -> None:
        house.hands.sees = Look(HASH, 100, words=("Settings", f"Stream key {KEY}"))
        await house.assistance.look_at("case_1", Target())
        (finding,) = await house.assistance.findings("case_1")
        assert finding.look.words == ("Settings", KEY_SHOWN)

    @pytest.mark.parametrize("error", [PictureError("it died"), StoreUnavailableError("gone")])
    async def test_that_fails_is_logged_and_no_more(
        self, error: Exception, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        house.hands.error = error
        await house.assistance.look_at("case_1", Target())
        assert house.count("report", "failed") == 1
        assert "look.failed" in caplog.messages

    async def test_is_looked_at_by_the_next_report_where_another_picture_was_to_blame(self, house: House) -> None:
        house.hands.error = PictureWorkerRestsError(3.0)
        await house.assistance.look_at("case_1", Target())
        house.hands.error = None
        await house.assistance.look_at("case_1", Target())
        assert house.count("report", "nothing") == 1

    async def test_is_forgotten_after_many_others(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "SEEN_MAX", 3)
        for number in range(10):
            await house.assistance.look_at(f"case_{number}", Target())
        assert [*house.assistance._cases] == ["case_7", "case_8", "case_9"]


class TestAScan:
    async def test_looks_at_little_and_keeps_nothing_where_nothing_is(self, house: House) -> None:
        await house.assistance.scan("demo", KEYFRAME)
        assert house.hands.drawn == [(b"header", b"fragment", SCAN_BOX)]
        assert house.hands.looked == [(b"fragment", Wanted.SCORES)]
        assert house.desk.opened == []
        assert house.count("scan", "nothing") == 1

    async def test_opens_a_case_for_what_is_found(self, house: House) -> None:
        house.hands.sees = LISTED
        await house.assistance.scan("demo", KEYFRAME)
        summary = "known picture: known.txt, 2 of 256 bits off"
        assert house.desk.opened == [("demo", Category.PROTECTION_OF_MINORS, summary)]
        assert house.desk.noted == [("case_of_demo", FACTOR_MAX, True, summary)]
        (finding,) = await house.assistance.findings("case_of_demo")
        assert finding.source is FindingSource.SCAN

    async def test_tells_the_same_once_in_ten_minutes_and_what_is_graver_at_once(self, house: House) -> None:
        house.hands.sees = SCORED
        for _ in range(50):
            await house.assistance.scan("demo", KEYFRAME)
            house.clock.advance(10)
        assert house.count("scan", "found") == 1
        assert house.count("scan", "found_again") == 49
        house.hands.sees = LISTED
        await house.assistance.scan("demo", KEYFRAME)
        assert house.desk.noted[-1][2]
        house.clock.advance(FOUND_AGAIN_S)
        await house.assistance.scan("demo", KEYFRAME)
        assert house.count("scan", "found") == 3

    async def test_takes_no_case_of_a_report_for_its_own_picture(self, house: House) -> None:
        """A duplicate says something of a report; a channel that is scanned all day has had its picture before."""
        await house.assistance.look_at("case_1", Target())
        await house.assistance.scan("demo", KEYFRAME)
        assert house.desk.opened == []

    @pytest.mark.parametrize("error", [PictureError("it died"), PictureWorkerRestsError(1.0)])
    async def test_that_fails_is_counted(self, error: Exception, house: House) -> None:
        house.hands.error = error
        await house.assistance.scan("demo", KEYFRAME)
        house.hands.error, house.hands.is_undecodable = None, True
        await house.assistance.scan("demo", KEYFRAME)
        assert (house.count("scan", "failed"), house.count("scan", "no_picture")) == (1, 1)


class TestADecision:
    async def test_counts_whether_a_person_agreed(self, house: House) -> None:
        house.hands.sees = SCORED
        await house.assistance.look_at("case_1", Target())
        carol = Actor("carol")
        await house.assistance.note_decision("case_1", agreed=False, by=carol, category=Category.VIOLENCE)
        await house.assistance.note_decision("case_9", agreed=True, by=carol)
        assert await house.actions() == ["machine.found", "machine.disagreed"]
        name = "streamd_moderation_judged_total"
        assert house.metrics.registry.get_sample_value(name, {"verdict": "disagreed"}) == 1
        assert house.metrics.registry.get_sample_value(name, {"verdict": "agreed"}) is None

    async def test_stands_where_it_cannot_be_counted(
        self, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def judge(*_: object, **__: object) -> int:
            raise StoreUnavailableError("gone")

        monkeypatch.setattr(house.findings, "judge", judge)
        await house.assistance.note_decision("case_1", agreed=True, by=Actor("carol"))
        assert "machine.not_judged" in caplog.messages

    async def test_is_drafted_from_what_was_found_last(self, house: House) -> None:
        house.hands.sees = SCORED
        await house.assistance.look_at("case_1", Target())
        house.clock.advance(LOOK_AGAIN_S)
        house.hands.sees = NOTHING
        await house.assistance.look_at("case_1", Target())
        draft = await house.assistance.draft("case_1")
        assert draft is not None
        assert "blood 0.80" in draft.statement["decision_facts"]
        unseen = await house.assistance.draft("case_2")
        assert unseen is not None
        assert await house.assistance.draft("case_none") is None


class TestTheAssistant:
    @pytest_asyncio.fixture
    async def asked(self, store: KeyStore) -> AsyncIterator[House]:
        house = House(store, FakeAssistant(Suggestion(Category.VIOLENCE, 2.0, "a fight")))
        yield house
        await house.assistance.close()

    async def test_makes_no_report_wait_and_its_word_is_marked(self, asked: House) -> None:
        asked.hands.sees = SCORED
        await asked.assistance.look_at("case_1", Target())
        assert [each[3] for each in asked.desk.noted] == ["blood 0.80"], "said before the assistant answers"
        asked.assistant.may_answer.set()
        await asked.suggested()
        case_id, factor, is_on_top, summary = asked.desk.noted[1]
        assert (case_id, is_on_top, summary) == ("case_1", False, "blood 0.80; assistant: a fight")
        assert factor == pytest.approx(5.0)
        (finding,) = await asked.assistance.findings("case_1")
        assert finding.suggestion == Suggestion(Category.VIOLENCE, 2.0, "a fight")

    async def test_is_told_no_stream_key(self, asked: House) -> None:
        asked.desk.explanations = (f"my key is {KEY}",)
        asked.hands.sees = Look(HASH, 100, words=(KEY,))
        asked.assistant.may_answer.set()
        await asked.assistance.look_at("case_1", Target())
        await asked.suggested()
        ((facts, finding),) = asked.assistant.asked
        assert facts.explanations == (KEY_SHOWN,)
        assert finding.look.words == (KEY_SHOWN,)

    @pytest.mark.parametrize(
        ("said", "logged"),
        [(AssistantError("HTML"), "assistant.failed"), (RuntimeError("a bug"), "assistant.broke"), (None, "")],
    )
    async def test_that_fails_leaves_the_case_as_it_was(
        self, said: Exception | None, logged: str, asked: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        asked.assistant.suggestion = said
        asked.assistant.may_answer.set()
        await asked.assistance.look_at("case_1", Target())
        await asked.suggested()
        assert caplog.messages == ([logged] if logged else [])
        assert asked.desk.noted == []

    async def test_is_not_asked_about_a_case_that_is_gone(self, asked: House) -> None:
        asked.assistant.may_answer.set()
        await asked.assistance.look_at("case_none", Target())
        await asked.suggested()
        assert asked.assistant.asked == []

    async def test_has_so_many_questions_at_once(self, asked: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "SUGGESTIONS_MAX", 2)
        for number in range(5):
            await asked.assistance.look_at(f"case_{number}", Target())
        await asyncio.sleep(0)
        assert len(asked.assistance._suggestions) == 2

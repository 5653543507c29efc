"""Takedowns, on SQLite and PostgreSQL: what is dark when they return, after a restart, and without a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from streamd.errors import ModerationStateError, StatementError, StoreUnavailableError, TakedownNotFoundError
from streamd.services.events.event import EventType
from streamd.services.keys.admission import Denial
from streamd.services.keys.key_store import KeyStore
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.acts.act_writer import UnwrittenAct
from streamd.services.moderation.acts.enforcement import JOURNAL_NAME
from streamd.services.moderation.statement import Account
from streamd.services.moderation.target import Target, TargetKind
from streamd.services.recording.recording_id import new_clip_id, new_recording_id
from streamd.services.store.page import Page
from tests.support.enforcement import ANNA, MODERATOR, STATEMENT, Deck
from tests.support.key_house import FragileStore

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def deck(store: KeyStore, tmp_path: Path) -> AsyncIterator[Deck]:
    deck = Deck(store, tmp_path)
    await deck.room.start()
    yield deck
    await deck.room.close()


class TestTakingDown:
    async def test_a_channel_is_dark_and_its_stream_closed(self, deck: Deck) -> None:
        deck.streams.go_live("anna")
        deck.streams.go_live("bert")
        edits = deck.recordings.edits
        done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        assert done.closed == ("anna",)
        assert [*deck.streams.admissions] == ["bert"]
        assert "anna" in deck.bars.channels
        assert deck.bars.denial("anna", "key0000000", "192.0.2.9") is Denial.TAKEN_DOWN
        assert deck.bars.denial("bert", "key0000000", "192.0.2.9") is None
        # What the doors know of recordings is asked for anew.
        assert deck.recordings.edits > edits
        assert done.unwritten == ""

    async def test_a_key_and_its_channel(self, deck: Deck) -> None:
        await deck.takedowns.take_down(Target(TargetKind.KEY, "abcdefghjk", "anna"), STATEMENT, actor=MODERATOR)
        assert deck.bars.denial("anna", "other00000", "") is Denial.TAKEN_DOWN
        assert deck.bars.denial("bert", "abcdefghjk", "") is Denial.TAKEN_DOWN

    async def test_a_recording_and_a_clip_alone(self, deck: Deck) -> None:
        recording, clip = new_recording_id(deck.clock.now()), new_clip_id(deck.clock.now())
        deck.streams.go_live("anna")
        for kind, name in ((TargetKind.RECORDING, recording), (TargetKind.CLIP, clip)):
            await deck.takedowns.take_down(Target(kind, name, "anna"), STATEMENT, actor=MODERATOR)
            assert name in deck.room.hidden
        assert [*deck.streams.admissions] == ["anna"]
        assert "anna" not in deck.bars.channels

    async def test_who_and_why_is_in_the_log_and_in_the_event(self, deck: Deck) -> None:
        since = deck.clock.now() - timedelta(seconds=90)
        done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR, case_id="case_1", since=since)
        (entry,) = await deck.audit()
        assert (entry.action, entry.actor, entry.user, entry.subject) == ("takedown.made", "mo", "anna", done.id)
        details = ActDetails.parse(entry.reason)
        assert (details.category, details.seconds) == ("VIOLENCE", 90)
        assert details.automated_decision == "AUTOMATED_DECISION_NOT_AUTOMATED"
        (event,) = deck.events
        assert event.type is EventType.TAKEDOWN_MADE
        assert event.about == "anna"
        statement = event.data["statement"]
        assert isinstance(statement, dict)
        assert statement["puid"] == done.id
        assert statement["application_date"] == deck.clock.now().date().isoformat()
        assert event.data["case_id"] == "case_1"

    async def test_it_stands_after_a_restart_and_closes_what_was_left(self, deck: Deck) -> None:
        done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        await deck.room.close()
        after = Deck(deck.store, deck.data_dir, deck.clock)
        # A stream that waits for its publisher over the restart.
        after.streams.go_live("anna")
        await after.room.start()
        assert "anna" in after.bars.channels
        assert not after.streams.admissions
        found = await after.takedowns.find(done.id)
        assert found == done.takedown
        await after.room.close()

    async def test_what_nobody_has_reported_is_kept_before_it_is_dark(self, deck: Deck) -> None:
        kept: list[tuple[str, str, bool]] = []

        class Evidence:
            fails = False

            def begin(self, case_id: str, target: Target, at_s: float | None = None) -> None:
                kept.append((case_id, target.id, "anna" in deck.bars.channels))
                if self.fails:
                    raise OSError("no space left")

        deck.takedowns.evidence = evidence = Evidence()
        done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        assert kept == [(done.id, "anna", False)]
        # What was reported has its evidence; and what cannot be kept is dark all the same.
        await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR, case_id="case_1")
        assert len(kept) == 1
        evidence.fails = True
        bert = Target(TargetKind.CHANNEL, "bert", "bert")
        await deck.takedowns.take_down(bert, STATEMENT, actor=MODERATOR)
        assert "bert" in deck.bars.channels

    async def test_two_moderators_at_once_are_two_acts(self, deck: Deck) -> None:
        first, second = await asyncio.gather(
            *(deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR) for _ in range(2))
        )
        assert first.id != second.id
        assert {*deck.takedowns.standing_of("anna")} == {first.id, second.id}

    async def test_the_publisher_is_gone_before_the_store_is_asked(
        self, deck: Deck, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Work counted, in place of the 50 ms: one look at the streams, and none of the store before it."""
        deck.streams.go_live("anna")
        order: list[str] = []
        close, write = deck.streams.close_barred, deck.store.database.writing

        def noted(what: str, act: Callable[..., Any]) -> Callable[..., Any]:
            def do(*arguments: Any) -> Any:
                order.append(what)
                return act(*arguments)

            return do

        monkeypatch.setattr(deck.streams, "close_barred", noted("closed", close))
        monkeypatch.setattr(deck.store.database, "writing", noted("written", write))
        monkeypatch.setattr(deck.store.database, "reading", noted("read", deck.store.database.reading))
        await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        assert order == ["closed", "written"]


class TestRestoring:
    async def test_one_act_lights_it_again(self, deck: Deck) -> None:
        done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        deck.clock.advance(60)
        restored = await deck.takedowns.restore(done.id, actor=MODERATOR, reason="an error")
        assert "anna" not in deck.bars.channels
        assert restored.still_dark_by == ()
        assert restored.takedown.restore_reason == "an error"
        entry = (await deck.audit())[-1]
        assert (entry.action, entry.subject) == ("takedown.restored", done.id)
        assert ActDetails.parse(entry.reason).seconds == 60
        assert deck.events[-1].type is EventType.TAKEDOWN_RESTORED
        assert "anna" not in (await deck.again()).bars.channels

    async def test_twice_is_refused_and_changes_nothing(self, deck: Deck) -> None:
        done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        await deck.takedowns.restore(done.id, actor=MODERATOR)
        rows = len(await deck.audit())
        with pytest.raises(ModerationStateError, match="was restored at"):
            await deck.takedowns.restore(done.id, actor=MODERATOR)
        assert len(await deck.audit()) == rows

    async def test_at_once_one_of_two_restores(self, deck: Deck) -> None:
        done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        answers = await asyncio.gather(
            *(deck.takedowns.restore(done.id, actor=MODERATOR) for _ in range(2)), return_exceptions=True
        )
        assert sorted(isinstance(answer, ModerationStateError) for answer in answers) == [False, True]

    async def test_one_that_there_is_not(self, deck: Deck) -> None:
        with pytest.raises(TakedownNotFoundError):
            await deck.takedowns.restore("tkd_01j00000000000000000000000", actor=MODERATOR)

    async def test_what_another_act_keeps_dark_stays_so(self, deck: Deck) -> None:
        first = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        second = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        restored = await deck.takedowns.restore(first.id, actor=MODERATOR)
        assert restored.still_dark_by == (second.id,)
        assert "anna" in deck.bars.channels


class TestAnotherServer:
    """Two on one database: each follows the other."""

    async def test_it_follows_a_takedown_and_its_restore(self, deck: Deck, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        other = Deck(deck.store, tmp_path / "other", deck.clock)
        await other.room.start()
        other.streams.go_live("anna")
        done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        await other.takedowns.recheck()
        assert not other.streams.admissions
        assert "anna" in other.bars.channels
        await deck.takedowns.restore(done.id, actor=MODERATOR)
        await other.takedowns.recheck()
        assert "anna" not in other.bars.channels
        await other.room.close()


class TestWithoutAStore:
    @pytest_asyncio.fixture
    async def frail(self, fragile: FragileStore, tmp_path: Path) -> AsyncIterator[tuple[Deck, FragileStore]]:
        deck = Deck(fragile, tmp_path)
        await deck.room.start()
        yield deck, fragile
        await deck.room.close()

    async def test_it_is_dark_all_the_same_and_written_later(
        self, frail: tuple[Deck, FragileStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deck, store = frail
        deck.streams.go_live("anna")
        away = monkeypatch.context()
        with away as patch:
            patch.setattr(store.database, "writing", _away)
            done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
            assert not deck.streams.admissions
            assert "also after a restart" in done.unwritten
            assert (await deck.takedowns.find(done.id)).target == ANNA
            with pytest.raises(StoreUnavailableError, match="stays dark"):
                await deck.takedowns.restore(done.id, actor=MODERATOR)
        assert await deck.audit() == []
        await deck.room._writer.write_waiting()
        assert [entry.action for entry in await deck.audit()] == ["takedown.made"]
        await deck.takedowns.restore(done.id, actor=MODERATOR)

    async def test_the_next_server_knows_it_and_writes_it(
        self, frail: tuple[Deck, FragileStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deck, store = frail
        with monkeypatch.context() as patch:
            patch.setattr(store.database, "writing", _away)
            done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        assert done.id.encode() in (deck.data_dir / JOURNAL_NAME).read_bytes()
        after = await deck.again()
        assert "anna" in after.bars.channels
        await after.room._writer.write_waiting()
        assert await after.takedowns.find(done.id) == done.takedown
        assert done.id.encode() not in (deck.data_dir / JOURNAL_NAME).read_bytes()
        await after.room.close()

    async def test_an_act_that_no_try_can_write_keeps_no_other_waiting(
        self, frail: tuple[Deck, FragileStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deck, store = frail
        with monkeypatch.context() as patch:
            patch.setattr(store.database, "writing", _away)
            bad, good = [await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR) for _ in range(2)]
        writer = deck.room._writer
        write = writer._store.write

        async def refuse_one(act: UnwrittenAct) -> None:
            if act.id == bad.id:
                raise ValueError("no row can have this")
            await write(act)

        monkeypatch.setattr(writer._store, "write", refuse_one)
        await writer.write_waiting()
        assert len(writer) == 0
        # What the store does not have is not taken for what another server has restored.
        await deck.takedowns.recheck()
        assert {*deck.takedowns.standing_of("anna")} == {bad.id, good.id}
        assert "anna" in deck.bars.channels
        assert [entry.subject for entry in await deck.audit()] == [good.id]

    async def test_an_act_that_was_written_after_all_is_not_written_twice(
        self, frail: tuple[Deck, FragileStore]
    ) -> None:
        deck, _ = frail
        done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        (entry,) = await deck.audit()
        # The machine stopped between the commit and the journal.
        await deck.room._writer.write(UnwrittenAct(done.id, entry, takedown=done.takedown))
        assert len(await deck.audit()) == 1


def _away() -> object:
    raise StoreUnavailableError("the disk is full")


class TestCaches:
    async def test_each_path_of_the_target_is_purged(self, deck: Deck) -> None:
        deck.cache_urls = ("http://front:6081/",)
        done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        assert done.caches == ()
        assert deck.cache.told == [("PURGE", f"http://front:6081{path}") for path in ANNA.paths]

    async def test_recordings_and_clips_of_a_channel_are_purged_with_it(
        self, deck: Deck, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def page(_: object, *, limit: int) -> Page[object]:
            return Page([SimpleNamespace(id="rec_1")], has_more=False)

        monkeypatch.setattr(deck.recordings, "page", page)
        deck.cache_urls = ("http://front:6081",)
        done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        assert ("PURGE", "http://front:6081/vod/rec_1") in deck.cache.told
        deck.cache.told.clear()
        await deck.takedowns.restore(done.id, actor=MODERATOR)
        assert ("PURGE", "http://front:6081/vod/rec_1") in deck.cache.told

    async def test_one_that_knows_ban_alone(self, deck: Deck) -> None:
        deck.cache_urls, deck.cache.status = ("http://front:6081",), {"PURGE": 405}
        await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        assert {("BAN", f"http://front:6081{path}") for path in ANNA.paths} <= {*deck.cache.told}
        deck.cache.told.clear()
        await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        assert {method for method, _ in deck.cache.told} == {"BAN"}

    async def test_one_that_is_away_is_said_and_told_again(self, deck: Deck) -> None:
        deck.cache_urls, deck.cache.is_away = ("http://front:6081",), True
        done = await deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
        assert [(fault.url, fault.why) for fault in done.caches] == [("http://front:6081", "connection refused")]
        deck.cache.is_away = False
        await deck.room._purge._retry()
        assert len(deck.cache.told) == len(ANNA.paths)
        deck.cache.told.clear()
        await deck.room._purge._retry()
        assert deck.cache.told == []


class TestWhereAndUntilWhen:
    """A statement's territorial scope and its end are done, or refused; neither is only written down."""

    GERMAN, FRENCH = "203.0.113.1", "198.51.100.1"

    async def test_in_some_countries_it_is_not_shown_there_and_goes_on_elsewhere(self, deck: Deck) -> None:
        deck.streams.go_live("anna")
        done = await deck.takedowns.take_down(ANNA, replace(STATEMENT, territorial_scope=("DE",)), actor=MODERATOR)
        assert done.closed == ()
        assert "anna" in deck.streams.admissions
        assert "anna" not in deck.bars.channels
        assert deck.gate.is_blocked(self.GERMAN, "anna")
        assert not deck.gate.is_blocked(self.FRENCH, "anna")
        assert deck.takedowns.standing_of("anna") == (done.id,)
        after = await deck.again()
        assert after.gate.is_blocked(self.GERMAN, "anna")
        assert not after.gate.is_blocked(self.FRENCH, "anna")
        restored = await after.takedowns.restore(done.id, actor=MODERATOR)
        assert restored.still_dark_by == ()
        assert not after.gate.is_blocked(self.GERMAN, "anna")
        assert len(after.gate.view_blocks) == 0
        await after.room.close()

    async def test_viewers_who_follow_it_there_are_cut_before_the_store_is_asked(
        self, deck: Deck, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order: list[str] = []
        deck.gate.on_blocked(lambda subject: order.append(f"cut {subject}"))
        write = deck.store.database.writing

        def writing() -> Any:
            order.append("written")
            return write()

        monkeypatch.setattr(deck.store.database, "writing", writing)
        await deck.takedowns.take_down(ANNA, replace(STATEMENT, territorial_scope=("DE",)), actor=MODERATOR)
        assert order[:2] == ["cut anna", "written"]

    async def test_a_key_is_not_shown_as_its_channel_and_may_publish(self, deck: Deck) -> None:
        target = Target(TargetKind.KEY, "abcdefghjk", "anna")
        await deck.takedowns.take_down(target, replace(STATEMENT, territorial_scope=("DE",)), actor=MODERATOR)
        assert deck.bars.denial("anna", "abcdefghjk", "") is None
        assert deck.gate.is_blocked(self.GERMAN, "anna")

    async def test_without_a_database_of_countries_it_is_refused_and_nothing_is_dark(self, deck: Deck) -> None:
        deck.countries.by_first_byte.clear()
        with pytest.raises(ModerationStateError, match="geoip_file"):
            await deck.takedowns.take_down(ANNA, replace(STATEMENT, territorial_scope=("DE",)), actor=MODERATOR)
        assert len(deck.takedowns) == 0
        assert await deck.audit() == []

    async def test_it_ends_by_itself_when_its_last_day_is_over(self, deck: Deck) -> None:
        today = deck.clock.now().date()
        statement = replace(STATEMENT, end_date_visibility_restriction=today)
        done = await deck.takedowns.take_down(ANNA, statement, actor=MODERATOR)
        after = await deck.again()
        await after.takedowns.look()
        assert "anna" in after.bars.channels
        after.clock.advance(timedelta(days=1).total_seconds())
        await after.takedowns.look()
        assert "anna" not in after.bars.channels
        found = await after.takedowns.find(done.id)
        assert (found.restored_by, found.restore_reason) == ("streamd", "its last day is over")
        assert [entry.action for entry in await after.audit()] == ["takedown.made", "takedown.restored"]
        # There is nothing left to end.
        await after.takedowns.look()
        assert len(await after.audit()) == 2
        await after.room.close()

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"end_date_visibility_restriction": -1}, "end_date_visibility_restriction"),
            ({"end_date_account_restriction": 5}, "end_date_account_restriction"),
            (
                {"decision_account": Account.SUSPENDED, "end_date_visibility_restriction": 5},
                "end_date_account_restriction",
            ),
            (
                {
                    "decision_account": Account.SUSPENDED,
                    "end_date_visibility_restriction": 5,
                    "end_date_account_restriction": 6,
                },
                "end_date_visibility_restriction",
            ),
            ({"decision_account": Account.SUSPENDED, "territorial_scope": ("DE",)}, "territorial_scope"),
        ],
    )
    async def test_what_one_act_cannot_do_is_refused(self, deck: Deck, changes: dict[str, Any], field: str) -> None:
        today = deck.clock.now().date()
        given: dict[str, Any] = {
            name: today + timedelta(days=each) if isinstance(each, int) else each for name, each in changes.items()
        }
        statement = replace(STATEMENT, application_date=today - timedelta(days=9), **given)
        with pytest.raises(StatementError) as refused:
            await deck.takedowns.take_down(ANNA, statement, actor=MODERATOR)
        assert refused.value.field == field
        assert len(deck.takedowns) == 0

"""Authorities' orders: Regulation (EU) 2022/2065 article 9, and 2021/784 article 3."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from streamd.errors import (
    ModerationStateError,
    OrderError,
    StatementError,
    StoreUnavailableError,
    TakedownNotFoundError,
)
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.stream_key import StreamKey
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.acts.order import URLS_MAX, Effect
from streamd.services.recording.recording_id import new_recording_id
from tests.support.enforcement import MODERATOR, Deck

pytestmark = pytest.mark.asyncio

ORDER: dict[str, Any] = {
    "authority": "Landesmedienanstalt",
    "reference": "Az. 7/26",
    "legal_basis": "JMStV section 4",
    "urls": ["https://live.example/watch/anna"],
    "actor": MODERATOR,
}


@pytest_asyncio.fixture
async def deck(store: KeyStore, tmp_path: Path) -> AsyncIterator[Deck]:
    deck = Deck(store, tmp_path)
    await deck.room.start()
    yield deck
    await deck.room.close()


class TestEffect:
    async def test_without_a_territory_it_takes_down(self, deck: Deck) -> None:
        deck.streams.go_live("anna")
        done = await deck.orders.receive(**ORDER)
        (effect,) = done.order.effects
        assert (effect.effect, effect.target) == (Effect.TAKEN_DOWN, "channel anna")
        assert not deck.streams.admissions
        takedown = await deck.takedowns.find(effect.act_id)
        assert takedown.order_id == done.order.id
        statement = takedown.statement.as_json()
        assert statement["illegal_content_legal_ground"] == "JMStV section 4"
        assert statement["source_type"] == "SOURCE_TYPE_OTHER_NOTIFICATION"
        assert statement["source_identity"] == "Landesmedienanstalt"

    async def test_in_a_territory_it_blocks_there_alone(self, deck: Deck) -> None:
        deck.streams.go_live("anna")
        done = await deck.orders.receive(**ORDER | {"territorial_scope": ["DE"]})
        (effect,) = done.order.effects
        assert effect.effect is Effect.BLOCKED
        assert [*deck.streams.admissions] == ["anna"]
        assert deck.gate.is_blocked("203.0.113.1", "anna")
        assert not deck.gate.is_blocked("198.51.100.1", "anna")
        assert deck.blocks.held.find(effect.act_id).order == done.order.id
        assert done.order.statement["decision_visibility"] == ["DECISION_VISIBILITY_CONTENT_DISABLED"]
        assert done.order.statement["territorial_scope"] == ["DE"]

    async def test_each_thing_that_it_names_has_its_own(self, deck: Deck) -> None:
        key = StreamKey.generate()
        urls = [
            "anna",
            "https://elsewhere.example/watch/anna",
            new_recording_id(deck.clock.now()),
            "anna",
            f"rtmp://live.example/live/{key.reveal()}x",
        ]
        done = await deck.orders.receive(**ORDER | {"urls": urls})
        assert [effect.effect for effect in done.order.effects] == [
            Effect.TAKEN_DOWN,
            Effect.NOT_HERE,
            Effect.NOT_HERE,
            Effect.NOT_HERE,
        ]
        assert "another site" in done.order.effects[1].detail
        assert key.secret not in done.reply + repr(deck.events) + repr(await deck.audit())

    async def test_where_countries_cannot_be_told_it_says_so(self, deck: Deck) -> None:
        deck.countries.by_first_byte = {}
        done = await deck.orders.receive(**ORDER | {"territorial_scope": ["DE"]})
        (effect,) = done.order.effects
        assert effect.effect is Effect.IMPOSSIBLE
        assert "geoip_file" in effect.detail
        assert "not carried out" in done.reply


class TestClock:
    async def test_terrorist_content_has_one_hour(self, deck: Deck) -> None:
        received = deck.clock.now() - timedelta(minutes=59)
        done = await deck.orders.receive(
            **ORDER | {"legal_basis": "Regulation (EU) 2021/784, article 3", "received_at": received}
        )
        assert done.order.deadline == received + timedelta(hours=1)
        assert done.order.is_terrorist
        assert done.order.is_in_time
        assert done.order.took_s == 59 * 60
        assert done.order.statement["category"] == "STATEMENT_CATEGORY_RISK_FOR_PUBLIC_SECURITY"
        late = await deck.orders.receive(
            **ORDER
            | {"legal_basis": "2021/784", "urls": ["bert"], "received_at": deck.clock.now() - timedelta(hours=2)}
        )
        assert not late.order.is_in_time
        assert "(missed)" in late.reply

    async def test_the_reply_says_what_was_done_and_when(self, deck: Deck) -> None:
        received = deck.clock.now() - timedelta(seconds=42)
        done = await deck.orders.receive(**ORDER | {"received_at": received, "territorial_scope": ["DE", "AT"]})
        assert done.reply.splitlines()[:2] == ["To: Landesmedienanstalt", "Your order: Az. 7/26 (JMStV section 4)"]
        assert f"Our reference: {done.order.id}" in done.reply
        assert "42.0 s after receipt" in done.reply
        assert "Territory: AT, DE" in done.reply
        assert "- https://live.example/watch/anna: not shown in the territory of the order" in done.reply

    async def test_received_and_answered_are_rows_of_the_log(self, deck: Deck) -> None:
        done = await deck.orders.receive(**ORDER | {"received_at": deck.clock.now() - timedelta(seconds=30)})
        deck.clock.advance(60)
        answered = await deck.orders.note_answered(done.order.id, actor=MODERATOR, reason="by post")
        assert answered.answered_by == "mo"
        assert (await deck.orders.find(done.order.id)).answered_at == deck.clock.now()
        rows = {entry.action: entry for entry in await deck.audit()}
        assert ActDetails.parse(rows["order.received"].reason).seconds == 30
        assert ActDetails.parse(rows["order.received"].reason).outcome == "taken_down"
        assert ActDetails.parse(rows["order.answered"].reason).seconds == 90
        with pytest.raises(ModerationStateError):
            await deck.orders.note_answered(done.order.id, actor=MODERATOR)


class TestKeeping:
    async def test_pages(self, deck: Deck) -> None:
        first = await deck.orders.receive(**ORDER)
        second = await deck.orders.receive(**ORDER | {"urls": ["bert"]})
        await deck.orders.note_answered(first.order.id, actor=MODERATOR)
        page = await deck.orders.page(is_answered=False, limit=5)
        assert [order.id for order in page.items] == [second.order.id]
        assert page.items[0] == second.order
        with pytest.raises(TakedownNotFoundError):
            await deck.orders.find("ord_01j00000000000000000000000")

    async def test_without_a_store_it_is_carried_out_and_written_later(
        self, deck: Deck, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away() -> object:
            raise StoreUnavailableError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(deck.store.database, "writing", away)
            patch.setattr(deck.store.database, "reading", away)
            recording = new_recording_id(deck.clock.now())
            done = await deck.orders.receive(**ORDER | {"urls": ["anna", recording]})
            assert done.unwritten
            assert "anna" in deck.bars.channels
            # What cannot be looked up is dark all the same.
            assert recording in deck.room.hidden
            assert (await deck.orders.find(done.order.id)) == done.order
        await deck.orders.write_waiting()
        assert (await deck.orders.page(limit=5)).items == [done.order]

    async def test_a_key_whose_channel_cannot_be_looked_up_takes_nothing_from_the_others(
        self, deck: Deck, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is carried out is told: an error in its place would leave it without its order."""

        def away() -> object:
            raise StoreUnavailableError("gone")

        with monkeypatch.context() as patch:
            patch.setattr(deck.store.database, "writing", away)
            patch.setattr(deck.store.database, "reading", away)
            done = await deck.orders.receive(
                **ORDER | {"urls": ["anna", StreamKey.generate().reveal()], "territorial_scope": ["DE"]}
            )
        first, second = done.order.effects
        assert (first.effect, second.effect) == (Effect.BLOCKED, Effect.IMPOSSIBLE)
        assert "channel" in second.detail


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("field", "change"),
        [
            ("authority", {"authority": " "}),
            ("reference", {"reference": ""}),
            ("legal_basis", {"legal_basis": ""}),
            ("urls", {"urls": []}),
            ("urls", {"urls": ["anna"] * (URLS_MAX + 1)}),
            ("territorial_scope", {"territorial_scope": ["XX"]}),
        ],
    )
    async def test_it_names_the_part_and_nothing_is_done(self, deck: Deck, field: str, change: dict[str, Any]) -> None:
        with pytest.raises(OrderError) as caught:
            await deck.orders.receive(**ORDER | change)
        assert caught.value.field == field
        assert len(deck.takedowns) == 0

    async def test_times_that_cannot_be(self, deck: Deck) -> None:
        now = deck.clock.now()
        for change in ({"received_at": now + timedelta(hours=1)}, {"deadline": now - timedelta(hours=1)}):
            with pytest.raises(OrderError):
                await deck.orders.receive(**ORDER | change)

    async def test_a_category_that_is_none(self, deck: Deck) -> None:
        with pytest.raises(StatementError):
            await deck.orders.receive(**ORDER | {"category": "TASTE"})
        assert len(deck.takedowns) == 0

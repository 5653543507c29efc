"""What a broadcaster learns in their studio: Regulation (EU) 2022/2065 article 17."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from streamd.clock import ManualClock
from streamd.doors.web.public.own_decisions import OwnDecisionDesk
from streamd.doors.web.public.pages import Pages
from streamd.doors.web.public.studio import Studio, StudioOptions
from streamd.errors import KeyRejectedError
from streamd.services.audit.records import Actor
from streamd.services.keys.admission import Denial
from streamd.services.keys.key_store import KeyStore
from streamd.services.keys.service import KeyService
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.moderation.target import Target, TargetKind
from streamd.services.recording.recording_id import new_recording_id
from tests.support.enforcement import ANNA, MODERATOR, STATEMENT, Deck
from tests.support.live_streams import Streams
from tests.support.stores import migrated_sqlite

pytestmark = pytest.mark.asyncio


class House:
    """A studio, and moderators."""

    def __init__(self, store: KeyStore, data_dir: Path) -> None:
        self.clock = ManualClock()
        self.verifier = KeyVerifier(store, self.clock)
        self.keys = KeyService(store, self.clock, self.verifier)
        self.deck = Deck(store, data_dir, self.clock, bars=self.verifier.admissions.bars)
        studio = Studio(
            keys=self.verifier,
            streams=Streams(),
            clock=self.clock,
            files=Pages().files,
            options=StudioOptions("rtmp://live.example/live", is_secure=False),
            decisions=OwnDecisionDesk(self.deck.room),
        )
        app = web.Application()
        studio.add_to(app)
        self.client = TestClient(TestServer(app))

    async def sign_in(self, user: str = "anna") -> str:
        key = (await self.keys.issue(user, by=Actor("root"))).stream_key.reveal()
        async with self.client.post("/studio/session", json={"stream_key": key}) as answer:
            assert answer.status == 201
        return key

    async def get(self, path: str) -> Any:
        async with self.client.get(f"/studio/{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = KeyStore(migrated_sqlite(tmp_path / "streamd.db"))
    await store.start()
    house = House(store, tmp_path)
    await house.deck.room.start()
    async with house.client:
        yield house
    await house.deck.room.close()
    await store.close()


async def test_whoever_is_taken_down_cannot_publish_and_reads_why(house: House) -> None:
    key = await house.sign_in()
    assert (await house.get("state"))["decisions"] == 0
    done = await house.deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
    with pytest.raises(KeyRejectedError) as caught:
        await house.verifier.verify(key, "192.0.2.7")
    assert caught.value.reason == Denial.TAKEN_DOWN
    # The session that was there goes on, and a new one begins.
    state = await house.get("state")
    assert state["decisions"] == 1
    assert state["attempts"][0]["result"] == "taken_down"
    async with house.client.post("/studio/session", json={"stream_key": key}) as answer:
        assert answer.status == 201
    (decision,) = (await house.get("decisions"))["decisions"]
    assert decision["id"] == done.id
    assert decision["statement"]["decision_facts"] == "Seen at 12:00."
    assert decision["restored_at"] is None
    # Who has decided is nobody's business but the operators'.
    assert "mo" not in decision.values()


async def test_a_restore_and_a_block_are_told_too(house: House) -> None:
    key = await house.sign_in()
    done = await house.deck.takedowns.take_down(ANNA, STATEMENT, actor=MODERATOR)
    await house.deck.takedowns.restore(done.id, actor=MODERATOR, reason="an error of ours")
    house.clock.advance(1)
    await house.deck.blocks.add(
        kind="channel", value="anna", scope="view", countries=["DE"], reason="not for children", actor=MODERATOR
    )
    assert (await house.get("state"))["decisions"] == 1
    block, takedown = (await house.get("decisions"))["decisions"]
    assert (block["kind"], block["countries"]) == ("block", ["DE"])
    assert block["statement"]["decision_facts"] == "not for children"
    assert takedown["restore_reason"] == "an error of ours"
    assert (await house.verifier.verify(key, "192.0.2.7")).user == "anna"


async def test_nobody_elses_is_shown(house: House) -> None:
    await house.sign_in("bert")
    recording = Target(TargetKind.RECORDING, new_recording_id(house.clock.now()), "anna")
    await house.deck.takedowns.take_down(recording, STATEMENT, actor=MODERATOR)
    assert (await house.get("decisions"))["decisions"] == []
    async with house.client.post("/studio/end"):
        pass
    async with house.client.get("/studio/decisions") as answer:
        assert answer.status == 401

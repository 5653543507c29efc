"""The machine's part in moderation with its real processes: from a picture to the order of cases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio

from streamd.errors import ReceiverUnreachableError
from streamd.media.picture import draw_picture
from streamd.process.assistance import FILES_EVERY_S, MachineAssistance
from streamd.process.config import Config
from streamd.process.config.sections import ModerationConfig
from streamd.services.events.sender import ReceiverAnswer
from streamd.services.keys.key_store import KeyStore
from streamd.services.metrics import Metrics
from streamd.services.moderation.machine.desk import MachineDesk
from tests.media.test_picture import Clip
from tests.support.extra import needs_moderation
from tests.support.moderation import ModerationHouse
from tests.support.pictures import jpeg_of, scene
from tests.support.stores import migrated_sqlite

pytestmark = pytest.mark.asyncio


class Blocks:
    """The pictures that are blocked."""

    def __init__(self) -> None:
        self.hash_changes, self.blocked = 0, frozenset[str]()

    def hashes(self) -> frozenset[str]:
        return self.blocked


class HangingSender:
    """An assistant that is not there."""

    def __init__(self) -> None:
        self.asked = 0

    async def post(self, *_: object, **__: object) -> ReceiverAnswer:
        self.asked += 1
        raise ReceiverUnreachableError("no answer within 20 s")


class House(ModerationHouse):
    """Moderation with a machine, whose evidence is one picture."""

    def __init__(self, store: KeyStore, **moderation: Any) -> None:
        super().__init__(store)
        self.jpeg: bytes | None = None
        self.reports_filed = 0
        self.known = Path()
        self.metrics, self.blocks, self.sender = Metrics(), Blocks(), HangingSender()
        self.config = Config(moderation=ModerationConfig(enabled=True, read_words=False, **moderation))
        rooms = self.moderation
        self.machine = MachineAssistance(
            self.config,
            store.database,
            self.clock,
            self.metrics,
            self.sender,
            cast("Any", SimpleNamespace(channels=tuple, find_channel=lambda _: None)),
            desk=MachineDesk(store.database, rooms.cases, rooms.reports.store, rooms.follow_ups, self.clock),
            pictures=self,
            blocks=self.blocks,
        )
        rooms.follow_ups.assistance = rooms.cases.assistance = self.machine.assistance

    async def picture(self, _case_id: str) -> bytes | None:
        return self.jpeg

    async def looked_at(self) -> Any:
        """Report, wait until the machine has looked, and return the case."""
        self.reports_filed += 1
        await self.report(self.reports_filed)
        await self.moderation.follow_ups.drained()
        return await self.case()


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = KeyStore(migrated_sqlite(tmp_path / "streamd.db"))
    await store.start()
    known = tmp_path / "known.txt"
    known.write_text("# nothing yet\n")
    house = House(store, hash_lists=[str(known)], assistant_url="https://assistant.example/v1")
    house.known = known
    await house.start()
    await house.machine.start()
    yield house
    await house.moderation.close()
    await house.machine.close()
    await store.close()


@needs_moderation
async def test_a_reported_picture_that_is_blocked_here_is_on_top(house: House) -> None:
    house.jpeg = jpeg_of(scene(1, 1280, 720), 960, 540)
    first = await house.looked_at()
    assert (first.is_on_top, first.machine_summary) == (False, "")
    (finding,) = await house.machine.assistance.findings(first.id)
    assert finding.look.is_comparable
    house.blocks.blocked = frozenset((finding.look.hash,))
    house.blocks.hash_changes += 1
    house.machine.tick()
    house.clock.advance(600)
    second = await house.looked_at()
    assert second.is_on_top
    assert second.machine_summary == "known picture: blocks, 0 of 256 bits off"
    await asyncio.gather(*house.machine.assistance._suggestions)
    assert house.sender.asked == 2, "the assistant that does not answer was asked behind it, and changed nothing"


@needs_moderation
async def test_a_list_that_was_replaced_holds_within_a_minute(house: House) -> None:
    house.jpeg = jpeg_of(scene(1, 1280, 720), 960, 540)
    house.machine.tick()
    first = await house.looked_at()
    (finding,) = await house.machine.assistance.findings(first.id)
    house.known.write_text(f"{finding.look.hash}\n{finding.look.hash[1:]}\n")
    house.clock.advance(600)
    house.machine.tick()
    assert house.machine._files is not None
    await house.machine._files
    second = await house.looked_at()
    assert second.machine_summary == "known picture: known.txt, 0 of 256 bits off"
    ready = house.machine.assistance.ready
    assert ready is not None
    assert ready.lists[0].faults == ("line 2: a hash of 63 hexadecimal digits: an odd number, where PDQ has 64",)


@pytest.mark.parametrize(
    "jpeg", [b"", b"<html>", b"\xff\xd8\xff" + bytes(4096), draw_picture(*Clip().fragmented())[:700]]
)
async def test_a_picture_that_breaks_the_decoder_costs_nothing_but_itself(jpeg: bytes, house: House) -> None:
    house.jpeg = jpeg
    case = await house.looked_at()
    assert (case.is_on_top, case.machine_summary) == (False, "")
    assert (await house.machine.assistance.record()).waiting == 0


async def test_files_are_looked_for_once_a_minute(house: House) -> None:
    house.machine.tick()
    first = house.machine._files
    assert first is not None
    await first
    house.clock.advance(FILES_EVERY_S - 1)
    house.machine.tick()
    assert house.machine._files is first
    house.clock.advance(1)
    house.machine.tick()
    assert house.machine._files is not first
    await asyncio.gather(house.machine._files)


async def test_a_machine_is_wanted_where_moderation_is_on_and_it_may_look() -> None:
    for enabled, scan, wanted in (
        (True, "reported", True),
        (True, "all", True),
        (True, "off", False),
        (False, "all", False),
    ):
        moderation = ModerationConfig.model_validate({"enabled": enabled, "scan": scan})
        assert MachineAssistance.is_wanted(Config(moderation=moderation)) is wanted

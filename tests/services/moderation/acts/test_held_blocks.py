from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from streamd.clock import ManualClock
from streamd.errors import TakedownNotFoundError
from streamd.services.keys.admission import Denial
from streamd.services.keys.bars import Bars
from streamd.services.moderation.acts.block import Block, BlockKind, BlockScope
from streamd.services.moderation.acts.held_blocks import HeldBlocks
from streamd.services.playback.countries import Countries
from streamd.services.playback.gate import PlaybackGate
from streamd.services.playback.gate_options import GateOptions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANNA = Block("blk_1", BlockKind.CHANNEL, "anna", BlockScope.PUBLISH, NOW, "mia")


@pytest.fixture
def bars() -> Bars:
    return Bars()


@pytest.fixture
def held(bars: Bars) -> HeldBlocks:
    return HeldBlocks(bars, PlaybackGate(ManualClock(), GateOptions(), Countries(None)))


def test_a_block_bars_from_the_step_in_which_it_is_held(held: HeldBlocks, bars: Bars) -> None:
    held.hold(ANNA)
    assert bars.denial("anna", "key", "192.0.2.1") is Denial.TAKEN_DOWN
    held.release(ANNA)
    assert bars.denial("anna", "key", "192.0.2.1") is None
    with pytest.raises(TakedownNotFoundError):
        held.find("blk_1")


def test_an_equal_block_is_known_but_while_the_first_is_leaving(held: HeldBlocks) -> None:
    held.hold(ANNA)
    equal = replace(ANNA, id="blk_2", kind=BlockKind.USER)
    assert held.known(equal) == ANNA
    with held.leaving("blk_1"):
        assert held.known(equal) is None
        held.hold(equal)
    # The first goes, and leaves its place to the second.
    held.release(ANNA)
    assert held.known(ANNA) == equal
    assert [block.id for block in held.of_channel("anna")] == ["blk_2"]


def test_a_block_whose_end_has_come_stays_in_lists_until_it_is_forgotten(held: HeldBlocks, bars: Bars) -> None:
    ending = replace(ANNA, until=NOW + timedelta(hours=1))
    held.hold(ending)
    assert held.over(NOW) == []
    assert held.over(NOW + timedelta(hours=1)) == [ending]
    held.release(ending, forgets=False)
    assert ("anna" in bars.channels, "blk_1" in held) == (False, True)
    held.forget(ending)
    assert (len(held), held.over(NOW + timedelta(days=1))) == (0, [])


def test_changes_are_counted_and_hashes_listed(held: HeldBlocks) -> None:
    seen = held.hash_changes
    held.hold(replace(ANNA, kind=BlockKind.HASH, value="ab" * 32))
    assert held.hash_changes != seen
    assert held.hashes() == {"ab" * 32}
    assert [block.id for block in held.missing_from({"blk_9"})] == ["blk_1"]

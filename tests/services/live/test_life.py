from __future__ import annotations

from itertools import product

import pytest

from streamd.errors import LocalStateError
from streamd.services.live.life import TRANSITIONS, Life, Turn, after


@pytest.mark.parametrize(("life", "turn"), [*product(Life, Turn)])
def test_there_is_a_next_state_or_a_fault_of_ours(life: Life, turn: Turn) -> None:
    if (life, turn) in TRANSITIONS:
        assert after(life, turn) is TRANSITIONS[life, turn]
    else:
        with pytest.raises(LocalStateError, match=f"{life.value} cannot {turn.value}"):
            after(life, turn)


def test_the_end_is_from_everywhere_and_for_good() -> None:
    assert {after(life, Turn.END) for life in Life} == {Life.ENDED}
    assert [turn for turn in Turn if (Life.ENDED, turn) in TRANSITIONS] == [Turn.END]


def test_only_who_is_lost_comes_back() -> None:
    assert [life for life in Life if (life, Turn.RESUME) in TRANSITIONS] == [Life.AWAY]
    assert [life for life in Life if (life, Turn.LOSE) in TRANSITIONS] == [Life.LIVE]

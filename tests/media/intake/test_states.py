from __future__ import annotations

import pytest

from streamd.media.intake.states import TABLE, Kind, State, Step

UNOPENED = {State.CLOSED, State.WAITING}
# Nothing is as it was opened while nothing is open; nothing is otherwise while the tracks are as they were.
IMPOSSIBLE = {(state, Kind.KNOWN_FRAME) for state in UNOPENED} | {
    (State.OPEN, Kind.TURN),
    (State.OPEN, Kind.OTHER_SOUND),
    (State.OPEN, Kind.OTHER_PICTURE),
}


def test_each_kind_of_tag_has_a_row_in_each_state() -> None:
    assert {(state, kind) for state in State for kind in Kind} - TABLE.keys() == IMPOSSIBLE


def test_a_frame_that_is_too_early_is_dropped_in_every_state() -> None:
    assert {TABLE[state, Kind.EARLY_FRAME] for state in State} == {(Step.DROP, frozenset({state})) for state in State}


def test_a_header_opens_nothing_and_closes_nothing() -> None:
    for state in State:
        step, after = TABLE[state, Kind.HEADER]
        assert step is Step.BEGIN_ANEW
        assert all((each in UNOPENED) is (state in UNOPENED) for each in after)


@pytest.mark.parametrize("state", State)
def test_frames_go_through_only_where_a_demuxer_is_open(state: State) -> None:
    passes = any(step is Step.PASS for (at, _), (step, _) in TABLE.items() if at is state)
    assert passes is (state not in UNOPENED)


def test_every_state_but_the_first_is_left_and_reached() -> None:
    steps = {(before, after) for (before, _), (_, states) in TABLE.items() for after in states if before is not after}
    assert {before for before, _ in steps} == set(State)
    # A demuxer is closed by its owner, or for the next.
    assert {after for _, after in steps} == set(State)

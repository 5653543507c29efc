from __future__ import annotations

import itertools

import pytest

from streamd.errors import CommandError
from streamd.formats.rtmp.state import TRANSITIONS, Input, State, next_state


def test_every_step_is_in_the_table_or_a_command_error() -> None:
    for state, step in itertools.product(State, Input):
        if (state, step) in TRANSITIONS:
            assert next_state(state, step) is TRANSITIONS[state, step]
        else:
            with pytest.raises(CommandError, match=f"{step.value} while {state.value}"):
                next_state(state, step)


def test_every_state_can_be_reached_and_closed() -> None:
    assert {State.HANDSHAKE, *TRANSITIONS.values()} == set(State)
    assert all(TRANSITIONS[state, Input.CLOSE] is State.CLOSED for state in State)


def test_nothing_leads_out_of_closed() -> None:
    assert {after for (before, _), after in TRANSITIONS.items() if before is State.CLOSED} == {State.CLOSED}


def test_publishing_begins_only_by_accepting() -> None:
    ways = {key for key, after in TRANSITIONS.items() if after is State.PUBLISHING and key[0] is not State.PUBLISHING}
    assert ways == {(State.PUBLISH_PENDING, Input.ACCEPT)}

"""The states of a connection on which we publish."""

from __future__ import annotations

import pytest

from streamd.errors import CommandError
from streamd.formats.rtmp.client_state import TRANSITIONS, ClientInput, ClientState, next_client_state


class TestTransitions:
    """RTMP 1.0 section 7.2, for a client that publishes."""

    @pytest.mark.parametrize("state", ClientState)
    @pytest.mark.parametrize("step", ClientInput)
    def test_every_pair_is_a_step_of_the_table_or_a_fault(self, state: ClientState, step: ClientInput) -> None:
        if (state, step) in TRANSITIONS:
            assert next_client_state(state, step) is TRANSITIONS[state, step]
        else:
            with pytest.raises(CommandError, match=f"{step.value} while {state.value}"):
                next_client_state(state, step)

    @pytest.mark.parametrize("state", ClientState)
    def test_any_state_can_be_closed(self, state: ClientState) -> None:
        assert next_client_state(state, ClientInput.CLOSE) is ClientState.CLOSED

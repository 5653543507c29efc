"""The states of a connection on which we publish to another server, and every step between them.

Spec: RTMP 1.0 (2012) sections 5.2 and 7.2, for a client that publishes.
"""

from __future__ import annotations

import enum

from streamd.errors import CommandError


class ClientState(enum.Enum):
    """The states of a connection."""

    HANDSHAKE = "handshake"
    """S0, S1 and S2 are not all here."""
    CONNECTING = "connecting"
    """``connect`` is sent, and not answered."""
    CREATING = "creating"
    """``createStream`` is sent, and not answered."""
    PUBLISH_PENDING = "publish_pending"
    """``publish`` is sent, and not answered."""
    PUBLISHING = "publishing"
    """The server takes media."""
    CLOSED = "closed"
    """Nothing is read or sent any more."""


class ClientInput(enum.Enum):
    """The steps from state to state; the value is the name of a step in errors."""

    HANDSHAKE = "the handshake"
    CONNECTED = "an answer to connect"
    CREATED = "an answer to createStream"
    PUBLISHED = "an answer to publish"
    CLOSE = "close"


TRANSITIONS: dict[tuple[ClientState, ClientInput], ClientState] = {
    (ClientState.HANDSHAKE, ClientInput.HANDSHAKE): ClientState.CONNECTING,
    (ClientState.CONNECTING, ClientInput.CONNECTED): ClientState.CREATING,
    (ClientState.CREATING, ClientInput.CREATED): ClientState.PUBLISH_PENDING,
    (ClientState.PUBLISH_PENDING, ClientInput.PUBLISHED): ClientState.PUBLISHING,
    # Some servers say NetStream.Publish.Start twice: as onStatus, and with onFCPublish.
    (ClientState.PUBLISHING, ClientInput.PUBLISHED): ClientState.PUBLISHING,
} | {(state, ClientInput.CLOSE): ClientState.CLOSED for state in ClientState}


def next_client_state(state: ClientState, step: ClientInput) -> ClientState:
    """The state to which ``step`` leads from ``state``.

    Raises:
        CommandError: Nowhere: the server said something out of turn.
    """
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise CommandError(f"{step.value} while {state.value}") from None

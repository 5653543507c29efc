"""The states of a publisher's connection, and every step between them.

Spec: RTMP 1.0 (2012) sections 5.2 and 7.2, for a server that is published to.
"""

from __future__ import annotations

import enum

from streamd.errors import CommandError


class State(enum.Enum):
    """The states of a connection."""

    HANDSHAKE = "handshake"
    """Nothing is whole yet but maybe C0 and C1."""
    CONNECTING = "connecting"
    """The chunk stream flows; ``connect`` must come."""
    CONNECTED = "connected"
    """Nothing is published: not yet, or not any more."""
    PUBLISH_PENDING = "publish_pending"
    """Our owner decides on a publish; nothing more is read until then."""
    PUBLISHING = "publishing"
    """Media flows."""
    CLOSED = "closed"
    """Send what there is to send, then close. Nothing is read."""


class Input(enum.Enum):
    """The steps from state to state; the value is the name of a step in errors."""

    HANDSHAKE = "the handshake"
    CONNECT = "connect"
    CREATE_STREAM = "createStream"
    PUBLISH = "publish"
    UNPUBLISH = "the end of a publish"
    ACCEPT = "accept"
    REJECT = "reject"
    CLOSE = "close"


TRANSITIONS: dict[tuple[State, Input], State] = {
    (State.HANDSHAKE, Input.HANDSHAKE): State.CONNECTING,
    (State.CONNECTING, Input.CONNECT): State.CONNECTED,
    (State.CONNECTED, Input.CREATE_STREAM): State.CONNECTED,
    (State.CONNECTED, Input.PUBLISH): State.PUBLISH_PENDING,
    # FCUnpublish, closeStream and deleteStream say the same thing up to three times.
    (State.CONNECTED, Input.UNPUBLISH): State.CONNECTED,
    (State.PUBLISH_PENDING, Input.ACCEPT): State.PUBLISHING,
    (State.PUBLISH_PENDING, Input.REJECT): State.CLOSED,
    (State.PUBLISHING, Input.CREATE_STREAM): State.PUBLISHING,
    (State.PUBLISHING, Input.UNPUBLISH): State.CONNECTED,
} | {(state, Input.CLOSE): State.CLOSED for state in State}


def next_state(state: State, step: Input) -> State:
    """The state to which ``step`` leads from ``state``.

    Raises:
        CommandError: Nowhere: the peer said something out of turn.
    """
    try:
        return TRANSITIONS[state, step]
    except KeyError:
        raise CommandError(f"{step.value} while {state.value}") from None

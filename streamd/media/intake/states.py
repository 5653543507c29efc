"""The states of the gate, and what it does with a tag in each of them."""

from __future__ import annotations

import enum


class State(enum.IntEnum):
    """The state of the gate."""

    CLOSED = enum.auto()
    """No demuxer is open, and nothing is held for one."""
    WAITING = enum.auto()
    """No demuxer is open; frames are held until the tracks are all there."""
    OPEN = enum.auto()
    """A demuxer is open for the tracks that send frames."""
    DIFFERING = enum.auto()
    """A demuxer is open, and the tracks are no longer those that it was opened for."""


class Kind(enum.IntEnum):
    """The kind of a tag, to the tracks as they are."""

    HEADER = enum.auto()
    """A track begins anew with another sequence header, or ends with a broken one."""
    EARLY_FRAME = enum.auto()
    """Of a track that has not begun, and cannot begin with it."""
    TURN = enum.auto()
    """The tracks are not those that are open, and all can begin at it: a keyframe of the track that leads, or sound
    where no pictures lead; and the owner may have another demuxer."""
    KNOWN_FRAME = enum.auto()
    """Of a track as the demuxer was opened for it."""
    OTHER_SOUND = enum.auto()
    """Of an audio track that the demuxer was not opened for."""
    OTHER_PICTURE = enum.auto()
    """Of a video track that the demuxer was not opened for."""


class Step(enum.Enum):
    """The act that a tag brings about."""

    BEGIN_ANEW = enum.auto()
    """Let go of what is held of the track, and compare the tracks with those that are open."""
    DROP = enum.auto()
    HOLD = enum.auto()
    """Hold it, and open a demuxer if that is all."""
    PASS = enum.auto()
    """Let it through."""
    REOPEN = enum.auto()
    """Close the demuxer, and hold it for the next."""
    WAIT_FOR_PICTURE = enum.auto()
    """Drop it, or open a demuxer for sound alone where a keyframe has been waited for long enough."""


_UNOPENED = frozenset({State.CLOSED, State.WAITING})
_OPENED = frozenset({State.OPEN, State.DIFFERING})
_WAITING_OR_OPEN = frozenset({State.WAITING, State.OPEN})

TABLE: dict[tuple[State, Kind], tuple[Step, frozenset[State]]] = {
    (State.CLOSED, Kind.HEADER): (Step.BEGIN_ANEW, frozenset({State.CLOSED})),
    (State.CLOSED, Kind.EARLY_FRAME): (Step.DROP, frozenset({State.CLOSED})),
    (State.CLOSED, Kind.TURN): (Step.HOLD, _WAITING_OR_OPEN),
    (State.CLOSED, Kind.OTHER_SOUND): (Step.HOLD, _WAITING_OR_OPEN),
    (State.CLOSED, Kind.OTHER_PICTURE): (Step.HOLD, _WAITING_OR_OPEN),
    (State.WAITING, Kind.HEADER): (Step.BEGIN_ANEW, _UNOPENED),
    (State.WAITING, Kind.EARLY_FRAME): (Step.DROP, frozenset({State.WAITING})),
    (State.WAITING, Kind.TURN): (Step.HOLD, _WAITING_OR_OPEN),
    (State.WAITING, Kind.OTHER_SOUND): (Step.HOLD, _WAITING_OR_OPEN),
    (State.WAITING, Kind.OTHER_PICTURE): (Step.HOLD, _WAITING_OR_OPEN),
    (State.OPEN, Kind.HEADER): (Step.BEGIN_ANEW, _OPENED),
    (State.OPEN, Kind.EARLY_FRAME): (Step.DROP, frozenset({State.OPEN})),
    (State.OPEN, Kind.KNOWN_FRAME): (Step.PASS, frozenset({State.OPEN})),
    (State.DIFFERING, Kind.HEADER): (Step.BEGIN_ANEW, _OPENED),
    (State.DIFFERING, Kind.EARLY_FRAME): (Step.DROP, frozenset({State.DIFFERING})),
    (State.DIFFERING, Kind.TURN): (Step.REOPEN, _WAITING_OR_OPEN),
    (State.DIFFERING, Kind.KNOWN_FRAME): (Step.PASS, frozenset({State.DIFFERING})),
    (State.DIFFERING, Kind.OTHER_SOUND): (Step.WAIT_FOR_PICTURE, frozenset({State.DIFFERING, State.OPEN})),
    (State.DIFFERING, Kind.OTHER_PICTURE): (Step.DROP, frozenset({State.DIFFERING})),
}
"""The act, and the states of the gate behind it. A pair without a row cannot be."""

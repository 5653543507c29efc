"""The life of a live stream, as one table."""

from __future__ import annotations

import enum

from streamd.errors import LocalStateError


class Life(enum.Enum):
    """The states in a stream's life."""

    LIVE = "live"
    """A publisher feeds it."""
    AWAY = "away"
    """Its publisher's connection is gone, and it waits for it to come back."""
    ENDED = "ended"
    """Its playlists have ended; they are served for a while."""


class Turn(enum.Enum):
    """The events in a stream's life."""

    LOSE = "lose"
    """The publisher's connection is gone, and may come back."""
    RESUME = "resume"
    """The publisher is back."""
    END = "end"
    """It is over, for any reason; also once more."""


TRANSITIONS = {
    (Life.LIVE, Turn.LOSE): Life.AWAY,
    (Life.AWAY, Turn.RESUME): Life.LIVE,
    (Life.LIVE, Turn.END): Life.ENDED,
    (Life.AWAY, Turn.END): Life.ENDED,
    (Life.ENDED, Turn.END): Life.ENDED,
}


def after(life: Life, turn: Turn) -> Life:
    """The state of a stream after a turn.

    Raises:
        LocalStateError: The turn cannot be, where the stream is.
    """
    try:
        return TRANSITIONS[life, turn]
    except KeyError:
        raise LocalStateError(f"a stream that is {life.value} cannot {turn.value}") from None

"""The life of a live stream, as one table."""

from __future__ import annotations

import enum

from streamd.errors import LocalStateError


class Life(enum.Enum):
    """Where a stream is in its life."""

    LIVE = "live"
    """A publisher feeds it."""
    AWAY = "away"
    """Its publisher's connection is gone, and it waits for it to come back."""
    ENDED = "ended"
    """Its playlists have ended; they are served for a while."""


class Turn(enum.Enum):
    """What happens to a stream."""

    LOSE = "lose"
    """The publisher's connection is gone, and may come back."""
    RESUME = "resume"
    """The publisher is back."""
    END = "end"
    """It is over, for whatever reason; also once more."""


TRANSITIONS = {
    (Life.LIVE, Turn.LOSE): Life.AWAY,
    (Life.AWAY, Turn.RESUME): Life.LIVE,
    (Life.LIVE, Turn.END): Life.ENDED,
    (Life.AWAY, Turn.END): Life.ENDED,
    (Life.ENDED, Turn.END): Life.ENDED,
}


def after(life: Life, turn: Turn) -> Life:
    """Where a stream is after a turn.

    Raises:
        LocalStateError: The turn cannot be, where the stream is.
    """
    try:
        return TRANSITIONS[life, turn]
    except KeyError:
        raise LocalStateError(f"a stream that is {life.value} cannot {turn.value}") from None

"""Moderation as the rest of the server knows it: one object, where it is switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.services.events.event import EventSink
    from streamd.services.moderation.options import ModerationOptions
    from streamd.services.store.database import Database


class Moderation:
    """The rooms of moderation, built in the order in which they know each other.

    Args:
        options: As configured.
        database: The key store's.
        clock: For all times.
        tell: Gets the events.

    Attributes:
        options: As given; another may be put in its place while it runs.
    """

    def __init__(self, options: ModerationOptions, database: Database, clock: Clock, tell: EventSink) -> None:
        self.options = options
        self._database = database
        self._clock = clock
        self._tell = tell

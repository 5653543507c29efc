"""The use that a command makes of the key store."""

from __future__ import annotations

import enum


class Need(enum.Enum):
    """The use that a command makes of the key store, where no server runs that it could ask."""

    READ = enum.auto()
    """Nothing is written or made: a mistyped directory stays as it is."""
    CHANGE = enum.auto()
    """Something that is in it is changed, so it has to be there."""
    MAKE = enum.auto()
    """It may be the first to use it."""

"""Whether this node may serve: what it shows must not be what another node was told to have taken down.

A node serves while its lease lasts, as it hears every act then. Its own count of the lease begins when it *asks* for
the renewal, and others' when they hear of it: so a node that was stopped for a while finds its lease at an end before
anybody else believes so. It serves again when it has read in the database what it may have missed.

A node that reaches the database alone serves too, and reads it each ``DATABASE_POLL_S``. One that cannot read what it
has missed goes on or stops, as the operator decides (``on_isolation``); a process that was stopped does neither before
it has tried.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamd.clock import Clock

# How often a node reads the database that hears nothing, seconds.
DATABASE_POLL_S = 5.0
# A reading that fails once is tried again before what the last one said is old.
READ_GOOD_S = 2 * DATABASE_POLL_S
# A node whose lease runs out goes on for so long, in which it reads the database; whoever waits for the end of a lease
# waits so much longer. So viewers of a node that loses NATS see nothing of it.
GRACE_S = 0.5


class Standing(enum.StrEnum):
    """By what right a node serves."""

    LEASED = "leased"
    """It hears every act."""
    DATABASE = "database"
    """It reads what has changed, a few seconds late."""
    ALONE = "alone"
    """It reaches nothing, and the operator has it go on."""
    NONE = "none"
    """It serves nothing."""


class Permit:
    """The right of this node to serve.

    Args:
        clock: Loop time alone.
        lease_s: For how long a renewal is good, seconds.
        isolation_s: For how long a node that reaches nothing goes on all the same, seconds.
        keeps_on: It goes on after that, too.
    """

    def __init__(self, clock: Clock, *, lease_s: float, isolation_s: float, keeps_on: bool) -> None:
        self._clock = clock
        self._lease_s = lease_s
        self._isolation_s = isolation_s
        self._keeps_on = keeps_on
        never = float("-inf")
        self._leased_until = never
        self._leased_since = never
        self._read_at = never
        self._tried_until = never
        # What was missed is read by a reading that began after this.
        self._missed_at = clock.monotonic()

    @property
    def lease_is_good(self) -> bool:
        """Whether the channels of this node are its own: nobody has found its lease at an end."""
        return self._clock.monotonic() < self._leased_until

    @property
    def leased_until(self) -> float:
        """Loop time at which the lease ends, or has ended."""
        return self._leased_until

    @property
    def has_missed(self) -> bool:
        """Whether something may have been told that this node has not heard: the database is to be read."""
        return self._has_missed(self._clock.monotonic())

    def _has_missed(self, now: float) -> bool:
        if self._read_at < self._missed_at:
            return True
        # From the end of the lease on nobody waits for this node.
        return now >= self._leased_until and self._read_at < self._leased_until

    def begin_try(self) -> float:
        """Note that the lease is to be renewed, and the database to be read where that is due.

        Returns:
            Loop time, for the notes of what comes of it.
        """
        now = self._clock.monotonic()
        if self._was_stopped(now):
            # Acts that came meanwhile were given up by whoever told them.
            self._missed_at = now
        return now

    def note_renewed(self, asked_at: float) -> None:
        """Note that the lease was renewed.

        Args:
            asked_at: Loop time when the renewal was sent.
        """
        if asked_at >= self._leased_until:
            self.note_gap(asked_at)
        self._leased_until = max(self._leased_until, asked_at + self._lease_s)

    def note_gap(self, asked_at: float) -> None:
        """Note that nobody may have waited for this node before a renewal.

        Args:
            asked_at: Loop time when that was sent.
        """
        self._missed_at = max(self._missed_at, asked_at)
        self._leased_since = max(self._leased_since, asked_at)

    def had_lease_at(self, moment: float) -> bool:
        """Whether the lease of this moment has lasted since an earlier one.

        Args:
            moment: Loop time.
        """
        return self._leased_since <= moment and self.lease_is_good

    def note_deaf(self) -> None:
        """Note that the connection over which acts come was lost, if only for a moment."""
        self._missed_at = self._clock.monotonic()

    def note_read(self, began_at: float) -> None:
        """Note that the database was read, and what it says holds here.

        Args:
            began_at: Loop time when the reading began.
        """
        self._read_at = max(self._read_at, began_at)

    def note_tried(self, began_at: float) -> None:
        """Note that all was tried that was due, whatever came of it.

        Args:
            began_at: Loop time when the try began.
        """
        self._tried_until = began_at + self._lease_s

    @property
    def standing(self) -> Standing:
        """By what right this node serves now."""
        now = self._clock.monotonic()
        if now < self._leased_until + GRACE_S and self._read_at >= self._missed_at:
            return Standing.LEASED
        if self._was_stopped(now):
            return Standing.NONE
        since_read = now - self._read_at
        if not self._has_missed(now) and since_read < READ_GOOD_S:
            return Standing.DATABASE
        if self._keeps_on or since_read < self._isolation_s:
            return Standing.ALONE
        return Standing.NONE

    @property
    def may_serve(self) -> bool:
        """Whether anything may be shown; asked with every request."""
        return self.standing is not Standing.NONE

    def _was_stopped(self, now: float) -> bool:
        """Whether no try has come to its end for so long that the process was stopped, or its loop hangs."""
        return now >= self._tried_until

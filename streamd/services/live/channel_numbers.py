"""The first free number of each channel, so that none is used twice: not in this process, nor in the next.

Numbers come from the clock, seconds since 2020 (``Numbering.at``), and a channel uses fewer than time passes as a rule.
Two things break that: media that comes faster than time, which concerns that channel alone, and a clock that is behind
when the next server starts. So a channel that runs ahead of the clock is remembered by its name, and numbers are
reserved on the disk before their use, seldom and by the thousand.

Spec: rfc8216bis-22 section 6.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import randrange
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Channels that are remembered because they run ahead of the clock. Each has a key that the operator issued, and media
# that came faster than time, or a clock that is behind: about 100 bytes a piece, in memory and in the record.
CHANNELS_AHEAD_MAX = 4096
# The record is looked at once a second. The numbers used between two looks have to fit into the reservation: 600
# numbers are 20 minutes of media in segments of 2 s, and even 5,000 parts of a file that is sent at once do.
RESERVE_LEFT_S_MIN = 600
# Least extension of a reservation: each one is a write to the disk.
RESERVE_S = 1200
# A channel may use a day's numbers before their time, which is two days of media in segments of 2 s: a file that is
# sent at once is shorter. Its publisher is told so, and it goes on as time passes.
NUMBERS_AHEAD_S_MAX = 86_400
# Seconds since 2020, in the year 2336: a record that says more is damaged, and dates end in 9999.
SECONDS_MAX = 10_000_000_000
# Seconds since 2020 of the year 2026, before which no server of this kind ran: a clock that says less is behind.
CLOCK_S_MIN = 189_388_800
# Where the clock is behind and nothing tells which numbers were used before, the first is drawn from so many: an hour's
# media that a cache still has then bears other names, but for one time in 700.
UNKNOWN_START_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class ChannelAhead:
    """A channel that has used numbers whose time has not come."""

    name: str
    until_s: Annotated[int, Field(ge=0, le=SECONDS_MAX)]
    """Seconds since 2020 from which on ``Numbering.at`` gives numbers that the channel has not used."""


class ChannelNumbers:
    """The first number that each channel may use, as seconds for ``Numbering.at``.

    The clock is the caller's: seconds since 2020, on a clock that never goes back while the process runs.
    """

    def __init__(self) -> None:
        # A channel that is not ahead has used only numbers below this, or below the clock.
        self._floor_s = 0
        # The clock when another process had left that floor.
        self._restored_at_s = 0
        # The reservation on the disk for all channels that keep to the clock.
        self._reserved_s = 0
        # By channel: the numbers used until now, and the disk's reservation for channels that use more.
        self._ahead: dict[str, int] = {}
        self._reserved_ahead: dict[str, int] = {}

    def __len__(self) -> int:
        """Channels that are remembered."""
        return len(self._ahead)

    def first_s(self, name: str, now_s: int) -> int:
        """Return the first number for a stream of a channel.

        Args:
            name: The channel.
            now_s: The clock.
        """
        return max(now_s, self._floor_s, self._ahead.get(name, 0))

    def is_exhausted(self, name: str, now_s: int) -> bool:
        """Tell whether a channel has used a day's numbers before their time, and begins no stream until time passes."""
        return self.is_too_far(self._ahead.get(name, 0), now_s)

    def is_too_far(self, until_s: int, now_s: int) -> bool:
        """Tell whether a channel with all numbers used up to a moment is a day ahead of time.

        Args:
            until_s: From where on nothing is used.
            now_s: The clock; one that was behind when the process began does not make anybody fast.
        """
        return self._lead_s(until_s, now_s) > NUMBERS_AHEAD_S_MAX

    def note_used(self, name: str, until_s: int, now_s: int) -> None:
        """Take note of a channel's used numbers.

        Args:
            name: The channel.
            until_s: From where on it has used nothing.
            now_s: The clock.
        """
        if until_s <= now_s or until_s <= self._floor_s:
            if self._ahead:
                self._ahead.pop(name, None)
            return
        self._ahead[name] = max(until_s, self._ahead.get(name, 0))
        if len(self._ahead) > CHANNELS_AHEAD_MAX:
            self._forget_passed(now_s)
        if len(self._ahead) > CHANNELS_AHEAD_MAX:
            # All begin behind the least advanced of them: no number is used twice, and a channel far ahead does not
            # take the others along.
            least = min(self._ahead, key=self._ahead.__getitem__)
            self._floor_s = max(self._floor_s, self._ahead.pop(least))

    def restore(
        self,
        reserved_s: int,
        ahead: Iterable[ChannelAhead],
        now_s: int,
        alive_until_s: int = 0,
        draw: Callable[[int], int] = randrange,
    ) -> None:
        """Begin behind another process' reservations, used or not.

        Args:
            reserved_s: For all channels.
            ahead: For single ones.
            now_s: The clock.
            alive_until_s: Until when that process may have been alive; 0 where that is not known.
            draw: Returns a whole number below a limit.
        """
        if now_s < CLOCK_S_MIN and not reserved_s and not alive_until_s:
            # A board without a battery, whose data directory is new or was lost.
            reserved_s = CLOCK_S_MIN + draw(UNKNOWN_START_S)
        if max(now_s, reserved_s) < alive_until_s <= SECONDS_MAX:
            # The clock is behind, and the reservation is damaged, or a full disk has not taken it for too long.
            reserved_s = alive_until_s + RESERVE_LEFT_S_MIN
        self._floor_s = self._reserved_s = reserved_s
        self._restored_at_s = now_s
        for channel in ahead:
            self.note_used(channel.name, channel.until_s, now_s)

    def reserve(self, used: Iterable[tuple[str, int, bool]], now_s: int) -> tuple[int, tuple[ChannelAhead, ...]]:
        """Return the reservations for the disk; equal to the last answer as long as that is enough.

        Args:
            used: The channels that are live: name, from where on nothing is used, and whether any of it was.
            now_s: The clock.

        Returns:
            Seconds until which numbers may be taken by any channel, and the channels that go beyond.
        """
        live: dict[str, int] = {}
        for name, until_s, is_used in used:
            self.note_used(name, until_s, now_s)
            if is_used:
                live[name] = until_s
        self._forget_passed(now_s)
        # A channel that has used no number needs none: a server that fails early does not run further ahead each time.
        if live and self._reserved_s - now_s < RESERVE_LEFT_S_MIN:
            self._reserved_s = now_s + RESERVE_S
        reserved = self._reserved_ahead
        for name in reserved.keys() - live.keys():
            del reserved[name]
        for name, until_s in live.items():
            if until_s + RESERVE_LEFT_S_MIN <= max(now_s + RESERVE_LEFT_S_MIN, self._reserved_s):
                reserved.pop(name, None)
            elif until_s + RESERVE_LEFT_S_MIN > reserved.get(name, 0):
                # The further it is ahead, the more at once: few writes bring anyone to the day's end, and none past it.
                lead_s = self._lead_s(until_s, now_s)
                reserved[name] = until_s + max(RESERVE_S, min(lead_s, NUMBERS_AHEAD_S_MAX - lead_s))
        beyond = self._ahead | reserved
        return self._reserved_s, tuple(
            ChannelAhead(name, until_s) for name, until_s in beyond.items() if until_s > self._reserved_s
        )

    def _lead_s(self, until_s: int, now_s: int) -> int:
        """Seconds that a channel is ahead of time; a clock that was behind at the start counts from the reservation."""
        return until_s - max(now_s, self._floor_s + now_s - self._restored_at_s)

    def _forget_passed(self, now_s: int) -> None:
        passed_s = max(now_s, self._floor_s)
        for name in [name for name, until_s in self._ahead.items() if until_s <= passed_s]:
            del self._ahead[name]

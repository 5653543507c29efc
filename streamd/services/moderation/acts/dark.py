"""What takedowns keep dark in memory: everywhere, or in the countries that their statement names, and until when.

Where a statement has a territorial scope, what is taken down is not shown there (451), and goes on elsewhere: its
channel may be live. Where it has an end, the takedown is over when that day is (UTC).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.errors import ModerationStateError, StatementError
from streamd.services.keys.bars import Held
from streamd.services.moderation.target import TargetKind
from streamd.services.playback.view_blocks import ViewBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    from streamd.services.keys.bars import Bars
    from streamd.services.moderation.acts.takedown import Hold
    from streamd.services.moderation.statement import Statement
    from streamd.services.moderation.target import Target
    from streamd.services.playback.gate import PlaybackGate

# What a statement can decide, and the field of its end.
_PARTS = (
    ("decision_visibility", "end_date_visibility_restriction"),
    ("decision_provision", "end_date_service_restriction"),
    ("decision_account", "end_date_account_restriction"),
)


class Dark:
    """What is dark by which takedown.

    Args:
        bars: Who may not publish, and which channels are dark.
        hidden: The recordings and clips that are dark by themselves.
        gate: Says who may watch.
        knows_countries: Whether the country of an address can be told.

    Attributes:
        changes: Counts what was made dark and lit again.
    """

    def __init__(self, bars: Bars, hidden: Held, gate: PlaybackGate, knows_countries: Callable[[], bool]) -> None:
        self.changes = 0
        self._bars = bars
        self._hidden = hidden
        self._gate = gate
        self._knows_countries = knows_countries
        self._holds: dict[str, Hold] = {}
        self._of_channel = Held()
        # Those that end by themselves.
        self._ending: dict[str, date] = {}

    def __len__(self) -> int:
        """How many takedowns stand."""
        return len(self._holds)

    def __contains__(self, takedown_id: str) -> bool:
        """Whether a takedown stands."""
        return takedown_id in self._holds

    def __iter__(self) -> Iterator[str]:
        """The ids of those that stand."""
        return iter([*self._holds])

    def check(self, target: Target, statement: Statement, today: date) -> None:
        """See that what a statement decides can be done by one act, where and for as long as it says.

        Args:
            target: What is to be taken down.
            statement: Why.
            today: The day that it is (UTC).

        Raises:
            StatementError: The parts of the decision end on different days, or it is over already; or it is about more
                than what is shown, and in some countries alone.
            ModerationStateError: The country of an address, or the channel of a key, cannot be told.
        """
        ends = {name: end for _, name in _PARTS if (end := getattr(statement, name)) is not None}
        for part, name in _PARTS:
            if name in ends and not getattr(statement, part):
                raise StatementError(name, f"it has an end, and {part} is not decided")
        for name, end in ends.items():
            if end < today:
                raise StatementError(name, "it is over already")
        for part, name in _PARTS:
            if ends and getattr(statement, part) and {*ends.values()} != {ends.get(name)}:
                raise StatementError(name, "a takedown ends as a whole: give all that it decides the same end, or none")
        if not statement.territorial_scope:
            return
        if statement.decision_provision or statement.decision_account:
            raise StatementError(
                "territorial_scope", "by country something is not shown; the service and the account are one for all"
            )
        if not self._knows_countries():
            raise ModerationStateError(
                "the country of an address cannot be told here: [playback] geoip_file has to name a database, or leave "
                "territorial_scope out to take it down everywhere"
            )
        if not _subject(target):
            raise ModerationStateError("the channel of the key cannot be looked up now: name the channel")

    def hold(self, takedown_id: str, hold: Hold, *, tells: bool = True) -> None:
        """Have a takedown keep its target dark.

        Args:
            takedown_id: Its id.
            hold: What, where and until when.
            tells: Who follows it where it is not shown is cut when this returns; without, ``tell_blocked`` of the gate
                does that, after many of these.
        """
        self.changes += 1
        target = hold.target
        self._holds[takedown_id] = hold
        self._of_channel.add(target.channel, takedown_id)
        if hold.ends_on is not None:
            self._ending[takedown_id] = hold.ends_on
        if hold.territory:
            self._gate.block(ViewBlock(_subject(target), hold.territory), takedown_id, tells=tells)
            return
        match target.kind:
            case TargetKind.RECORDING | TargetKind.CLIP:
                self._hidden.add(target.id, takedown_id)
            case TargetKind.KEY:
                self._bars.keys.add(target.id, takedown_id)
                if target.channel:
                    self._bars.channels.add(target.channel, takedown_id)
            case TargetKind.CHANNEL:
                self._bars.channels.add(target.id, takedown_id)

    def release(self, takedown_id: str) -> None:
        """A takedown keeps its target dark no more; others may. One that does not stand is left alone."""
        hold = self._holds.pop(takedown_id, None)
        if hold is None:
            return
        self.changes += 1
        target = hold.target
        self._ending.pop(takedown_id, None)
        self._of_channel.remove(target.channel, takedown_id)
        if hold.territory:
            self._gate.unblock(ViewBlock(_subject(target), hold.territory), takedown_id)
            return
        match target.kind:
            case TargetKind.RECORDING | TargetKind.CLIP:
                self._hidden.remove(target.id, takedown_id)
            case TargetKind.KEY:
                self._bars.keys.remove(target.id, takedown_id)
                self._bars.channels.remove(target.channel, takedown_id)
            case TargetKind.CHANNEL:
                self._bars.channels.remove(target.id, takedown_id)

    def over(self, today: date) -> list[str]:
        """The takedowns whose last day is over."""
        return [takedown_id for takedown_id, end in self._ending.items() if end < today]

    def of_channel(self, channel: str) -> tuple[str, ...]:
        """Ids of the takedowns that stand, of something of a channel."""
        return tuple(sorted(self._of_channel.holders(channel)))

    def still_dark_by(self, target: Target) -> tuple[str, ...]:
        """Ids of the takedowns and blocks that keep a target dark everywhere."""
        holders = self._hidden.holders(target.id) | self._bars.channels.holders(target.channel)
        if target.kind is TargetKind.KEY:
            holders |= self._bars.keys.holders(target.id)
        return tuple(sorted(holders))


def _subject(target: Target) -> str:
    """By what the gate knows a target: a key is shown as its channel; empty where that is not known."""
    return target.channel if target.kind is TargetKind.KEY else target.id

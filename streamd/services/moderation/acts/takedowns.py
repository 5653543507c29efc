"""Takedowns: everything of a target is dark before the call returns, and one act lights it again.

The order of an act is that of a revocation (keys/takedowns.py):

1. the target is dark in memory: every door asks there, and no key publishes;
2. its live streams are closed, with whoever waits for them or follows them;
3. the store is asked to write it with its row of the audit log, while caches in front are told;
4. the event with the statement of reasons goes to webhooks.

A store that is away changes nothing about 1 and 2; what it does not have yet is written when that is possible
(act_writer.py), also by the next server.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from streamd.errors import ModerationStateError, StoreUnavailableError, TakedownNotFoundError
from streamd.services.audit.audit_log import entry_of
from streamd.services.audit.records import SERVER
from streamd.services.events.event import Event, EventType
from streamd.services.keys.announce import Announce, alone
from streamd.services.keys.request import checked_reason
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.acts.act_writer import UnwrittenAct
from streamd.services.moderation.acts.takedown import CacheFault, RestoreResult, Takedown, TakedownResult
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.moderation.target import TargetKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.audit.records import Actor
    from streamd.services.events.event import EventSink, Value
    from streamd.services.keys.admission import Admission
    from streamd.services.keys.bars import Bars
    from streamd.services.moderation.acts.act_writer import ActWriter
    from streamd.services.moderation.acts.dark import Dark
    from streamd.services.moderation.acts.purge import Purge
    from streamd.services.moderation.acts.takedown_store import TakedownStore
    from streamd.services.moderation.statement import Statement
    from streamd.services.moderation.target import Target
    from streamd.services.playback.gate import PlaybackGate
    from streamd.services.store.page import Page

log = logging.getLogger(__name__)

# Copies in caches are looked up; a store that hangs holds up no moderator.
LOOK_UP_S: Final = 1.0
# Takedowns that end by themselves, in one look: a transaction each, and the next look is a second later.
ENDED_AT_ONCE_MAX: Final = 50


class Named(Protocol):
    """A live channel."""

    @property
    def name(self) -> str:
        """Its name."""


class LiveStreams(Protocol):
    """The live streams."""

    def channels(self) -> Iterable[Named]:
        """Those that are live."""

    async def close_barred(self, is_barred: Callable[[Admission], bool]) -> list[str]:
        """Close every stream whose admission is barred; returns their names."""


class KeepsEvidence(Protocol):
    """The room of evidence."""

    def begin(self, case_id: str, target: Target, at_s: float | None = None) -> object:
        """Have what is shown be kept; what is in memory of it is held when this returns.

        Args:
            case_id: The case, or the takedown that has none.
            target: What is taken down.
            at_s: When it was shown, seconds since 1970; None for now.
        """


class Takedowns:
    """Takes down and restores.

    Args:
        store: The takedowns.
        writer: Writes new ones.
        clock: For all times.
        dark: What is dark by which takedown.
        bars: Who may not publish.
        gate: Says who may watch.
        streams: The live streams.
        on_change: Called when something is dark, or is no more: what doors know of recordings is old.
        purge: Tells caches in front.
        paths_of: Finds what caches may have of a target.
        tell: Gets the events.
    """

    def __init__(
        self,
        store: TakedownStore,
        writer: ActWriter,
        clock: Clock,
        *,
        dark: Dark,
        bars: Bars,
        gate: PlaybackGate,
        streams: LiveStreams,
        on_change: Callable[[], None],
        purge: Purge,
        paths_of: Callable[[Target], Awaitable[Sequence[str]]],
        tell: EventSink,
    ) -> None:
        self._store = store
        self._writer = writer
        self._clock = clock
        self._dark = dark
        self._bars = bars
        self._gate = gate
        self._streams = streams
        self._on_change = on_change
        self._purge = purge
        self._paths_of = paths_of
        self._tell = tell
        self._fingerprint: tuple[object, ...] = ()
        self._acts: set[asyncio.Task[TakedownResult]] = set()
        self.announce: Announce = alone
        """Tells the other nodes of a cluster of takedowns."""
        self.evidence: KeepsEvidence | None = None
        """The room of evidence; None where there is none."""

    def __len__(self) -> int:
        """How many stand."""
        return len(self._dark)

    async def start(self) -> None:
        """Have what was taken down be dark, before any door opens.

        Raises:
            StoreUnavailableError: It cannot be read.
        """
        self._fingerprint = await self._store.fingerprint()
        for takedown_id, hold in await self._store.standing():
            self._dark.hold(takedown_id, hold, tells=False)
        for act in self._writer.waiting():
            if act.takedown is not None:
                self._dark.hold(act.id, act.takedown.hold, tells=False)
        self._on_change()

    async def recheck(self) -> None:
        """Look for what another server on the same database has done.

        Raises:
            StoreUnavailableError: It cannot be read.
        """
        fingerprint = await self._store.fingerprint()
        if fingerprint == self._fingerprint:
            return
        changes = self._dark.changes
        found = dict(await self._store.standing())
        if changes != self._dark.changes:
            # The rows may be from before an act of ours.
            return
        self._fingerprint = fingerprint
        for takedown_id in self._dark:
            if takedown_id not in found and not self._writer.waits(takedown_id):
                self._dark.release(takedown_id)
        news = [(takedown_id, hold) for takedown_id, hold in found.items() if takedown_id not in self._dark]
        for takedown_id, hold in news:
            self._dark.hold(takedown_id, hold, tells=False)
        self._on_change()
        if news:
            self._gate.tell_blocked("")
            await self._streams.close_barred(self._bars.bars)

    async def take_down(
        self,
        target: Target,
        statement: Statement,
        *,
        actor: Actor,
        case_id: str | None = None,
        order_id: str | None = None,
        since: datetime | None = None,
    ) -> TakedownResult:
        """Take a target down; everything of it is dark when this returns, whatever becomes of the store.

        Where the statement has a territorial scope, it is dark there alone; where it has an end, it is restored then.

        Args:
            target: What.
            statement: Why.
            actor: Who.
            case_id: The case that it decides.
            order_id: The order that it follows.
            since: When it was reported or ordered, for the public counts.

        Returns:
            The act; whether the store and the caches in front know of it.

        Raises:
            StatementError: The statement's parts do not fit each other, or no one act can do what it decides.
            ModerationStateError: It is for some countries, and the country of an address cannot be told.
        """
        began_at, now = self._clock.monotonic(), self._clock.now()
        takedown_id = new_id(IdKind.TAKEDOWN, now)
        statement = replace(
            statement,
            application_date=statement.application_date or now.date(),
            puid=statement.puid or takedown_id,
        )
        statement.check()
        self._dark.check(target, statement, now.date())
        takedown = Takedown(
            takedown_id, target, statement, made_at=now, made_by=actor.name, case_id=case_id, order_id=order_id
        )
        # It goes to its end also where its caller leaves.
        task = asyncio.create_task(self._do(takedown, actor, began_at, since))
        self._acts.add(task)
        task.add_done_callback(self._acts.discard)
        return await asyncio.shield(task)

    async def restore(self, takedown_id: str, *, actor: Actor, reason: str = "") -> RestoreResult:
        """Undo a takedown in one act: what it made dark is shown again, unless another act keeps it dark.

        Args:
            takedown_id: Its id.
            actor: Who.
            reason: Why, in their words.

        Raises:
            KeyRequestError: A reason that cannot be.
            TakedownNotFoundError: There is none with this id.
            ModerationStateError: It was restored before.
            StoreUnavailableError: It could not be written; what is dark stays so.
        """
        reason = checked_reason(reason)
        if self._writer.waits(takedown_id):
            raise StoreUnavailableError("the key store does not have the takedown yet: it stays dark until it does")
        known = await self._store.find(takedown_id)
        now = self._clock.now()
        target = known.target
        details = _details(known.statement, (now - known.made_at).total_seconds())
        entry = entry_of(now, actor, "takedown.restored", **self._row(known, details, reason))
        restored = await self._store.restore(takedown_id, at=now, by=actor, reason=reason, entry=entry)
        self._dark.release(takedown_id)
        self._on_change()
        log.info(
            "takedown.restored",
            extra={"takedown": takedown_id, "kind": target.kind.value, "stream": target.channel, "by": actor.name},
        )
        self._tell(
            Event(EventType.TAKEDOWN_RESTORED, now, self._about(restored) | {"by": actor.name, "reason": reason})
        )
        await self.announce("takedown", takedown_id, True)
        # A cache has kept the refusals for a second.
        faults = await self._tell_caches(target)
        return RestoreResult(restored, self._dark.still_dark_by(target), faults)

    async def look(self) -> None:
        """Restore what has ended by itself; called about once a second.

        Raises:
            StoreUnavailableError: It could not be written: it stays dark, and is tried again.
        """
        for takedown_id in self._dark.over(self._clock.now().date())[:ENDED_AT_ONCE_MAX]:
            if self._writer.waits(takedown_id):
                continue
            try:
                await self.restore(takedown_id, actor=SERVER, reason="its last day is over")
            except (ModerationStateError, TakedownNotFoundError):
                # Another server on the same database was faster.
                self._dark.release(takedown_id)
                self._on_change()

    async def find(self, takedown_id: str) -> Takedown:
        """One takedown.

        Raises:
            TakedownNotFoundError: There is none with this id.
            StoreUnavailableError: It could not be read.
        """
        for act in self._writer.waiting():
            if act.takedown is not None and act.id == takedown_id:
                return act.takedown
        return await self._store.find(takedown_id)

    async def of_case(self, case_id: str, since: datetime) -> Takedown | None:
        """The first takedown that was made for a case since a time; None where there is none.

        Raises:
            StoreUnavailableError: It could not be read.
        """
        for act in self._writer.waiting():
            if act.takedown is not None and act.takedown.case_id == case_id and act.takedown.made_at >= since:
                return act.takedown
        return await self._store.of_case(case_id, since)

    async def page(
        self, *, channel: str = "", target: str = "", stands: bool | None = None, before: str = "", limit: int
    ) -> Page[Takedown]:
        """Takedowns that are written, the newest first; arguments as of ``TakedownStore.page``."""
        return await self._store.page(channel=channel, target=target, stands=stands, before=before, limit=limit)

    def standing_of(self, channel: str) -> tuple[str, ...]:
        """Ids of the takedowns that stand, of something of a channel."""
        return self._dark.of_channel(channel)

    async def close(self) -> None:
        """Let the acts that are under way come to their end."""
        while self._acts:
            await asyncio.wait({*self._acts})

    # -- inside ---------------------------------------------------------------------------------

    async def _do(self, takedown: Takedown, actor: Actor, began_at: float, since: datetime | None) -> TakedownResult:
        target, statement = takedown.target, takedown.statement
        if takedown.case_id is None and self.evidence is not None:
            # Nobody has reported it, so nothing of it is kept: what is in memory is gone a moment later.
            try:
                self.evidence.begin(takedown.id, target)
            except Exception:
                # It is dark all the same.
                log.exception("evidence.failed", extra={"case": takedown.id})
        self._dark.hold(takedown.id, takedown.hold)
        self._on_change()
        closed = await self._streams.close_barred(self._bars.bars)
        took_s = self._clock.monotonic() - began_at
        # In the order in which they are read: the reason for which it is dark, and its statement.
        words = statement.illegal_content_legal_ground or statement.incompatible_content_ground
        seconds = (takedown.made_at - since).total_seconds() if since is not None else None
        row = self._row(takedown, _details(statement, seconds), words)
        entry = entry_of(takedown.made_at, actor, "takedown.made", **row)
        unwritten, faults = await asyncio.gather(
            self._writer.write(UnwrittenAct(takedown.id, entry, takedown=takedown)), self._tell_caches(target)
        )
        log.info(
            "takedown.made",
            extra={
                "takedown": takedown.id,
                "kind": target.kind.value,
                "stream": target.channel,
                "by": takedown.made_by,
                "closed": closed,
                "duration_s": round(took_s, 3),
            },
        )
        told: dict[str, Value] = {"by": takedown.made_by, "closed": closed}
        self._tell(Event(EventType.TAKEDOWN_MADE, takedown.made_at, self._about(takedown) | told))
        nodes = await self.announce("takedown", takedown.id, not unwritten)
        return TakedownResult(takedown, tuple(closed), took_s, unwritten, faults, nodes)

    async def _tell_caches(self, target: Target) -> tuple[CacheFault, ...]:
        if not self._purge.has_caches:
            return ()
        try:
            async with asyncio.timeout(LOOK_UP_S):
                paths = await self._paths_of(target)
        except (StoreUnavailableError, TimeoutError) as exc:
            reason = str(exc) or "the key store does not answer"
            log.warning("cache.recordings_untold", extra={"stream": target.channel, "reason": reason})
            paths = target.paths
        return await self._purge.tell(paths)

    def _row(self, takedown: Takedown, details: ActDetails, words: str) -> dict[str, str | None]:
        """What the row of the audit log says of a takedown."""
        target = takedown.target
        channel = target.channel or None
        said = target.id if target.kind in (TargetKind.RECORDING, TargetKind.CLIP) else ""
        return {
            "user": channel,
            "key_id": target.id if target.kind is TargetKind.KEY else None,
            "stream": channel,
            "reason": details.text(": ".join(filter(None, (said, words)))),
            "subject": takedown.id,
        }

    def _about(self, takedown: Takedown) -> dict[str, Value]:
        target = takedown.target
        return {
            "user": target.channel,
            "takedown_id": takedown.id,
            "target_kind": target.kind.value,
            "target": target.id,
            "case_id": takedown.case_id,
            "order_id": takedown.order_id,
            "statement": takedown.statement.as_json(),
        }


def _details(statement: Statement, seconds: float | None) -> ActDetails:
    return ActDetails(
        category=statement.category.value,
        source_type=statement.source_type.value,
        territorial_scope=statement.territorial_scope,
        automated_detection=statement.automated_detection,
        automated_decision=statement.automated_decision.value,
        ground=statement.decision_ground.name,
        seconds=None if seconds is None else max(0, int(seconds)),
    )

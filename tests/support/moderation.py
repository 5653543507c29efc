"""Moderation on a real store, with stand-ins for the rooms beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from streamd.clock import ManualClock
from streamd.errors import StoreUnavailableError, TakedownNotFoundError
from streamd.services.audit.records import Actor
from streamd.services.keys.service import KeyService
from streamd.services.keys.verifier import KeyVerifier
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.acts.takedown import Takedown
from streamd.services.moderation.cases.case_records import Case, CaseFilter, CaseState, Outcome
from streamd.services.moderation.categories import Category
from streamd.services.moderation.moderation import Moderation
from streamd.services.moderation.options import ModerationOptions
from streamd.services.moderation.target import Target, TargetKind, Targets
from streamd.services.recording.clip_index import ClipIndex
from streamd.services.recording.index import RecordingIndex

if TYPE_CHECKING:
    from streamd.services.audit.records import AuditEntry
    from streamd.services.events.event import Event
    from streamd.services.keys.key_store import KeyStore
    from streamd.services.moderation.cases.reports import Receipt
    from streamd.services.moderation.statement import Statement

ALICE = Target(TargetKind.CHANNEL, "alice", "alice")
MINA = Actor("mina", "192.0.2.7")
MAX = Actor("max", "192.0.2.8")
STATEMENT: dict[str, Any] = {
    "decision_ground": "ILLEGAL_CONTENT",
    "illegal_content_legal_ground": "Criminal Code, section 131",
    "illegal_content_explanation": "It shows violence in a way that glorifies it.",
    "decision_facts": "A person was beaten in front of the camera.",
    "decision_visibility": ["CONTENT_REMOVED"],
}
NOBODY_IS_LIVE: dict[str, int] = {}


@dataclass
class StandInTakedowns:
    """Takes everything down that it is asked to, and notes it."""

    done: list[tuple[Target, Statement, str, str | None]] = field(default_factory=list)
    restored: list[tuple[str, str, str]] = field(default_factory=list)
    kept: dict[str, Takedown] = field(default_factory=dict)
    fails: bool = False

    async def take_down(
        self,
        target: Target,
        statement: Statement,
        *,
        actor: Actor,
        case_id: str | None = None,
        since: datetime | None = None,
    ) -> Takedown:
        if self.fails:
            raise StoreUnavailableError("the disk is full")
        self.done.append((target, statement, actor.name, case_id))
        takedown_id = f"tkd_{len(self.done):026}"
        self.kept[takedown_id] = Takedown(
            takedown_id, target, statement, since or datetime(2026, 1, 1, tzinfo=UTC), actor.name, case_id
        )
        return self.kept[takedown_id]

    async def find(self, takedown_id: str) -> Takedown:
        if takedown_id not in self.kept:
            raise TakedownNotFoundError(takedown_id)
        return self.kept[takedown_id]

    async def of_case(self, case_id: str, since: datetime) -> Takedown | None:
        found = (each for each in self.kept.values() if each.case_id == case_id and each.made_at >= since)
        return next(found, None)

    async def restore(self, takedown_id: str, *, actor: Actor, reason: str) -> None:
        if self.fails:
            raise StoreUnavailableError("the disk is full")
        self.restored.append((takedown_id, actor.name, reason))


@dataclass
class StandInViewers:
    """How many watch which channels."""

    live: dict[str, int] = field(default_factory=dict)

    def viewers_of(self, channel: str) -> int | None:
        return self.live.get(channel)


class ModerationHouse:
    """Moderation with all that it asks.

    Args:
        store: Started.
        options: As configured.
        clock: Of another house on the same store.
    """

    def __init__(
        self, store: KeyStore, options: ModerationOptions | None = None, clock: ManualClock | None = None
    ) -> None:
        self.store = store
        self.clock = clock or ManualClock()
        self.told: list[Event] = []
        self.takedowns = StandInTakedowns()
        self.viewers = StandInViewers()
        self.keys = KeyService(store, self.clock, KeyVerifier(store, self.clock))
        recordings = RecordingIndex(store.database)
        clips = ClipIndex(store.database, recordings)
        self.targets = Targets(recordings, clips, store, lambda: "https://live.example.org")
        self.moderation = Moderation(
            options or ModerationOptions(),
            store.database,
            self.clock,
            targets=self.targets,
            viewers=self.viewers,
            tell=self.told.append,
        )
        self.moderation.cases.takedowns = self.takedowns

    async def start(self) -> ModerationHouse:
        await self.moderation.start()
        return self

    async def report(
        self, number: int = 1, target: Target | None = ALICE, category: Category = Category.VIOLENCE, **more: Any
    ) -> Receipt:
        """Report as the reporter of a number, each with an address of their own."""
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        return await self.moderation.reports.file(target, category, **{"address": address} | more)

    async def cases(self, state: CaseState | None = None) -> list[Case]:
        return list((await self.moderation.cases.store.page(CaseFilter(state), limit=100)).items)

    async def case(self) -> Case:
        """The only one."""
        (found,) = await self.cases()
        return found

    async def decide(self, case_id: str, by: Actor = MINA, **more: Any) -> Any:
        given: dict[str, Any] = {"outcome": Outcome.TAKEN_DOWN, "statement": STATEMENT}
        if more.get("outcome") is Outcome.NO_ACTION:
            given = {"reason": "It is a play."}
        return await self.moderation.cases.decide(case_id, by=by, **given | more)

    async def audited(self, action: str = "") -> list[AuditEntry]:
        rows = (await self.store.audit.page(after=0, limit=10_000)).items
        return [row.entry for row in rows if action in ("", row.entry.action)]

    async def details(self, action: str) -> list[tuple[ActDetails, int]]:
        return [(ActDetails.parse(entry.reason), entry.count) for entry in await self.audited(action)]

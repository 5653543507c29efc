"""Authorities' orders: carried out at once where they hold, with their clock, their effect and a reply.

An order without a territory takes down what it names. One for some countries keeps it from viewers there, and leaves it
to all others: what is ordered holds where whoever orders it has a say.

Spec: Regulation (EU) 2022/2065 article 9; Regulation (EU) 2021/784 article 3(3): terrorist content is gone "within one
hour of receipt of the removal order".
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Row, insert, select, update

from streamd.errors import (
    ModerationStateError,
    OrderError,
    StoreUnavailableError,
    TakedownNotFoundError,
    TargetNotFoundError,
    TargetRefusedError,
)
from streamd.services.audit.audit_log import append_entries
from streamd.services.audit.records import AuditEntry
from streamd.services.events.event import Event, EventType, rfc3339
from streamd.services.keys.request import checked_reason
from streamd.services.keys.stream_key import StreamKey
from streamd.services.moderation.act_details import ActDetails
from streamd.services.moderation.acts.block import BlockKind, BlockScope
from streamd.services.moderation.acts.order import (
    TERRORIST,
    TEXT_CHARS_MAX,
    URLS_MAX,
    Effect,
    Order,
    OrderEffect,
    OrderResult,
)
from streamd.services.moderation.acts.order_reply import reply_text
from streamd.services.moderation.ids import IdKind, new_id
from streamd.services.moderation.statement import SourceType, Statement
from streamd.services.moderation.target import TargetKind
from streamd.services.moderation.territory import countries_of
from streamd.services.store.page import Page
from streamd.services.store.schema import orders

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from streamd.clock import Clock
    from streamd.services.audit.records import Actor
    from streamd.services.events.event import EventSink
    from streamd.services.moderation.acts.blocks import Blocks
    from streamd.services.moderation.acts.takedowns import Takedowns
    from streamd.services.moderation.target import Target, Targets
    from streamd.services.store.database import Database

log = logging.getLogger(__name__)

# 2021/784 article 3(3).
TERRORIST_ORDER_S: Final = 3600
# A clock of an authority's may be ahead of ours.
AHEAD: Final = timedelta(minutes=5)
# Orders that the store does not have yet: each is written again once a second.
WAITING_MAX: Final = 1_000


class Orders:
    """Carries orders out.

    Args:
        database: The key store's.
        targets: Finds what they name.
        takedowns: Takes down.
        blocks: Blocks by country.
        clock: For all times.
        tell: Gets the events.
    """

    def __init__(
        self, database: Database, targets: Targets, takedowns: Takedowns, blocks: Blocks, clock: Clock, tell: EventSink
    ) -> None:
        self._database = database
        self._targets = targets
        self._takedowns = takedowns
        self._blocks = blocks
        self._clock = clock
        self._tell = tell
        self._waiting: dict[str, tuple[Order, AuditEntry]] = {}

    def __len__(self) -> int:
        """How many the store does not have yet."""
        return len(self._waiting)

    async def receive(
        self,
        *,
        authority: str,
        reference: str,
        legal_basis: str,
        urls: Sequence[str],
        territorial_scope: Sequence[str] = (),
        received_at: datetime | None = None,
        deadline: datetime | None = None,
        reasons: str = "",
        redress: str = "",
        category: str = "",
        actor: Actor,
        own_hosts: Collection[str] = (),
    ) -> OrderResult:
        """Carry out an order; what it names is dark where it holds when this returns.

        Args:
            authority: Who orders.
            reference: Their own reference.
            legal_basis: The law.
            urls: What it names: anything that ``Targets`` finds.
            territorial_scope: Countries in which it holds; none for everywhere.
            received_at: When it was received; None for now.
            deadline: Until when it is to be carried out; None for one hour of terrorist content, and else for none.
            reasons: The authority's.
            redress: How one can complain about it.
            category: Of the statement of reasons; empty for what follows from the legal basis.
            actor: Who has received it.
            own_hosts: Hosts that are this server (``Targets.read``).

        Raises:
            OrderError: Something is missing, or cannot be; nothing was done.
            StatementError: Likewise.
        """
        now = self._clock.now()
        received_at = received_at or now
        if received_at > now + AHEAD:
            raise OrderError("received_at", "this is in the future")
        texts = {"authority": authority, "reference": reference, "legal_basis": legal_basis}
        for name, value in texts.items():
            texts[name] = _checked(name, value)
            if not texts[name]:
                raise OrderError(name, "an order has one (Digital Services Act, article 9)")
        if not urls or len(urls) > URLS_MAX:
            raise OrderError("urls", f"from 1 to {URLS_MAX}; send more in a second order")
        try:
            territory = tuple(sorted(countries_of(territorial_scope)))
        except ValueError as exc:
            raise OrderError("territorial_scope", str(exc)) from None
        is_terrorist = TERRORIST.search(legal_basis) is not None
        if deadline is None and is_terrorist:
            deadline = received_at + timedelta(seconds=TERRORIST_ORDER_S)
        if deadline is not None and deadline < received_at:
            raise OrderError("deadline", "this is before it was received")
        reasons = reasons.strip()
        statement = Statement.of(
            {
                "decision_visibility": ["CONTENT_DISABLED" if territory else "CONTENT_REMOVED"],
                "decision_ground": "ILLEGAL_CONTENT",
                "illegal_content_legal_ground": texts["legal_basis"],
                "illegal_content_explanation": reasons or f"Ordered by {texts['authority']}.",
                "decision_facts": f"Order {texts['reference']} of {texts['authority']}, received "
                f"{received_at:%Y-%m-%d %H:%M} UTC."
                + (f" Redress: {_checked('redress', redress)}" if redress.strip() else ""),
                "category": category or ("RISK_FOR_PUBLIC_SECURITY" if is_terrorist else "NOT_SPECIFIED_NOTICE"),
                "territorial_scope": list(territory),
                "source_type": SourceType.OTHER_NOTIFICATION.value,
                "source_identity": texts["authority"],
            }
        )
        order_id = new_id(IdKind.ORDER, now)
        effects = await asyncio.gather(
            *(
                self._carry_out(url, order_id, statement, territory, texts["reference"], actor, received_at, own_hosts)
                for url in dict.fromkeys(url.strip() for url in urls)
            )
        )
        order = Order(
            order_id,
            texts["authority"],
            texts["reference"],
            texts["legal_basis"],
            urls=tuple(effect.url for effect in effects),
            territorial_scope=territory,
            received_at=received_at,
            acted_at=self._clock.now(),
            acted_by=actor.name,
            deadline=deadline,
            reasons=reasons,
            redress=redress.strip(),
            statement=statement.as_json(),
            effects=tuple(effects),
        )
        details = ActDetails(
            category=statement.category.value,
            source_type=statement.source_type.value,
            territorial_scope=territory,
            automated_decision=statement.automated_decision.value,
            ground=statement.decision_ground.name,
            outcome=_outcome(effects),
            seconds=int(order.took_s),
        )
        entry = AuditEntry(
            now,
            actor.name,
            "order.received",
            actor.address,
            reason=details.text(f"{order.authority}, {order.reference}"),
            subject=order.id,
        )
        unwritten = await self._write(order, entry)
        log.info(
            "order.received",
            extra={"order": order.id, "by": actor.name, "targets": len(effects), "duration_s": round(order.took_s, 3)},
        )
        self._tell(
            Event(
                EventType.ORDER_RECEIVED,
                order.acted_at,
                {
                    "user": "",
                    "order_id": order.id,
                    "authority": order.authority,
                    "reference": order.reference,
                    "legal_basis": order.legal_basis,
                    "territorial_scope": list(territory),
                    "received_at": rfc3339(received_at),
                    "deadline": None if deadline is None else rfc3339(deadline),
                    "effects": [asdict(effect) | {"effect": effect.effect.value} for effect in effects],
                    "by": actor.name,
                },
            )
        )
        return OrderResult(order, reply_text(order), unwritten)

    async def note_answered(self, order_id: str, *, actor: Actor, reason: str = "") -> Order:
        """Note that the authority was sent the reply.

        Raises:
            KeyRequestError: A reason that cannot be.
            TakedownNotFoundError: There is no such order.
            ModerationStateError: It was answered before.
            StoreUnavailableError: It could not be written.
        """
        reason, now = checked_reason(reason), self._clock.now()
        known = await self.find(order_id)
        details = ActDetails(
            territorial_scope=known.territorial_scope,
            outcome=_outcome(known.effects),
            seconds=max(0, int((now - known.received_at).total_seconds())),
        )
        entry = AuditEntry(
            now, actor.name, "order.answered", actor.address, reason=details.text(reason), subject=order_id
        )
        chosen = orders.c.id == order_id
        async with self._database.writing() as connection:
            done = await connection.execute(
                update(orders)
                .where(chosen, orders.c.answered_at.is_(None))
                .values(answered_at=now, answered_by=actor.name)
            )
            if not done.rowcount:
                raise ModerationStateError("this order was answered before, or is not in the key store yet")
            await append_entries(connection, [entry])
        return replace(known, answered_at=now, answered_by=actor.name)

    async def find(self, order_id: str) -> Order:
        """One order.

        Raises:
            TakedownNotFoundError: There is none with this id.
            StoreUnavailableError: It could not be read.
        """
        if (waiting := self._waiting.get(order_id)) is not None:
            return waiting[0]
        async with self._database.reading() as connection:
            row = (await connection.execute(select(orders).where(orders.c.id == order_id))).one_or_none()
        if row is None:
            raise TakedownNotFoundError(f"there is no order {order_id}")
        return _order(row)

    async def page(self, *, is_answered: bool | None = None, before: str = "", limit: int) -> Page[Order]:
        """Orders, the newest first.

        Args:
            is_answered: Only those whose reply was sent, or was not; None for all.
            before: Only those that are older than the one of this id; empty for all.
            limit: How many at most.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        query = select(orders).order_by(orders.c.id.desc()).limit(limit + 1)
        if is_answered is not None:
            query = query.where(orders.c.answered_at.is_not(None) if is_answered else orders.c.answered_at.is_(None))
        if before:
            query = query.where(orders.c.id < before)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return Page([_order(row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def write_waiting(self) -> None:
        """Write what the store did not take; called about once a second.

        Raises:
            StoreUnavailableError: It still takes none.
        """
        for order, entry in [*self._waiting.values()]:
            await self._insert(order, entry)
            self._waiting.pop(order.id, None)

    # -- inside ---------------------------------------------------------------------------------

    async def _carry_out(
        self,
        url: str,
        order_id: str,
        statement: Statement,
        territory: tuple[str, ...],
        reference: str,
        actor: Actor,
        received_at: datetime,
        own_hosts: Collection[str],
    ) -> OrderEffect:
        try:
            target = await self._find_target(url, own_hosts)
        except (TargetRefusedError, TargetNotFoundError) as exc:
            return OrderEffect(_shown(url), Effect.NOT_HERE, detail=str(exc))
        named = f"{target.kind.value} {target.id}"
        # A key that was pasted as a whole is named by its id.
        shown = target.id if target.kind is TargetKind.KEY else _shown(url)
        try:
            if not territory:
                done = await self._takedowns.take_down(
                    target, statement, actor=actor, order_id=order_id, since=received_at
                )
                return OrderEffect(shown, Effect.TAKEN_DOWN, done.takedown.id, named, done.unwritten)
            if not target.channel and target.kind is TargetKind.KEY:
                return OrderEffect(
                    shown, Effect.IMPOSSIBLE, target=named, detail="the channel of the key cannot be looked up now"
                )
            value = target.channel if target.kind is TargetKind.KEY else target.id
            blocked = await self._blocks.add(
                kind=BlockKind.CHANNEL,
                value=value,
                scope=BlockScope.VIEW,
                countries=territory,
                order=order_id,
                reason=reference,
                actor=actor,
            )
            return OrderEffect(shown, Effect.BLOCKED, blocked.block.id, named, blocked.unwritten)
        except ModerationStateError as exc:
            return OrderEffect(shown, Effect.IMPOSSIBLE, target=named, detail=str(exc))

    async def _find_target(self, url: str, own_hosts: Collection[str]) -> Target:
        try:
            return await self._targets.find(url, own_hosts)
        except StoreUnavailableError:
            # A target that cannot be looked up can be dark all the same.
            return self._targets.read(url, own_hosts)

    async def _write(self, order: Order, entry: AuditEntry) -> str:
        try:
            await self._insert(order, entry)
        except StoreUnavailableError as exc:
            log.warning("order.waiting", extra={"order": order.id, "reason": str(exc)})
            if len(self._waiting) < WAITING_MAX:
                self._waiting[order.id] = (order, entry)
            return f"the order is carried out, and not in the key store yet: {exc}. Keep this answer"
        return ""

    async def _insert(self, order: Order, entry: AuditEntry) -> None:
        content = {
            "urls": order.urls,
            "territorial_scope": order.territorial_scope,
            "reasons": order.reasons,
            "redress": order.redress,
            "statement": order.statement,
            "effects": [asdict(effect) for effect in order.effects],
        }
        async with self._database.writing() as connection:
            await connection.execute(
                insert(orders).values(
                    id=order.id,
                    authority=order.authority,
                    reference=order.reference,
                    legal_basis=order.legal_basis,
                    content=json.dumps(content),
                    received_at=order.received_at,
                    deadline=order.deadline,
                    acted_at=order.acted_at,
                    acted_by=order.acted_by,
                )
            )
            await append_entries(connection, [entry])


def _checked(name: str, text: str) -> str:
    text = checked_reason(text)
    if len(text) > TEXT_CHARS_MAX:
        raise OrderError(name, f"at most {TEXT_CHARS_MAX} characters")
    return text


def _shown(url: str) -> str:
    """What an order names, as it is kept and sent back: without a secret, and not longer than a URL of ours."""
    return "(a stream key)" if StreamKey.occurs_in(url) else url[:TEXT_CHARS_MAX]


def _outcome(effects: Sequence[OrderEffect]) -> str:
    """The gravest of what was done."""
    return min((effect.effect for effect in effects), key=list(Effect).index).value


def _order(row: Row[Any]) -> Order:
    values = row._asdict()
    content = json.loads(values.pop("content"))
    effects = tuple(OrderEffect(**effect | {"effect": Effect(effect["effect"])}) for effect in content.pop("effects"))
    territory, urls = tuple(content.pop("territorial_scope")), tuple(content.pop("urls"))
    return Order(**values, **content, urls=urls, territorial_scope=territory, effects=effects)

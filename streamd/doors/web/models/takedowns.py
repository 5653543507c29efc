"""Takedowns, blocks and orders, as the admin API has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import Field

from streamd.doors.web.models.common import PAGE_LIMIT_DEFAULT, ApiModel, Instant, Limit, Reason
from streamd.doors.web.models.nodes import DoneOnNodes
from streamd.services.moderation.acts.block import ORDER_CHARS_MAX, Block, BlockKind, BlockScope
from streamd.services.moderation.acts.blocks import BlockImport, BlockResult
from streamd.services.moderation.acts.order import TEXT_CHARS_MAX, URLS_MAX, Effect, Order, OrderEffect, OrderResult
from streamd.services.moderation.acts.takedown import CacheFault, RestoreResult, Takedown, TakedownResult
from streamd.services.moderation.ids import IdKind, id_pattern
from streamd.services.moderation.statement import (
    EXPLANATION_CHARS_MAX,
    FACTS_CHARS_MAX,
    GROUND_CHARS_MAX,
    ITEMS_MAX,
    OTHER_CHARS_MAX,
    PUID_CHARS_MAX,
)
from streamd.services.moderation.target import URL_CHARS_MAX, TargetKind
from streamd.services.store.page import Page

TakedownId = Annotated[str, Field(pattern=id_pattern(IdKind.TAKEDOWN))]
BlockId = Annotated[str, Field(pattern=id_pattern(IdKind.BLOCK))]
OrderId = Annotated[str, Field(pattern=id_pattern(IdKind.ORDER))]
CaseId = Annotated[str, Field(pattern=id_pattern(IdKind.CASE))]
Word = Annotated[str, Field(max_length=100)]
Words = Annotated[Sequence[Word], Field(max_length=ITEMS_MAX)]
TargetText = Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX)]


class StatementFields(ApiModel):
    """A statement of reasons: the fields of the DSA Transparency Database, its words with their prefixes or without."""

    decision_ground: Word = ""
    """``ILLEGAL_CONTENT`` or ``INCOMPATIBLE_CONTENT``; a decision needs one."""
    category: Word = ""
    """Such as ``VIOLENCE``; a decision needs one."""
    decision_facts: Annotated[str, Field(max_length=FACTS_CHARS_MAX)] = ""
    """The facts and circumstances; a decision needs them."""
    decision_visibility: Words = ("CONTENT_REMOVED",)
    decision_visibility_other: Annotated[str, Field(max_length=OTHER_CHARS_MAX)] = ""
    decision_provision: Word | None = None
    decision_account: Word | None = None
    illegal_content_legal_ground: Annotated[str, Field(max_length=GROUND_CHARS_MAX)] = ""
    """The law that is broken."""
    illegal_content_explanation: Annotated[str, Field(max_length=EXPLANATION_CHARS_MAX)] = ""
    incompatible_content_ground: Annotated[str, Field(max_length=GROUND_CHARS_MAX)] = ""
    """The rule of yours that is broken."""
    incompatible_content_explanation: Annotated[str, Field(max_length=EXPLANATION_CHARS_MAX)] = ""
    category_specification: Words = ()
    territorial_scope: Words = ()
    """Countries in which it is not shown (451), two letters each, ``EU`` or ``EEA``; none: it is dark everywhere."""
    source_type: Word | None = None
    source_identity: Annotated[str, Field(max_length=OTHER_CHARS_MAX)] = ""
    automated_detection: bool | Word = False
    """Whether a machine has found it: ``Yes`` or ``No``, or a truth value."""
    automated_decision: Word | None = None
    content_type: Words = ("VIDEO",)
    content_type_other: Annotated[str, Field(max_length=OTHER_CHARS_MAX)] = ""
    content_date: date | None = None
    application_date: date | None = None
    end_date_visibility_restriction: date | None = None
    """Its last day (UTC): it is restored when that is over. All that is decided has the same, or none."""
    end_date_service_restriction: date | None = None
    end_date_account_restriction: date | None = None
    puid: Annotated[str, Field(max_length=PUID_CHARS_MAX)] = ""
    """Your own id of the decision; the takedown's, where it is left out."""

    @property
    def statement_json(self) -> dict[str, Any]:
        """The statement's JSON."""
        return {name: getattr(self, name) for name in StatementFields.model_fields}


class TakedownRequest(StatementFields):
    """What is to be taken down, and why."""

    target: TargetText
    """Any URL of this server, the name of a channel, or the id of a key, a recording or a clip."""
    case_id: CaseId | None = None
    """The case that it decides."""


class TakedownPath(ApiModel):
    """The takedown in a path."""

    id: TakedownId


class TakedownQuery(ApiModel):
    """Which takedowns are listed."""

    channel: Annotated[str, Field(max_length=64)] = ""
    """Only of something of this channel."""
    target: Annotated[str, Field(max_length=64)] = ""
    """Only of this channel, key, recording or clip."""
    stands: bool | None = None
    """Only those that stand (``true``), or that were restored."""
    before: Annotated[str, Field(max_length=32)] = ""
    """``next_before`` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class RestoreRequest(ApiModel):
    """Why something is shown again."""

    reason: Reason = ""
    """For the audit log and the broadcaster, in your words."""


class CacheFaultShown(ApiModel):
    """A cache in front that was not told; it is told again."""

    url: str
    why: str


class TakedownShown(ApiModel):
    """One takedown."""

    id: str
    target_kind: TargetKind
    target: str
    channel: str
    statement: dict[str, Any]
    """Of reasons, in the schema of the DSA Transparency Database."""
    made_at: datetime
    made_by: str
    case_id: str | None
    order_id: str | None
    restored_at: datetime | None
    restored_by: str | None
    restore_reason: str

    @classmethod
    def of(cls, takedown: Takedown) -> Self:
        """The answer about a takedown."""
        return cls(**_facts(takedown))


class TakedownAnswer(TakedownShown, DoneOnNodes):
    """A completed takedown: nothing of the target is shown any more."""

    closed: Sequence[str]
    """Streams that were closed."""
    took_ms: float
    """From the request until it was dark."""
    caches: Sequence[CacheFaultShown]
    """Caches in front that were not told."""
    unwritten: str
    """Why the store does not have it yet; empty where it does."""

    @classmethod
    def of_done(cls, done: TakedownResult) -> Self:
        """The answer to a takedown."""
        return cls(
            **_facts(done.takedown),
            closed=done.closed,
            took_ms=round(done.took_s * 1000, 3),
            caches=_caches(done.caches),
            unwritten=done.unwritten,
            nodes=done.nodes,
        )


class RestoreAnswer(TakedownShown):
    """A completed restore."""

    still_dark_by: Sequence[str]
    """Other takedowns and blocks that keep the same dark; none where it is shown again."""
    caches: Sequence[CacheFaultShown]

    @classmethod
    def of_done(cls, done: RestoreResult) -> Self:
        """The answer to a restore."""
        return cls(**_facts(done.takedown), still_dark_by=done.still_dark_by, caches=_caches(done.caches))


class TakedownList(ApiModel):
    """A page of takedowns, the newest first."""

    takedowns: Sequence[TakedownShown]
    next_before: str | None

    @classmethod
    def of(cls, page: Page[Takedown]) -> Self:
        """The answer about a page."""
        last = page.items[-1].id if page.has_more and page.items else None
        return cls(takedowns=[TakedownShown.of(takedown) for takedown in page.items], next_before=last)


class BlockRequest(ApiModel):
    """What is to be blocked."""

    kind: BlockKind
    value: Annotated[str, Field(min_length=1, max_length=128)]
    """A channel (for viewers also a recording or clip), a user, the id of a key, a network, a country, or a PDQ
    hash."""
    scope: BlockScope = BlockScope.PUBLISH
    """``publish``: it goes live no more, and is dark. ``view``: it is not shown."""
    countries: Words = ()
    """Where a channel is not shown, two letters each, ``EU`` or ``EEA``; none for everywhere."""
    until: Instant | None = None
    """When it ends by itself; null: never."""
    order: Annotated[str, Field(max_length=ORDER_CHARS_MAX)] = ""
    """The order that it follows."""
    reason: Reason = ""
    yes_all: bool = False
    """A network may be as wide as the world."""


class BlockPath(ApiModel):
    """The block in a path."""

    id: BlockId


class BlockQuery(ApiModel):
    """Which blocks are listed."""

    kind: BlockKind | None = None
    scope: BlockScope | None = None
    search: Annotated[str, Field(max_length=128)] = ""
    """Only those that have this text in their value, order or reason."""
    before: Annotated[str, Field(max_length=32)] = ""
    """``next_before`` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class BlockShown(ApiModel):
    """One block."""

    id: str
    kind: BlockKind
    value: str
    scope: BlockScope
    countries: Sequence[str]
    until: datetime | None
    order: str
    reason: str
    added_at: datetime
    added_by: str

    @classmethod
    def of(cls, block: Block) -> Self:
        """The answer about a block."""
        return cls.model_validate(block)


class BlockAnswer(BlockShown, DoneOnNodes):
    """A block that holds."""

    closed: Sequence[str]
    """Streams that were closed."""
    caches: Sequence[CacheFaultShown]
    unwritten: str
    """Why the store does not have it yet; empty where it does."""

    @classmethod
    def of_done(cls, done: BlockResult) -> Self:
        """The answer to a block."""
        return cls(
            **dict(BlockShown.of(done.block)),
            closed=done.closed,
            caches=_caches(done.caches),
            unwritten=done.unwritten,
            nodes=done.nodes,
        )


class BlockList(ApiModel):
    """A page of blocks, the newest first."""

    blocks: Sequence[BlockShown]
    next_before: str | None
    total: int
    """All that hold, also those that were not asked for."""


class BlockImportQuery(ApiModel):
    """How a list is taken."""

    dry_run: bool = False
    """Say what would become of it, and take nothing."""
    yes_all: bool = False
    """A network may be as wide as the world."""
    order: Annotated[str, Field(max_length=ORDER_CHARS_MAX)] = ""
    """The order that all lines follow that name none."""
    reason: Reason = ""
    """Likewise."""


class BlockImportAnswer(ApiModel):
    """A list that was taken, or looked at."""

    dry_run: bool
    added: int
    """Blocks that are new, or would be."""
    known: int
    """Those that were there already."""
    live: Sequence[str]
    """Channels that were live among them, a thousand at the most."""
    closed: int
    """Streams that were closed."""
    faulty: int
    """Lines with a fault; only a dry run has some."""
    faults: Sequence[str]
    """What is wrong with which line, a hundred at the most."""
    unwritten: str
    """Why the store does not have it yet; empty where it does."""

    @classmethod
    def of_done(cls, done: BlockImport, *, dry_run: bool) -> Self:
        """The answer to a list."""
        return cls(
            dry_run=dry_run,
            added=done.added,
            known=done.known,
            live=done.live,
            closed=done.closed,
            faulty=done.faulty,
            faults=done.faults,
            unwritten=done.unwritten,
        )


class OrderRequest(ApiModel):
    """An authority's order."""

    authority: Annotated[str, Field(max_length=TEXT_CHARS_MAX)]
    reference: Annotated[str, Field(max_length=TEXT_CHARS_MAX)]
    """The authority's own."""
    legal_basis: Annotated[str, Field(max_length=TEXT_CHARS_MAX)]
    urls: Annotated[list[TargetText], Field(min_length=1, max_length=URLS_MAX)]
    """What it names: URLs, names or ids."""
    territorial_scope: Words = ()
    """Countries in which it holds; none for everywhere."""
    received_at: Instant | None = None
    """When it was received; null: now."""
    deadline: Instant | None = None
    """Until when it is to be carried out; null: one hour where the legal basis is 2021/784, and else none."""
    reasons: Annotated[str, Field(max_length=EXPLANATION_CHARS_MAX)] = ""
    """The authority's."""
    redress: Annotated[str, Field(max_length=TEXT_CHARS_MAX)] = ""
    """How one can complain about it, as the authority says."""
    category: Word = ""
    """Of the statement of reasons."""


class OrderPath(ApiModel):
    """The order in a path."""

    id: OrderId


class OrderQuery(ApiModel):
    """Which orders are listed."""

    answered: bool | None = None
    """Only those whose reply was sent (``true``), or was not."""
    before: Annotated[str, Field(max_length=32)] = ""
    """``next_before`` of the page before."""
    limit: Limit = PAGE_LIMIT_DEFAULT


class EffectShown(ApiModel):
    """What was done about one thing that an order names."""

    url: str
    effect: Effect
    act_id: str
    """The takedown or the block; empty where nothing was done."""
    target: str
    detail: str

    @classmethod
    def of(cls, effect: OrderEffect) -> Self:
        """The answer about an effect."""
        return cls.model_validate(effect)


class OrderShown(ApiModel):
    """One order."""

    id: str
    authority: str
    reference: str
    legal_basis: str
    territorial_scope: Sequence[str]
    received_at: datetime
    deadline: datetime | None
    acted_at: datetime
    """When all of it was carried out."""
    acted_by: str
    took_s: float
    """From its receipt until then."""
    in_time: bool
    effects: Sequence[EffectShown]
    statement: dict[str, Any]
    reasons: str
    redress: str
    answered_at: datetime | None
    answered_by: str | None
    reply: str
    """Text for the authority."""

    @classmethod
    def of(cls, order: Order, reply: str) -> Self:
        """The answer about an order."""
        return cls(**_order_facts(order, reply))


class OrderAnswer(OrderShown):
    """An order that was carried out."""

    unwritten: str
    """Why the store does not have it yet; empty where it does."""

    @classmethod
    def of_done(cls, done: OrderResult) -> Self:
        """The answer to an order."""
        return cls(**_order_facts(done.order, done.reply), unwritten=done.unwritten)


class OrderList(ApiModel):
    """A page of orders, the newest first."""

    orders: Sequence[OrderShown]
    next_before: str | None


def _facts(takedown: Takedown) -> dict[str, Any]:
    return {
        "id": takedown.id,
        "target_kind": takedown.target.kind,
        "target": takedown.target.id,
        "channel": takedown.target.channel,
        "statement": takedown.statement.as_json(),
        "made_at": takedown.made_at,
        "made_by": takedown.made_by,
        "case_id": takedown.case_id,
        "order_id": takedown.order_id,
        "restored_at": takedown.restored_at,
        "restored_by": takedown.restored_by,
        "restore_reason": takedown.restore_reason,
    }


def _order_facts(order: Order, reply: str) -> dict[str, Any]:
    return {
        "id": order.id,
        "authority": order.authority,
        "reference": order.reference,
        "legal_basis": order.legal_basis,
        "territorial_scope": order.territorial_scope,
        "received_at": order.received_at,
        "deadline": order.deadline,
        "acted_at": order.acted_at,
        "acted_by": order.acted_by,
        "took_s": order.took_s,
        "in_time": order.is_in_time,
        "effects": [EffectShown.of(effect) for effect in order.effects],
        "statement": order.statement,
        "reasons": order.reasons,
        "redress": order.redress,
        "answered_at": order.answered_at,
        "answered_by": order.answered_by,
        "reply": reply,
    }


def _caches(faults: Sequence[CacheFault]) -> list[CacheFaultShown]:
    return [CacheFaultShown.model_validate(fault) for fault in faults]

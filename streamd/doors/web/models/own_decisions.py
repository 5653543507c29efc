"""What moderators have decided about the broadcaster's own channel."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any, Literal

from streamd.doors.web.models.common import ApiModel
from streamd.services.moderation.acts.block import Block
from streamd.services.moderation.acts.restrictions import reasons_of
from streamd.services.moderation.acts.takedown import Takedown
from streamd.services.moderation.target import TargetKind


class Complaint(ApiModel):
    """What a complaint about a decision is made with: `POST /api/v1/appeals`."""

    decision: str
    token: str


class OwnDecision(ApiModel):
    """What a moderator has decided about the channel, or something of it; nobody's name is told."""

    id: str
    kind: Literal["takedown", "block"]
    target_kind: TargetKind
    target: str
    at: datetime
    until: datetime | None
    """When it ends by itself; null: it does not."""
    restored_at: datetime | None
    """When it was taken back; null: it holds."""
    restore_reason: str
    countries: list[str]
    """Where it is not shown; none for everywhere."""
    statement: dict[str, Any] | None
    """Of reasons, in the schema of the DSA Transparency Database; null for a block that an authority has ordered, whose
    order has them."""
    complaint: Complaint | None = None
    """For whoever holds it to be wrong; null where none is taken, or it was taken back."""

    @classmethod
    def of_takedown(cls, takedown: Takedown, complaint: Complaint | None) -> OwnDecision:
        """What is told of a takedown."""
        return cls(
            id=takedown.id,
            kind="takedown",
            target_kind=takedown.target.kind,
            target=takedown.target.id,
            at=takedown.made_at,
            until=None if (end := takedown.hold.ends_on) is None else datetime.combine(end, time.max, UTC),
            restored_at=takedown.restored_at,
            restore_reason=takedown.restore_reason,
            countries=list(takedown.statement.territorial_scope),
            statement=takedown.statement.as_json(),
            complaint=complaint,
        )

    @classmethod
    def of_block(cls, block: Block, complaint: Complaint | None) -> OwnDecision:
        """What is told of a block; that of an authority's order is in the order."""
        statement = reasons_of(block)
        return cls(
            id=block.id,
            kind="block",
            target_kind=TargetKind.CHANNEL,
            target=block.value,
            at=block.added_at,
            until=block.until,
            restored_at=None,
            restore_reason="",
            countries=list(block.countries),
            statement=None if statement is None else statement.as_json(),
            complaint=None if statement is None else complaint,
        )


class OwnDecisions(ApiModel):
    """What was decided about the channel, the newest first."""

    decisions: list[OwnDecision]

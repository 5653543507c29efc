"""What a broadcaster can complain about: takedowns, and blocks of their channel that no authority has ordered.

Both are known by their ids, and undone in one act.

Spec: Regulation (EU) 2022/2065 articles 17 and 20; article 17(5) leaves authorities' orders to the redress they name.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from streamd.errors import TakedownNotFoundError
from streamd.services.moderation.acts.block import Block, BlockScope
from streamd.services.moderation.acts.takedown import Takedown
from streamd.services.moderation.categories import Category
from streamd.services.moderation.ids import IdKind, is_id
from streamd.services.moderation.statement import Ground, Provision, Statement, Visibility
from streamd.services.moderation.target import Target, TargetKind
from streamd.services.recording.recording_id import is_clip_id, is_recording_id

if TYPE_CHECKING:
    from streamd.services.audit.records import Actor
    from streamd.services.moderation.acts.blocks import Blocks
    from streamd.services.moderation.acts.takedown import TakedownResult
    from streamd.services.moderation.acts.takedowns import Takedowns

# Whoever blocks a list need not write a word about each name.
_UNSAID = "Whoever runs this server has blocked it."
_RULES = "the rules of this server"


class Restrictions:
    """Takedowns and blocks, by their ids.

    Args:
        takedowns: The takedowns.
        blocks: The blocks.
    """

    def __init__(self, takedowns: Takedowns, blocks: Blocks) -> None:
        self._takedowns = takedowns
        self._blocks = blocks

    async def take_down(
        self,
        target: Target,
        statement: Statement,
        *,
        actor: Actor,
        case_id: str | None = None,
        since: datetime | None = None,
    ) -> TakedownResult:
        """As ``Takedowns.take_down``."""
        return await self._takedowns.take_down(target, statement, actor=actor, case_id=case_id, since=since)

    async def restore(self, act_id: str, *, actor: Actor, reason: str) -> None:
        """Undo a takedown or a block in one act.

        Raises:
            TakedownNotFoundError: There is none with this id; a block that was lifted is none.
            ModerationStateError: It was restored before.
            StoreUnavailableError: It could not be written; it holds.
        """
        if is_id(IdKind.BLOCK, act_id):
            await self._blocks.remove(act_id, actor=actor, reason=reason)
        else:
            await self._takedowns.restore(act_id, actor=actor, reason=reason)

    async def find(self, act_id: str) -> Takedown:
        """A takedown, or a block as the takedown that it is to its broadcaster.

        Raises:
            TakedownNotFoundError: There is none with this id, or it is a block that owes no reasons.
            StoreUnavailableError: It could not be read.
        """
        if not is_id(IdKind.BLOCK, act_id):
            return await self._takedowns.find(act_id)
        block = self._blocks.held.find(act_id)
        statement = reasons_of(block)
        if statement is None:
            raise TakedownNotFoundError(f"{act_id} is no decision about a channel")
        kind = TargetKind.RECORDING if is_recording_id(block.value) else TargetKind.CHANNEL
        kind = TargetKind.CLIP if is_clip_id(block.value) else kind
        channel = block.value if kind is TargetKind.CHANNEL else ""
        return Takedown(block.id, Target(kind, block.value, channel), statement, block.added_at, block.added_by)

    async def of_case(self, case_id: str, since: datetime) -> Takedown | None:
        """As ``Takedowns.of_case``."""
        return await self._takedowns.of_case(case_id, since)


def reasons_of(block: Block) -> Statement | None:
    """The statement of reasons of a block; None of one that names no channel, or follows an order."""
    if not block.names_channel or block.order:
        return None
    is_view = block.scope is BlockScope.VIEW
    return Statement(
        decision_ground=Ground.INCOMPATIBLE_CONTENT,
        category=Category.OTHER_VIOLATION_TC,
        decision_facts=block.reason or _UNSAID,
        decision_visibility=(Visibility.CONTENT_DISABLED,),
        decision_provision=None if is_view else Provision.TOTAL_SUSPENSION,
        incompatible_content_ground=_RULES,
        incompatible_content_explanation=block.reason or _UNSAID,
        territorial_scope=block.countries,
        application_date=block.added_at.date(),
        puid=block.id,
    )

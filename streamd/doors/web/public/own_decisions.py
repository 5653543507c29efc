"""The decisions of moderators about a broadcaster's channel, with the reasons, for their studio.

Spec: Regulation (EU) 2022/2065 article 17: whoever is restricted is told so, why, and how to complain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.models.own_decisions import Complaint, OwnDecision, OwnDecisions

if TYPE_CHECKING:
    from streamd.services.moderation.acts.enforcement import Enforcement
    from streamd.services.moderation.acts.takedown import Takedown
    from streamd.services.moderation.cases.appeals import Appeals

# The newest; a broadcaster with more has other worries.
DECISIONS_MAX = 20


class OwnDecisionDesk:
    """Tells a broadcaster what was decided.

    Args:
        enforcement: What is taken down and blocked.
        appeals: Gives the token of a complaint; None where none are taken.
    """

    def __init__(self, enforcement: Enforcement, appeals: Appeals | None = None) -> None:
        self._takedowns = enforcement.takedowns
        self._blocks = enforcement.blocks
        self._appeals = appeals

    def count(self, user: str) -> int:
        """How many takedowns and blocks of a channel hold; nothing is read for that."""
        return len(self._takedowns.standing_of(user)) + len(self._blocks.held.of_channel(user))

    async def page(self, user: str) -> OwnDecisions:
        """The decisions about a channel, the newest first.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        page = await self._takedowns.page(channel=user, limit=DECISIONS_MAX)
        found = [OwnDecision.of_takedown(each, self._complaint(each)) for each in page.items]
        found += [
            OwnDecision.of_block(block, self._complaint_about(block.id))
            for block in self._blocks.held.of_channel(user)[-DECISIONS_MAX:]
        ]
        found.sort(key=lambda decision: decision.at, reverse=True)
        return OwnDecisions(decisions=found)

    def _complaint(self, takedown: Takedown) -> Complaint | None:
        """What a complaint about a takedown is made with, where it stands."""
        return None if takedown.restored_at is not None else self._complaint_about(takedown.id)

    def _complaint_about(self, act_id: str) -> Complaint | None:
        if self._appeals is None:
            return None
        # A takedown or block is named, whatever it decides: it has a case at the latest when somebody complains.
        return Complaint(decision=act_id, token=self._appeals.token_for(act_id))

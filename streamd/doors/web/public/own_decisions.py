"""What moderators have decided about a broadcaster's channel, with the reasons, for their studio.

Spec: Regulation (EU) 2022/2065 article 17: whoever is restricted is told so, why, and how to complain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.web.models.studio import OwnDecision, OwnDecisions

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamd.services.moderation.enforcement import Enforcement

# The newest; a broadcaster with more has other worries.
DECISIONS_MAX = 20


class OwnDecisionDesk:
    """Tells a broadcaster what was decided.

    Args:
        enforcement: What is taken down and blocked.
        appeal_token: Makes the token by which a broadcaster complains about a takedown; None where nobody can.
    """

    def __init__(self, enforcement: Enforcement, appeal_token: Callable[[str], str] | None = None) -> None:
        self._appeal_token = appeal_token
        self._takedowns = enforcement.takedowns
        self._blocks = enforcement.blocks

    def count(self, user: str) -> int:
        """How many takedowns and blocks of a channel hold; nothing is read for that."""
        return len(self._takedowns.standing_of(user)) + len(self._blocks.of_channel(user))

    async def page(self, user: str) -> OwnDecisions:
        """The decisions about a channel, the newest first.

        Raises:
            StoreUnavailableError: They could not be read.
        """
        page = await self._takedowns.page(channel=user, limit=DECISIONS_MAX)
        found = [OwnDecision.of_takedown(takedown, self._appeal(takedown.id)) for takedown in page.items]
        found += [OwnDecision.of_block(block) for block in self._blocks.of_channel(user)[-DECISIONS_MAX:]]
        found.sort(key=lambda decision: decision.at, reverse=True)
        return OwnDecisions(decisions=found)

    def _appeal(self, takedown_id: str) -> str | None:
        """Where to complain about a takedown."""
        if self._appeal_token is None:
            return None
        return f"appeal/{takedown_id}?token={self._appeal_token(takedown_id)}"

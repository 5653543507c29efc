"""Whether what a viewer was let in on still counts: policy, password and withdrawals, as they are now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamd.services.playback.policy import Policy
from streamd.services.playback.ticket import digest, key_digest

if TYPE_CHECKING:
    from streamd.services.playback.policy import Policies
    from streamd.services.playback.revocations import Revocations
    from streamd.services.playback.ticket import Ticket

PASSWORD_KEY: Final = "password"  # noqa: S105  # the id of a key that is none
HOOK_KEY: Final = "hook"

_PASSWORD_DIGEST: Final = key_digest(PASSWORD_KEY)
_HOOK_DIGEST: Final = key_digest(HOOK_KEY)


class Grounds:
    """Says whether a ticket holds.

    Args:
        policies: The channels that are locked, and how.
        revocations: The tokens, viewers, keys and channels that were withdrawn.
    """

    def __init__(self, policies: Policies, revocations: Revocations) -> None:
        self._policies = policies
        self._revocations = revocations

    def hold(self, ticket: Ticket, subject: str, owner: str) -> bool:
        """Whether a ticket is neither withdrawn nor given out on what does not count any more.

        Args:
            ticket: Good in itself.
            subject: The channel or recording.
            owner: The channel that a recording is of; empty for a channel.
        """
        return not self._revocations.ends(ticket, subject, owner) and self.count(ticket, subject, owner)

    def count(self, ticket: Ticket, subject: str, owner: str) -> bool:
        """Whether what a ticket was given out on is what counts for a channel or recording now.

        A password does not count where there is another, or none; a service's word, where it is not asked; a key of
        tokens, where the service judges them.
        """
        policy = self._policies.of(subject, owner)
        if policy is Policy.PUBLIC:
            return True
        if ticket.key == _PASSWORD_DIGEST:
            known = self._policies.password_hash(subject, owner)
            return policy is Policy.PASSWORD and ticket.token == digest("password", known)
        return (ticket.key == _HOOK_DIGEST) is (policy is Policy.HOOK)

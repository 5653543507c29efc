"""Withdrawals: tokens, viewers, keys and channels, by the digests that tickets have.

A token is withdrawn for good. Of a viewer, a key and a channel, what was issued until then is: a viewer may be given a
new link, and a channel be watched again by whoever gets one.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from streamd.errors import KeyStateError
from streamd.services.playback.ticket import digest, key_digest

if TYPE_CHECKING:
    from streamd.services.playback.ticket import Ticket

# 150 bytes each. One act withdraws a key with all tokens that were signed with it, however many there are.
REVOCATIONS_MAX: Final = 100_000


class RevocationKind(enum.StrEnum):
    """The kind of thing that a revocation names."""

    JTI = "jti"
    UID = "uid"
    KID = "kid"
    CHANNEL = "channel"


class Revocations:
    """Those that hold, in memory.

    Attributes:
        version: Another number after each act.
    """

    def __init__(self) -> None:
        self.version = 0
        self._tokens: set[bytes] = set()
        # Unix time, whole seconds, up to which what was issued is withdrawn.
        self._viewers: dict[bytes, int] = {}
        self._keys: dict[str, int] = {}
        self._channels: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._tokens) + len(self._viewers) + len(self._keys) + len(self._channels)

    def check_room(self) -> None:
        """See that there is room for one more.

        Raises:
            KeyStateError: There is none.
        """
        if len(self) >= REVOCATIONS_MAX:
            raise KeyStateError(
                f"{REVOCATIONS_MAX} revocations are kept already: withdraw the key (kid), which ends all tokens of it"
            )

    def add(self, kind: RevocationKind, value: str, at: int) -> None:
        """Withdraw something.

        Args:
            kind: The kind of thing that ``value`` names.
            value: Its name.
            at: Unix time of the act, whole seconds.
        """
        self.version += 1
        match kind:
            case RevocationKind.JTI:
                self._tokens.add(digest("jti", value))
            case RevocationKind.UID:
                known = digest("uid", value)
                self._viewers[known] = max(at, self._viewers.get(known, 0))
            case RevocationKind.KID:
                kid = key_digest(value)
                self._keys[kid] = max(at, self._keys.get(kid, 0))
            case RevocationKind.CHANNEL:
                self._channels[value] = max(at, self._channels.get(value, 0))

    def channel_epoch(self, subject: str, owner: str = "") -> int:
        """Unix time at which a channel or recording was withdrawn last; 0 for never.

        Args:
            subject: Its name or id.
            owner: The channel that a recording is of: what is withdrawn of that is withdrawn of the recording too.
        """
        found = self._channels.get(subject, 0)
        return max(found, self._channels.get(owner, 0)) if owner else found

    def ends(self, ticket: Ticket, subject: str, owner: str = "", *, issued_at: float | None = None) -> bool:
        """Whether a ticket is withdrawn.

        Args:
            ticket: Good in itself.
            subject: The channel or recording.
            owner: The channel that a recording is of; empty for a channel.
            issued_at: Unix time from which what it is for counts, seconds; None: that of the ticket itself.
        """
        if issued_at is None:
            issued_at = ticket.issued_at
        return (
            ticket.token in self._tokens
            or issued_at <= self._viewers.get(ticket.viewer, -1)
            or issued_at <= self._keys.get(ticket.key, -1)
            or issued_at <= self._channels.get(subject, -1)
            or issued_at <= self._channels.get(owner, -1)
        )

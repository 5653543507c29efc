"""What a live stream knows of the connection that feeds it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streamd.errors import PublishError


class EndReason(enum.Enum):
    """Why a live stream ended."""

    GOODBYE = "goodbye"
    """The encoder said so: FCUnpublish, closeStream, deleteStream."""
    CONNECTION_LOST = "connection_lost"
    MEDIA_TIMEOUT = "media_timeout"
    PROTOCOL_ERROR = "protocol_error"
    MEDIA_ERROR = "media_error"
    OVER_LIMIT = "over_limit"
    """More bits a second, or larger pictures, than the publisher may send."""
    INTERNAL_ERROR = "internal_error"
    KICKED = "kicked"
    KEY_DIED = "key_died"
    """Revoked, expired, or its user suspended."""
    SERVER_STOPPED = "server_stopped"


class Publisher(Protocol):
    """The ingest connection, as the live stream sees it."""

    address: str
    """Peer address without the port."""

    encoder: str
    """What the publisher's software calls itself."""

    def hurry(self) -> None:
        """Pass on what has come so far: somebody waits for every frame now."""

    def charge(self, step_s: float) -> None:
        """Take processor time that was used for the stream from the connection's share, seconds."""

    def kick(self, error: PublishError) -> None:
        """Close the socket at once, with a last word that says why."""

    async def wait_closed(self) -> None:
        """Return when the socket is closed."""

"""A live stream's knowledge of its broadcaster: the key that let them in, and the connection that feeds it."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from streamd.errors import PublishError
    from streamd.services.keys.admission import Admission

# Seconds that an encoder has to read the last word and close: revoke and kick answer when the socket is closed.
CUT_WAIT_S: Final = 0.5
# What is taken down is dark and closed within 50 ms, wherever its encoder is; why, it reads when it comes again.
TAKEN_DOWN_WAIT_S: Final = 0.01


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
    TAKEN_DOWN = "taken_down"
    """By a moderator, or by a block."""
    SERVER_STOPPED = "server_stopped"
    GIVEN_AWAY = "given_away"
    """Another node of the cluster goes on with it."""


class Publisher(Protocol):
    """The ingest connection, as the live stream sees it."""

    address: str
    """Peer address without the port."""

    encoder: str
    """Name that the publisher's software gives itself."""

    def hurry(self) -> None:
        """Pass on the media that has come so far: a viewer waits for every frame now."""

    def charge(self, step_s: float) -> None:
        """Take processor time that was used for the stream from the connection's share, seconds."""

    def quiet_s(self) -> float:
        """Seconds since anything came from the peer; infinite where its connection is seen to be dead."""

    def kick(self, error: PublishError) -> None:
        """Close the socket at once, with a last word that says why."""

    async def wait_closed(self, within_s: float = CUT_WAIT_S) -> None:
        """Return when the socket is closed.

        Args:
            within_s: A peer that does not close it in this time is cut off.
        """


class Broadcaster:
    """The broadcaster of a stream: its user, and the connection that feeds it.

    Args:
        admission: Of the key that opened the stream.
        publisher: The connection that feeds it first; None where it waits for one, after a restart.
        bitrate_kbps_max: The limit of a user without one of their own.
        picture_pixels_max: Likewise.

    Attributes:
        admission: Of the same key; each connection brings its own.
        publisher: The connection that feeds the stream; None while the stream waits for it to come back.
        address: Peer address of the last one.
        encoder: Name that the last one's software gives itself.
    """

    def __init__(
        self, admission: Admission, publisher: Publisher | None, *, bitrate_kbps_max: int, picture_pixels_max: int
    ) -> None:
        self.admission = admission
        self.publisher = publisher
        self.address = publisher.address if publisher is not None else ""
        self.encoder = publisher.encoder if publisher is not None else ""
        self._bitrate_kbps_max = bitrate_kbps_max
        self._picture_pixels_max = picture_pixels_max

    def leave(self) -> None:
        """Note that the connection is gone."""
        self.publisher = None

    def come_back(self, admission: Admission, publisher: Publisher) -> None:
        """Note that another connection feeds the stream."""
        self.admission, self.publisher = admission, publisher
        self.address, self.encoder = publisher.address, publisher.encoder

    def hurry(self) -> None:
        """Pass on the media that has come so far, if there is a connection."""
        if self.publisher is not None:
            self.publisher.hurry()

    def charge(self, step_s: float) -> None:
        """Take processor time that was used for the stream from the connection's share, if there is one, seconds."""
        if self.publisher is not None:
            self.publisher.charge(step_s)

    def bitrate_kbps_max(self) -> int:
        """Bits a second that may be sent now, thousands; the operator's word counts while the stream runs."""
        return self.admission.limits.bitrate_kbps_max or self._bitrate_kbps_max

    def picture_pixels_max(self) -> int:
        """Width times height that one picture may have now."""
        return self.admission.limits.picture_pixels_max or self._picture_pixels_max

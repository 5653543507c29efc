"""A connection to a target, as the push over it sees it; the door to other servers makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from streamd.formats.amf.values import Value
    from streamd.formats.payload import Payload
    from streamd.services.restream.target import TargetRecord


class LinkSigns(NamedTuple):
    """What the kernel knows of a connection."""

    acked_bytes: int
    """Acknowledged by the target's machine since the connection began."""
    is_waiting: bool
    """Something was sent, or waits to be, and is not acknowledged."""


class Link(Protocol):
    """One connection to a target. No call waits or calls the owner back."""

    def write(self, tag_type: int, timestamp_ms: int, body: bytes | Payload, /) -> None:
        """Take a message of audio or video, to go out with ``flush``."""

    def write_metadata(self, timestamp_ms: int, values: dict[str, Value], /) -> None:
        """Take ``onMetaData``, likewise."""

    def flush(self) -> None:
        """Hand what was taken to the transport, in one piece."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait in our transport, as the kernel takes no more."""

    def signs(self) -> LinkSigns:
        """Ask the kernel how the connection is."""

    def close(self) -> None:
        """Say goodbye and close; the owner hears nothing more."""


class LinkOwner(Protocol):
    """Whoever has a connection made, and is told of it. No call may raise."""

    def link_started(self, link: Link, /) -> None:
        """The target takes media."""

    def link_drained(self, link: Link, /) -> None:
        """The transport has room again."""

    def link_ended(self, link: Link, reason: str, /, *, is_refusal: bool) -> None:
        """The connection is no more, or never was.

        Args:
            link: It.
            reason: Why, for people.
            is_refusal: The target has said no, and these are its words.
        """


class Dialer(Protocol):
    """Makes connections to targets."""

    def dial(self, target: TargetRecord, owner: LinkOwner, /) -> Link:
        """Begin a connection; its owner is told what becomes of it, never within this call."""

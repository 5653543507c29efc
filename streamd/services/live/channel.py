"""The channel: the doors' view of a stream, wherever it lives and whether or not it has a publisher now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from streamd.media.packager.presentation import Presentation
    from streamd.services.live.fanout import Fanout
    from streamd.services.live.waiters import Waiters


class Channel(Protocol):
    """The media to be watched under one name."""

    @property
    def name(self) -> str:
        """The name, in URIs."""

    @property
    def live_since(self) -> datetime:
        """When it began, aware."""

    @property
    def is_live(self) -> bool:
        """Whether more may come of it."""

    @property
    def media_at(self) -> float:
        """Loop time of the last media that came, seconds; minus infinity while its publisher is away."""

    @property
    def presentation(self) -> Presentation | None:
        """The viewers' choice; None while there is no media to fetch."""

    @property
    def is_opening(self) -> bool:
        """Whether its presentation is on the way from another node: requests wait for it."""

    @property
    def waiters(self) -> Waiters:
        """The requests that wait for more; only a channel whose presentation names coming parts has them."""

    def note_viewer(self, source: str, user_agent: str) -> None:
        """Note a request for a media playlist.

        Args:
            source: The peer that the address is counted as (``source_of``).
            user_agent: The header, empty if there was none.
        """

    def fanout(self, kind: str) -> Fanout | None:
        """Find the fan-out that pushes it in a format.

        Args:
            kind: ``flv`` or ``mp4``.

        Returns:
            A fan-out that is open; None where it is not pushed in this format now.
        """

    @property
    def push_codecs(self) -> tuple[str, ...]:
        """RFC 6381 codecs of what is pushed as ``mp4``; none while there is nothing to follow."""

    @property
    def viewers(self) -> Mapping[str, int]:
        """How many watch, by protocol."""

"""The channel: what doors need of a stream, wherever it lives and whether or not somebody publishes it now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from streamd.media.packager.presentation import Presentation
    from streamd.services.live.fanout import Fanout
    from streamd.services.live.waiters import Waiters


class Channel(Protocol):
    """What is to be watched under one name."""

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
    def presentation(self) -> Presentation | None:
        """What viewers can choose from; None while there is nothing to fetch."""

    @property
    def waiters(self) -> Waiters:
        """The requests that wait for more; asked of a channel that has a presentation which says what is to come."""

    def note_viewer(self, source: str, user_agent: str) -> None:
        """Note that somebody asked for a media playlist.

        Args:
            source: The peer's address, or what of it is counted as one (``source_of``).
            user_agent: The header, empty if there was none.
        """

    def fanout(self, kind: str) -> Fanout | None:
        """What pushes it in a format.

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

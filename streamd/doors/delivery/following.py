"""A connection that follows a pushed stream, from the answer's head to the last byte of the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.doors.delivery.transport_viewer import TransportViewer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from streamd.services.live.fanout import Fanout


class Following:
    """A connection's place among the viewers of a fan-out.

    Args:
        fanout: Sends the stream.
        transport: The connection's.
        on_end: Called when the stream ends; what has been sent of it may still wait.
        is_preview: It counts as no viewer.

    Attributes:
        is_preview: As given.
        viewer: The bytes of the stream that wait, and the count of all.
    """

    __slots__ = ("_fanout", "_on_end", "is_preview", "viewer")

    def __init__(
        self, fanout: Fanout, transport: asyncio.Transport, on_end: Callable[[], None], *, is_preview: bool = False
    ) -> None:
        self.is_preview = is_preview
        self._fanout: Fanout | None = fanout
        self._on_end = on_end
        self.viewer = TransportViewer(transport, self._end)

    def begin(self) -> None:
        """Send the stream from its last keyframe on."""
        if self._fanout is not None:
            self._fanout.attach(self.viewer, is_preview=self.is_preview)

    def leave(self) -> None:
        """Follow no more; again, or after the end, is no error."""
        fanout, self._fanout = self._fanout, None
        if fanout is not None:
            fanout.detach(self.viewer)

    def _end(self) -> None:
        self._fanout = None
        self._on_end()

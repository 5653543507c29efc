"""The channel of a live stream: the doors' view of the outputs that serve viewers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.services.live.hls_output import HlsOutput
from streamd.services.live.push_outputs import FlvOutput, Mp4Output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamd.media.packager.presentation import Presentation
    from streamd.services.live.fanout import Fanout
    from streamd.services.live.live_stream import LiveStream
    from streamd.services.live.waiters import Waiters


class LiveChannel:
    """A live stream as doors see it (``Channel``).

    Args:
        stream: The stream; its present outputs are served.

    Attributes:
        name: The name, in URIs.
        live_since: When it began, aware.
    """

    def __init__(self, stream: LiveStream) -> None:
        outputs = stream.outputs
        self._stream = stream
        # Asked for with each request of a locked channel, and never others.
        self.name = stream.name
        self.live_since = stream.live_since
        self._hls = outputs.find(HlsOutput)
        self._mp4 = outputs.find(Mp4Output)
        pushed = (outputs.find(FlvOutput), self._mp4)
        self._fanouts = {output.name: output.fanout for output in pushed if output is not None}

    @property
    def is_live(self) -> bool:
        """Whether a publisher feeds it, or may come back to."""
        return self._stream.is_live

    @property
    def media_at(self) -> float:
        """Loop time of the last media that came, seconds; minus infinity while its publisher is away."""
        return self._stream.last_media_at if self._stream.lost_at is None else float("-inf")

    @property
    def presentation(self) -> Presentation | None:
        """The viewers' choice; None until the first part is there."""
        return self._hls.presentation if self._hls is not None else None

    @property
    def is_opening(self) -> bool:
        """It is here."""
        return False

    @property
    def waiters(self) -> Waiters:
        """The requests that wait for more."""
        assert self._hls is not None, "asked of a channel that has a presentation"
        return self._hls.waiters

    def note_viewer(self, source: str, user_agent: str) -> None:
        """Note a request for a media playlist."""
        if self._hls is not None:
            self._hls.note_viewer(source, user_agent)

    def fanout(self, kind: str) -> Fanout | None:
        """The fan-out that pushes it in a format; None if it is not pushed in this format now."""
        fanout = self._fanouts.get(kind)
        return fanout if fanout is not None and fanout.is_open else None

    @property
    def push_codecs(self) -> tuple[str, ...]:
        """RFC 6381 codecs of what is pushed as ``mp4``; none while there is nothing to follow."""
        return self._mp4.codecs if self._mp4 is not None else ()

    @property
    def viewers(self) -> Mapping[str, int]:
        """Viewers by protocol; those over HLS as of about a second ago."""
        return self._stream.outputs.viewers

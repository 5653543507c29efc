"""The outputs that push frames to viewers over one connection: HTTP-FLV, and the endless MP4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.media.packager.flv_writer import FlvWriter
from streamd.media.packager.fragmenter import Fragmenter
from streamd.media.packager.sample_timer import SampleTimer
from streamd.services.live.fanout import Fanout
from streamd.services.live.outputs import Output, SampleOutput, TagOutput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from streamd.formats.flv.tag import FlvTag
    from streamd.media.packet import Sample
    from streamd.services.live.outputs import OutputContext, StreamTracks


class PushOutput(Output):
    """A fan-out that a stream feeds.

    Args:
        context: Its environment.

    Attributes:
        fanout: The receivers of the frames.
    """

    def __init__(self, context: OutputContext) -> None:
        self.fanout = Fanout(
            self.name, clock=context.clock, metrics=context.metrics, limits=context.gop, on_attach=context.hurry
        )

    def dismiss_viewers(self) -> None:
        """Close the viewers; they have what there is."""
        self.fanout.close()

    def end(self) -> float:
        """Close the viewers; they have what there is."""
        self.fanout.close()
        return 0.0

    @property
    def held_bytes(self) -> int:
        """Memory for viewers who join, and for slow ones, bytes."""
        return self.fanout.held_bytes

    @property
    def viewers(self) -> int:
        """How many follow, and are counted."""
        return self.fanout.counted

    @property
    def follows_frames(self) -> bool:
        """Whether it has viewers: each gets every frame."""
        return self.fanout.viewers > 0

    def _begin(self, tracks: StreamTracks) -> None:
        if tracks.begins_anew:
            # Push formats have no word for timestamps that begin again, so the streams end, and players ask again.
            self.fanout.end()


class FlvOutput(PushOutput, TagOutput):
    """HTTP-FLV: the publisher's own frames and timestamps."""

    name = "flv"

    def start(self, tracks: StreamTracks) -> None:
        """Go on with other tracks, where players can."""
        self._begin(tracks)
        self.fanout.start(FlvWriter(tracks.direct.tracks))

    def note_leap(self, epoch: datetime) -> None:
        """Make viewers begin again: players stand still at a leap."""
        self.fanout.cut()

    def take_tags(self, tags: Sequence[FlvTag]) -> None:
        """Pass frames on."""
        self.fanout.receive(tags)


class Mp4Output(PushOutput, SampleOutput):
    """The endless MP4: frames on the stream's timeline, each one frame late, when its duration is known.

    Args:
        context: Its environment.

    Attributes:
        codecs: Its RFC 6381 codecs; empty while viewers cannot follow.
    """

    name = "mp4"

    def __init__(self, context: OutputContext) -> None:
        super().__init__(context)
        self.codecs: tuple[str, ...] = ()
        self._timer = SampleTimer()

    def start(self, tracks: StreamTracks) -> None:
        """Go on with other tracks, where players can."""
        self._begin(tracks)
        direct = tracks.direct
        self._timer = SampleTimer()
        self.fanout.start(Fragmenter(direct.tracks, direct.cmaf_header))
        self.codecs = tuple(track.codec for track in direct.sources)

    def take_samples(self, samples: Sequence[Sample]) -> None:
        """Pass on the frames whose duration is known."""
        timed = self._timer.push(samples)
        if timed:
            self.fanout.receive(timed)

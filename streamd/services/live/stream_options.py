"""The common options of a server's live streams: packaging, bounds, and outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streamd.limits import DEFAULT
from streamd.media.demux import DemuxerKind
from streamd.media.intake.limits import IntakeLimits
from streamd.media.packager.rendition import RenditionOptions
from streamd.media.packager.segmenter import SegmenterOptions
from streamd.services.live.gop_cache import GopLimits
from streamd.services.live.hls_output import HlsOutput
from streamd.services.live.outputs import Output, OutputContext
from streamd.services.live.push_outputs import FlvOutput, Mp4Output

OUTPUTS: tuple[Callable[[OutputContext], Output], ...] = (HlsOutput, FlvOutput, Mp4Output)
"""The makers of each stream's outputs; one line more is one capability more."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Limits of one publisher. The reasons stand in the configuration's ``[limits]``."""

    bitrate_kbps_max: int = DEFAULT.bitrate_kbps_max
    """Audio and video together, over some seconds; of a user whose own limit is not said."""
    picture_pixels_max: int = DEFAULT.picture_pixels_max
    """Width times height of one picture; likewise."""
    gop: GopLimits = field(default_factory=GopLimits)
    """Bounds of the media kept for viewers who join pushed streams."""
    intake: IntakeLimits = field(default_factory=IntakeLimits)


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The common options of a server's live streams."""

    segmenter: SegmenterOptions
    rendition: RenditionOptions
    limits: StreamLimits = field(default_factory=StreamLimits)
    demuxer: DemuxerKind = DemuxerKind.PYAV
    """Which demuxer reads the frames."""
    outputs: tuple[Callable[[OutputContext], Output], ...] = OUTPUTS

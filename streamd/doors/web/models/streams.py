"""Live streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Self

from streamd.doors.web.models.common import ApiModel
from streamd.doors.web.models.nodes import DoneOnNodes
from streamd.services.live.health import HealthCode, HealthStatus, Severity

if TYPE_CHECKING:
    from streamd.doors.web.live_streams import ListedStream


class Finding(ApiModel):
    """One fault of a live stream."""

    code: HealthCode
    """Stable: for programs."""
    severity: Severity
    """``error``: viewers do not see or hear it right; ``warning``: some may not; ``info``: they do not notice."""
    message: str
    """The fault, with the measured values."""
    advice: str
    """The change for the broadcaster to make, with OBS's menu and field."""
    since: datetime


class StreamHealth(ApiModel):
    """How well a live stream arrives."""

    status: HealthStatus
    """``good``; ``ok``: the worst finding is a warning; ``bad``: there is an error; ``no_data``: nothing can be played
    yet, or the publisher is away."""
    findings: list[Finding]
    """The worst first."""


class StreamFigures(ApiModel):
    """Arrival and viewers of a live stream, as its broadcaster and its operator may see them."""

    live_since: datetime
    encoder: str
    """Name that the publisher's software gives itself."""
    codecs: list[str]
    """RFC 6381 codecs of its tracks."""
    width: int
    """Picture width as it is shown, in square pixels; 0 without video."""
    height: int
    """Picture height in pixels; 0 without video."""
    bitrate_bps: float
    """Bits a second, over the last seconds."""
    frame_rate: float
    """Frames to a second of media, over the last seconds; 0 without video."""
    keyframe_interval_s: float | None
    """Seconds between the last two keyframes; null before there are two."""
    health: StreamHealth
    viewers: Mapping[str, int]
    """Viewers by protocol: ``hls``, ``flv``, ``mp4``."""
    tags_dropped: int
    """Media tags that were not carried, since it began."""
    timestamps_repaired: int
    """Since it began."""


class Stream(StreamFigures):
    """A live stream, as its operator sees it."""

    name: str
    key_id: str
    publisher_address: str
    recording_id: str | None = None
    """The recording that it goes into now; null where it is not recorded."""

    @classmethod
    def of(cls, summary: ListedStream, recording_of: Callable[[str], str] = lambda _: "") -> Self:
        """The answer about a live stream.

        Args:
            summary: What is known of it.
            recording_of: Says which recording a channel's broadcast goes into; empty for none.
        """
        return cls.model_validate(summary).model_copy(update={"recording_id": recording_of(summary.name) or None})


class StreamList(ApiModel):
    """The streams that are live now, by name."""

    streams: list[Stream]

    @classmethod
    def of(cls, summaries: Iterable[ListedStream], recording_of: Callable[[str], str] = lambda _: "") -> Self:
        """The answer to a list of streams; ``recording_of`` is as of ``Stream.of``."""
        ordered = sorted(summaries, key=lambda summary: summary.name)
        return cls(streams=[Stream.of(summary, recording_of) for summary in ordered])


class Kick(DoneOnNodes):
    """A completed kick."""

    name: str
    kicked: bool
    """Whether it was live until then."""
    unwritten: str = ""
    """Why the audit log does not have it yet; the status is 202 then. Empty where it has."""


class PreviewTicket(ApiModel):
    """An operator's look at a live stream."""

    mp4: str
    """Address on the public port of the endless MP4, with a ticket that is good for a minute."""

"""Channels, as everybody may see them: what the public API answers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from streamd.doors.web.models.common import ApiModel


class ChannelQuery(ApiModel):
    """How to ask for a channel."""

    unless: Literal["offline", "starting", "live", "waiting"] | None = None
    """The state that you know: the answer waits until the channel is in another one, up to 20 s."""


class Variant(ApiModel):
    """One of the qualities of a channel."""

    name: str
    """In addresses of its playlist and its media."""
    codecs: str
    """RFC 6381 codecs, commas between them."""
    resolution: str | None
    """Width and height at which the picture is shown, ``1280x720``; null without a picture."""
    frame_rate: float | None
    """Frames a second; null without a picture."""
    bandwidth: int
    """Bits a second at the most, as in the playlist."""


class Channel(ApiModel):
    """A channel that can be watched."""

    name: str
    state: Literal["live", "waiting"]
    """``waiting``: nothing has come from the broadcaster for two seconds, or its connection is gone and expected
    back."""
    live_since: datetime
    viewers: int
    """Connections of MP4 and HTTP-FLV, and an estimate for HLS."""
    playback: Literal["public", "signed", "password", "hook"]
    """Who may watch. Of a channel that not everybody may watch, a stranger is told no variants, no codecs and no
    picture; the header field ``Streamd-Ticket`` with a viewer's ticket asks for them."""
    variants: list[Variant]
    """Empty until the first segment is there: about a second after ``live_since`` with x264 and a keyframe every 2 s,
    else longer."""
    push_codecs: str | None
    """RFC 6381 codecs of the MP4 and the FLV; null where a server that was restarted waits for the publisher."""
    playlist: str
    """Address of the HLS multivariant playlist."""
    past: str | None
    """Address of the HLS multivariant playlist of its past; null where viewers cannot go back (``[dvr] window_s``)."""
    past_s: float
    """How far back that goes now, seconds."""
    watch: str
    """Address of the page."""
    poster: str | None
    """Address of a picture; null without a picture, or with ``[http] posters = false``."""


class ChannelList(ApiModel):
    """The channels that can be watched now, the first that went live first."""

    streams: list[Channel]


class ChannelProblem(ApiModel):
    """An error. Spec: RFC 9457."""

    type: str = "about:blank"
    title: str
    """The HTTP status in words."""
    status: int
    detail: str
    """The fault of this request, and the remedy."""
    state: Literal["offline", "starting", "gone"] | None = None
    """Of a channel that cannot be watched: ``starting`` where a broadcaster is connected and nothing can be played yet,
    ``gone`` where it was taken down; left out of other errors."""

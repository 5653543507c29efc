"""A live stream's recent figures: bit rate, frame rate, keyframes, pace; and its summary for the operator."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from streamd.media.packet import VIDEO_TIMESCALE, WIRE_TIMESCALE

if TYPE_CHECKING:
    from streamd.formats.flv.tag import FlvTag
    from streamd.media.packet import Sample
    from streamd.services.live.health import Health

# Readings kept, one a second: rates are means over about this many seconds, so that one keyframe every two
# seconds does not make them jump.
READINGS_MAX = 6
# Before the readings span this much, rates of media are not told: one frame too many would be a tenth.
SPAN_S_MIN = 2.0
# The intervals between keyframes that are kept: enough to see whether they are regular.
KEYFRAME_INTERVALS_MAX = 8


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """An operator's summary of a live stream."""

    name: str
    key_id: str
    live_since: datetime
    publisher_address: str
    encoder: str
    """Name that the publisher's software gives itself."""
    codecs: tuple[str, ...]
    """RFC 6381 codecs of its tracks; empty before the first keyframe."""
    width: int
    """Of the picture as it is shown, in square pixels; 0 without video."""
    height: int
    """Pixels; 0 without video."""
    bitrate_bps: float
    """Bits that arrive in a second, over the last seconds."""
    frame_rate: float
    """Frames to a second of media, over the last seconds; 0 without video."""
    keyframe_interval_s: float | None
    """Seconds between the last two keyframes; None before there are two."""
    health: Health
    """How well it arrives."""
    viewers: Mapping[str, int] = field(default_factory=dict)
    """Viewers by protocol."""
    tags_dropped: int = 0
    """Media tags that went no further than the gate, since it began."""
    timestamps_repaired: int = 0
    """Since it began."""


class LineReading(NamedTuple):
    """The counts of a publisher's media line so far."""

    media_ms: int | None
    """How far the media has come on its timeline, leaps taken out, milliseconds; None before it began."""
    repairs: Counter[str]
    """Timestamps repaired, by reason. It is not changed: with more of them there is another."""
    damages: int
    """Media messages that could not be read."""


class _Reading(NamedTuple):
    now: float
    media_bytes: int
    video_frames: int
    line: LineReading


class StreamMeter:
    """Counts the media of one publisher. Rates come from readings, which the owner takes about once a second.

    Attributes:
        media_bytes: Payload bytes of audio and video so far.
        video_frames: Frames of the first video track so far.
        keyframe_intervals_ms: Between the last keyframes, on the timeline, milliseconds, oldest first.
        keyframes_unfit: How many of the last keyframes, in a row, are such by the encoder's word alone.
        bitrate_bps: Bits that arrive in a second, over the readings; 0 before there are two.
        media_bitrate_bps: Bits to a second of media, over the readings; None before they span ``SPAN_S_MIN`` of it.
        frame_rate: Frames to a second of media, likewise.
        frame_rate_best: The highest frame rate since ``restart``.
        media_rate: Seconds of media that arrive in a second, over the readings; None before they span as much time.
        media_lead_s: How much more media has come than time has passed since ``restart``, seconds.
        open_gop_ms: How much media has come since the newest keyframe, milliseconds, good to a reading.
        repairs: Timestamps repaired within the readings, by reason.
        damages: Media messages within them that could not be read.
    """

    def __init__(self) -> None:
        self.media_bytes = 0
        self.video_frames = 0
        self._keyframes = 0
        self.restart()

    def restart(self) -> None:
        """Measure anew: a publisher follows whose clock is its own. The counts so far stay."""
        self.keyframe_intervals_ms: deque[int] = deque(maxlen=KEYFRAME_INTERVALS_MAX)
        self.keyframes_unfit = 0
        self.bitrate_bps = 0.0
        self.media_bitrate_bps: float | None = None
        self.frame_rate: float | None = None
        self.frame_rate_best = 0.0
        self.media_rate: float | None = None
        self.media_lead_s = 0.0
        self.open_gop_ms = 0
        self.repairs: Counter[str] = Counter()
        self.damages = 0
        self._keyframe_ms: int | None = None
        self._readings: deque[_Reading] = deque(maxlen=READINGS_MAX)
        # The first reading that had media: time and media, seconds.
        self._origin: tuple[float, float] | None = None
        # How many keyframes there were at the last reading, and how far the media was when the newest was seen.
        self._keyframes_read = self._keyframes
        self._gop_start_ms = 0

    def note_media(self, tags: Sequence[FlvTag]) -> None:
        """Count the bytes of audio and video that arrived, as the publisher sent them: with the tags' own headers."""
        for tag in tags:
            self.media_bytes += len(tag.payload)

    def note_video(self, sample: Sample) -> None:
        """Count one video frame, at its place on the timeline: a leap of the publisher's clock is no interval."""
        self.video_frames += 1
        if sample.is_keyframe:
            self._keyframes += 1
            self.keyframes_unfit = 0 if sample.is_sync else self.keyframes_unfit + 1
            keyframe_ms = sample.dts_ticks * WIRE_TIMESCALE // VIDEO_TIMESCALE
            if self._keyframe_ms is not None:
                self.keyframe_intervals_ms.append(keyframe_ms - self._keyframe_ms)
            self._keyframe_ms = keyframe_ms

    def read(self, now: float, line: LineReading) -> None:
        """Take a reading.

        Args:
            now: Loop time, seconds.
            line: The counts of the publisher's media line.
        """
        last = _Reading(now, self.media_bytes, self.video_frames, line)
        readings = self._readings
        readings.append(last)
        first = readings[0]
        seconds = now - first.now
        self.bitrate_bps = (last.media_bytes - first.media_bytes) * 8 / seconds if seconds else 0.0
        # Mostly there were none, and it is the same counter.
        self.repairs = Counter() if line.repairs is first.line.repairs else line.repairs - first.line.repairs
        self.damages = line.damages - first.line.damages
        if line.media_ms is not None:
            self._read_media(last, line.media_ms)

    def _read_media(self, last: _Reading, media_ms: int) -> None:
        if self._origin is None:
            self._origin = (last.now, media_ms / 1000)
        start, start_s = self._origin
        self.media_lead_s = (media_ms / 1000 - start_s) - (last.now - start)
        if self._keyframes_read != self._keyframes:
            self._keyframes_read = self._keyframes
            self._gop_start_ms = media_ms
        self.open_gop_ms = media_ms - self._gop_start_ms if self._keyframe_ms is not None else 0

        first, first_ms = next(
            (reading, reading.line.media_ms) for reading in self._readings if reading.line.media_ms is not None
        )
        seconds, media_s = last.now - first.now, (media_ms - first_ms) / 1000
        self.media_rate = media_s / seconds if seconds >= SPAN_S_MIN else None
        if media_s < SPAN_S_MIN:
            self.media_bitrate_bps = self.frame_rate = None
            return
        self.media_bitrate_bps = (last.media_bytes - first.media_bytes) * 8 / media_s
        self.frame_rate = (last.video_frames - first.video_frames) / media_s
        if first is self._readings[0] and len(self._readings) == READINGS_MAX:
            self.frame_rate_best = max(self.frame_rate_best, self.frame_rate)

    @property
    def keyframe_interval_ms(self) -> int | None:
        """Between the last two keyframes, milliseconds; None before there are two."""
        return self.keyframe_intervals_ms[-1] if self.keyframe_intervals_ms else None

    @property
    def sustained_bitrate_bps(self) -> float:
        """``bitrate_bps`` where it is of all the readings there can be, else 0: encoders catch up in bursts."""
        return self.bitrate_bps if len(self._readings) == READINGS_MAX else 0.0

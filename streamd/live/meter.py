"""What a live stream is doing lately: bit rate, frame rate, keyframe interval; and its summary for the operator."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamd.media.packet import MediaPacket

# Readings kept, one a second: rates are means over about this many seconds, so that one keyframe every two
# seconds does not make them jump.
READINGS_MAX = 6


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """What an operator is told of a live stream."""

    name: str
    key_id: str
    live_since: datetime
    publisher_address: str
    encoder: str
    """What the publisher's software calls itself."""
    codecs: tuple[str, ...]
    """RFC 6381 codecs of its tracks; empty before the first keyframe."""
    width: int
    """Pixels; 0 without video."""
    height: int
    """Pixels; 0 without video."""
    bitrate_bps: float
    """Bits a second over the last seconds."""
    frame_rate: float
    """Frames a second over the last seconds; 0 without video."""
    keyframe_interval_s: float | None
    """Seconds between the last two keyframes; None before there are two."""
    health: tuple[str, ...]
    """What is wrong with it, in words."""
    viewers: Mapping[str, int] = field(default_factory=dict)
    """Viewers by protocol."""


class StreamMeter:
    """Counts what one publisher sends. Rates come from readings that someone takes about once a second."""

    def __init__(self) -> None:
        self.media_bytes = 0
        """Payload bytes of audio and video so far."""
        self.video_frames = 0
        self.keyframe_interval_ms: int | None = None
        """Between the last two keyframes, by their timestamps."""
        self._keyframe_ms: int | None = None
        self._readings: deque[tuple[float, int, int]] = deque(maxlen=READINGS_MAX)

    def note_video(self, packet: MediaPacket) -> None:
        """Count one video frame."""
        self.video_frames += 1
        if packet.is_keyframe:
            if self._keyframe_ms is not None and packet.dts_ms > self._keyframe_ms:
                self.keyframe_interval_ms = packet.dts_ms - self._keyframe_ms
            self._keyframe_ms = packet.dts_ms

    def read(self, now: float) -> None:
        """Take a reading.

        Args:
            now: Loop time, seconds.
        """
        self._readings.append((now, self.media_bytes, self.video_frames))

    @property
    def bitrate_bps(self) -> float:
        """Bits a second over the readings; 0 before there are two."""
        seconds, media_bytes, _ = self._difference()
        return media_bytes * 8 / seconds if seconds else 0.0

    @property
    def frame_rate(self) -> float:
        """Video frames a second over the readings; 0 before there are two."""
        seconds, _, frames = self._difference()
        return frames / seconds if seconds else 0.0

    def _difference(self) -> tuple[float, int, int]:
        if len(self._readings) < 2:
            return 0.0, 0, 0
        (t0, bytes0, frames0), (t1, bytes1, frames1) = self._readings[0], self._readings[-1]
        return t1 - t0, bytes1 - bytes0, frames1 - frames0

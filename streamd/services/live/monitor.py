"""The readings of a live stream while it runs: its health, its history, and the delay of its parts.

It is an output of parts like the others, the last of them, and the stream feeds it the publisher's events.
"""

from __future__ import annotations

import logging
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from streamd.media.packet import TrackKind
from streamd.services.live.health import Health, HealthMonitor, HealthStatus, Vitals, away
from streamd.services.live.health_checks import CHECKS
from streamd.services.live.meter import StreamMeter, StreamSummary
from streamd.services.live.outputs import PartOutput
from streamd.services.live.tally import StreamTally

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.formats.flv.tag import FlvTag
    from streamd.media.packager.cmaf_chunk import CmafChunk
    from streamd.media.packager.timing import PlaylistTiming
    from streamd.media.packet import Track
    from streamd.services.live.media_line import MediaLine
    from streamd.services.live.outputs import StreamTracks
    from streamd.services.live.publisher import Broadcaster
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

# Media that comes is left in the kernel for less than this (``streamd.doors.ingest.wake_threshold``).
HELD_S_MAX = 0.75
NO_DELAYS: Final[Mapping[str, str]] = MappingProxyType({})


class StreamMonitor(PartOutput):
    """The readings of one stream.

    Args:
        stream: Channel name.
        clock: For durations.
        metrics: Counted into.
        on_playable: Called once, when media can be played.

    Attributes:
        meter: Rates.
        tally: Sums over its whole life.
        health: How well it arrives, as of about a second ago.
        last_media_at: Loop time of the last audio or video.
        videos: The video tracks that are packaged now; like the others, there are none before the first keyframe.
        audios: The audio tracks that are packaged now.
    """

    name = "monitor"

    def __init__(self, stream: str, *, clock: Clock, metrics: Metrics, on_playable: Callable[[], None] | None) -> None:
        self.meter = StreamMeter()
        self.tally = StreamTally()
        self.last_media_at = clock.monotonic()
        self.videos: tuple[Track, ...] = ()
        self.audios: tuple[Track, ...] = ()
        self._stream = stream
        self._clock = clock
        self._metrics = metrics
        self._on_playable = on_playable
        self._started_at = self._fed_since = clock.monotonic()
        self._is_fed = True
        # Loop time of each rendition's last part.
        self._part_at: dict[str, float] = {}
        self._checks = HealthMonitor(CHECKS)
        self.health = self._checks.health
        self._was_healthy = True

    # -- what the media line makes ------------------------------------------------------------

    def start(self, tracks: StreamTracks) -> None:
        """Note the present tracks."""
        found = {track.track_id: track for variant in tracks.variants for track in variant.sources}
        self.videos = tuple(track for track in found.values() if track.kind is TrackKind.VIDEO)
        self.audios = tuple(track for track in found.values() if track.kind is TrackKind.AUDIO)

    def take_part(self, rendition: str, chunk: CmafChunk, timing: PlaylistTiming) -> None:
        """Count a part, and how late it is."""
        if self._on_playable is not None:
            on_playable, self._on_playable = self._on_playable, None
            self._note_playable(timing)
            on_playable()
        tally, metrics = self.tally, self._metrics
        tally.parts += 1
        metrics.streams.parts_total.inc()
        if chunk.starts_segment:
            tally.segments += 1
            metrics.streams.segments_total.inc()
        now = self._clock.monotonic()
        # The rest of a finished line may have come at any time before.
        if self._is_fed:
            metrics.streams.part_latency_seconds.observe(now - self.last_media_at)
        # Against the part before, and not the media's own clock: that of an encoder runs away from ours in hours.
        before = self._part_at.get(rendition)
        self._part_at[rendition] = now
        if before is not None and not chunk.is_discontinuous:
            delay_s = now - before - chunk.duration_ticks / chunk.timescale
            metrics.streams.part_delay_seconds.observe(max(0.0, delay_s))

    def end_segment(self, rendition: str) -> None:
        """The end of a segment changes no reading."""

    def end(self) -> float:
        """Call nobody any more."""
        self._on_playable = None
        return 0.0

    def _note_playable(self, timing: PlaylistTiming) -> None:
        elapsed_s = self._clock.monotonic() - self._started_at
        self._metrics.streams.publish_to_playable_seconds.observe(elapsed_s)
        log.info(
            "stream.playable",
            extra={
                "stream": self._stream,
                "codecs": ",".join(track.codec for track in self.tracks),
                "target_duration_s": timing.target_duration_s,
                "part_target_ms": timing.part_target_ms,
                "after_s": round(elapsed_s, 3),
            },
        )

    # -- what the publisher does ----------------------------------------------------------------

    def note_media(self, tags: Sequence[FlvTag]) -> None:
        """Count what was read."""
        self.last_media_at = self._clock.monotonic()
        self.meter.note_media(tags)

    def note_finish(self) -> None:
        """Note that the line gives out its rest, and that its publisher sends no more."""
        self._is_fed = False

    def note_away(self) -> None:
        """Note that the stream waits for its publisher."""
        self._is_fed = False
        self.meter.restart()
        self._set_health(away(self._clock.now()))

    def note_back(self) -> None:
        """Note that the publisher is there again."""
        self.tally.reconnects += 1
        self.last_media_at = self._fed_since = self._clock.monotonic()
        self._is_fed = True
        self._set_health(self._checks.health)

    def note_end(self) -> None:
        """Note that it is over."""
        self._set_health(Health(HealthStatus.NO_DATA))

    # -- once a second ---------------------------------------------------------------------------

    def read(
        self,
        line: MediaLine,
        failed_outputs: Collection[str],
        output_faults: Mapping[str, str],
        output_delays: Mapping[str, str] = NO_DELAYS,
    ) -> bool:
        """Take a reading of bit rate, frame rate and health of a stream that is fed.

        Args:
            line: The publisher's.
            failed_outputs: The outputs that are dropped.
            output_faults: The trouble of outputs that go on, by name.
            output_delays: What outputs that go on wait for, by name.

        Returns:
            Whether it has turned unhealthy, or healthy again.
        """
        now = self._clock.monotonic()
        # Bytes in the kernel are not counted, so neither is their time.
        is_held = now - self.last_media_at <= HELD_S_MAX
        self.meter.read(self.last_media_at if is_held else now, line.read())
        vitals = self._vitals(line, now, failed_outputs, output_faults, output_delays)
        self._checks.assess(vitals, now=now, wall_now=self._clock.now())
        return self._set_health(self._checks.health)

    def note_viewers(self, count: int) -> None:
        """Take note of the number of viewers now, over all protocols."""
        if count > self.tally.viewers_max:
            self.tally.viewers_max = count

    def _vitals(
        self,
        line: MediaLine,
        now: float,
        failed_outputs: Collection[str],
        output_faults: Mapping[str, str],
        output_delays: Mapping[str, str],
    ) -> Vitals:
        meter = self.meter
        return Vitals(
            is_playable=line.continuation is not None,
            fed_s=now - self._fed_since,
            videos=self.videos,
            audios=() if line.is_silent else self.audios,
            lacks_video=line.metadata.lacks_video,
            lacks_audio=line.metadata.lacks_audio,
            media_bitrate_bps=meter.media_bitrate_bps,
            frame_rate=meter.frame_rate,
            frame_rate_best=meter.frame_rate_best,
            media_rate=meter.media_rate,
            media_lead_s=meter.media_lead_s,
            keyframe_intervals_ms=tuple(meter.keyframe_intervals_ms),
            open_gop_ms=meter.open_gop_ms,
            keyframes_unfit=meter.keyframes_unfit,
            repairs=meter.repairs,
            damages=meter.damages,
            refusals=line.refusals,
            failed_outputs=tuple(failed_outputs),
            output_faults=output_faults,
            output_delays=output_delays,
        )

    def _set_health(self, health: Health) -> bool:
        """Take the health of now, count it, and return whether it has turned."""
        was, self.health = self.health, health
        if health is was:
            return False
        self.tally.findings.update(health.codes)
        for codes, step in ((was.codes, -1), (health.codes, 1)):
            for code in codes if was.codes != health.codes else ():
                self._metrics.streams.stream_findings.labels(code.value).inc(step)
        # Unknown health has not turned.
        if health.is_healthy is None or health.is_healthy == self._was_healthy:
            return False
        self._was_healthy = health.is_healthy
        log.info(
            "stream.turned_healthy" if health.is_healthy else "stream.turned_unhealthy",
            extra={"stream": self._stream, "findings": ",".join(code.value for code in health.codes)},
        )
        return True

    # -- what the operator sees -------------------------------------------------------------------

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks that are packaged now, video first."""
        return self.videos + self.audios

    def summary(
        self,
        broadcaster: Broadcaster,
        live_since: datetime,
        viewers: Mapping[str, int],
        running: MediaLine | None,
    ) -> StreamSummary:
        """Its summary for an operator, now.

        Args:
            broadcaster: Its broadcaster.
            live_since: When it began.
            viewers: By protocol.
            running: The line that is fed; one that is finished is counted already.
        """
        video = self.videos[0] if self.videos else None
        meter, totals = self.meter, self.tally
        interval_ms = meter.keyframe_interval_ms
        return StreamSummary(
            name=self._stream,
            key_id=broadcaster.admission.key_id,
            live_since=live_since,
            publisher_address=broadcaster.address,
            encoder=broadcaster.encoder,
            codecs=tuple(track.codec for track in self.tracks),
            width=video.shown_width if video is not None else 0,
            height=video.height if video is not None else 0,
            bitrate_bps=round(meter.bitrate_bps, 1),
            frame_rate=round(meter.frame_rate or 0.0, 2),
            keyframe_interval_s=interval_ms / 1000 if interval_ms is not None else None,
            health=self.health,
            viewers=viewers,
            tags_dropped=totals.tags_dropped + (running.tags_dropped if running is not None else 0),
            timestamps_repaired=(totals.repairs + (running.repairs if running is not None else Counter())).total(),
        )

    @property
    def closing_fields(self) -> dict[str, object]:
        """The closing log line's facts about its media."""
        return {
            "duration_s": round(self._clock.monotonic() - self._started_at, 3),
            "bytes_received": self.meter.media_bytes,
            "video_frames": self.meter.video_frames,
            "codecs": ",".join(track.codec for track in self.tracks),
            **self.tally.fields,
        }

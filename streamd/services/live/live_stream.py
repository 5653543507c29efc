"""One channel while it is live: its publisher, its media line, its rendition, and who waits for it."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from streamd.errors import MediaError, MediaLimitError, PublishError
from streamd.media.demux import DemuxerKind
from streamd.media.intake.limits import IntakeLimits
from streamd.media.packager.flv_writer import FlvWriter
from streamd.media.packager.fragmenter import Fragmenter
from streamd.media.packager.numbering import Numbering
from streamd.media.packager.presentation import Presentation
from streamd.media.packager.rendition import OPEN_SEGMENT_BYTES_MAX, Rendition
from streamd.media.packager.sample_timer import SampleTimer
from streamd.media.packet import TrackKind
from streamd.services.live.fanout import Fanout
from streamd.services.live.gop_cache import GopLimits
from streamd.services.live.health import Health, HealthMonitor, HealthStatus, Vitals, away
from streamd.services.live.health_checks import CHECKS
from streamd.services.live.media_line import MediaLine
from streamd.services.live.meter import StreamMeter, StreamSummary
from streamd.services.live.publisher import EndReason
from streamd.services.live.restart_record import StreamRecord
from streamd.services.live.tally import StreamTally
from streamd.services.live.viewers import WINDOW_TARGETS, HlsViewers
from streamd.services.live.waiters import Waiters

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.formats.flv.tag import FlvTag
    from streamd.media.packager.chunk import CmafChunk, PlaylistTiming
    from streamd.media.packager.ladder import Variant
    from streamd.media.packager.rendition import RenditionOptions
    from streamd.media.packager.segmenter import SegmenterOptions
    from streamd.media.packet import Sample, Track
    from streamd.services.keys.admission import Admission
    from streamd.services.live.publisher import Publisher
    from streamd.services.live.waiters import Awaited, WaiterBudget
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

# Media that comes is left in the kernel for less than this (``streamd.doors.ingest.wake_threshold``).
HELD_S_MAX = 0.75


class Place(Protocol):
    """Memory that is kept free for a stream; whoever ends the stream gives it back."""

    def release(self) -> None:
        """Give it back; again is the same as once."""


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What one publisher may send. The reasons stand in the configuration's ``[limits]``."""

    bitrate_kbps_max: int = 100_000
    """Audio and video together, over some seconds; of a user whose own limit is not said."""
    picture_pixels_max: int = 35_651_584
    """Width times height of one picture; likewise."""
    gop: GopLimits = field(default_factory=GopLimits)
    """What is kept for viewers of pushed streams who join."""
    intake: IntakeLimits = field(default_factory=IntakeLimits)


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What every live stream of a server has in common."""

    segmenter: SegmenterOptions
    rendition: RenditionOptions
    limits: StreamLimits = field(default_factory=StreamLimits)
    demuxer: DemuxerKind = DemuxerKind.PYAV
    """Which demuxer reads the frames."""


class LiveStream:
    """One channel from the accepted publish until its playlist is forgotten.

    Args:
        name: Channel name, which is public.
        admission: Whose key opened it.
        publisher: The connection that feeds it first; None where it waits for one, after a restart.
        numbering: Where the counts of its renditions begin at the earliest.
        options: Packaging options.
        clock: For dates and durations.
        metrics: Counted into.
        budget: How many requests may wait in the whole server.
        on_failed: Called when the media line breaks; the registry ends the stream then.
        on_health: Called when the stream turns unhealthy, or healthy again.
        on_playable: Called when there is something to play.
        record: What another server left of it, which its playlists go on from.
        probing: Held while new tracks are probed; shared by all streams. None where there is no other.
        place: The memory that is kept free for it; given back when it ends.
    """

    def __init__(
        self,
        name: str,
        admission: Admission,
        publisher: Publisher | None,
        *,
        numbering: Numbering,
        options: StreamOptions,
        clock: Clock,
        metrics: Metrics,
        budget: WaiterBudget,
        on_failed: Callable[[LiveStream, EndReason], None],
        on_health: Callable[[LiveStream], None],
        on_playable: Callable[[LiveStream], None],
        record: StreamRecord | None = None,
        probing: asyncio.Semaphore | None = None,
        place: Place | None = None,
    ) -> None:
        self.name = name
        self.admission = admission
        self.publisher = publisher
        """The connection that feeds it; None while it waits for its publisher to come back."""
        self.publisher_address = publisher.address if publisher is not None else ""
        """Peer address of the last publisher."""
        self.lost_at = clock.monotonic() if publisher is None else None
        """Loop time since when it waits for its publisher; None while it is fed."""
        self.live_since = record.live_since if record is not None else clock.now()
        self.end_reason: EndReason | None = None
        self.forget_at = float("inf")
        """Loop time from which an ended stream is not found any more."""
        self.presentation: Presentation | None = None
        """What viewers can choose from; None until the first part is there."""
        self.waiters = Waiters(budget)
        self.flv = Fanout("flv", clock=clock, metrics=metrics, limits=options.limits.gop, on_attach=self._hurry)
        """Viewers over HTTP-FLV."""
        self.mp4 = Fanout("mp4", clock=clock, metrics=metrics, limits=options.limits.gop, on_attach=self._hurry)
        """Viewers of the endless MP4."""
        self._sample_timer = SampleTimer()
        self.last_media_at = clock.monotonic()
        """Loop time of the last audio or video."""
        self._numbering = numbering
        self._probing = probing
        self._place = place
        self._options = options
        self._clock = clock
        self._metrics = metrics
        self._on_failed = on_failed
        self._on_health = on_health
        self._on_playable = on_playable
        self._started_at = clock.monotonic()
        # Loop time of each rendition's last part.
        self._part_at: dict[str, float] = {}
        self._tally = StreamTally()
        self._encoder = publisher.encoder if publisher is not None else ""
        self._hls_viewers = HlsViewers()
        self._hls_viewers_counted = 0
        self._segments_lost = 0
        self._variants: tuple[Variant, ...] = ()
        self.videos: tuple[Track, ...] = ()
        """The video tracks that are packaged now; like the others, there are none before the first keyframe."""
        self.audios: tuple[Track, ...] = ()
        """The audio tracks that are packaged now."""
        self.push_codecs: tuple[str, ...] = ()
        """RFC 6381 codecs of the endless MP4; none while there is nothing to follow."""
        self._epoch = self.live_since
        self._is_resumed = False
        self._meter = StreamMeter()
        self._fed_since = self._started_at
        self._monitor = HealthMonitor(CHECKS)
        self.health = self._monitor.health
        """How well it arrives, as of about a second ago."""
        self._was_healthy = True
        # None where it has to be made anew: it is asked for every second, and changes with a discontinuity.
        self._record: StreamRecord | None = None
        if record is not None:
            self._restore(record)
        self._line = self._new_line()
        if publisher is None:
            self._set_health(away(clock.now()))

    # -- what the publisher sends -------------------------------------------------------------

    def receive_tags(self, tags: Sequence[FlvTag]) -> None:
        """Take the media of one read.

        Raises:
            MediaError: The stream cannot be carried on.
        """
        self.last_media_at = self._clock.monotonic()
        self._meter.note_media(tags)
        try:
            self._line.receive(tags)
        except MediaLimitError as exc:
            self.fail(exc)

    @property
    def awaited_ms(self) -> int:
        """How much later than the newest frame, by their timestamps, the next one is that a viewer waits for.

        That is the last one of a part. Where a viewer gets each frame, or it is not known which it is, it is the next.
        """
        return 0 if self.flv.viewers or self.mp4.viewers else self._line.closes_in_ms

    def _hurry(self) -> None:
        if self.publisher is not None:
            self.publisher.hurry()

    def receive_metadata(self, values: Mapping[str, object]) -> None:
        """Take ``onMetaData``: what the encoder says of itself, believed in nothing that matters."""
        self._line.receive_metadata(values)

    # -- what the media line makes ------------------------------------------------------------

    def start_tracks(self, variants: Sequence[Variant], direct: Variant, epoch: datetime) -> None:
        """Take new CMAF headers (``ChunkSink``).

        Raises:
            MediaLimitError: A picture is larger than the operator allows.
        """
        pixels_max = self.admission.limits.picture_pixels_max or self._options.limits.picture_pixels_max
        for track in (*direct.sources, *(track for variant in variants for track in variant.sources)):
            if track.width * track.height > pixels_max:
                raise MediaLimitError(
                    f"pictures of {track.width}x{track.height}, {pixels_max} pixels are allowed",
                    limit="picture_pixels_max",
                )
        self._variants, self._epoch = tuple(variants), epoch
        tracks = {track.track_id: track for variant in variants for track in variant.sources}
        self.videos = tuple(track for track in tracks.values() if track.kind is TrackKind.VIDEO)
        self.audios = tuple(track for track in tracks.values() if track.kind is TrackKind.AUDIO)
        self._record = None
        if self._is_resumed:
            # The new publisher's timestamps begin again. Push formats have no word for that, so they end, and
            # players ask again.
            self._is_resumed = False
            self.flv.end()
            self.mp4.end()
        self.flv.start(FlvWriter(direct.tracks))
        self._sample_timer = SampleTimer()
        self.mp4.start(Fragmenter(direct.tracks, direct.cmaf_header))
        self.push_codecs = tuple(track.codec for track in direct.sources)
        presentation = self.presentation
        if presentation is None:
            return
        if presentation.renditions.keys() == {variant.name for variant in variants}:
            for variant in variants:
                presentation.renditions[variant.name].set_header(variant.cmaf_header, variant.tracks)
        else:
            first = next(iter(presentation.renditions.values()))
            self.presentation = self._present(first.timing, presentation)
            # Who waits for a rendition that is gone is answered that it is.
            self._wake()

    def note_leap(self, epoch: datetime) -> None:
        """Date what follows anew, and have viewers of the publisher's own timestamps begin again (``ChunkSink``)."""
        self._epoch = epoch
        self.flv.cut()

    def add_chunk(self, name: str, chunk: CmafChunk, timing: PlaylistTiming) -> None:
        """Take the next part and wake who waits for it (``ChunkSink``)."""
        presentation = self.presentation
        if presentation is None:
            presentation = self.presentation = self._present(timing, None)
            self._set_viewer_window(timing)
            self._note_playable(timing)
        presentation.renditions[name].add(chunk, self._epoch)
        tally, metrics = self._tally, self._metrics
        tally.parts += 1
        metrics.parts_total.inc()
        if chunk.starts_segment:
            tally.segments += 1
            metrics.segments_total.inc()
        if chunk.is_discontinuous:
            self._record = None
        self._wake()
        now = self._clock.monotonic()
        # What a line still has when it is finished came any time ago.
        if not self._line.is_finished:
            metrics.part_latency_seconds.observe(now - self.last_media_at)
        # Against the part before, and not the media's own clock: that of an encoder runs away from ours in hours.
        before = self._part_at.get(name)
        self._part_at[name] = now
        if before is not None and not chunk.is_discontinuous:
            delay_s = now - before - chunk.duration_ticks / chunk.timescale
            metrics.part_delay_seconds.observe(max(0.0, delay_s))

    def end_segment(self, name: str) -> None:
        """Complete a rendition's newest segment, and wake who waits for it (``ChunkSink``)."""
        if self.presentation is not None and self.presentation.renditions[name].end_segment():
            self._wake()

    def add_tags(self, tags: Sequence[FlvTag]) -> None:
        """Take frames as the publisher sent them (``ChunkSink``)."""
        self.flv.receive(tags)

    def add_samples(self, samples: Sequence[Sample]) -> None:
        """Take the same frames on the stream's timeline (``ChunkSink``)."""
        timed = self._sample_timer.push(samples)
        if timed:
            self.mp4.receive(timed)

    def warn(self, reason: str, detail: str) -> None:
        """Log that something the broadcaster sends is dropped (``ChunkSink``)."""
        log.warning("stream.dropping", extra={"stream": self.name, "reason": reason, "detail": detail})

    def charge(self, step_s: float) -> None:
        """Take it from the publisher's share of the loop's time (``ChunkSink``)."""
        if self.publisher is not None:
            self.publisher.charge(step_s)

    def fail(self, error: Exception) -> None:
        """End the stream because its media line broke (``ChunkSink``)."""
        if isinstance(error, MediaError):
            log.warning("stream.failed", extra={"stream": self.name, "reason": str(error)})
            reason = EndReason.MEDIA_ERROR
            if isinstance(error, MediaLimitError):
                self._metrics.limit_hits_total.labels(error.limit).inc()
                reason = EndReason.OVER_LIMIT
        else:
            log.error("stream.failed", extra={"stream": self.name}, exc_info=error)
            reason = EndReason.INTERNAL_ERROR
        publisher = self.publisher
        self._on_failed(self, reason)
        if publisher is not None:
            publisher.kick(PublishError(f"The stream has ended: {error}" if isinstance(error, MediaError) else None))

    def _present(self, timing: PlaylistTiming, previous: Presentation | None) -> Presentation:
        """Make the renditions of the variants that there are now, going on with those that were there before."""
        numbering = self._numbering
        known: Mapping[str, Rendition] = {}
        if previous is not None:
            known = previous.renditions
            # Discontinuities are counted alike in all playlists of a stream (6.2.4), also by those that begin later.
            numbering = next(iter(known.values())).next_numbering()
        variants: list[Rendition] = []
        audio: list[Rendition] = []
        options = self._rendition_options(len(self._variants))
        for variant in self._variants:
            rendition = known.get(variant.name)
            if rendition is None:
                rendition = Rendition(variant.name, timing, options, numbering, self._epoch)
            rendition.set_header(variant.cmaf_header, variant.tracks)
            (audio if variant.is_alternative else variants).append(rendition)
        for name, rendition in known.items():
            # A playlist that ended would end its viewers' playback: one that is gone sends them to another variant. Its
            # numbers are never used again, should it come back.
            if all(variant.name != name for variant in self._variants):
                self._numbering = rendition.next_numbering().no_earlier_than(self._numbering)
        return Presentation(variants, audio)

    def _rendition_options(self, renditions: int) -> RenditionOptions:
        # However many there are, a stream holds no more.
        options = self._options.rendition
        return replace(options, held_bytes_max=options.held_bytes_max // renditions)

    def _set_viewer_window(self, timing: PlaylistTiming) -> None:
        self._hls_viewers.window_s = float(WINDOW_TARGETS * timing.target_duration_s)

    def _note_playable(self, timing: PlaylistTiming) -> None:
        elapsed_s = self._clock.monotonic() - self._started_at
        self._metrics.publish_to_playable_seconds.observe(elapsed_s)
        log.info(
            "stream.playable",
            extra={
                "stream": self.name,
                "codecs": ",".join(track.codec for track in self.tracks),
                "target_duration_s": timing.target_duration_s,
                "part_target_ms": timing.part_target_ms,
                "after_s": round(elapsed_s, 3),
            },
        )
        self._on_playable(self)

    def _wake(self) -> None:
        """Wake the requests for what is there now."""
        self.waiters.wake(self._is_reached)

    def _is_reached(self, awaited: Awaited) -> bool:
        rendition = self.presentation.renditions.get(awaited.variant) if self.presentation is not None else None
        return rendition is None or rendition.has_reached(awaited.until)

    def _renditions(self) -> Iterable[Rendition]:
        return self.presentation.renditions.values() if self.presentation is not None else ()

    @property
    def held_bytes(self) -> int:
        """What it keeps of what its publisher sent, in its playlists, for its viewers and on the way there, bytes."""
        in_playlists = sum(rendition.held_bytes for rendition in self._renditions())
        return in_playlists + self.flv.held_bytes + self.mp4.held_bytes + self._line.held_bytes

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks that are packaged now, video first."""
        return self.videos + self.audios

    # -- what the operator sees ----------------------------------------------------------------

    def read_meter(self) -> None:
        """Take a reading of bit rate, frame rate and health; called about once a second."""
        now = self._clock.monotonic()
        self._count_hls_viewers(self._hls_viewers.count(now))
        segments_lost = sum(rendition.segments_lost for rendition in self._renditions())
        if segments_lost > self._segments_lost:
            self._metrics.limit_hits_total.labels("window_bytes_max").inc(segments_lost - self._segments_lost)
            self._segments_lost = segments_lost
        if self.publisher is None:
            return
        # What the kernel still holds is not counted, so neither is its time.
        is_held = now - self.last_media_at <= HELD_S_MAX
        self._meter.read(self.last_media_at if is_held else now, self._line.read())
        self._monitor.assess(self._vitals(now), now=now, wall_now=self._clock.now())
        self._set_health(self._monitor.health)
        held_bytes = sum(rendition.held_bytes for rendition in self._renditions())
        held_bytes_max = self._options.rendition.held_bytes_max + OPEN_SEGMENT_BYTES_MAX
        if held_bytes > held_bytes_max:
            # Each rendition bounds its own open segment; together they have what one of a single rendition may.
            self.fail(MediaLimitError(f"{held_bytes} bytes of open segments", limit="window_bytes_max"))
            return
        bitrate_kbps = self._meter.sustained_bitrate_bps / 1000
        bitrate_kbps_max = self.admission.limits.bitrate_kbps_max or self._options.limits.bitrate_kbps_max
        if bitrate_kbps > bitrate_kbps_max:
            excess = f"{bitrate_kbps:.0f} kb/s, {bitrate_kbps_max} are allowed"
            self.fail(MediaLimitError(excess, limit="bitrate_kbps_max"))

    def _vitals(self, now: float) -> Vitals:
        line, meter = self._line, self._meter
        return Vitals(
            is_playable=self.presentation is not None,
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
            repairs=meter.repairs,
            damages=meter.damages,
            refusals=line.refusals,
        )

    def _set_health(self, health: Health) -> None:
        """Take what is known now, count it, and tell who listens of a turn."""
        was, self.health = self.health, health
        self._tally.findings.update(health.codes)
        for codes, step in ((was.codes, -1), (health.codes, 1)):
            for code in codes if was.codes != health.codes else ():
                self._metrics.stream_findings.labels(code.value).inc(step)
        # Where nothing is known, nothing has turned.
        if health.is_healthy is None or health.is_healthy == self._was_healthy:
            return
        self._was_healthy = health.is_healthy
        log.info(
            "stream.turned_healthy" if health.is_healthy else "stream.turned_unhealthy",
            extra={"stream": self.name, "findings": ",".join(code.value for code in health.codes)},
        )
        self._on_health(self)

    def note_hls_viewer(self, address: str, user_agent: str) -> None:
        """Note that somebody asked for a media playlist."""
        self._hls_viewers.note(address, user_agent, self._clock.monotonic())

    @property
    def viewers(self) -> dict[str, int]:
        """How many watch, by protocol; over HLS as it was about a second ago."""
        return {"hls": self._hls_viewers_counted, "flv": self.flv.viewers, "mp4": self.mp4.viewers}

    def _count_hls_viewers(self, count: int) -> None:
        self._metrics.viewers.labels("hls").inc(count - self._hls_viewers_counted)
        self._hls_viewers_counted = count
        self._tally.viewers_max = max(self._tally.viewers_max, sum(self.viewers.values()))

    def summary(self) -> StreamSummary:
        """What an operator is told of it now."""
        video = self.videos[0] if self.videos else None
        interval_ms = self._meter.keyframe_interval_ms
        totals = self._tally
        # A line whose publisher is away is finished, and counted among those.
        running = self._line if self.publisher is not None else None
        return StreamSummary(
            name=self.name,
            key_id=self.admission.key_id,
            live_since=self.live_since,
            publisher_address=self.publisher_address,
            encoder=self._encoder,
            codecs=tuple(track.codec for track in self.tracks),
            width=video.shown_width if video is not None else 0,
            height=video.height if video is not None else 0,
            bitrate_bps=round(self._meter.bitrate_bps, 1),
            frame_rate=round(self._meter.frame_rate or 0.0, 2),
            keyframe_interval_s=interval_ms / 1000 if interval_ms is not None else None,
            health=self.health,
            viewers=self.viewers,
            tags_dropped=totals.tags_dropped + (running.tags_dropped if running is not None else 0),
            timestamps_repaired=(totals.repairs + (running.repairs if running is not None else Counter())).total(),
        )

    def when_open(self, then: Callable[[], None]) -> bool:
        """Have something done when what the publisher has sent is packaged, if that has to wait for a demuxer."""
        return self._line.when_open(then)

    # -- a publisher that drops and comes back ---------------------------------------------------

    def lose_publisher(self) -> None:
        """Wait for the publisher to come back: what was sent is packaged, the playlist stays open."""
        self._finish_line()
        self.publisher = None
        self.lost_at = self._clock.monotonic()
        self._meter.restart()
        self._set_health(away(self._clock.now()))
        for rendition in self._renditions():
            # Whatever comes next begins a segment, so this one is complete: players show it to its end.
            rendition.end_segment()
        self._wake()
        log.info("stream.reconnecting", extra={"stream": self.name, "key_id": self.admission.key_id})

    def resume(self, admission: Admission, publisher: Publisher, place: Place | None = None) -> None:
        """Go on with a publisher that has come back: the same playlist, behind a discontinuity.

        Args:
            admission: Of the same key; the old one's end with its stream's.
            publisher: The new connection.
            place: Memory that is kept free for it from now on.
        """
        assert self.lost_at is not None, "it waits"
        away_s = self._clock.monotonic() - self.lost_at
        self.admission, self.publisher, self.lost_at = admission, publisher, None
        self.publisher_address, self._encoder = publisher.address, publisher.encoder
        if place is not None:
            self._give_place_back()
            self._place = place
        self._tally.reconnects += 1
        self.last_media_at = self._fed_since = self._clock.monotonic()
        self._is_resumed = True
        self._set_health(self._monitor.health)
        self._line = self._new_line()
        log.info("stream.resumed", extra={"stream": self.name, "away_s": round(away_s, 3)})

    def _new_line(self) -> MediaLine:
        presentation = self.presentation
        timing = next(iter(presentation.renditions.values())).timing if presentation is not None else None
        return MediaLine(
            self,
            options=self._options.segmenter,
            clock=self._clock,
            metrics=self._metrics,
            meter=self._meter,
            intake_limits=self._options.limits.intake,
            timing=timing,
            split_audio=presentation.split_audio if presentation is not None else None,
            demuxer=self._options.demuxer,
            probing=self._probing,
        )

    def _finish_line(self) -> None:
        self._line.finish()
        self._tally.add_line(self._line)

    # -- a server that starts again --------------------------------------------------------------

    @property
    def record(self) -> StreamRecord | None:
        """What the next server has to know to go on with it; None before there is a playlist."""
        if self._record is not None or self.presentation is None:
            return self._record
        variants, audio = self.presentation.names()
        first = self.presentation.renditions[variants[0]]
        self._record = StreamRecord(
            name=self.name,
            key_id=self.admission.key_id,
            live_since=self.live_since,
            timing=first.timing,
            variants=variants,
            audio=audio,
            discontinuity_sequence=self.next_numbering.discontinuity_sequence,
        )
        return self._record

    def _restore(self, record: StreamRecord) -> None:
        """Have the playlists that there were, without media: who asks for them waits for the publisher."""
        self._numbering = self._numbering.no_earlier_than(Numbering(0, 0, record.discontinuity_sequence))
        options = self._rendition_options(len(record.variants) + len(record.audio))
        variants, audio = (
            [
                Rendition(name, record.timing, options, self._numbering, self._epoch, is_continuing=True)
                for name in names
            ]
            for names in (record.variants, record.audio)
        )
        self.presentation = Presentation(variants, audio)
        self._set_viewer_window(record.timing)

    # -- the end --------------------------------------------------------------------------------

    @property
    def is_live(self) -> bool:
        """Whether a publisher feeds it, or may come back to."""
        return self.end_reason is None

    @property
    def next_numbering(self) -> Numbering:
        """Where a stream that follows this one under the same name may begin at the earliest."""
        numbering = self._numbering
        for rendition in self._renditions():
            numbering = rendition.next_numbering().no_earlier_than(numbering)
        return numbering

    @property
    def has_used_numbers(self) -> bool:
        """Whether there is any media under the numbers that it began with."""
        return self._tally.parts > 0

    def _give_place_back(self) -> None:
        if self._place is not None:
            self._place.release()
            self._place = None

    def release(self) -> None:
        """Let go of the media and of the line, now that nobody finds the stream any more; what is being sent goes on.

        A stream and its line know each other, and so do the renditions of one presentation. Left to the garbage
        collector, which seldom looks at old objects (``process.GC_THRESHOLDS``), the window would stay for minutes, and
        what else a stream has, hundreds of objects, until there are hundreds of ended streams.
        """
        for rendition in self._renditions():
            rendition.set_siblings(())
        self.presentation = None
        del self._line

    def end(self, reason: EndReason) -> None:
        """End the stream: last part, ENDLIST, and everyone who waits is answered.

        Args:
            reason: Kept for the log and for what viewers are told.
        """
        if self.end_reason is not None:
            return
        self.end_reason = reason
        self._give_place_back()
        linger_s = 0.0
        try:
            if self.publisher is not None:
                self._finish_line()
            for rendition in self._renditions():
                rendition.end()
                linger_s = max(linger_s, rendition.playlist_duration_us / 1e6)
        except Exception as exc:
            # A broken line must not keep its name taken and its viewers waiting.
            # What ended the stream with an internal error has been logged, and is most likely this.
            level = logging.DEBUG if reason is EndReason.INTERNAL_ERROR else logging.ERROR
            log.log(level, "stream.unfinished", extra={"stream": self.name}, exc_info=exc)
        self.forget_at = self._clock.monotonic() + linger_s
        self.waiters.close()
        self.flv.close()
        self.mp4.close()
        self._count_hls_viewers(0)
        self._set_health(Health(HealthStatus.NO_DATA))
        log.info(
            "stream.ended",
            extra={
                "stream": self.name,
                "key_id": self.admission.key_id,
                "peer": self.publisher_address,
                "encoder": self._encoder,
                "reason": reason.value,
                "duration_s": round(self._clock.monotonic() - self._started_at, 3),
                "bytes_received": self._meter.media_bytes,
                "video_frames": self._meter.video_frames,
                "codecs": ",".join(track.codec for track in self.tracks),
                **self._tally.fields,
            },
        )

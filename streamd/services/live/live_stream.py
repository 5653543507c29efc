"""One stream while it is live: its life, its publisher's media line, and the outputs that the line feeds.

Every taker of media is an output, and only as such known here; doors find the viewers' media in the stream's
``Channel``.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from streamd.errors import MediaError, MediaLimitError, PublishError
from streamd.media.timeline import START_MS, TRACKS_APART_MS_MAX
from streamd.services.live.life import Life, Turn, after
from streamd.services.live.media_line import MediaLine
from streamd.services.live.monitor import StreamMonitor
from streamd.services.live.publisher import EndReason
from streamd.services.live.restart_record import StreamRecord

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.formats.flv.tag import FlvTag
    from streamd.media.packager.ladder import Form
    from streamd.media.packager.numbering import Numbering
    from streamd.media.packet import Track
    from streamd.services.keys.admission import Admission
    from streamd.services.live.health import Health
    from streamd.services.live.meter import StreamSummary
    from streamd.services.live.outputs import Outputs
    from streamd.services.live.packaging import Continuation
    from streamd.services.live.publisher import Broadcaster, Publisher
    from streamd.services.live.restart_record import PlaylistRecord
    from streamd.services.live.stream_options import StreamOptions
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

# Media that runs ahead of the recorded beginning of its timeline moves it by this much of its lead.
AHEAD_SLACK = 1.25
# Media that is farther behind it moves it too: the clock was set, or the media comes slowly. It is the longest hole in
# the decode times that a restart makes, beside the time that it took.
BEHIND_MAX = timedelta(seconds=10)


class Place(Protocol):
    """A reservation for a stream, memory or its name; the end of the stream gives it back."""

    def release(self) -> None:
        """Give it back; again is the same as once."""


class NameClaim(Place, Protocol):
    """A channel's name, with the stream that another server has left under it."""

    @property
    def left(self) -> StreamRecord | None:
        """The stream to go on with, of the same key; None where it begins anew."""

    @property
    def numbers_until_s(self) -> int:
        """No number from here on was used by the servers before (``Numbering.at``); 0 where there was none."""


class LiveStream:
    """One stream from the accepted publish until it is forgotten.

    Args:
        name: Channel name, which is public.
        broadcaster: Its broadcaster; after a restart it has no connection yet, and waits for one.
        outputs: The takers of its media, not fed yet.
        live_since: When it began.
        numbering: Where the counts of its parts and segments begin at the earliest.
        options: Packaging options.
        clock: For dates and durations.
        metrics: Counted into.
        on_failed: Called when the media line breaks; the registry ends the stream then.
        on_health: Called when the stream turns unhealthy, or healthy again.
        on_playable: Called when media can be played.
        continuation: Of playlists that another server left; None where it begins its own.
        timeline_from: When its timeline began, as that server left it; None likewise.
        probing: Held while new tracks are probed; shared by all streams. None for a single stream.
        claim: Its name; given back when it ends.
        place: The memory that is kept free for it; likewise.

    Attributes:
        life: Where it is in its life.
        lost_at: Loop time since when it waits for its publisher; None while it is fed.
        end_reason: Why it ended; None before it has.
        forget_at: Loop time from which an ended stream is not found any more.
    """

    def __init__(
        self,
        name: str,
        broadcaster: Broadcaster,
        outputs: Outputs,
        *,
        live_since: datetime,
        numbering: Numbering,
        options: StreamOptions,
        clock: Clock,
        metrics: Metrics,
        on_failed: Callable[[LiveStream, EndReason], None],
        on_health: Callable[[LiveStream], None],
        on_playable: Callable[[LiveStream], None],
        continuation: Continuation | None = None,
        timeline_from: datetime | None = None,
        probing: asyncio.Semaphore | None = None,
        claim: Place | None = None,
        place: Place | None = None,
    ) -> None:
        self.name = name
        self.broadcaster = broadcaster
        self.outputs = outputs
        self.live_since = live_since
        self.life = Life.LIVE if broadcaster.publisher is not None else Life.AWAY
        self.lost_at = clock.monotonic() if self.life is Life.AWAY else None
        self.end_reason: EndReason | None = None
        self.forget_at = float("inf")
        self._numbering = numbering
        self._options = options
        self._clock = clock
        self._metrics = metrics
        self._on_failed = on_failed
        self._on_health = on_health
        self._probing = probing
        self._claim = claim
        self._place = place
        self._timeline_from = timeline_from or live_since - timedelta(milliseconds=START_MS)
        # The record of last time, and the facts in it that change.
        self._recorded: tuple[tuple[PlaylistRecord, datetime, str, Form | None], StreamRecord] | None = None
        # A stream that goes on has been playable before.
        started = None if continuation is not None else lambda: on_playable(self)
        self._monitor = StreamMonitor(name, clock=clock, metrics=metrics, on_playable=started)
        outputs.add(self._monitor)
        self._line = self._new_line(continuation)
        if self.life is Life.AWAY:
            self._monitor.note_away()

    # -- what the publisher sends -------------------------------------------------------------

    def receive_tags(self, tags: Sequence[FlvTag]) -> None:
        """Take the media of one read.

        Raises:
            MediaError: The stream cannot be carried on.
        """
        self._monitor.note_media(tags)
        try:
            self._line.receive(tags)
        except MediaLimitError as exc:
            self.fail(exc)

    def receive_metadata(self, values: Mapping[str, object]) -> None:
        """Take ``onMetaData``, the encoder's claims, which decide nothing of weight."""
        self._line.receive_metadata(values)
        # OBS says who it is here alone.
        self.broadcaster.encoder = self._line.metadata.encoder or self.broadcaster.encoder

    @property
    def awaited_ms(self) -> int:
        """How much later than the newest frame, by their timestamps, the next one is that a viewer waits for.

        That is the last one of a part; it is the next one if a viewer gets each frame, or if the last one is not known.
        """
        return 0 if self.outputs.follows_frames else self._line.closes_in_ms

    def when_open(self, then: Callable[[], None]) -> bool:
        """Call a function once the received media is packaged, if that has to wait for a demuxer."""
        return self._line.when_open(then)

    # -- its life ---------------------------------------------------------------------------------

    @property
    def is_live(self) -> bool:
        """Whether a publisher feeds it, or may come back to."""
        return self.life is not Life.ENDED

    def lose_publisher(self) -> None:
        """Wait for the publisher to come back: the received media is packaged, the playlist stays open."""
        life = after(self.life, Turn.LOSE)
        # The next part begins a segment, so the last one is complete: players show it to its end.
        self._finish_line()
        self.life = life
        self.broadcaster.leave()
        self.lost_at = self._clock.monotonic()
        self._monitor.note_away()
        log.info("stream.reconnecting", extra={"stream": self.name, "key_id": self.broadcaster.admission.key_id})

    def resume(
        self, admission: Admission, publisher: Publisher, claim: Place | None = None, place: Place | None = None
    ) -> None:
        """Go on with a publisher that has come back: the same playlist, behind a discontinuity.

        Args:
            admission: Of the same key; the old one's end with its stream's.
            publisher: The new connection.
            claim: The name, from now on.
            place: Memory that is kept free for it from now on; None where that is what it has.
        """
        self.life = after(self.life, Turn.RESUME)
        assert self.lost_at is not None, "it waited"
        away_s = self._clock.monotonic() - self.lost_at
        self.lost_at = None
        self.broadcaster.come_back(admission, publisher)
        self._claim = _in_place_of(self._claim, claim)
        self._place = _in_place_of(self._place, place)
        self._monitor.note_back()
        continuation = self._line.continuation
        if continuation is not None:
            # Decode times go on as far as time went.
            starts_ms = self._line.newest_ms + round(away_s * 1000)
            continuation = continuation._replace(starts_ms=max(continuation.starts_ms, starts_ms))
        self._line = self._new_line(continuation)
        log.info("stream.resumed", extra={"stream": self.name, "away_s": round(away_s, 3)})

    def fail(self, error: Exception) -> None:
        """End the stream because of an error, ours or the media's, and tell the publisher."""
        if isinstance(error, MediaError):
            log.warning("stream.failed", extra={"stream": self.name, "reason": str(error)})
            reason = EndReason.MEDIA_ERROR
            if isinstance(error, MediaLimitError):
                self._metrics.limit_hits_total.labels(error.limit).inc()
                reason = EndReason.OVER_LIMIT
        else:
            log.error("stream.failed", extra={"stream": self.name}, exc_info=error)
            reason = EndReason.INTERNAL_ERROR
        publisher = self.broadcaster.publisher
        self._on_failed(self, reason)
        if publisher is not None:
            publisher.kick(PublishError(f"The stream has ended: {error}" if isinstance(error, MediaError) else None))

    def dismiss_viewers(self) -> None:
        """End all waiting and following: requests are answered as things stand, and pushed streams end."""
        self.outputs.dismiss_viewers()

    def end(self, reason: EndReason) -> None:
        """End the stream: last part, ENDLIST, and answers for all waiting requests.

        Args:
            reason: Kept for the log and the answers to viewers.
        """
        was, self.life = self.life, after(self.life, Turn.END)
        if was is Life.ENDED:
            return
        self.end_reason = reason
        for place in (self._claim, self._place):
            if place is not None:
                place.release()
        self._claim = self._place = None
        try:
            if was is Life.LIVE:
                self._finish_line()
        except Exception as exc:
            # A broken line must not keep its name taken and its viewers waiting.
            # The error that ended the stream has been logged, and this is most likely the same.
            level = logging.DEBUG if reason is EndReason.INTERNAL_ERROR else logging.ERROR
            log.log(level, "stream.unfinished", extra={"stream": self.name}, exc_info=exc)
        self.forget_at = self._clock.monotonic() + self.outputs.end()
        self._monitor.note_end()
        log.info(
            "stream.ended",
            extra={
                "stream": self.name,
                "key_id": self.broadcaster.admission.key_id,
                "peer": self.broadcaster.address,
                "encoder": self.broadcaster.encoder,
                "reason": reason.value,
                **self._monitor.closing_fields,
            },
        )

    def release(self) -> None:
        """Drop the media and the line of a forgotten stream; answers under way go on.

        A stream and its line know each other. The garbage collector seldom looks at old objects
        (``process.GC_THRESHOLDS``), and would keep a stream's memory until there are hundreds of ended streams.
        """
        self.outputs.release()
        del self._line

    def _new_line(self, continuation: Continuation | None) -> MediaLine:
        options = self._options
        return MediaLine(
            self.outputs,
            options=options.segmenter,
            clock=self._clock,
            metrics=self._metrics,
            meter=self._monitor.meter,
            warn=self._warn,
            charge=self.broadcaster.charge,
            on_failed=self.fail,
            picture_pixels_max=self.broadcaster.picture_pixels_max,
            intake_limits=options.limits.intake,
            continuation=continuation,
            demuxer=options.demuxer,
            probing=self._probing,
        )

    def _finish_line(self) -> None:
        self._monitor.note_finish()
        self._line.finish()
        self._monitor.tally.add_line(self._line)

    def _warn(self, reason: str, detail: str) -> None:
        log.warning("stream.dropping", extra={"stream": self.name, "reason": reason, "detail": detail})

    # -- what the operator sees ----------------------------------------------------------------

    def look(self) -> None:
        """Take readings, and see that limits are kept; called about once a second."""
        try:
            self.outputs.look(self._clock.monotonic())
            self._monitor.note_viewers(sum(self.outputs.viewers.values()))
            if self.life is Life.LIVE:
                if self._monitor.read(self._line, self.outputs.failed, self.outputs.faults, self.outputs.delays):
                    self._on_health(self)
                self._check_bit_rate()
                self._note_pace()
        except MediaLimitError as exc:
            self.fail(exc)

    def _note_pace(self) -> None:
        """Move the recorded beginning of the timeline where its media has run ahead of it, or is far behind."""
        newest = timedelta(milliseconds=self._line.newest_ms)
        elapsed = self._clock.now() - self._timeline_from
        if newest > elapsed + timedelta(milliseconds=TRACKS_APART_MS_MAX):
            # The further ahead, the more at once: each is a write to the disk.
            self._timeline_from -= (newest - elapsed) * AHEAD_SLACK
        elif elapsed > newest + BEHIND_MAX:
            self._timeline_from += elapsed - newest

    def _check_bit_rate(self) -> None:
        bitrate_kbps = self._monitor.meter.sustained_bitrate_bps / 1000
        bitrate_kbps_max = self.broadcaster.bitrate_kbps_max()
        if bitrate_kbps > bitrate_kbps_max:
            excess = f"{bitrate_kbps:.0f} kb/s, {bitrate_kbps_max} are allowed"
            raise MediaLimitError(excess, limit="bitrate_kbps_max")

    @property
    def last_media_at(self) -> float:
        """Loop time of the last audio or video."""
        return self._monitor.last_media_at

    @property
    def is_playable(self) -> bool:
        """Whether media could be played so far."""
        return self._line.continuation is not None

    @property
    def held_bytes(self) -> int:
        """Its publisher's media in memory, with its outputs and on the way there, bytes."""
        return self.outputs.held_bytes + self._line.held_bytes

    @property
    def health(self) -> Health:
        """Its health, as of about a second ago."""
        return self._monitor.health

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All tracks that are packaged now, video first."""
        return self._monitor.tracks

    def summary(self) -> StreamSummary:
        """Its summary for an operator, now."""
        running = self._line if self.life is Life.LIVE else None
        return self._monitor.summary(self.broadcaster, self.live_since, self.outputs.viewers, running)

    @property
    def next_numbering(self) -> Numbering:
        """The earliest start of a stream that follows this one under the same name."""
        numbered = self.outputs.numbered
        return numbered.next_numbering if numbered is not None else self._numbering

    @property
    def used_until_s(self) -> int:
        """The same as seconds since 2020 (``Numbering.seconds``); asked for every second."""
        numbered = self.outputs.numbered
        return numbered.used_until_s if numbered is not None else self._numbering.seconds

    @property
    def has_used_numbers(self) -> bool:
        """Whether there is any media under the numbers that it began with."""
        numbered = self.outputs.numbered
        return numbered is not None and numbered.has_used_numbers

    @property
    def record(self) -> StreamRecord | None:
        """The facts with which the next server goes on with it; None before there is a playlist."""
        numbered = self.outputs.numbered
        playlists = numbered.record if numbered is not None else None
        if playlists is None:
            return None
        # It is asked for every second, and most of the time it is the same.
        continuation = self._line.continuation
        form = continuation.form if continuation is not None else None
        facts = playlists, self._timeline_from, self.broadcaster.admission.key_id, form
        if self._recorded is not None and self._recorded[0] == facts:
            return self._recorded[1]
        record = StreamRecord(
            name=self.name,
            key_id=facts[2],
            live_since=self.live_since,
            timing=playlists.timing,
            variants=playlists.variants,
            audio=playlists.audio,
            discontinuity_sequence=playlists.discontinuity_sequence,
            form=form,
            timeline_from=self._timeline_from,
        )
        self._recorded = facts, record
        return record


def _in_place_of(old: Place | None, new: Place | None) -> Place | None:
    """Keep a new place, and give the old one back; without a new one, keep the old."""
    if new is None:
        return old
    if old is not None:
        old.release()
    return new

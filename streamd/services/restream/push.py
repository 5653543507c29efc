"""One target in one broadcast: its connection, made again when it is lost, and the frames on it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamd.limits import RESTREAM
from streamd.services.events.event import Event, EventType
from streamd.services.restream.acknowledged import ACKED_WITHIN_S, Acknowledged
from streamd.services.restream.pace import Pace
from streamd.services.restream.tag_queue import TagQueue
from streamd.services.restream.target import TargetReport, TargetState
from streamd.services.restream.target_times import TargetTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamd.clock import Clock
    from streamd.formats.flv.tag import FlvTag
    from streamd.media.packager.plain_tags import PlainTags
    from streamd.services.events.event import EventSink
    from streamd.services.restream.link import Dialer, Link
    from streamd.services.restream.target import TargetRecord

log = logging.getLogger(__name__)

# More than this in our transport, beside what the kernel has, says that the target is slower than the broadcast: half a
# second of 4 Mb/s.
_TRANSPORT_BYTES_MAX = 256 * 1024
_WORDS_CHARS_MAX = 300


@dataclass(frozen=True, slots=True)
class PushOptions:
    """The options of all targets."""

    queue_s: float = RESTREAM.queue_s
    """Media that may wait for a slow target."""
    give_up_after_s: float = RESTREAM.give_up_after_s
    """How long a target is tried without being live; 0 for the whole broadcast."""


class Push:
    """Passes a broadcast on to one target.

    Args:
        target: The target.
        dialer: Makes its connections.
        clock: For delays and dates.
        draw: Random numbers, from 0 up to 1.
        options: Of all targets.
        tell: Receives its events.
    """

    def __init__(
        self,
        target: TargetRecord,
        *,
        dialer: Dialer,
        clock: Clock,
        draw: Callable[[], float],
        options: PushOptions,
        tell: EventSink,
    ) -> None:
        self.target = target
        self._dialer = dialer
        self._clock = clock
        self._tell = tell
        self._state = TargetState.WAITING
        self._since = clock.now()
        self._queue = TagQueue(round(options.queue_s * 1000))
        self._times = TargetTimes()
        self._plain: PlainTags | None = None
        self._has_video = False
        # The tracks have not been told on this connection.
        self._owes_headers = False
        self._link: Link | None = None
        self._is_started = False
        self._is_over = False
        self._pace = Pace(clock.monotonic(), draw, options.give_up_after_s)
        self._acknowledged = Acknowledged(clock.monotonic())
        self._live_since = 0.0
        self._last_error = ""

    @property
    def report(self) -> TargetReport:
        """What has become of it."""
        return TargetReport(
            state=self._state,
            since=self._since,
            kbps=round(self._acknowledged.kbps),
            acked_bytes=self._acknowledged.total_bytes,
            dropped=self._queue.dropped,
            attempts=self._pace.attempts,
            last_error=self._last_error,
        )

    @property
    def fault(self) -> str:
        """Its trouble of the moment, for people; empty for none."""
        if self._state in (TargetState.RECONNECTING, TargetState.REFUSED, TargetState.FAILED):
            return f"{self.target.label or self.target.place.host}: {self._state}, {self._last_error}"
        return ""

    @property
    def held_bytes(self) -> int:
        """Bytes that wait in its transport; frames in its queue are counted where they lie."""
        return self._link.queued_bytes if self._link is not None else 0

    # -- what the broadcast does --------------------------------------------------------------

    def start(self, plain: PlainTags, *, has_video: bool) -> None:
        """Go on with other tracks, at their first keyframe."""
        self._plain = plain
        self._has_video = has_video
        self._owes_headers = True
        self._queue.begin(has_video=has_video)

    def take(self, tags: Sequence[FlvTag]) -> None:
        """Take frames; they are kept while they wait."""
        if self._is_over:
            return
        if self._is_started:
            self._queue.extend(tags)
            self._send()
        else:
            self._queue.keep_newest(tags)

    def look(self, now: float) -> None:
        """Do what is due, about once a second.

        Args:
            now: Loop time, seconds.
        """
        if self._is_over:
            return
        if self._link is None:
            if self._plain is not None and self._pace.is_due(now):
                self._dial()
            return
        if self._is_started:
            self._read_signs(self._link, now)

    def switch_off(self) -> None:
        """End it for this broadcast."""
        self._let_go()
        self._is_over = True
        self._come_to(TargetState.OFF)

    def fail(self, reason: str) -> None:
        """End it for this broadcast, by a fault."""
        self._let_go()
        self._is_over = True
        self._last_error = reason
        self._come_to(TargetState.FAILED)

    def end(self) -> None:
        """The broadcast has ended: what waits goes out as far as the transport takes it at once."""
        if self._is_started:
            self._send()
        self._let_go()
        self._is_over = True

    # -- what the connection does (LinkOwner) ---------------------------------------------------

    def link_started(self, link: Link, /) -> None:
        """Begin with the last keyframe: the target has a picture at once."""
        if link is not self._link:
            return
        self._is_started = True
        self._owes_headers = True
        self._times.begin()
        self._acknowledged.begin(link.signs(), self._clock.monotonic())
        self._send()

    def link_drained(self, link: Link, /) -> None:
        """Go on with what waits."""
        if link is self._link and self._is_started:
            self._send()

    def link_ended(self, link: Link, reason: str, /, *, is_refusal: bool) -> None:
        """Try again later."""
        if link is not self._link:
            return
        now = self._clock.monotonic()
        was_live = self._state is TargetState.LIVE
        goes_on = self._pace.note_loss(now, now - self._live_since if was_live else None)
        self._forget_link()
        self._last_error = reason[:_WORDS_CHARS_MAX]
        if goes_on:
            self._come_to(TargetState.REFUSED if is_refusal else TargetState.RECONNECTING)
        else:
            self._is_over = True
            self._come_to(TargetState.FAILED)
        if is_refusal:
            self._tell_of(EventType.TARGET_REFUSED)
        elif was_live:
            self._tell_of(EventType.TARGET_LOST)
        log.warning(
            "target.refused" if is_refusal else "target.lost",
            extra={
                "target_id": self.target.target_id,
                "user": self.target.user,
                "host": self.target.place.host,
                "reason": self._last_error,
                "attempts": self._pace.attempts,
            },
        )

    # -- inside -----------------------------------------------------------------------------------

    def _dial(self) -> None:
        self._pace.attempts += 1
        # A target that has said no, or was lost, says so until it is known to be well.
        if self._state is TargetState.WAITING:
            self._come_to(TargetState.CONNECTING)
        self._link = self._dialer.dial(self.target, self)

    def _send(self) -> None:
        """Hand frames to the transport while it has room."""
        link, plain, queue = self._link, self._plain, self._queue
        if link is None or plain is None or not queue:
            return
        now = self._clock.monotonic()
        room = _TRANSPORT_BYTES_MAX - link.queued_bytes
        while queue and room > 0:
            tag = queue.pop()
            time_ms = self._times.place(tag.tag_type, tag.timestamp_ms, now)
            if self._owes_headers:
                self._owes_headers = False
                link.write_metadata(time_ms, plain.metadata)
                for tag_type, header in plain.headers:
                    link.write(tag_type, time_ms, header)
            body = plain.body(tag)
            link.write(tag.tag_type, time_ms, body)
            room -= len(body)
        link.flush()

    def _read_signs(self, link: Link, now: float) -> None:
        """See whether the target takes what it is sent."""
        signs = link.signs()
        if self._acknowledged.read(signs, now):
            if self._state is not TargetState.LIVE:
                self._live_since = now
                self._last_error = ""
                self._come_to(TargetState.LIVE)
                self._tell_of(EventType.TARGET_LIVE)
                log.info("target.live", extra={"target_id": self.target.target_id, "user": self.target.user})
        elif signs.is_waiting:
            if self._state is TargetState.LIVE:
                self._last_error = f"nothing was acknowledged for {ACKED_WITHIN_S:g} s"
                self._come_to(TargetState.RECONNECTING)
                self._tell_of(EventType.TARGET_LOST)
        elif self._state is TargetState.LIVE:
            # The publisher is away: there is nothing to send.
            self._come_to(TargetState.WAITING)

    def _let_go(self) -> None:
        link = self._link
        self._forget_link()
        if link is not None:
            link.close()

    def _forget_link(self) -> None:
        self._link = None
        self._is_started = False
        self._acknowledged.end()
        self._queue.begin(has_video=self._has_video)

    def _come_to(self, state: TargetState) -> None:
        if state is not self._state:
            self._state = state
            self._since = self._clock.now()

    def _tell_of(self, event_type: EventType) -> None:
        target = self.target
        data = {"user": target.user, "stream": target.user, "target_id": target.target_id, "label": target.label}
        if event_type is not EventType.TARGET_LIVE:
            data["reason"] = self._last_error
        self._tell(Event(event_type, self._clock.now(), data))

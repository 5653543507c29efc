"""The live streams of this server, by channel name.

One process holds them in a dictionary. A cluster puts another object behind the same calls.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from streamd.clock import EPOCH_2020
from streamd.errors import (
    AlreadyPublishingError,
    KeyRejectedError,
    MediaError,
    PlaceTakenError,
    PublishError,
    ServerRestartsError,
)
from streamd.media.packager.ladder import Form
from streamd.media.packager.numbering import Numbering
from streamd.media.timeline import START_MS, TRACKS_APART_MS_MAX
from streamd.services.events.event import Event, EventType, rfc3339, unheard
from streamd.services.keys.admission import Admission
from streamd.services.live.channel_numbers import ChannelNumbers
from streamd.services.live.life import Life
from streamd.services.live.live_channel import LiveChannel
from streamd.services.live.live_stream import LiveStream
from streamd.services.live.outputs import OutputContext, Outputs
from streamd.services.live.packaging import Continuation
from streamd.services.live.publisher import CUT_WAIT_S, TAKEN_DOWN_WAIT_S, Broadcaster, EndReason
from streamd.services.live.restart_record import SIGN_OF_LIFE_INTERVAL, RestartRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.events.event import EventSink, Value
    from streamd.services.live.channel import Channel
    from streamd.services.live.live_stream import NameClaim, Place
    from streamd.services.live.meter import StreamSummary
    from streamd.services.live.publisher import Publisher
    from streamd.services.live.restart_record import StreamRecord
    from streamd.services.live.stream_options import StreamOptions
    from streamd.services.live.waiters import WaiterBudget
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)

STREAM_CLOSED = "The stream was closed by the operator."
SERVER_FULL = "The server is full. Try again later."
TOO_FAST = "Media came much faster than time passes. Send it at its own pace, and try again later."
# A thread that probes takes as much as the loop of a core that they share, so the loop has its turn before the next one
# begins. Probing takes 2 ms as a rule: a hundred publishers that come in one second are through within it. A second one
# is there for when the first takes long, over a picture that is very large.
PROBES_AT_ONCE_MAX = 2
# The same key takes over a connection that has sent nothing for so long: encoders send sound or pictures many times a
# second, and one that comes back is given up by its owner when it is not let in within seconds.
TAKE_OVER_S = 2.0
# Until then it is looked whether the connection sends after all: encoders with sound send each 43 ms at least.
LOOK_AGAIN_S = 0.1
# A look at a hundred streams takes 4 ms, in which their frames and their viewers wait for the loop.
SWEEP_STEP_S = 0.001


class _PlaceForAll:
    """The place of a stream where memory has no ceiling."""

    left = None
    numbers_until_s = 0

    def release(self) -> None:
        """Nothing is kept free."""


async def _claim_at_once(_: str, __: Admission) -> NameClaim:
    """The claim of a process that has all names to itself: the first to begin has the name."""
    return _PlaceForAll()


class LiveRegistry:
    """The live streams, by channel name.

    Args:
        options: Packaging options of every stream.
        clock: For dates and durations.
        metrics: Counted into.
        budget: Bound of the waiting requests of the whole server.
        streams_max: Live streams at a time.
        reconnect_window_s: How long a stream whose publisher's connection ended waits for it to come back.
        is_admissible: Tells, without waiting, whether an admission still stands; asked in the very step in which its
            stream begins, so that a key that died meanwhile begins no stream.
        tell: Receives the events of streams.
        take_place: Reserves memory for a stream that begins, or returns None if there is none. The stream gives it back
            when it ends.
        ask_for_name: Asks for a channel's name among several servers; raises ``AlreadyPublishingError`` if another has
            it. The end of the stream gives the name back.
    """

    def __init__(
        self,
        *,
        options: StreamOptions,
        clock: Clock,
        metrics: Metrics,
        budget: WaiterBudget,
        streams_max: int,
        reconnect_window_s: float,
        is_admissible: Callable[[Admission], bool],
        tell: EventSink = unheard,
        take_place: Callable[[], Place | None] = _PlaceForAll,
        ask_for_name: Callable[[str, Admission], Awaitable[NameClaim]] = _claim_at_once,
    ) -> None:
        self._options = options
        self._clock = clock
        self._metrics = metrics
        self._budget = budget
        self._streams_max = streams_max
        self._reconnect_window_s = reconnect_window_s
        self._is_admissible = is_admissible
        self._tell = tell
        self._take_place = take_place
        self._ask_for_name = ask_for_name
        self._probing = asyncio.Semaphore(PROBES_AT_ONCE_MAX)
        self._by_name: dict[str, LiveStream] = {}
        self._channels: dict[str, LiveChannel] = {}
        self._numbers = ChannelNumbers()
        # Media sequence numbers never go backwards while we run, even if the wall clock steps.
        self._numbering_origin = clock.now() - timedelta(seconds=clock.monotonic())

    def configure(self, options: StreamOptions, *, streams_max: int, reconnect_window_s: float) -> None:
        """Take other options, for streams that begin from now on."""
        self._options = options
        self._streams_max = streams_max
        self._reconnect_window_s = reconnect_window_s

    async def wait_for_silence(self, admission: Admission) -> None:
        """Wait while it is not known whether the connection that feeds a key's stream is still there.

        A publisher that has come back on another connection is let in once the first has been silent for
        ``TAKE_OVER_S``, and an encoder that is told "already live" may give up. So the answer waits for what the first
        connection does: it sends something, and the second is refused, or it does not.

        Args:
            admission: Of the key that wants to publish.
        """
        asked_at = self._clock.monotonic()
        quiet_s = self._quiet_s(admission)
        while 0.0 < quiet_s < TAKE_OVER_S and self._clock.monotonic() - asked_at <= quiet_s:
            await asyncio.sleep(min(LOOK_AGAIN_S, TAKE_OVER_S - quiet_s))
            quiet_s = self._quiet_s(admission)

    def _quiet_s(self, admission: Admission) -> float:
        """For how long the connection has been silent whose place a key may take, seconds; 0 where there is none."""
        stream = self._by_name.get(admission.user)
        if stream is None or stream.life is not Life.LIVE:
            return 0.0
        broadcaster = stream.broadcaster
        if broadcaster.publisher is None or broadcaster.admission.key_id != admission.key_id:
            return 0.0
        return broadcaster.publisher.quiet_s()

    async def claim(self, name: str, admission: Admission) -> NameClaim:
        """Ask for the name of a channel, before a stream begins under it.

        A single process answers at once. ``begin`` checks the key once more.

        Args:
            name: The channel.
            admission: Of the key that would open the stream.

        Returns:
            The name, for ``begin``; a caller that does not begin gives it back.

        Raises:
            PublishError: Another server has the name, or cannot be asked.
        """
        return await self._ask_for_name(name, admission)

    def begin(self, admission: Admission, publisher: Publisher, claim: NameClaim) -> LiveStream:
        """Begin a live stream, or go on with one that waits for this publisher; nothing is awaited.

        Args:
            admission: Of the key that opened it.
            publisher: The connection that will feed it.
            claim: The name from ``claim``; it is given back here if no stream begins.

        Returns:
            The stream; a new one has no media yet.

        Raises:
            AlreadyPublishingError: The channel is live from a connection that sends, or the stream is another key's.
            KeyRejectedError: The key died since it was verified.
            PublishError: The server is full.
        """
        try:
            return self._begin(admission, publisher, claim)
        except Exception:
            claim.release()
            raise

    def _begin(self, admission: Admission, publisher: Publisher, claim: NameClaim) -> LiveStream:
        if not self._is_admissible(admission):
            raise KeyRejectedError("died_while_verified", admission.key_id)
        name = admission.user
        previous = self._by_name.get(name)
        if claim.numbers_until_s:
            self._numbers.note_used(name, claim.numbers_until_s, self._now_s())
        if claim.left is not None and (previous is None or not previous.is_live) and not self.is_full:
            previous = self._restore(claim.left, self._clock.now())
        if previous is not None and self._quiet_s(admission) >= TAKE_OVER_S:
            self._take_over(previous)
        if previous is not None and previous.is_live:
            # Only the key that opened a stream may go on with it: another key takes no place.
            broadcaster = previous.broadcaster
            if broadcaster.publisher is not None or broadcaster.admission.key_id != admission.key_id:
                raise AlreadyPublishingError
            # One that another server left has no media yet: it takes as much as a new one, and goes on all the same.
            place = self._take_place() if previous.held_bytes == 0 else None
            previous.resume(admission, publisher, claim, place)
            self._say(EventType.STREAM_RESUMED, previous)
            return previous
        if self.is_full:
            self._metrics.limit_hits_total.labels("streams_max").inc()
            raise PublishError(SERVER_FULL, limit="streams_max")
        if self._numbers.is_exhausted(name, self._now_s()):
            raise PublishError(TOO_FAST)
        place = self._take_place()
        if place is None:
            self._metrics.limit_hits_total.labels("memory_bytes_max").inc()
            raise PublishError(SERVER_FULL, limit="memory_bytes_max")
        numbering = self._next_numbering(name)
        if previous is not None:
            numbering = numbering.no_earlier_than(previous.next_numbering)
        return self._add(name, admission, publisher, numbering, claim=claim, place=place)

    def _take_over(self, stream: LiveStream) -> None:
        """Part a stream from a connection that is silent; it goes on, or ends where it has shown nothing yet."""
        silent = stream.broadcaster.publisher
        assert silent is not None, "it feeds the stream"
        log.info(
            "stream.taken_over",
            extra={"stream": stream.name, "key_id": stream.broadcaster.admission.key_id, "peer": silent.address},
        )
        silent.kick(PlaceTakenError())
        self.leave(stream, silent, EndReason.CONNECTION_LOST)

    def _add(
        self,
        name: str,
        admission: Admission,
        publisher: Publisher | None,
        numbering: Numbering,
        record: StreamRecord | None = None,
        continuation: Continuation | None = None,
        claim: Place | None = None,
        place: Place | None = None,
    ) -> LiveStream:
        options = self._options
        broadcaster = Broadcaster(
            admission,
            publisher,
            bitrate_kbps_max=options.limits.bitrate_kbps_max,
            picture_pixels_max=options.limits.picture_pixels_max,
        )
        context = OutputContext(
            name=name,
            live_since=record.live_since if record is not None else self._clock.now(),
            numbering=numbering,
            rendition=options.rendition,
            gop=options.limits.gop,
            clock=self._clock,
            metrics=self._metrics,
            budget=self._budget,
            hurry=broadcaster.hurry,
            record=record.playlists if record is not None else None,
        )
        outputs = Outputs(name)
        for maker in options.outputs:
            outputs.make(maker, context)
        stream = LiveStream(
            name,
            broadcaster,
            outputs,
            live_since=context.live_since,
            numbering=numbering,
            options=options,
            clock=self._clock,
            metrics=self._metrics,
            on_failed=self.end,
            on_health=self._tell_health,
            on_playable=self._note_started,
            continuation=continuation,
            timeline_from=record.timeline_from if record is not None else None,
            probing=self._probing,
            claim=claim,
            place=place,
        )
        replaced = self._by_name.get(name)
        self._by_name[name] = stream
        self._channels[name] = LiveChannel(stream)
        if replaced is not None:
            replaced.release()
        self._count()
        return stream

    def _now_s(self) -> int:
        """Seconds since 2020 on a clock that never steps while we run."""
        now = self._numbering_origin + timedelta(seconds=self._clock.monotonic())
        return (now - EPOCH_2020) // timedelta(seconds=1)

    def _next_numbering(self, name: str) -> Numbering:
        return Numbering.at(EPOCH_2020 + timedelta(seconds=self._numbers.first_s(name, self._now_s())))

    # -- a server that starts again --------------------------------------------------------------

    def record(self) -> RestartRecord:
        """The next server's record; equal to the last one as long as no fact has changed. Called once a second."""
        live = [stream for stream in self._by_name.values() if stream.is_live]
        used = [(stream.name, stream.used_until_s, stream.has_used_numbers) for stream in live]
        used_until_s, ahead = self._numbers.reserve(used, self._now_s())
        records = [record for stream in live if (record := stream.record) is not None]
        return RestartRecord(tuple(records), used_until_s, ahead)

    def restore(self, record: RestartRecord, alive_at: datetime | None = None) -> None:
        """Go on where another server ended without having ended its streams.

        Each waits for its publisher as if the connection had just been lost: its key keeps its place, and requests for
        its playlists wait. Where that server stopped longer ago than a publisher may be away, they have ended. How long
        ago one was killed is not known.

        Args:
            record: Of that server.
            alive_at: When it was alive at the latest, good to ``SIGN_OF_LIFE_INTERVAL``; None where that is not known.
        """
        alive_until_s = 0
        if alive_at is not None:
            alive_until_s = (alive_at + SIGN_OF_LIFE_INTERVAL - EPOCH_2020) // timedelta(seconds=1)
        self._numbers.restore(record.numbers_used_until_s, record.channels_ahead, self._now_s(), alive_until_s)
        stopped_at, window = record.stopped_at, timedelta(seconds=self._reconnect_window_s)
        is_over = stopped_at is not None and self._clock.now() - stopped_at > window
        # The clock may be behind. Their media went no farther than up to then.
        left_at = self._clock.now()
        if stopped_at is not None:
            left_at = max(left_at, stopped_at)
        elif alive_at is not None:
            left_at = max(left_at, alive_at + SIGN_OF_LIFE_INTERVAL)
        for left in record.streams:
            stream = self._restore(left, left_at)
            if is_over:
                self.end(stream, EndReason.CONNECTION_LOST)
            else:
                log.info("stream.restored", extra={"stream": left.name, "key_id": left.key_id})

    def _restore(self, left: StreamRecord, left_at: datetime) -> LiveStream:
        """Have a stream that another server has left wait for its publisher."""
        numbering = self._next_numbering(left.name)
        # In a record of an earlier version audio renditions say that audio is apart.
        form = left.form or (Form.PICTURES if left.audio else Form.MUXED)
        continuation = Continuation(left.timing, form, _starts_ms(left, left_at))
        return self._add(left.name, Admission(left.key_id, left.name), None, numbering, left, continuation)

    def give_away(self, name: str) -> LiveStream | None:
        """Part with a live stream that another server goes on with: its publisher is closed, and no viewer sees an end.

        Requests that wait are asked anew, and find the channel where it is by then.

        Returns:
            The stream, which is not found here any more; None where it is not live.
        """
        stream = self._by_name.get(name)
        if stream is None or not stream.is_live:
            return None
        del self._by_name[name], self._channels[name]
        publisher = stream.broadcaster.publisher
        if publisher is not None:
            publisher.kick(ServerRestartsError())
        stream.end(EndReason.GIVEN_AWAY)
        self._numbers.note_used(name, stream.used_until_s, self._now_s())
        self._count()
        stream.release()
        return stream

    def end(self, stream: LiveStream, reason: EndReason) -> None:
        """End a live stream; again is the same as once."""
        was_started = stream.is_live and stream.is_playable
        viewers = sum(stream.outputs.viewers.values())
        stream.end(reason)
        self._numbers.note_used(stream.name, stream.used_until_s, self._now_s())
        self._count()
        if was_started:
            duration_s = round((self._clock.now() - stream.live_since).total_seconds(), 3)
            self._say(
                EventType.STREAM_ENDED, stream, {"reason": reason.value, "duration_s": duration_s, "viewers": viewers}
            )

    def leave(self, stream: LiveStream, publisher: Publisher, reason: EndReason) -> None:
        """Note that a publisher is gone: its stream ends, or waits for it to come back.

        Args:
            stream: The stream that it fed.
            publisher: The connection; another one that feeds the stream by now is left alone.
            reason: A goodbye or a fault ends the stream at once; a connection that just ended, or that brought no
                media any more, may come back.
        """
        if stream.broadcaster.publisher is not publisher or not stream.is_live:
            return
        # A short broadcast, sent at once: all of it came before the goodbye. Memory that is short waits for nothing.
        if reason is not EndReason.OVER_LIMIT and stream.when_open(lambda: self.leave(stream, publisher, reason)):
            return
        may_come_back = reason in (EndReason.CONNECTION_LOST, EndReason.MEDIA_TIMEOUT)
        if may_come_back and self._reconnect_window_s > 0 and stream.is_playable:
            try:
                stream.lose_publisher()
            except Exception as exc:  # noqa: BLE001  # logged by the stream
                # With a line that cannot even be finished there is nothing to go on with.
                stream.fail(exc)
            else:
                self._say(EventType.STREAM_RECONNECTING, stream, {"window_s": self._reconnect_window_s})
        else:
            self.end(stream, reason)

    def _tell_health(self, stream: LiveStream) -> None:
        event_type = EventType.STREAM_HEALTHY if stream.health.is_healthy else EventType.STREAM_UNHEALTHY
        findings = [
            {"code": finding.code.value, "severity": finding.severity.value, "message": finding.message}
            for finding in stream.health.findings
        ]
        self._say(event_type, stream, {"status": stream.health.status.value, "findings": findings})

    def find(self, name: str) -> LiveStream | None:
        """Find a stream that is live, or has ended so lately that its playlist is still served."""
        stream = self._by_name.get(name)
        if stream is not None and stream.forget_at <= self._clock.monotonic():
            del self._by_name[name], self._channels[name]
            stream.release()
            return None
        return stream

    def find_channel(self, name: str) -> Channel | None:
        """Find the channel of a stream that is live, or has ended lately."""
        return self._channels[name] if self.find(name) is not None else None

    def channels(self) -> Iterable[Channel]:
        """The live channels, in the order in which they began."""
        return (channel for channel in self._channels.values() if channel.is_live)

    def live(self) -> Iterable[LiveStream]:
        """The streams that are live now, in the order in which they began."""
        return (stream for stream in self._by_name.values() if stream.is_live)

    @property
    def is_full(self) -> bool:
        """Whether as many streams are live as there may be."""
        return sum(1 for _ in self.live()) >= self._streams_max

    @property
    def held_bytes(self) -> int:
        """Media that is in memory for the playlists of all of them, bytes."""
        return sum(stream.held_bytes for stream in self._by_name.values())

    def summaries(self) -> list[StreamSummary]:
        """An operator's summary of every live stream."""
        return [stream.summary() for stream in self.live()]

    def summary(self, name: str) -> StreamSummary | None:
        """An operator's summary of one; None if it is not live."""
        stream = self._by_name.get(name)
        return stream.summary() if stream is not None and stream.is_live else None

    async def sweep(self) -> None:
        """Take readings, end and forget streams whose time is over; called about once a second.

        The others go on meanwhile: it gives the loop back after each ``SWEEP_STEP_S``.
        """
        step_since = self._clock.monotonic()
        lost_before = step_since - self._reconnect_window_s
        now_s = self._now_s()
        for name in tuple(self._by_name):
            if self._clock.monotonic() - step_since >= SWEEP_STEP_S:
                await asyncio.sleep(0)
                step_since = self._clock.monotonic()
            stream = self.find(name)
            if stream is None or not stream.is_live:
                continue
            if stream.lost_at is not None and stream.lost_at <= lost_before:
                self.end(stream, EndReason.CONNECTION_LOST)
                continue
            try:
                stream.look()
                if self._numbers.is_too_far(stream.used_until_s, now_s):
                    stream.fail(MediaError("media comes much faster than time passes"))
            except Exception as exc:  # noqa: BLE001  # logged by the stream
                # One stream's fault must not keep the others from being looked at.
                stream.fail(exc)

    async def close_streams(self, key_ids: Collection[str], reason: str) -> list[str]:
        """Close every stream that one of these keys opened, and wait until its publisher's socket is closed.

        Args:
            key_ids: Ids of keys that are dead already, so that nothing new can begin with them.
            reason: For the log.

        Returns:
            Names of the streams that were closed.
        """
        doomed = [stream for stream in self.live() if stream.broadcaster.admission.key_id in key_ids]
        for stream in doomed:
            log.info("stream.closed", extra={"stream": stream.name, "reason": reason})
        await self._close(doomed, EndReason.KEY_DIED, KeyRejectedError("dead"))
        return [stream.name for stream in doomed]

    async def close_barred(self, is_barred: Callable[[Admission], bool]) -> list[str]:
        """Close every stream that may not go on, and wait until its publisher's socket is closed.

        Args:
            is_barred: Whether a stream with this admission may not; nothing new begins with one.

        Returns:
            Names of the streams that were closed, in the order in which they began.
        """
        doomed = [stream for stream in self.live() if is_barred(stream.broadcaster.admission)]
        for stream in doomed:
            log.info("stream.closed", extra={"stream": stream.name, "reason": EndReason.TAKEN_DOWN.value})
        error = KeyRejectedError(EndReason.TAKEN_DOWN.value)
        await self._close(doomed, EndReason.TAKEN_DOWN, error, within_s=TAKEN_DOWN_WAIT_S)
        return [stream.name for stream in doomed]

    async def kick(self, name: str) -> bool:
        """Close a live stream's publisher; its key stays good.

        Returns:
            Whether there was one.
        """
        stream = self.find(name)
        if stream is None or not stream.is_live:
            return False
        log.info("stream.kicked", extra={"stream": name})
        await self._close([stream], EndReason.KICKED, PublishError(STREAM_CLOSED))
        return True

    def viewers_of(self, name: str) -> int | None:
        """How many watch a channel; None where it is not live."""
        found = self.find_channel(name)
        return sum(found.viewers.values()) if found is not None and found.is_live else None

    def dismiss_viewers(self) -> None:
        """Answer all waiting requests and end pushed streams, as the server stops; the playlists stay open."""
        for stream in self.live():
            stream.dismiss_viewers()

    async def end_all(self) -> None:
        """End every stream because the server stops for good."""
        await self._close([*self.live()], EndReason.SERVER_STOPPED, PublishError("The server is stopping."))

    async def _close(
        self, streams: list[LiveStream], reason: EndReason, error: PublishError, within_s: float = CUT_WAIT_S
    ) -> None:
        connections = [stream.broadcaster.publisher for stream in streams]
        publishers = [publisher for publisher in connections if publisher is not None]
        # The picture goes dark before webhooks tell of it.
        for publisher in publishers:
            publisher.kick(error)
        for stream in streams:
            self.end(stream, reason)
        await asyncio.gather(*(publisher.wait_closed(within_s) for publisher in publishers))

    def _note_started(self, stream: LiveStream) -> None:
        codecs = [track.codec for track in stream.tracks]
        self._say(EventType.STREAM_STARTED, stream, {"address": stream.broadcaster.address, "codecs": codecs})

    def _say(self, event_type: EventType, stream: LiveStream, data: Mapping[str, Value] | None = None) -> None:
        about: dict[str, Value] = {
            "stream": stream.name,
            "user": stream.broadcaster.admission.user,
            "key_id": stream.broadcaster.admission.key_id,
            "live_since": rfc3339(stream.live_since),
        }
        self._tell(Event(event_type, self._clock.now(), {**about, **(data or {})}))

    def _count(self) -> None:
        self._metrics.streams.streams_live.set(sum(1 for _ in self.live()))


def _starts_ms(left: StreamRecord, left_at: datetime) -> int:
    """Where a stream's next media begins on its timeline, milliseconds: behind all that came up to a moment."""
    began = left.timeline_from or left.live_since - timedelta(milliseconds=START_MS)
    return max(START_MS, (left_at - began) // timedelta(milliseconds=1)) + TRACKS_APART_MS_MAX

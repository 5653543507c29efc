"""One live stream to many viewers: each piece is written once, and the same bytes object goes to every socket.

A viewer starts at the last keyframe and follows live. The media of one read of the publisher goes out as one write, and
frames and audio that lie close together are merged, as at thousands of viewers the kernel's price of a write is most of
the cost. The fan-out has no queue: a piece is handed to a viewer's transport, or skipped. A viewer whose transport has
too much waiting is set aside until a keyframe finds the backlog gone, and closed if that takes too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from streamd.errors import LocalStateError
from streamd.services.live.gop_cache import GopCache, GopLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamd.clock import Clock
    from streamd.services.metrics import Metrics

# A video frame that follows the last write by less than this waits for the next one. At 30 frames a second each is a
# write of its own; at 60 every second one is, which halves the cost and delays a frame by 17 ms.
VIDEO_MERGE_MS = 25
# Audio rides along with video. Where no video comes, three AAC frames (1024 samples at 48 kHz: 64 ms) make a write; two
# often come between one video frame and the next.
AUDIO_MERGE_MS = 60
# GOPs that a viewer's transport may hold, the one that they started with included. In time, this is the same for every
# bit rate.
BUFFERED_GOPS_MAX = 2
# A GOP can be tiny: a still picture, or audio alone, at 128 kb/s 16 s of it.
BUFFERED_BYTES_MIN = 256 * 1024
# A viewer who is set aside goes on when their transport holds no more than its limit divided by this.
RESUME_DIVISOR = 4
# Set aside for longer than this, a viewer will not see this stream: 10 s are the longest keyframe interval that we
# serve, and players that hear nothing for as long have given up.
SET_ASIDE_S_MAX = 10.0


class PushViewer(Protocol):
    """The socket of one viewer, as its door sees it. No call may raise, wait, or call the fan-out back."""

    def write(self, data: bytes, /) -> None:
        """Hand bytes to the transport. They are shared with other viewers."""

    def offer(self, data: bytes, buffered_bytes_max: int, /) -> int:
        """Hand bytes on as ``write`` does, but where more than so much waits: one call for each viewer and write.

        Returns:
            How many bytes waited before.
        """

    def buffered_bytes(self) -> int:
        """How many bytes wait in the transport."""

    def close(self) -> None:
        """Close when the waiting bytes are sent. A viewer may take none of them: the door bounds that time."""

    def drop(self) -> None:
        """Close, and drop the waiting bytes: they are old, and no other viewer holds them."""


class PushWriter(Protocol):
    """Writes one format of one set of tracks, whose units are FLV tags or samples."""

    @property
    def head(self) -> bytes:
        """The start of the byte stream."""

    @property
    def has_video(self) -> bool:
        """Whether there are keyframes to start with; without video any unit will do."""

    def head_after(self, previous: Self, /) -> bytes | None:
        """The bytes with which viewers of ``previous`` go on here; None if they cannot, and their streams end."""

    def is_video(self, unit: Any, /) -> bool:
        """Whether it is a video frame."""

    def is_keyframe(self, unit: Any, /) -> bool:
        """Whether it is a video frame at which decoding can start."""

    def last_keyframe(self, units: Sequence[Any], /) -> int:
        """The index of the last of them that is one; -1 without one."""

    def payload_bytes(self, units: Sequence[Any], /) -> int:
        """Size of their payloads together."""

    def time_ms(self, unit: Any, /) -> int:
        """Its decode time, milliseconds on a scale of the track's own."""

    def write(self, units: Sequence[Any], /) -> bytes:
        """Write units, at least one, as they stand in the byte stream."""


class _SetAside(NamedTuple):
    """A viewer who gets no media until the next keyframe."""

    since: float
    """Loop time, seconds."""
    sent_bytes: int
    """Bytes sent to all viewers until then."""


class Fanout:
    """The viewers of one live stream in one format.

    Args:
        protocol: The format's name, for metrics.
        clock: Measures how long a viewer is set aside.
        metrics: Counted into.
        limits: Bounds of the GOP cache.
        on_attach: Called when a viewer has come.
    """

    def __init__(
        self,
        protocol: str,
        *,
        clock: Clock,
        metrics: Metrics,
        limits: GopLimits | None = None,
        on_attach: Callable[[], None] | None = None,
    ) -> None:
        self._clock = clock
        self._on_attach = on_attach
        self._viewers_gauge = metrics.viewing.viewers.labels(protocol)
        self._skips_total = metrics.viewing.push_skips_total.labels(protocol)
        self._too_slow_total = metrics.viewing.push_viewers_too_slow_total.labels(protocol)
        self._egress_bytes_total = metrics.viewing.http_egress_bytes_total
        self._gop_limit_hits_total = metrics.limit_hits_total.labels("gop_bytes_max")
        self._writer: PushWriter | None = None
        self._has_video = False
        self._gop = GopCache(limits or GopLimits())
        self._last_gop_bytes = 0
        # Decode times up to which audio and video are written, by whether it is video.
        self._written_ms: dict[bool, int] = {}
        self._following: dict[PushViewer, None] = {}
        # Viewers who are set aside until the next keyframe, and the loop time since when.
        self._set_aside: dict[PushViewer, _SetAside] = {}
        # Those of them that count as no viewers.
        self._previews: set[PushViewer] = set()
        # Bytes sent to all viewers so far, and those of them that slow viewers keep in memory.
        self._sent_bytes = self._kept_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Its memory for viewers who join and for slow ones, bytes."""
        gop_bytes = self._gop.written_bytes
        return self._gop.held_bytes + max(0, self._kept_bytes - gop_bytes)

    @property
    def is_open(self) -> bool:
        """Whether viewers can follow: the tracks are known and the stream is live."""
        return self._writer is not None

    @property
    def viewers(self) -> int:
        """Number of those who are sent the stream."""
        return len(self._following) + len(self._set_aside)

    @property
    def counted(self) -> int:
        """Number of viewers: an operator's look is none."""
        return self.viewers - len(self._previews)

    # -- what the stream sends -------------------------------------------------------------------

    def start(self, writer: PushWriter) -> None:
        """Take a new set of tracks; every unit from now on belongs to it, the first video frame is a keyframe.

        Viewers go on if the format allows it. Otherwise their streams end, and players ask again.
        """
        if self._writer is not None:
            if self.viewers:
                self._write_pending()
            change = writer.head_after(self._writer)
            if change is None:
                self._close_all()
            elif change:
                for viewer in self._all_viewers():
                    viewer.write(change)
        self._writer = writer
        self._has_video = writer.has_video
        self._gop.forget()
        self._written_ms.clear()

    def receive(self, units: Sequence[Any]) -> None:
        """Take units that arrived together, in order. They are kept, and must not be changed."""
        writer = self._writer
        if writer is None:
            return
        if self._following or self._set_aside:
            self._receive_for_viewers(writer, units)
        else:
            self._receive_for_nobody(writer, units)
        if self._gop.is_full:
            self._gop.forget()
            self._gop_limit_hits_total.inc()

    def _receive_for_nobody(self, writer: PushWriter, units: Sequence[Any]) -> None:
        """Keep the units that the first viewer will begin with."""
        gop = self._gop
        first = writer.last_keyframe(units) if self._has_video else 0
        if first >= 0:
            before, units = units[:first], units[first:]
            self._last_gop_bytes = gop.payload_bytes + writer.payload_bytes(before)
            gop.restart()
        if gop.is_whole:
            gop.extend(units, writer.payload_bytes(units))

    def _receive_for_viewers(self, writer: PushWriter, units: Sequence[Any]) -> None:
        gop = self._gop
        if not self._has_video and not gop.has_pending:
            gop.restart()
        is_due = False
        for unit in units:
            if writer.is_keyframe(unit):
                self._write_pending()
                self._last_gop_bytes = gop.payload_bytes
                gop.restart()
            gop.extend((unit,), len(unit.payload))
            is_due = is_due or self._is_due(writer, unit)
        if is_due or gop.is_full:
            self._write_pending()

    def cut(self) -> None:
        """End the viewers' streams, and go on for those who come next from the next keyframe.

        For a format whose times say what came before: players stand still at a leap.
        """
        if self._writer is not None:
            if self.viewers:
                self._write_pending()
            self._gop.forget()
            self._written_ms.clear()
            self._close_all()

    def end(self) -> None:
        """End the stream: viewers get the rest of it, and are closed."""
        if self.viewers:
            self._write_pending()
        self._writer = None
        self._gop.forget()
        self._close_all()

    def close(self) -> None:
        """End the stream for good: it is not started again."""
        self.end()
        # The owner of the callback usually holds the fan-out: the circle must not wait for a garbage collection.
        self._on_attach = None

    # -- viewers ---------------------------------------------------------------------------------

    def attach(self, viewer: PushViewer, *, is_preview: bool = False) -> None:
        """Send a viewer the stream from the last keyframe, and let it follow.

        Args:
            viewer: Who is sent it.
            is_preview: It counts as none.

        Raises:
            LocalStateError: Viewers cannot follow; ask ``is_open`` first.
        """
        if self._writer is None:
            raise LocalStateError("nobody may follow a stream that is not open")
        self._write_pending()
        buffers = (self._writer.head, *self._gop.buffers)
        for buffer in buffers:
            viewer.write(buffer)
        if self._gop.is_whole:
            self._following[viewer] = None
        else:
            self._set_aside[viewer] = _SetAside(self._clock.monotonic(), self._sent_bytes)
        if is_preview:
            self._previews.add(viewer)
        else:
            self._viewers_gauge.inc()
        self._egress_bytes_total.inc(sum(map(len, buffers)))
        if self._on_attach is not None:
            self._on_attach()

    def detach(self, viewer: PushViewer) -> None:
        """Forget a viewer who has gone; again, or after ``close``, is no error."""
        if viewer in self._following:
            del self._following[viewer]
        elif viewer in self._set_aside:
            del self._set_aside[viewer]
        else:
            return
        if viewer in self._previews:
            self._previews.remove(viewer)
        else:
            self._viewers_gauge.dec()

    def end_previews(self) -> None:
        """End the stream for those who count as no viewers, at once."""
        for viewer in [*self._previews]:
            self.detach(viewer)
            viewer.drop()

    def _close_all(self) -> None:
        for viewer in self._all_viewers():
            self.detach(viewer)
            viewer.close()

    def _all_viewers(self) -> list[PushViewer]:
        return [*self._following, *self._set_aside]

    # -- writing ---------------------------------------------------------------------------------

    def _is_due(self, writer: PushWriter, unit: Any) -> bool:
        """Whether ``unit`` is far enough from the last one written; time that stands or steps back counts as far."""
        is_video = writer.is_video(unit)
        written_ms = self._written_ms.get(is_video)
        if written_ms is None:
            return True
        merge_ms = VIDEO_MERGE_MS if is_video else AUDIO_MERGE_MS
        return not 0 < writer.time_ms(unit) - written_ms < merge_ms

    def _write_pending(self) -> None:
        """Write the pending units, for the viewers and for those who join in this GOP."""
        writer, gop = self._writer, self._gop
        pending = gop.pending
        if writer is None or not pending:
            return
        for unit in pending:
            self._written_ms[writer.is_video(unit)] = writer.time_ms(unit)
        data = writer.write(pending)
        opens_gop = gop.is_whole and not gop.buffers
        gop.settle(data)
        self._send(data, opens_gop=opens_gop)

    def _send(self, data: bytes, *, opens_gop: bool) -> None:
        buffered_bytes_max = max(
            BUFFERED_BYTES_MIN, BUFFERED_GOPS_MAX * max(self._last_gop_bytes, self._gop.payload_bytes)
        )
        # Bytes that wait for all of them together, and the position in the sent bytes of the first. Most of them are
        # shared.
        unsent_bytes = since_bytes = 0
        if self._set_aside:
            unsent_bytes, since_bytes = self._review(buffered_bytes_max // RESUME_DIVISOR, opens_gop=opens_gop)
        too_slow: list[PushViewer] = []
        for viewer in self._following:
            buffered_bytes = viewer.offer(data, buffered_bytes_max)
            if buffered_bytes:
                unsent_bytes += buffered_bytes
                if buffered_bytes > since_bytes:
                    since_bytes = buffered_bytes
                if buffered_bytes > buffered_bytes_max:
                    too_slow.append(viewer)
        self._kept_bytes = min(unsent_bytes, since_bytes)
        self._egress_bytes_total.inc(len(data) * (len(self._following) - len(too_slow)))
        self._sent_bytes += len(data)
        if too_slow:
            aside = _SetAside(self._clock.monotonic(), self._sent_bytes - len(data))
            self._skips_total.inc(len(too_slow))
            for viewer in too_slow:
                del self._following[viewer]
                self._set_aside[viewer] = aside

    def _review(self, resume_bytes: int, *, opens_gop: bool) -> tuple[int, int]:
        """Let viewers who have caught up go on, and close those who do not.

        Returns:
            Bytes that wait for viewers who stay set aside, and the bytes sent since the first of them.
        """
        since_min = self._clock.monotonic() - SET_ASIDE_S_MAX
        unsent_bytes = since_bytes = 0
        for viewer, aside in [*self._set_aside.items()]:
            buffered_bytes = viewer.buffered_bytes()
            if buffered_bytes <= resume_bytes:
                if opens_gop:
                    del self._set_aside[viewer]
                    self._following[viewer] = None
                    continue
            elif aside.since < since_min:
                self._too_slow_total.inc()
                self.detach(viewer)
                viewer.drop()
                continue
            unsent_bytes += buffered_bytes
            since_bytes = max(since_bytes, self._sent_bytes - aside.sent_bytes + buffered_bytes)
        return unsent_bytes, since_bytes

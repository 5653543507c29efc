"""How much must have come from a publisher before the kernel wakes us for it.

A wake-up costs more than the work for a frame, and a publisher sends 77 messages a second. A frame in the middle of a
part is seen by no viewer before the part is complete. So it waits in the kernel until shortly before the part's last
frame is due, by the pace at which frames have come so far, or until there is a good deal of it. From then on the next
picture wakes, and all is read together; sound waits for the picture behind it, and a message that came in part for its
rest. Where pictures are as small as sound, or there are none, every byte wakes then: the last one of a part must not
wait for what comes next.

Linux socket(7), SO_RCVLOWAT; the end of a connection wakes in any case, and so does a receive buffer that gets full.
Elsewhere, and under TLS, where the bytes on the socket are not those of the messages, every byte wakes.
"""

from __future__ import annotations

import fcntl
import logging
import math
import socket
import sys
import termios
from typing import TYPE_CHECKING, Protocol

from streamd.formats.flv.tag import FlvTag, TagType

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from streamd.formats.rtmp.events import ConnectionEvent

log = logging.getLogger(__name__)

# More than a frame of sound (480 bytes of AAC at 180 kb/s), less than most pictures.
BETWEEN_MESSAGES_BYTES = 1024
# So many pictures in a row have to be larger than that, a second of them or two, before they are counted on.
LARGE_PICTURES_MIN = 60
# The most that is left in the kernel, for each publisher: half a second at 4 Mb/s, so that a part of most is read at
# once, and no more than uvloop reads at once (256,000 bytes). Linux makes the socket's buffer twice as large for it
# (tcp_set_rcvlowat), within tcp_rmem, and as a publisher sends faster larger still, so that its window stays open. What
# 1000 publishers of 2.5 Mb/s leave there is 160 MB at the most; half of that in the mean.
WAKE_BYTES_MAX = 240 * 1024
# How much earlier than usual the network may bring a frame without its part being late, by a frame or TAKE_REST_S.
JITTER_S = 0.01
# The longest that media is left in the kernel: a part of the default length. A goodbye may lie behind it.
HOLD_S_MAX = 0.5
# Less, a picture at 25 a second, is not worth asking the kernel twice.
HOLD_S_MIN = 0.04
# Connections are looked at, at times that are whole multiples of this, many at once: on a machine that is mostly idle
# it is the waking up that is dear.
GRID_S = 0.025
# How long it is remembered how early frames have come, at least; clocks part by a millisecond in this time.
PACE_KEPT_S = 10.0
# Timestamps that are so far off their pace have leapt.
LEAP_S = 1.0
# For so long, and a GRID_S at most, what is too little to wake for stays in the kernel: a goodbye, for one.
TAKE_REST_S = 0.1

_VIDEO: int = TagType.VIDEO
# Compiled, they are numbers of C: every frame, or every read, is compared with them.
_BETWEEN_MESSAGES_BYTES = BETWEEN_MESSAGES_BYTES
_LARGE_PICTURES_MIN = LARGE_PICTURES_MIN
_WAKE_BYTES_MAX = WAKE_BYTES_MAX
_JITTER_S = JITTER_S
_HOLD_S_MAX = HOLD_S_MAX
_HOLD_S_MIN = HOLD_S_MIN
_GRID_S = GRID_S
_LEAP_S = LEAP_S
_PACE_KEPT_S = PACE_KEPT_S
_TAKE_REST_S = TAKE_REST_S
# Likewise, names that are looked up once.
_SOL_SOCKET: int = socket.SOL_SOCKET
_SO_RCVLOWAT: int = getattr(socket, "SO_RCVLOWAT", 0)


def open_again(stand_in: socket.socket) -> socket.socket:
    """Make a socket of a transport's; it is to be detached, not closed.

    uvloop's stand-in makes one anew for each call, and asks the kernel each time of what kind it is.
    """
    return socket.socket(stand_in.family, stand_in.type, stand_in.proto, fileno=stand_in.fileno())


def unread_bytes(connection: socket.socket) -> int:
    """How much the kernel holds of what came on a socket (Linux tcp(7), SIOCINQ)."""
    answer = bytearray(4)
    fcntl.ioctl(connection, termios.FIONREAD, answer)
    return int.from_bytes(answer, sys.byteorder)


class Timer(Protocol):
    """An ``asyncio.TimerHandle``, as far as it is needed."""

    def cancel(self) -> None:
        """Do not call back."""


class Timers(Protocol):
    """An ``asyncio.AbstractEventLoop``, as far as it is needed."""

    def time(self) -> float:
        """Loop time, seconds."""

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        """Call back at a loop time."""


class WakeClock:
    """Says when connections are to be looked at: one timer for all of them.

    Args:
        timers: The loop.
    """

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        # By tick, which is a multiple of _GRID_S in loop time. A connection's time mostly moves on before it comes: it
        # stays where it is listed and is listed anew from there. So it is here no more than once for each tick of
        # _HOLD_S_MAX.
        self._listed: dict[int, list[WakeThreshold]] = {}
        # The first of these ticks, and the timer for it.
        self._next_tick = 0
        self._timer: Timer | None = None

    def time(self) -> float:
        """Loop time, seconds."""
        return self._timers.time()

    def look_at(self, threshold: WakeThreshold, tick: int) -> None:
        """Have a connection looked at.

        Args:
            threshold: The connection's.
            tick: When, in multiples of ``GRID_S``; what was said before is forgotten.
        """
        threshold.tick = tick
        if threshold.listed_tick and threshold.listed_tick <= tick:
            return
        threshold.listed_tick = tick
        listed = self._listed.get(tick)
        if listed is not None:
            listed.append(threshold)
            return
        self._listed[tick] = [threshold]
        if self._timer is None or tick < self._next_tick:
            self._set_timer()

    def close(self) -> None:
        """Look at nothing any more."""
        self._listed.clear()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._listed:
            self._next_tick = min(self._listed)
            self._timer = self._timers.call_at(self._next_tick * _GRID_S, self._look)

    def _look(self) -> None:
        tick, now = self._next_tick, self._timers.time()
        for threshold in self._listed.pop(tick):
            if threshold.listed_tick != tick:
                continue
            threshold.listed_tick = 0
            if threshold.tick > tick:
                self.look_at(threshold, threshold.tick)
                continue
            try:
                threshold.look(now)
            except Exception:
                # A fault in one connection must not leave the others' media in the kernel.
                log.exception("threshold.failed")
        self._set_timer()


class WakeThreshold:
    """SO_RCVLOWAT of one connection.

    Args:
        transport: The connection.
        clock: Calls ``look``.

    Attributes:
        tick: When it is to be looked at, in multiples of ``GRID_S``; 0 where it is not. The clock's.
        listed_tick: Where the clock has it; 0 where it has not.
    """

    def __init__(self, transport: asyncio.BaseTransport, clock: WakeClock) -> None:
        self._socket: socket.socket | None = None
        stand_in: socket.socket | None = transport.get_extra_info("socket")
        if stand_in is not None and sys.platform == "linux" and transport.get_extra_info("sslcontext") is None:
            self._socket = open_again(stand_in)
        self._clock = clock
        self.tick = 0
        self.listed_tick = 0
        self._bytes = 1
        # While it lasts, what comes is left in the kernel; and when the frame is due that is waited for.
        self._is_holding = False
        self._due_s = 0.0
        self._has_pictures = False
        self._large_pictures = 0
        self._newest_s = 0.0
        # The least that loop time was ahead of a frame's timestamp when it was read: in this time, and in the last.
        self._pace_s = self._pace_before_s = math.inf
        self._pace_until = 0.0

    def wait_for_media(self, events: list[ConnectionEvent], missing_bytes: int, awaited_ms: int) -> None:
        """Have the kernel wait for what is worth waking for.

        Args:
            events: The events of a read; its media tells how large this publisher's pictures are, and their pace.
            missing_bytes: How much of a message that came in part is still to come; 0 between messages.
            awaited_ms: How much later than the newest picture, or sound where there are no pictures, the next one is
                that a viewer waits for, by their timestamps; 0 where it is the very next.
        """
        if self._socket is None:
            return
        now = self._clock.time()
        self._note(events, now)
        if awaited_ms:
            due_s = min(self._pace_s, self._pace_before_s) + self._newest_s + awaited_ms / 1000
            tick = int(min(due_s - _JITTER_S, now + _HOLD_S_MAX) / _GRID_S)
            if tick * _GRID_S - now >= _HOLD_S_MIN:
                self._is_holding, self._due_s = True, due_s
                self._set(_WAKE_BYTES_MAX)
                self._clock.look_at(self, tick)
                return
        self._wait_for(min(missing_bytes, _WAKE_BYTES_MAX) if missing_bytes else self._next_picture_bytes(), now)

    def wait_for_anything(self) -> None:
        """Have the kernel wake us for every byte."""
        self._wait_for(1, 0.0)

    def look(self, now: float) -> None:
        """Take what the kernel holds, or have it wait for the picture that is due.

        Args:
            now: Loop time, seconds.
        """
        # Not where the picture may have come already, for the loop was busy; nor where it is far away, for nothing is
        # held longer than ``HOLD_S_MAX``.
        if self._socket is not None and self._is_holding and 0 < self._due_s - now <= _JITTER_S + 2 * _GRID_S:
            self._wait_for(unread_bytes(self._socket) + self._next_picture_bytes(), now)
        else:
            self._wait_for(1, now)

    def close(self) -> None:
        """Ask the kernel for nothing any more: the connection is about to be closed, by its owner."""
        if self._socket is not None:
            self._socket.detach()
            self._socket = None

    def _note(self, events: list[ConnectionEvent], now: float) -> None:
        newest: FlvTag | None = None
        for event in events:
            if not isinstance(event, FlvTag):
                continue
            tag = event
            if tag.tag_type == _VIDEO:
                self._has_pictures = True
                self._large_pictures = self._large_pictures + 1 if len(tag.payload) >= _BETWEEN_MESSAGES_BYTES else 0
                newest = tag
            elif not self._has_pictures:
                newest = tag
        if newest is None:
            return
        self._newest_s = newest.timestamp_ms / 1000
        ahead_s = now - self._newest_s
        is_leap = abs(ahead_s - self._pace_s) > _LEAP_S
        if is_leap or now > self._pace_until:
            self._pace_before_s = math.inf if is_leap else self._pace_s
            self._pace_s, self._pace_until = ahead_s, now + _PACE_KEPT_S
        self._pace_s = min(self._pace_s, ahead_s)

    def _next_picture_bytes(self) -> int:
        return _BETWEEN_MESSAGES_BYTES if self._large_pictures >= _LARGE_PICTURES_MIN else 1

    def _wait_for(self, wake_bytes: int, now: float) -> None:
        """Wait for some bytes, or take what there is after a while."""
        self._is_holding = False
        self._set(wake_bytes)
        if wake_bytes > 1:
            self._clock.look_at(self, int((now + _TAKE_REST_S) / _GRID_S) + 1)
        else:
            self.tick = 0

    def _set(self, wake_bytes: int) -> None:
        if wake_bytes != self._bytes and self._socket is not None:
            self._bytes = wake_bytes
            self._socket.setsockopt(_SOL_SOCKET, _SO_RCVLOWAT, wake_bytes)

"""How much must have come from a publisher before the kernel wakes us for it.

A wake-up costs more than what is done for a frame, and a publisher sends 77 messages a second. What comes in the middle
of a part, nobody sees before the part is complete. So it waits in the kernel until shortly before the part's last frame
is due, by the pace at which frames have come so far, or until there is a good deal of it. From then on a picture wakes;
sound waits for the picture behind it, and a message that came in part for its rest. Where pictures are as small as
sound, or there are none, every byte wakes then: the last one of a part must not wait for what comes next.

Linux socket(7), SO_RCVLOWAT; the end of a connection wakes in any case, and so does a receive buffer that gets full.
Elsewhere, and under TLS, where the bytes on the socket are not those of the messages, every byte wakes.
"""

from __future__ import annotations

import math
import socket
import sys
from typing import TYPE_CHECKING, Protocol

from streamd.flv.tag import TagType

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from streamd.flv.tag import FlvTag

# More than a frame of sound (480 bytes of AAC at 180 kb/s), less than most pictures.
BETWEEN_MESSAGES_BYTES = 1024
# So many pictures in a row have to be larger than that, a second of them or two, before they are counted on.
LARGE_PICTURES_MIN = 60
# The most that is waited for: half of what Linux lets a socket hold to begin with (tcp_rmem: 131072), so that the
# publisher's window stays open.
WAKE_BYTES_MAX = 64 * 1024
# How much earlier than usual the network may bring a frame without its part being late.
JITTER_S = 0.02
# The longest that media is left in the kernel: a goodbye may lie behind it. 64 KB are as long at 3.5 Mb/s.
HOLD_S_MAX = 0.15
# Connections are taken up at times that are whole multiples of this, many at once: on a machine that is mostly idle it
# is the waking up that is dear. Less is not worth a timer.
GRID_S = 0.025
# How long it is remembered how early frames have come, at least; clocks part by a millisecond in this time.
PACE_KEPT_S = 10.0
# Timestamps that are so far off their pace have leapt.
LEAP_S = 1.0
# For so long at most, and once more, what is too little to wake for stays in the kernel: a goodbye, for one.
TAKE_REST_S = 0.1


def open_again(stand_in: socket.socket) -> socket.socket:
    """Make a socket of a transport's; it is to be detached, not closed.

    uvloop's stand-in makes one anew for each call, and asks the kernel each time of what kind it is.
    """
    return socket.socket(stand_in.family, stand_in.type, stand_in.proto, fileno=stand_in.fileno())


class Timer(Protocol):
    """What is needed of an ``asyncio.TimerHandle``."""

    def cancel(self) -> None:
        """Do not call back."""


class Timers(Protocol):
    """What is needed of an ``asyncio.AbstractEventLoop``."""

    def time(self) -> float:
        """Loop time, seconds."""

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        """Call back at a loop time."""


class WakeThreshold:
    """SO_RCVLOWAT of one connection.

    Args:
        transport: The connection.
        timers: The loop.
    """

    def __init__(self, transport: asyncio.BaseTransport, timers: Timers) -> None:
        self._socket: socket.socket | None = None
        stand_in: socket.socket | None = transport.get_extra_info("socket")
        if stand_in is not None and sys.platform == "linux" and transport.get_extra_info("sslcontext") is None:
            self._socket = open_again(stand_in)
        self._timers = timers
        self._bytes = 1
        # While it runs, what comes is left in the kernel.
        self._timer: Timer | None = None
        # Something has come since ``take_rest`` was called.
        self._is_fresh = False
        self._large_pictures = 0
        self._newest_s = 0.0
        # The least that loop time was ahead of a frame's timestamp when it was read: in this time, and in the last.
        self._pace_s = self._pace_before_s = math.inf
        self._pace_until = 0.0

    def note(self, tags: Sequence[FlvTag]) -> None:
        """See how large this publisher's pictures are, and at what pace its media comes."""
        if not tags:
            return
        for tag in tags:
            if tag.tag_type == TagType.VIDEO:
                self._large_pictures = self._large_pictures + 1 if len(tag.payload) >= BETWEEN_MESSAGES_BYTES else 0
        now = self._timers.time()
        self._newest_s = tags[-1].timestamp_ms / 1000
        ahead_s = now - self._newest_s
        is_leap = abs(ahead_s - self._pace_s) > LEAP_S
        if is_leap or now > self._pace_until:
            self._pace_before_s = math.inf if is_leap else self._pace_s
            self._pace_s, self._pace_until = ahead_s, now + PACE_KEPT_S
        self._pace_s = min(self._pace_s, ahead_s)

    def wait_for_media(self, missing_bytes: int, awaited_ms: int) -> None:
        """Have the kernel wait for what is worth waking for.

        Args:
            missing_bytes: How much of a message that came in part is still to come; 0 between messages.
            awaited_ms: How much later than the newest frame, by their timestamps, the next one is that somebody waits
                for; 0 where it is the very next.
        """
        self._stop_timer()
        self._is_fresh = True
        if awaited_ms and self._socket is not None:
            now = self._timers.time()
            due = min(self._pace_s, self._pace_before_s) + self._newest_s + awaited_ms / 1000 - JITTER_S
            wake_at = min(due, now + HOLD_S_MAX) // GRID_S * GRID_S
            if wake_at > now:
                self._set(WAKE_BYTES_MAX)
                self._timer = self._timers.call_at(wake_at, self._take_what_came)
                return
        if missing_bytes:
            self._set(min(missing_bytes, WAKE_BYTES_MAX))
        else:
            self._set(BETWEEN_MESSAGES_BYTES if self._large_pictures >= LARGE_PICTURES_MIN else 1)

    def wait_for_anything(self) -> None:
        """Have the kernel wake us for every byte."""
        self._stop_timer()
        self._set(1)

    def take_rest(self) -> None:
        """Have what the kernel holds, if nothing has come since the last call; to be called every ``TAKE_REST_S``."""
        if not self._is_fresh and self._timer is None:
            self._set(1)
        self._is_fresh = False

    def close(self) -> None:
        """Ask the kernel for nothing any more: the connection is about to be closed, by its owner."""
        self._stop_timer()
        if self._socket is not None:
            self._socket.detach()
            self._socket = None

    def _take_what_came(self) -> None:
        self._timer = None
        self._set(1)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, wake_bytes: int) -> None:
        if wake_bytes != self._bytes and self._socket is not None:
            self._bytes = wake_bytes
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wake_bytes)

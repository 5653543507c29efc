"""A broadcast in real time over RTMP whose media, clock or connection changes when a test says so."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from streamd.clock import SystemClock
from tests.support.patience import PATIENCE_S
from tests.support.tag_publisher import TagPublisher, repeated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.formats.flv.tag import FlvTag

FRAME_MS = 33


class ChangingBroadcast:
    """Sends media over and over; a context manager that ends with a goodbye: nobody waits for its return.

    Args:
        port: The server's RTMP port.
        stream_key: Whose channel it is.
        media: Tags that begin with the sequence headers and a keyframe.
        duration_ms: How long the media lasts before it begins again; of all that follows as well.
    """

    def __init__(self, port: int, stream_key: str, media: Sequence[FlvTag], duration_ms: int) -> None:
        self._port = port
        self._stream_key = stream_key
        self._duration_ms = duration_ms
        self._clock = SystemClock()
        self._media = tuple(media)
        self._leap_ms = 0
        self._change = threading.Event()
        self._is_over = threading.Event()
        self._publisher = TagPublisher(port, stream_key)
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(PATIENCE_S)
        self._publisher.end()

    def change(self, media: Sequence[FlvTag] | None = None, leap_ms: int = 0) -> None:
        """Go on with other media, or with a clock that has leapt, on the same connection."""
        self._media = tuple(media) if media is not None else self._media
        self._leap_ms += leap_ms
        self._change.set()

    def drop(self) -> None:
        """Reset the connection; a server waits ``live.reconnect_window_s`` for its return."""
        self._is_over.set()
        self._thread.join(PATIENCE_S)
        self._publisher.reset()

    def come_back(self, media: Sequence[FlvTag] | None = None) -> None:
        """Connect anew with the same key; timestamps begin at zero."""
        self._media = tuple(media) if media is not None else self._media
        self._leap_ms = 0
        self._is_over.clear()
        self._publisher = TagPublisher(self._port, self._stream_key)
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        base_ms = 0
        began_at = self._clock.monotonic()
        # A server that is killed resets the connection.
        with contextlib.suppress(OSError):
            while not self._is_over.is_set():
                self._change.clear()
                leap_ms = self._leap_ms
                sent_ms = base_ms
                for tag in repeated(self._media, self._duration_ms):
                    due_s = (base_ms + tag.timestamp_ms) / 1000 - (self._clock.monotonic() - began_at)
                    if self._is_over.wait(max(0.0, due_s)) or self._change.is_set():
                        break
                    sent_ms = base_ms + tag.timestamp_ms
                    self._publisher.send([replace(tag, timestamp_ms=sent_ms + leap_ms)])
                base_ms = sent_ms + FRAME_MS

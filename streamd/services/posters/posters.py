"""Poster pictures of live streams: the newest keyframe, drawn on request and kept for the next requests."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from streamd.errors import PictureError, PictureWorkerRestsError, PostersBusyError
from streamd.services.live.newest_keyframe import newest_keyframe

if TYPE_CHECKING:
    from streamd.clock import Clock
    from streamd.media.packager.rendition import Keyframe
    from streamd.services.live.channel import Channel
    from streamd.services.metrics import Metrics
    from streamd.services.posters.picture_process import PictureProcess

log = logging.getLogger(__name__)

# A newer picture is drawn no sooner than this after the one before: a core draws for some 200 streams at a time.
RENEW_AFTER_S = 10.0
# Pause after a failed picture, whose keyframe may be hostile: it may have held the worker for five seconds while others
# waited. The pause doubles with each failure, so a stream of such keyframes gets a thousandth of the worker.
RETRY_AFTER_S = 60.0
RETRY_AFTER_S_MAX = 3600.0
# Streams whose picture is waited for: the last one waits about three seconds, and more would wait in vain.
DRAWING_MAX = 64
# A request waits no longer: hostile keyframes may stand before its own, each for five seconds.
WAIT_S = 10.0
# Bytes of a stream's entry beside its picture. Measured (``bench/accounts.py``).
ENTRY_BYTES = 512
# Of several variants, the smallest with this many lines is as good as any at a poster's size.
LINES_ENOUGH = 540


@dataclass(frozen=True, slots=True)
class Poster:
    """A picture, ready to be sent."""

    jpeg: bytes
    etag: str
    """Opaque tag without quotes."""


@dataclass(slots=True)
class _Entry:
    """The state of one stream's picture."""

    poster: Poster | None = None
    msn: int = -1
    """Number of the segment that was drawn last, in vain or not."""
    renew_at: float = 0.0
    """Loop time before which nothing is drawn."""
    failures: int = 0
    """Pictures since the last one that were drawn in vain."""
    drawing: asyncio.Task[None] | None = field(default=None, repr=False)

    def note(self, now: float, msn: int, poster: Poster | None) -> None:
        """A segment was drawn; None where in vain."""
        self.msn = msn
        if poster is not None:
            self.poster, self.failures, self.renew_at = poster, 0, now + RENEW_AFTER_S
        else:
            self.failures += 1
            self.renew_at = now + min(RETRY_AFTER_S * 2 ** (self.failures - 1), RETRY_AFTER_S_MAX)


class Posters:
    """The posters of all streams.

    Args:
        process: Draws.
        clock: Measures the age of a picture.
        metrics: Counted into.
    """

    def __init__(self, process: PictureProcess, clock: Clock, metrics: Metrics) -> None:
        self._process = process
        self._clock = clock
        self._metrics = metrics
        # A poster goes with its channel.
        self._entries: WeakKeyDictionary[Channel, _Entry] = WeakKeyDictionary()
        self._drawing: set[asyncio.Task[None]] = set()
        # A keyframe is copied when its turn has come: 64 copies that wait would be of megabytes each.
        self._turn = asyncio.Lock()

    @property
    def held_bytes(self) -> int:
        """Bytes of the pictures."""
        entries = self._entries.values()
        return sum(ENTRY_BYTES + (len(entry.poster.jpeg) if entry.poster is not None else 0) for entry in entries)

    async def find(self, channel: Channel) -> Poster | None:
        """The picture of a channel, at most ``RENEW_AFTER_S`` older than its newest keyframe.

        Requests at the same time wait for the same drawing.

        Returns:
            The picture; the one before where the newest keyframe does not decode; None where there is none.

        Raises:
            PostersBusyError: There is none yet, and too many streams' pictures are waited for, or this one for long.
        """
        entry = self._entries.setdefault(channel, _Entry())
        if entry.drawing is None and self._clock.monotonic() >= entry.renew_at:
            keyframe = newest_keyframe(channel, LINES_ENOUGH)
            if keyframe is not None and keyframe.msn != entry.msn:
                if len(self._drawing) < DRAWING_MAX:
                    entry.drawing = asyncio.create_task(self._draw(channel, entry))
                    self._drawing.add(entry.drawing)
                elif entry.poster is None:
                    raise PostersBusyError
        if entry.drawing is not None:
            try:
                # A viewer who leaves does not cancel the picture for the others.
                async with asyncio.timeout(WAIT_S):
                    await asyncio.shield(entry.drawing)
            except TimeoutError:
                if entry.poster is None:
                    raise PostersBusyError from None
        return entry.poster

    async def close(self) -> None:
        """Draw no more."""
        for task in self._drawing:
            task.cancel()
        await asyncio.gather(*self._drawing, return_exceptions=True)
        await self._process.close()

    async def _draw(self, channel: Channel, entry: _Entry) -> None:
        result = "failed"
        try:
            async with self._turn:
                keyframe = newest_keyframe(channel, LINES_ENOUGH)
                # None where the stream has ended meanwhile.
                if keyframe is not None:
                    result = await self._draw_keyframe(entry, keyframe)
        except PictureWorkerRestsError as exc:
            # Another picture or the machine is to blame: this one is drawn when the worker runs again.
            entry.renew_at = self._clock.monotonic() + exc.rest_s
        except PictureError as exc:
            log.warning("poster.failed", extra={"stream": channel.name, "reason": str(exc)})
        finally:
            if entry.drawing is not None:
                self._drawing.discard(entry.drawing)
                entry.drawing = None
            self._metrics.streams.posters_total.labels(result).inc()

    async def _draw_keyframe(self, entry: _Entry, keyframe: Keyframe) -> str:
        """Draw a picture; return what has come of it, as metrics say it."""
        try:
            jpeg = await self._process.draw(keyframe.cmaf_header, keyframe.fragment)
        except PictureWorkerRestsError:
            raise
        except PictureError:
            entry.note(self._clock.monotonic(), keyframe.msn, None)
            raise
        poster = Poster(jpeg, hashlib.blake2b(jpeg, digest_size=9).hexdigest()) if jpeg is not None else None
        entry.note(self._clock.monotonic(), keyframe.msn, poster)
        return "drawn" if poster is not None else "undecodable"

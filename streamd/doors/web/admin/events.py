"""Changes, as they come, for every open console: server-sent events.

Each second the live streams are described once, for all listeners, and sent if the description has changed; a new
sample of the history and a change of keys, users or the audit log go the same way. There is no queue: a listener gets
the newest event of each kind, and the older ones have lost their use.

Spec: HTML, 9.2 Server-sent events.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from streamd.doors.web.json_api import UnavailableError
from streamd.doors.web.models.server import HistorySample
from streamd.doors.web.models.streams import StreamList

if TYPE_CHECKING:
    from streamd.doors.web.live_streams import LiveStreams
    from streamd.services.history import History

EVENT_STREAM_TYPE = "text/event-stream"
# A console each for a team of operators, and some forgotten tabs. Each costs a copy of the description of the live
# streams a second, 100 KB with 200 of them.
LISTENERS_MAX = 32
# A listener that has not taken the last event by then has gone without a goodbye, or does not read.
WRITE_TIMEOUT_S = 10.0
# Proxies close connections that are silent for 30 to 60 s; the page takes 20 s of silence for a lost connection.
KEEP_ALIVE_S = 8.0
_KEEP_ALIVE = b":\n\n"


class _Listener:
    """The events that one console has not been sent yet: the newest of each kind.

    Args:
        is_welcome: Tells whether the console may still listen.
    """

    def __init__(self, is_welcome: Callable[[], bool]) -> None:
        self.is_welcome = is_welcome
        self._unsent: dict[str, bytes] = {}
        self._has_news = asyncio.Event()

    def post(self, event: str, data: bytes) -> None:
        self._unsent[event] = b"event: %b\ndata: %b\n\n" % (event.encode(), data)
        self._has_news.set()

    def close(self) -> None:
        self._has_news.set()

    async def next(self) -> bytes:
        """The events since the last call, or a sign of life after a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KEEP_ALIVE_S):
                await self._has_news.wait()
        self._has_news.clear()
        news = b"".join(self._unsent.values())
        self._unsent.clear()
        return news or _KEEP_ALIVE


class EventHub:
    """Tells every console what changes.

    Args:
        streams: The live streams.
        history: Its new samples.
        revision: A number that changes with every change of keys, users, recordings or the audit log.
        recording_of: Says which recording a channel's broadcast goes into; empty for none.
    """

    def __init__(
        self,
        *,
        streams: LiveStreams,
        history: History,
        revision: Callable[[], int],
        recording_of: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._recording_of = recording_of
        self._streams = streams
        self._history = history
        self._revision = revision
        self._listeners: set[_Listener] = set()
        self._described = b""
        self._sampled = 0
        self._revised = 0
        self._is_closed = False

    def look(self) -> None:
        """End the streams of consoles that may listen no more."""
        for listener in self._listeners:
            if not listener.is_welcome():
                listener.close()

    def tell(self, event: str, data: bytes) -> None:
        """Tell every console of something at once, without waiting for the next look.

        Args:
            event: Its kind; of one kind, a console that is slow gets the newest.
            data: One line of JSON.
        """
        self._post(event, data)

    def tick(self) -> None:
        """Look for changes; called about once a second."""
        if not self._listeners:
            return
        self.look()
        if (described := self._describe()) != self._described:
            self._described = described
            self._post("streams", described)
        if self._history.taken != self._sampled:
            self._sampled = self._history.taken
            newest = HistorySample.model_validate(self._history.samples[-1])
            self._post("sample", newest.model_dump_json().encode())
        if (revised := self._revision()) != self._revised:
            self._revised = revised
            self._post("records", b"%d" % revised)

    def close(self) -> None:
        """End every listener's stream; the server stops."""
        self._is_closed = True
        for listener in self._listeners:
            listener.close()

    async def serve(self, request: web.Request, *, is_welcome: Callable[[], bool]) -> web.StreamResponse:
        """Send events until the console, its session or the server ends.

        Args:
            request: Of the console.
            is_welcome: Tells whether the console may still listen; asked before each write, and once a second.

        Raises:
            UnavailableError: Too many listen already.
        """
        if len(self._listeners) >= LISTENERS_MAX:
            raise UnavailableError("too many consoles are open; close one")
        response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: EVENT_STREAM_TYPE,
                hdrs.CACHE_CONTROL: "no-store",
                # nginx, where an operator has put one before the admin port, would collect events until it has 4 KB.
                "X-Accel-Buffering": "no",
            }
        )
        with self._listening(is_welcome) as listener:
            self.tick()
            listener.post("streams", self._described)
            listener.post("records", b"%d" % self._revised)
            try:
                await response.prepare(request)
                while True:
                    news = await listener.next()
                    if self._is_closed or not is_welcome():
                        break
                    async with asyncio.timeout(WRITE_TIMEOUT_S):
                        await response.write(news)
            except TimeoutError:
                # aiohttp would wait until the listener has taken all bytes, and close only then.
                if request.transport is not None:
                    request.transport.abort()
            except ConnectionError:
                pass
        return response

    @contextlib.contextmanager
    def _listening(self, is_welcome: Callable[[], bool]) -> Iterator[_Listener]:
        listener = _Listener(is_welcome)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def _post(self, event: str, data: bytes) -> None:
        for listener in self._listeners:
            listener.post(event, data)

    def _describe(self) -> bytes:
        return StreamList.of(self._streams.summaries(), self._recording_of).model_dump_json().encode()

"""The channel of a stream that another node owns: the same playlists, out of its feed.

It is a ``Channel`` like any other. It outlives its feed: while the owner is gone, requests wait as they do for a
publisher that is away, and the next owner's feed goes on under numbers beyond those that were used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from streamd.errors import FeedError, MediaError
from streamd.formats.feed import Body, End, Hello, Part, Ping, Record, SegmentEnd, State
from streamd.media.packager.cmaf_chunk import ChunkBytes, CmafChunk
from streamd.media.packager.numbering import Numbering
from streamd.media.packager.presentation import Presentation
from streamd.media.packager.rendition import Rendition, RenditionOptions
from streamd.media.packager.window import OPEN_SEGMENT_BYTES_MAX
from streamd.services.cluster import feed_state
from streamd.services.live.viewers import WINDOW_TARGETS, HlsViewers
from streamd.services.live.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streamd.clock import Clock
    from streamd.media.packager.presentation_state import PresentationState
    from streamd.media.packager.segment import Segment
    from streamd.services.live.fanout import Fanout
    from streamd.services.live.waiters import Awaited, WaiterBudget
    from streamd.services.metrics import Metrics

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Coming:
    """A state whose bytes are not all here."""

    state: PresentationState
    contents: dict[tuple[str, int], ChunkBytes]
    lacking: dict[tuple[str, int], int]
    """The sizes of the parts whose bytes are still to come."""


class RemoteChannel:
    """A channel of another node.

    Args:
        name: Its name.
        live_since: When it began, aware.
        clock: For counting viewers.
        metrics: Counted into.
        budget: How many requests may wait in the whole server.
        window_bytes_max: Media that is held at most.

    Attributes:
        presentation: The viewers' choice; None before the first state, and after the release.
        waiters: The requests that wait for more.
        epoch: Of the owner that was heard last; 0 before any.
        is_live: More may come of it.
        media_at: Loop time of the last part; minus infinity while its owner is gone.
        forget_at: Loop time from which it is not found any more.
    """

    def __init__(
        self,
        name: str,
        live_since: datetime,
        *,
        clock: Clock,
        metrics: Metrics,
        budget: WaiterBudget,
        window_bytes_max: int,
    ) -> None:
        self.name = name
        self.live_since = live_since
        self.presentation: Presentation | None = None
        self.waiters = Waiters(budget)
        self.epoch = 0
        self.is_live = True
        self.media_at = float("-inf")
        self.forget_at = float("inf")
        self._clock = clock
        self._metrics = metrics
        self._window_bytes_max = window_bytes_max
        self._order: tuple[str, ...] = ()
        self._coming: _Coming | None = None
        # The greatest numbers that viewers were shown; none goes back, whatever an owner says.
        self._shown: dict[str, tuple[int, int]] = {}
        self._viewers = HlsViewers()
        self._viewers_counted = 0

    # -- the feed -------------------------------------------------------------------------------

    @property
    def next_part(self) -> int:
        """Parts before this number are held, of every rendition; 0 where none are."""
        if self.presentation is None:
            return 0
        return min(rendition.next_part_number for rendition in self.presentation.in_order)

    @property
    def held_bytes(self) -> int:
        """Media in memory, bytes."""
        return sum(rendition.held_bytes for rendition in self._renditions())

    def take(self, record: Record) -> None:
        """Take a record of the owner's feed.

        Raises:
            FeedError: It does not follow from the records before; the feed is to be opened anew, from its beginning.
        """
        try:
            match record:
                case Hello():
                    self._greet(record)
                case State():
                    self._begin(feed_state.decode(record.body))
                case Body():
                    self._take_body(record)
                case Part():
                    self._take_part(record)
                case SegmentEnd():
                    self._end_segment(record)
                case End():
                    self.end()
                case Ping():
                    pass
        except (ValueError, MediaError) as exc:
            raise FeedError(str(exc)) from exc

    def lose_owner(self) -> None:
        """Note that nothing comes of it now; requests wait."""
        self._coming = None
        self._order = ()
        self.media_at = float("-inf")

    def end(self) -> None:
        """End the playlists with EXT-X-ENDLIST, and answer all waiting requests; again changes nothing."""
        if not self.is_live:
            return
        self.is_live = False
        self.media_at = float("-inf")
        self._coming = None
        linger_us = 0
        try:
            for rendition in self._renditions():
                rendition.end()
                linger_us = max(linger_us, rendition.playlist_duration_us)
        finally:
            self.forget_at = self._clock.monotonic() + linger_us / 1e6
            self.waiters.close()
            self._count_viewers(0)

    def dismiss_viewers(self) -> None:
        """Answer all waiting requests; the playlists stay as they are."""
        self.waiters.close()

    def release(self) -> None:
        """Drop the media; answers under way go on."""
        self.waiters.close()
        self._count_viewers(0)
        for rendition in self._renditions():
            rendition.set_siblings(())
        self.presentation = None
        self._coming = None

    # -- what doors see -------------------------------------------------------------------------

    @property
    def is_opening(self) -> bool:
        """Whether its first state is still to come."""
        return self.presentation is None and self.is_live

    def note_viewer(self, source: str, user_agent: str) -> None:
        """Note a request for a media playlist."""
        self._viewers.note(source, user_agent, self._clock.monotonic())
        if not self._viewers_counted and self.is_live:
            self._count_viewers(1)

    def fanout(self, kind: str) -> Fanout | None:
        """Nothing is pushed by a node that has parts alone."""
        del kind
        return None

    @property
    def push_codecs(self) -> tuple[str, ...]:
        """None: nothing is pushed."""
        return ()

    @property
    def viewers(self) -> Mapping[str, int]:
        """This node's viewers, by protocol, as of about a second ago."""
        return MappingProxyType({"hls": self._viewers_counted})

    def look(self) -> None:
        """Count viewers; called about once a second."""
        if self.is_live:
            self._count_viewers(self._viewers.count(self._clock.monotonic()))

    # -- inside ---------------------------------------------------------------------------------

    def _greet(self, hello: Hello) -> None:
        if hello.epoch < self.epoch:
            raise FeedError(f"epoch {hello.epoch}, and {self.epoch} has been heard")
        self.epoch = hello.epoch
        self._order = ()

    def _begin(self, state: PresentationState) -> None:
        """Take a state; it holds once all of its bytes are here."""
        held: dict[tuple[str, int], ChunkBytes] = {}
        for rendition in self._renditions():
            for segment in _segments(rendition):
                for number, chunk in enumerate(segment.chunks, segment.first_part_number):
                    held[rendition.name, number] = chunk.content
        contents: dict[tuple[str, int], ChunkBytes] = {}
        lacking: dict[tuple[str, int], int] = {}
        size_bytes = 0
        for told in state.renditions:
            segments = (*told.window.listed, *((told.window.open,) if told.window.open is not None else ()))
            for segment in segments:
                for number, part in enumerate(segment.parts, segment.first_part_number):
                    size_bytes += part.size_bytes
                    content = held.get((told.name, number))
                    if content is not None and len(content) == part.size_bytes:
                        contents[told.name, number] = content
                    else:
                        lacking[told.name, number] = part.size_bytes
        self._order = tuple(rendition.name for rendition in state.renditions)
        self._coming = _Coming(state, contents, lacking)
        if size_bytes > self._window_bytes_max + OPEN_SEGMENT_BYTES_MAX:
            raise FeedError("more media than a window may have")
        self._settle()

    def _take_body(self, body: Body) -> None:
        coming = self._coming
        if body.rendition >= len(self._order):
            raise FeedError("bytes that nothing was said of")
        key = (self._order[body.rendition], body.number)
        if coming is None or key not in coming.lacking:
            # One number says for all renditions what is held, so some is sent again where they have not the same count.
            held_bytes = self._held_bytes_of(*key)
            if held_bytes < 0:
                raise FeedError("bytes that nothing was said of")
            if held_bytes != len(body.content):
                raise FeedError("bytes of a part in another length than before")
            return
        if coming.lacking.pop(key) != len(body.content):
            raise FeedError("bytes of a part in another length than was said")
        coming.contents[key] = ChunkBytes(body.content)
        self._settle()

    def _held_bytes_of(self, name: str, number: int) -> int:
        """Size of a part that is held, shown already or still coming; -1 of one that is not."""
        if self._coming is not None and (content := self._coming.contents.get((name, number))) is not None:
            return len(content)
        rendition = self.presentation.renditions.get(name) if self.presentation is not None else None
        for segment in _segments(rendition) if rendition is not None else ():
            if 0 <= (place := number - segment.first_part_number) < len(segment.chunks):
                return len(segment.chunks[place].content)
        return -1

    def _settle(self) -> None:
        """Show a state all of whose bytes are here."""
        coming = self._coming
        if coming is None or coming.lacking:
            return
        self._coming = None
        state = coming.state
        options = RenditionOptions(
            window_segments=state.window_segments,
            low_latency=state.low_latency,
            window_bytes_max=self._window_bytes_max // len(state.renditions),
        )
        made: list[Rendition] = []
        for told in state.renditions:
            window = told.window
            msn, number = self._shown.get(told.name, (0, 0))
            if window.next_msn < msn or window.next_part_number < number:
                raise FeedError(f"numbers of {told.name} run back")
            first = Numbering(told.first_msn, window.next_part_number, window.discontinuity_sequence)
            rendition = Rendition(told.name, state.timing, options, first, _EPOCH)
            name = told.name
            rendition.restore(told, lambda part, name=name: coming.contents[name, part])  # type: ignore[misc]
            made.append(rendition)
        previous = self.presentation
        listed = state.variants + state.audio
        presentation = Presentation(made[: state.variants], made[state.variants : listed], made[listed:])
        presentation.set_captions(frozenset(state.captions))
        if previous is not None:
            for rendition in previous.in_order:
                rendition.set_siblings(())
        self.presentation = presentation
        self._viewers.window_s = float(WINDOW_TARGETS * state.timing.target_duration_s)
        for rendition in made:
            self._note_shown(rendition)
        self.media_at = self._clock.monotonic()
        self._wake()

    def _take_part(self, part: Part) -> None:
        rendition = self._find(part.rendition)
        segment = rendition.open_segment
        follows = (
            part.number == rendition.next_part_number
            and (part.starts_segment or (segment is not None and segment.timescale == part.timescale))
            and part.msn == rendition.edge().last_msn + (2 if part.starts_segment and segment is not None else 1)
        )
        if not follows:
            raise FeedError(f"part {part.number} does not follow")
        chunk = CmafChunk(
            content=ChunkBytes(part.content),
            start_ticks=part.start_ticks,
            duration_ticks=part.duration_ticks,
            timescale=part.timescale,
            is_independent=part.is_independent,
            starts_segment=part.starts_segment,
            is_discontinuous=part.is_discontinuous,
        )
        start_ms = part.start_ticks * 1000 // part.timescale
        rendition.add(chunk, _EPOCH + timedelta(milliseconds=part.program_date_time_ms - start_ms))
        self._note_shown(rendition)
        self.media_at = self._clock.monotonic()
        self._wake()

    def _end_segment(self, end: SegmentEnd) -> None:
        rendition = self._find(end.rendition)
        if rendition.end_segment():
            self._note_shown(rendition)
            self._wake()
        if rendition.edge().last_msn != end.msn:
            raise FeedError(f"segment {end.msn} does not follow")

    def _find(self, index: int) -> Rendition:
        if self.presentation is None or self._coming is not None or index >= len(self._order):
            raise FeedError("media of a rendition that nothing was said of")
        rendition = self.presentation.renditions[self._order[index]]
        if rendition.is_ended:
            raise FeedError("media behind the end")
        return rendition

    def _note_shown(self, rendition: Rendition) -> None:
        self._shown[rendition.name] = rendition.edge().last_msn + 1, rendition.next_part_number

    def _renditions(self) -> Iterable[Rendition]:
        return self.presentation.in_order if self.presentation is not None else ()

    def _wake(self) -> None:
        self.waiters.wake(self._is_reached)

    def _is_reached(self, awaited: Awaited) -> bool:
        rendition = self.presentation.renditions.get(awaited.variant) if self.presentation is not None else None
        return rendition is None or rendition.has_reached(awaited.until)

    def _count_viewers(self, count: int) -> None:
        if count != self._viewers_counted:
            self._metrics.viewing.viewers.labels("hls").inc(count - self._viewers_counted)
            self._viewers_counted = count


def _segments(rendition: Rendition) -> Iterable[Segment]:
    segment = rendition.open_segment
    return (*rendition.listed_segments, *((segment,) if segment is not None else ()))

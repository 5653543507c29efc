"""The feed: the parts of a stream, from the node that owns it to those that have viewers of it.

The owner's end is an output like any other; whoever follows it gets records (``streamd.formats.feed``). First comes the
state of the playlists with the bytes of all that they list, then each part as it is complete. Where more changes than
that a part was added, the state is told anew, and of the bytes those alone that the follower lacks: so a follower works
nothing out by itself, and cannot come to another playlist.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from streamd.formats.feed import Body, End, Part, Record, SegmentEnd, State
from streamd.services.cluster import feed_state
from streamd.services.live.hls_output import HlsOutput
from streamd.services.live.outputs import PartOutput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from streamd.media.packager.cmaf_chunk import CmafChunk
    from streamd.media.packager.presentation import Presentation
    from streamd.media.packager.timing import PlaylistTiming
    from streamd.services.cluster.entries import NodeEntry
    from streamd.services.live.outputs import OutputContext, Outputs, StreamTracks

log = logging.getLogger(__name__)

# What may wait for one follower: the window of a 50 Mb/s broadcast, which it is sent at once. All followers share the
# bytes, and a node in the next rack takes them within a second.
FOLLOWER_BYTES_MAX = 256 * 1024 * 1024
# Nodes that follow one stream. A hundred nodes are the largest cluster that the figures were made for.
FOLLOWERS_MAX = 256


class Follower(Protocol):
    """A connection of another node that is sent a stream."""

    @property
    def queued_bytes(self) -> int:
        """What waits to be sent, bytes."""

    def take(self, record: Record) -> None:
        """Send a record, behind those before."""

    def close(self) -> None:
        """Send no more; what waits is sent."""


class FeedOpener(Protocol):
    """Opens feeds at other nodes."""

    def open(
        self, owner: NodeEntry, name: str, *, from_part: int, epoch_min: int
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Record]]]:
        """Follow a stream.

        The first record is a ``Hello`` of this channel with an epoch that is not too early. The iteration ends where
        the connection does, and where nothing came for too long.

        Args:
            owner: The node that has it.
            name: The channel.
            from_part: Parts before this number are held already; 0 for none.
            epoch_min: The least epoch that is heard.

        Raises:
            FeedError: The owner sends something else.
            ClusterUnavailableError: The owner cannot be reached, has no such stream, or lets nobody in.
        """


class _Following:
    """A follower, and what it has."""

    def __init__(self, follower: Follower, from_part: int) -> None:
        self.follower = follower
        self._from_part = from_part
        self._until: dict[str, int] = {}

    def tell(self, state: State, presentation: Presentation) -> None:
        """Tell a state, and send the bytes of the parts in it that the follower lacks."""
        self.follower.take(state)
        for index, rendition in enumerate(presentation.in_order):
            held = self._until.get(rendition.name, self._from_part)
            for segment in (*rendition.listed_segments, rendition.open_segment):
                if segment is None:
                    continue
                for number, chunk in enumerate(segment.chunks, segment.first_part_number):
                    if number >= held:
                        self.follower.take(Body(index, number, chunk.content.join()))
            self._until[rendition.name] = rendition.next_part_number

    def note_sent(self, name: str, number: int) -> None:
        """Note that a part was sent."""
        self._until[name] = number + 1


class FeedOutput(PartOutput):
    """The owner's end of a stream's feed; it costs next to nothing while nobody follows.

    Args:
        context: Its environment.
    """

    name = "feed"

    def __init__(self, context: OutputContext) -> None:
        del context
        self._hls: HlsOutput | None = None
        self._following: list[_Following] = []
        self._order: dict[str, int] = {}
        self._is_stale = True
        self._has_ended = False
        self._is_given_away = False

    def attach(self, outputs: Outputs) -> None:
        """Know of the stream's playlists, whose state is told; they are fed before this."""
        self._hls = outputs.find(HlsOutput)

    @property
    def followers(self) -> int:
        """How many follow."""
        return len(self._following)

    @property
    def is_full(self) -> bool:
        """Whether no more may follow."""
        return len(self._following) >= FOLLOWERS_MAX

    def follow(self, follower: Follower, from_part: int) -> Callable[[], None]:
        """Send a follower the stream from now on.

        Args:
            follower: Who is sent it.
            from_part: Parts before this number it has already; 0 for none.

        Returns:
            Ends that; again, or after the stream's end, changes nothing.
        """
        following = _Following(follower, from_part)
        if (presentation := self._presentation) is not None:
            # All followers have the same state, so that each part is written once.
            if self._is_stale:
                self._tell_state(presentation)
            following.tell(self._state_of(presentation), presentation)
        if self._has_ended:
            self._say_end(follower)
        else:
            self._following.append(following)

        def leave() -> None:
            if following in self._following:
                self._following.remove(following)

        return leave

    def give_away(self) -> None:
        """Say nothing of an end from now on: another node goes on with the stream."""
        self._is_given_away = True

    # -- what the media line makes ------------------------------------------------------------

    def start(self, tracks: StreamTracks) -> None:
        """Have the state told with the next part: other tracks, or other headers."""
        self._is_stale = True

    def note_captions(self, channels: frozenset[str]) -> None:
        """Have the state told with the next part."""
        self._is_stale = True

    def take_part(self, rendition: str, chunk: CmafChunk, timing: PlaylistTiming) -> None:
        """Pass a part on, which the playlists list already."""
        if not self._following or (presentation := self._presentation) is None:
            self._is_stale = True
            return
        if self._is_stale:
            self._tell_state(presentation)
            return
        listed = presentation.renditions[rendition]
        segment = listed.open_segment
        assert segment is not None, "a part opens a segment, or is in one"
        record = Part(
            rendition=self._order[rendition],
            number=listed.next_part_number - 1,
            start_ticks=chunk.start_ticks,
            duration_ticks=chunk.duration_ticks,
            timescale=chunk.timescale,
            is_independent=chunk.is_independent,
            starts_segment=chunk.starts_segment,
            is_discontinuous=chunk.is_discontinuous,
            msn=segment.msn,
            program_date_time_ms=segment.program_date_time_ms,
            content=chunk.content.join(),
        )
        for following in [*self._following]:
            following.note_sent(rendition, record.number)
            self._send(following, record)

    def end_segment(self, rendition: str) -> None:
        """Pass on that a segment is complete."""
        if not self._following or (presentation := self._presentation) is None:
            self._is_stale = True
            return
        if self._is_stale:
            self._tell_state(presentation)
            return
        msn = presentation.renditions[rendition].edge().last_msn
        for following in [*self._following]:
            self._send(following, SegmentEnd(self._order[rendition], msn))

    def dismiss_viewers(self) -> None:
        """Close the followers: the server stops, and another goes on with the stream."""
        self._close()

    def end(self) -> float:
        """Tell the followers of the end, unless another node goes on with the stream."""
        self._has_ended = True
        for following in self._following:
            self._say_end(following.follower)
        self._close()
        return 0.0

    def release(self) -> None:
        """Let go of the playlists."""
        self._hls = None

    # -- inside ---------------------------------------------------------------------------------

    @property
    def _presentation(self) -> Presentation | None:
        return self._hls.presentation if self._hls is not None else None

    def _say_end(self, follower: Follower) -> None:
        if not self._is_given_away:
            follower.take(End("ended"))
            follower.close()

    def _state_of(self, presentation: Presentation) -> State:
        return State(feed_state.encode(presentation.state))

    def _tell_state(self, presentation: Presentation) -> None:
        self._is_stale = False
        self._order = {rendition.name: index for index, rendition in enumerate(presentation.in_order)}
        if not self._following:
            return
        state = self._state_of(presentation)
        for following in [*self._following]:
            following.tell(state, presentation)
            self._check(following)

    def _send(self, following: _Following, record: Record) -> None:
        following.follower.take(record)
        self._check(following)

    def _check(self, following: _Following) -> None:
        if following.follower.queued_bytes > FOLLOWER_BYTES_MAX:
            log.warning("feed.too_slow", extra={"queued_bytes": following.follower.queued_bytes})
            self._following.remove(following)
            following.follower.close()

    def _close(self) -> None:
        followings, self._following = self._following, []
        for following in followings:
            following.follower.close()

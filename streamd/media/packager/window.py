"""The window of one rendition: its newest media, and the media that stays fetchable.

Media is held once, as the chunks that the segmenter made: a segment is a list of them. The bytes for viewers are put
together at the first request. Media that has left the playlist stays for as long as a reader of an earlier playlist may
ask for it, by the media's own time, and is bounded in bytes.

Spec: rfc8216bis-22 sections 6.2.1 and 6.2.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain

from streamd.errors import LocalStateError, MediaLimitError
from streamd.formats.hls.attribute_list import unix_ms
from streamd.media.packager.cmaf_chunk import ChunkBytes, CmafChunk
from streamd.media.packager.named_bytes import BytesKind, NamedBytes
from streamd.media.packager.numbering import PARTS_PER_SECOND_MAX, Numbering
from streamd.media.packager.presentation_state import HeaderState, PartState, SegmentState, WindowState
from streamd.media.packager.segment import Header, Segment
from streamd.media.packet import Track, TrackKind

# 6.2.2: "The server MUST NOT remove a Media Segment from a Playlist … if that would produce a Playlist whose
# duration is less than three times the Target Duration."
PLAYLIST_TARGETS_MIN = 3
# Segments shorter than the keyframe interval come from discontinuities alone. An encoder with this many in three target
# durations never settles; its playlist may be short rather than endless.
LISTED_SEGMENTS_MAX = 256
# The longest segment, 10 s, at the highest bit rate that is allowed by default, 100 Mb/s. The media time of a larger
# segment stands still.
OPEN_SEGMENT_BYTES_MAX = 128 * 1024 * 1024

# What another node tells of its window is a count of ours below these: with them, no product leaves 64 bits.
COUNT_MAX = 2**50
TIMESCALE_MAX = 2**24
PART_S_MAX = 60

_US = 1_000_000


class Window:
    """The segments of one rendition, from the oldest that can be fetched to the open one.

    Args:
        target_duration_s: EXT-X-TARGETDURATION, whole seconds.
        segments: Segments listed; more if three target durations need more.
        held_bytes_max: Media held at most; above it, segments go before the specification lets them.
        numbering: Where the counts begin.
        epoch: Wall time of tick 0 of the chunks' timeline, aware.
        is_continuing: Players know other media under these names, which is gone: the first segment is discontinuous.

    Attributes:
        header: The newest CMAF header; None before the first.
        listed: Complete segments in the playlist, oldest first.
        open: The segment that is being written; None between two.
        next_msn: Media Sequence Number of the open segment, or of the next one.
        next_part_number: Number of the next part.
        discontinuity_sequence: EXT-X-DISCONTINUITY-SEQUENCE.
        held_bytes: Memory that its media takes now, with CMAF headers and what is kept of each sample, bytes.
        segments_lost: Segments that left before their time, for the window had more bytes than it may.
        listed_us: Duration of what is listed, microseconds.
    """

    def __init__(
        self,
        target_duration_s: int,
        segments: int,
        held_bytes_max: int,
        numbering: Numbering,
        epoch: datetime,
        *,
        is_continuing: bool = False,
    ) -> None:
        self.header: Header | None = None
        self.listed: deque[Segment] = deque()
        self.open: Segment | None = None
        self.next_msn = numbering.msn
        self.next_part_number = numbering.part_number
        self.discontinuity_sequence = numbering.discontinuity_sequence
        self.held_bytes = 0
        self.segments_lost = 0
        self.listed_us = 0
        self._segments = segments
        self._held_bytes_max = held_bytes_max
        self._shortest_us = PLAYLIST_TARGETS_MIN * target_duration_s * _US
        self._is_continuing = is_continuing
        # Program date and time runs with the media from here on.
        self._epoch_ms = unix_ms(epoch)
        # Off the playlist, oldest first.
        self._retired: deque[Segment] = deque()
        # Durations of the longest playlist so far, and of all media complete so far.
        self._longest_us = 0
        self._elapsed_us = 0
        # By number. Segments and parts are kept from their first request, for all later ones.
        self._init_bytes: dict[int, NamedBytes] = {}
        self._segment_bytes: dict[int, NamedBytes] = {}
        self._part_bytes: dict[int, NamedBytes] = {}

    # Inputs.

    def set_header(self, cmaf_header: bytes, tracks: Sequence[Track]) -> bool:
        """Give the CMAF header of the segments to come.

        Args:
            cmaf_header: ``ftyp`` and ``moov``, complete.
            tracks: The tracks in it.

        Returns:
            Whether it is another than before.
        """
        previous = self.header
        if previous is not None and previous.content.buffers == (cmaf_header,):
            return False
        # Named by its first segment, so that no name is used twice, not even across a restart.
        number = self.next_msn if self.open is None else self.next_msn + 1
        if previous is not None and previous.number >= number:
            number = previous.number + 1
        has_video = any(track.kind is TrackKind.VIDEO for track in tracks)
        content = NamedBytes(BytesKind.INIT, f"init{number}", (cmaf_header,), has_video=has_video)
        header = self.header = Header(number, tuple(tracks), content)
        self._init_bytes[number] = content
        self.held_bytes += header.held_bytes
        if previous is not None:
            self._forget_header(previous)
        return True

    def add(self, chunk: CmafChunk, epoch: datetime | None = None) -> None:
        """Add one more part.

        Args:
            chunk: The part; its content is kept. Where it starts a segment, the one before has been ended.
            epoch: Wall time of tick 0 of its timeline; looked at where it is discontinuous. Without it the
                timeline is taken to be the one before.

        Raises:
            LocalStateError: No header yet, or the first part starts no segment.
            MediaLimitError: The segment takes more than any may.
        """
        if chunk.starts_segment:
            self._open_segment(chunk, epoch)
        segment = self.open
        if segment is None or chunk.timescale != segment.timescale:
            raise LocalStateError("a part that continues no open segment")
        self.next_part_number += 1
        self.held_bytes += segment.add(chunk)
        if self.held_bytes > self._held_bytes_max:
            self._make_room()

    def end_segment(self) -> Segment | None:
        """Complete the open segment, and let the oldest ones go.

        Returns:
            The segment; None where there was none.
        """
        segment = self.open
        if segment is None:
            return None
        self.open = None
        self.next_msn = segment.msn + 1
        self.listed.append(segment)
        duration_us = segment.duration_us
        self.listed_us += duration_us
        self._elapsed_us += duration_us
        self._longest_us = max(self._longest_us, self.listed_us)
        self._slide()
        return segment

    def restore(self, state: WindowState, content: Callable[[int], ChunkBytes]) -> None:
        """Hold what another node's window lists; called once, of a window that holds nothing.

        Args:
            state: Of that window.
            content: The bytes of the part of a number.

        Raises:
            ValueError: A segment without its header, or numbers that do not follow each other.
        """
        _check_numbers(state)
        headers: dict[int, Header] = {}
        for known in state.headers:
            has_video = any(track.kind is TrackKind.VIDEO for track in known.tracks)
            name = f"init{known.number}"
            made = NamedBytes(BytesKind.INIT, name, (known.cmaf_header,), has_video=has_video)
            self.header = Header(known.number, tuple(known.tracks), made)
            headers[known.number] = self.header
            self._init_bytes[known.number] = made
            self.held_bytes += self.header.held_bytes
        self.next_part_number = state.next_part_number
        for told in state.listed:
            segment = _restored(told, headers, content)
            self.held_bytes += segment.held_bytes
            self.listed.append(segment)
            self.listed_us += segment.duration_us
        self._elapsed_us = self.listed_us
        if state.open is not None:
            self.open = _restored(state.open, headers, content)
            self.held_bytes += self.open.held_bytes
        self.next_msn = state.next_msn
        self.discontinuity_sequence = state.discontinuity_sequence
        self._epoch_ms = state.epoch_ms
        self._is_continuing = state.is_continuing
        self._longest_us = max(state.longest_us, self.listed_us)

    # Outputs.

    def init(self, number: int) -> NamedBytes | None:
        """The CMAF header of a number."""
        return self._init_bytes.get(number)

    def segment(self, msn: int) -> NamedBytes | None:
        """The complete segment of a number; one object for as long as it is held."""
        found = self._segment_bytes.get(msn)
        if found is None:
            for segment in self._complete_segments():
                if segment.msn == msn:
                    contents = tuple(chunk.content for chunk in segment.chunks)
                    has_video = segment.header.content.has_video
                    found = NamedBytes(BytesKind.SEGMENT, f"seg{msn}", contents, has_video=has_video)
                    self._segment_bytes[msn] = found
                    break
        return found

    def part(self, number: int) -> NamedBytes | None:
        """The part of a number; one object for as long as it is held."""
        found = self._part_bytes.get(number)
        if found is None and number < self.next_part_number:
            segments = self._complete_segments()
            for segment in segments if self.open is None else chain((self.open,), segments):
                index = number - segment.first_part_number
                if index >= 0:
                    contents = (segment.chunks[index].content,)
                    has_video = segment.header.content.has_video
                    found = NamedBytes(BytesKind.PART, f"part{number}", contents, has_video=has_video)
                    self._part_bytes[number] = found
                    break
        return found

    def held_segments(self) -> list[Segment]:
        """All segments, oldest first: those that have left the playlist, those in it, and the open one."""
        return [*self._retired, *self.listed, *((self.open,) if self.open is not None else ())]

    def state(self) -> WindowState:
        """What is listed and counted, for another node."""
        segments = [*self.listed, *((self.open,) if self.open is not None else ())]
        headers = {segment.header.number: segment.header for segment in segments}
        if self.header is not None:
            headers[self.header.number] = self.header
        return WindowState(
            headers=tuple(
                HeaderState(header.number, header.tracks, header.content.buffers[0]) for header in headers.values()
            ),
            listed=tuple(_state_of(segment) for segment in self.listed),
            open=_state_of(self.open) if self.open is not None else None,
            next_msn=self.next_msn,
            next_part_number=self.next_part_number,
            discontinuity_sequence=self.discontinuity_sequence,
            epoch_ms=self._epoch_ms,
            is_continuing=self._is_continuing,
            longest_us=self._longest_us,
        )

    def next_numbering(self) -> Numbering:
        """Where a rendition that follows this one may begin at the earliest."""
        discontinuities = sum(segment.is_discontinuous for segment in self.listed)
        if self.open is not None:
            discontinuities += self.open.is_discontinuous
        return Numbering(
            self._next_free_msn(), self.next_part_number, self.discontinuity_sequence + discontinuities + 1
        )

    @property
    def used_until_s(self) -> int:
        """``seconds`` of ``next_numbering``; asked for every second."""
        msn = self._next_free_msn()
        # Rounded up.
        return max(msn, -(-self.next_part_number // PARTS_PER_SECOND_MAX))

    def _next_free_msn(self) -> int:
        msn = self.next_msn
        if self.open is not None:
            msn += 1
        # Initialization sections are named after segments.
        return msn if self.header is None else max(msn, self.header.number + 1)

    def _complete_segments(self) -> Iterable[Segment]:
        """All segments held, newest first; those that have left the playlist come last."""
        return chain(reversed(self.listed), reversed(self._retired))

    # How it is kept.

    def _open_segment(self, chunk: CmafChunk, epoch: datetime | None) -> None:
        if self.header is None:
            raise LocalStateError("a part before its CMAF header")
        previous = self.listed[-1] if self.listed else None
        if previous is None:
            # The first segment follows no other and cannot be discontinuous, unless the playlist continues another.
            is_discontinuous = self._is_continuing
        else:
            is_discontinuous = chunk.is_discontinuous or previous.header is not self.header
        start_ms = chunk.start_ticks * 1000 // chunk.timescale
        if is_discontinuous and epoch is not None:
            self._epoch_ms = unix_ms(epoch)
        if is_discontinuous and previous is not None:
            # Dates never go back, whatever the publisher's timestamps or the wall clock do.
            self._epoch_ms = max(self._epoch_ms, previous.end_date_time_ms - start_ms)
        self.open = Segment(
            msn=self.next_msn,
            header=self.header,
            first_part_number=self.next_part_number,
            timescale=chunk.timescale,
            program_date_time_ms=self._epoch_ms + start_ms,
            is_discontinuous=is_discontinuous,
        )

    def _slide(self) -> None:
        """Let the oldest segments leave the playlist, and forget those that no reader can ask for any more."""
        listed = self.listed
        while len(listed) > self._segments and (
            self.listed_us - listed[0].duration_us >= self._shortest_us or len(listed) > LISTED_SEGMENTS_MAX
        ):
            self._retire()
        while self._retired and (
            self._retired[0].expires_us < self._elapsed_us or self.held_bytes > self._held_bytes_max
        ):
            self._forget()
        while self.held_bytes > self._held_bytes_max and len(listed) > 1:
            self._retire()
            self._forget()
            self.segments_lost += 1

    def _make_room(self) -> None:
        """Let the oldest media go, as the open segment needs its memory."""
        while self.held_bytes > self._held_bytes_max and (self._retired or len(self.listed) > 1):
            if not self._retired:
                self._retire()
                self.segments_lost += 1
            self._forget()
        if self.open is not None and self.open.held_bytes > OPEN_SEGMENT_BYTES_MAX:
            raise MediaLimitError(f"a segment of more than {OPEN_SEGMENT_BYTES_MAX} bytes", limit="window_bytes_max")

    def _retire(self) -> None:
        """Take the oldest segment off the playlist.

        It leaves with its parts: they left the playlist no later, and must stay only three target durations longer,
        which a segment's own time always covers.
        """
        segment = self.listed.popleft()
        duration_us = segment.duration_us
        self.listed_us -= duration_us
        # 6.2.2: "the Media Segment MUST remain available to clients for a period of time equal to the duration of
        # the segment plus the duration of the longest Playlist file distributed by the server containing that
        # segment."
        segment.expires_us = self._elapsed_us + duration_us + self._longest_us
        # 6.2.2: "If the server removes an EXT-X-DISCONTINUITY tag from a Media Playlist … it MUST increment the
        # value of the EXT-X-DISCONTINUITY-SEQUENCE tag".
        self.discontinuity_sequence += segment.is_discontinuous
        self._retired.append(segment)

    def _forget(self) -> None:
        segment = self._retired.popleft()
        self.held_bytes -= segment.held_bytes
        self._forget_header(segment.header)
        self._segment_bytes.pop(segment.msn, None)
        for number in range(segment.first_part_number, segment.first_part_number + len(segment.chunks)):
            self._part_bytes.pop(number, None)

    def _forget_header(self, header: Header) -> None:
        """Let a CMAF header go if no segment needs it: segments have theirs in the order in which they came.

        Args:
            header: The header of a segment that was just forgotten, or one that another has replaced.
        """
        oldest = self._retired or self.listed
        # Its segments would be the oldest ones, or the newest.
        first = oldest[0] if oldest else self.open
        last = self.open or (self.listed or self._retired or (None,))[-1]
        if header is self.header or any(each is not None and each.header is header for each in (first, last)):
            return
        if self._init_bytes.pop(header.number, None) is not None:
            self.held_bytes -= header.held_bytes


def _state_of(segment: Segment) -> SegmentState:
    parts = tuple(
        PartState(chunk.start_ticks, chunk.duration_ticks, chunk.is_independent, len(chunk.content))
        for chunk in segment.chunks
    )
    return SegmentState(
        segment.msn,
        segment.header.number,
        segment.first_part_number,
        segment.timescale,
        segment.program_date_time_ms,
        segment.is_discontinuous,
        parts,
    )


def _restored(told: SegmentState, headers: dict[int, Header], content: Callable[[int], ChunkBytes]) -> Segment:
    """Make a segment of its state and the bytes of its parts."""
    segment = Segment(
        msn=told.msn,
        header=headers[told.header],
        first_part_number=told.first_part_number,
        timescale=told.timescale,
        program_date_time_ms=told.program_date_time_ms,
        is_discontinuous=told.is_discontinuous,
    )
    for index, part in enumerate(told.parts):
        segment.add(
            CmafChunk(
                content=content(told.first_part_number + index),
                start_ticks=part.start_ticks,
                duration_ticks=part.duration_ticks,
                timescale=told.timescale,
                is_independent=part.is_independent,
                starts_segment=not index,
                is_discontinuous=not index and told.is_discontinuous,
            )
        )
    return segment


def _check_numbers(state: WindowState) -> None:
    """See that the numbers of another node's window are such as a window has.

    Raises:
        ValueError: They are not.
    """
    counts = (state.next_msn, state.next_part_number, state.discontinuity_sequence, state.longest_us)
    if not all(0 <= count < COUNT_MAX for count in counts) or abs(state.epoch_ms) >= COUNT_MAX:
        raise ValueError("counts that cannot be")
    numbers = [header.number for header in state.headers]
    segments = [*state.listed, *((state.open,) if state.open is not None else ())]
    if not all(0 <= number < COUNT_MAX for number in numbers) or numbers != sorted(set(numbers)):
        raise ValueError("CMAF headers out of order")
    if len(segments) > LISTED_SEGMENTS_MAX + 1:
        raise ValueError(f"{len(segments)} segments")
    first_msn = state.next_msn - len(state.listed)
    part_number = segments[0].first_part_number if segments else state.next_part_number
    for msn, segment in enumerate(segments, first_msn):
        if segment.msn != msn or segment.first_part_number != part_number or not segment.parts:
            raise ValueError(f"segment {segment.msn} where {msn} was to come")
        if not 0 < segment.timescale < TIMESCALE_MAX or abs(segment.program_date_time_ms) >= COUNT_MAX:
            raise ValueError(f"segment {segment.msn} with times that cannot be")
        for part in segment.parts:
            if not 0 <= part.duration_ticks < PART_S_MAX * segment.timescale or abs(part.start_ticks) >= COUNT_MAX:
                raise ValueError(f"segment {segment.msn} with a part of times that cannot be")
        if segment.header not in numbers:
            raise ValueError(f"segment {segment.msn} has no CMAF header")
        part_number += len(segment.parts)
    if part_number != state.next_part_number:
        raise ValueError(f"part {state.next_part_number} where {part_number} was to come")

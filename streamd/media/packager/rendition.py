"""The window of one rendition: the parts and segments that viewers can fetch, and the playlist of them.

Spec: rfc8216bis-22 sections 4.4.3, 4.4.4, 6.2.1 and 6.2.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from streamd.errors import LocalStateError, MediaLimitError
from streamd.formats.hls import media_playlist as hls
from streamd.formats.hls.attribute_list import unix_ms
from streamd.formats.hls.multivariant_playlist import VariantStream
from streamd.limits import DEFAULT
from streamd.media.packager.chunk import ChunkBytes, CmafChunk, PlaylistTiming
from streamd.media.packager.numbering import Numbering
from streamd.media.packager.playlist_text import PlaylistSnapshot
from streamd.media.packager.reload import PartNumber, PlaylistEdge, Position
from streamd.media.packager.resource import Resource
from streamd.media.packager.segment_bit_rate import SegmentBitRate
from streamd.media.packet import Track, TrackKind

# 6.2.2: "The server MUST NOT remove a Media Segment from a Playlist … if that would produce a Playlist whose
# duration is less than three times the Target Duration."
PLAYLIST_TARGETS_MIN = 3
# Apple's authoring specification asks for six segments in a live playlist; the default keeps one to spare.
WINDOW_SEGMENTS_DEFAULT = 7
# Segments shorter than the keyframe interval come from discontinuities alone. This many in three target
# durations is an encoder that never settles, and its playlist may be short rather than long without end.
LISTED_SEGMENTS_MAX = 256
# The longest segment, 10 s, at the highest bit rate that is allowed by default, 100 Mb/s. The media time of a segment
# that has more stands still.
OPEN_SEGMENT_BYTES_MAX = 128 * 1024 * 1024
# 4.4.4.9: parts "SHOULD be removed from the Playlist after they are greater than three Target Durations from the
# end". The npm package hls-parser counts three segments instead, the open one included; both are kept.
SEGMENTS_WITH_PARTS = 2
# Above the fastest camera that anyone broadcasts with: a claim beyond it is a mistake in the metadata.
FRAME_RATE_MAX = 1000.0

_US = 1_000_000


@dataclass(frozen=True, slots=True)
class RenditionOptions:
    """How much a rendition lists and keeps."""

    window_segments: int = WINDOW_SEGMENTS_DEFAULT
    """Segments in a live playlist; more where three target durations need more."""
    low_latency: bool = True
    """List parts and offer blocking reload; without it, a plain playlist of whole segments."""
    window_bytes_max: int = DEFAULT.window_bytes_max
    """Media held at most; above it, segments go before the specification lets them."""


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A part that a decoder can begin with, and what it needs to."""

    msn: int
    """Media Sequence Number of its segment."""
    cmaf_header: bytes
    """``ftyp`` and ``moov``."""
    fragment: bytes
    """``moof`` and ``mdat``."""


@dataclass(frozen=True, slots=True)
class _Header:
    """A CMAF header under its number."""

    number: int
    uri: str
    tracks: tuple[Track, ...]
    resource: Resource

    @property
    def held_bytes(self) -> int:
        """The header, and the codec configurations that stand in it too."""
        return self.resource.size_bytes + sum(len(track.codec_config) for track in self.tracks)


class _Segment:
    """A segment with its media, open or complete.

    Args:
        msn: Media Sequence Number.
        header: The CMAF header that it is played with.
        first_part_number: Running count of its first part.
        timescale: Ticks a second of all its durations.
        program_date_time_ms: EXT-X-PROGRAM-DATE-TIME.
        is_discontinuous: EXT-X-DISCONTINUITY stands before it.

    Attributes:
        chunks: Its parts; the segment is the concatenation of their bytes.
        duration_ticks: Sum of their durations.
        size_bytes: Sum of their sizes.
        held_bytes: What they take in memory.
        expires_us: Media time after which it is forgotten, once it has left the playlist.
    """

    __slots__ = (
        "_entries",
        "chunks",
        "duration_ticks",
        "expires_us",
        "first_part_number",
        "header",
        "held_bytes",
        "is_discontinuous",
        "msn",
        "program_date_time_ms",
        "size_bytes",
        "timescale",
    )

    def __init__(
        self,
        msn: int,
        header: _Header,
        first_part_number: int,
        timescale: int,
        program_date_time_ms: int,
        is_discontinuous: bool,
    ) -> None:
        self.msn = msn
        self.header = header
        self.first_part_number = first_part_number
        self.timescale = timescale
        self.program_date_time_ms = program_date_time_ms
        self.is_discontinuous = is_discontinuous
        self.duration_ticks = 0
        self.size_bytes = 0
        self.held_bytes = 0
        self.chunks: list[CmafChunk] = []
        # What the playlist says of the parts, as far as somebody has asked.
        self._entries: list[hls.Part] = []
        self.expires_us = 0

    @property
    def duration_us(self) -> int:
        return self.duration_ticks * _US // self.timescale

    def listed(self, rendition_name: str, *, is_open: bool, with_parts: bool) -> hls.Segment:
        """Say in the terms of a rendition's playlist what this segment is."""
        entries = self._entries
        if with_parts:
            for number, chunk in enumerate(self.chunks[len(entries) :], self.first_part_number + len(entries)):
                uri = f"{rendition_name}/part{number}.m4s"
                entries.append(hls.Part(uri, chunk.duration_ticks, chunk.is_independent))
        return hls.Segment(
            uri=None if is_open else f"{rendition_name}/seg{self.msn}.m4s",
            duration_ticks=self.duration_ticks,
            timescale=self.timescale,
            program_date_time_ms=self.program_date_time_ms,
            map_uri=self.header.uri,
            is_discontinuous=self.is_discontinuous,
            parts=tuple(entries) if with_parts else (),
        )


class Rendition:
    """One variant's media, from its first part to EXT-X-ENDLIST.

    Media is held once, as the chunks that the segmenter made: a segment is a list of them. What viewers are sent of it,
    or told of it, is made when the first of them asks. What has left the playlist stays for as long as a reader of an
    earlier playlist may ask for it, by the media's own time, and is bounded in bytes.

    Args:
        name: The variant's name in URIs: lower-case letters, digits, ``_`` and ``-``; not ``index``.
        timing: The numbers that never change in the playlist's life.
        options: How much is listed and kept.
        numbering: Where the counts begin.
        epoch: Wall time of tick 0 of the chunks' timeline, aware; for EXT-X-PROGRAM-DATE-TIME.
        is_continuing: Players know a playlist of this name with other media, which is gone: the first segment is
            discontinuous.
    """

    def __init__(
        self,
        name: str,
        timing: PlaylistTiming,
        options: RenditionOptions,
        numbering: Numbering,
        epoch: datetime,
        *,
        is_continuing: bool = False,
    ) -> None:
        self.name = name
        self.timing = timing
        self._is_continuing = is_continuing
        self._options = options
        self._next_msn = numbering.msn
        self._next_part_number = numbering.part_number
        self._discontinuity_sequence = numbering.discontinuity_sequence
        self._first_msn = numbering.msn

        self._header: _Header | None = None
        self._listed: deque[_Segment] = deque()
        self._open: _Segment | None = None
        self._retired: deque[_Segment] = deque()
        self._is_ended = False

        self._inits: dict[int, Resource] = {}
        # Those that somebody has asked for: what a door has made ready of them serves all who ask next.
        self._segments: dict[int, Resource] = {}
        self._parts: dict[int, Resource] = {}
        self._held_bytes = 0
        self.segments_lost = 0
        """Segments that left before their time, for the window had more bytes than it may."""
        # Program date and time runs with the media from here on.
        self._epoch_ms = unix_ms(epoch)

        # Durations of what is listed, of the longest playlist so far, and of all media complete so far.
        self._listed_us = 0
        self._longest_us = 0
        self._elapsed_us = 0

        self._bit_rate = SegmentBitRate(timing.target_duration_s, LISTED_SEGMENTS_MAX)
        self._siblings: tuple[Rendition, ...] = ()
        self._snapshot: PlaylistSnapshot | None = None
        self._variant_stream: VariantStream | None = None

    # What the media line puts in.

    def set_header(self, cmaf_header: bytes, tracks: Sequence[Track]) -> None:
        """Give the CMAF header of the segments to come; the same bytes again change nothing.

        The segment that first uses another header than the one before it is discontinuous.

        Args:
            cmaf_header: ``ftyp`` and ``moov``, complete.
            tracks: What they describe.

        Spec: rfc8216bis 4.4.4.5 (EXT-X-MAP), 4.4.4.3 (EXT-X-DISCONTINUITY).
        """
        self._assert_live()
        previous = self._header
        if previous is not None and previous.resource.buffers == (cmaf_header,):
            return
        # Named by the segment that it is for, so that a name is not used twice, not even across a restart.
        number = self._next_msn if self._open is None else self._next_msn + 1
        if previous is not None and previous.number >= number:
            number = previous.number + 1
        media_type = "video/mp4" if any(track.kind is TrackKind.VIDEO for track in tracks) else "audio/mp4"
        resource = _media((cmaf_header,), media_type, f"init{number}")
        header = self._header = _Header(number, f"{self.name}/init{number}.mp4", tuple(tracks), resource)
        self._inits[number] = resource
        self._held_bytes += header.held_bytes
        if previous is not None:
            self._forget_header(previous)
        self._changed()

    def add(self, chunk: CmafChunk, epoch: datetime | None = None) -> None:
        """List one more part.

        Args:
            chunk: The part; its content is kept.
            epoch: Wall time of tick 0 of its timeline; looked at where it is discontinuous. Without it the
                timeline is taken to be the one before.

        Raises:
            LocalStateError: No header yet, the playlist has ended, or the first part starts no segment.
            MediaLimitError: The segment takes more than any may.
        """
        self._assert_live()
        if chunk.starts_segment:
            self.end_segment()
            self._open_segment(chunk, epoch)
        segment = self._open
        if segment is None or chunk.timescale != segment.timescale:
            raise LocalStateError("a part that continues no open segment")

        size_bytes = len(chunk.content)
        self._next_part_number += 1
        segment.chunks.append(chunk)
        segment.duration_ticks += chunk.duration_ticks
        segment.size_bytes += size_bytes
        held_bytes = chunk.content.held_bytes
        segment.held_bytes += held_bytes
        self._held_bytes += held_bytes
        if self._held_bytes > self._options.window_bytes_max:
            self._make_room()
        if self._options.low_latency:
            self._changed()

    def end_segment(self) -> bool:
        """Complete the open segment, where it is known that the next part starts another.

        ``add`` does it as well, one part later.

        Returns:
            Whether there was one.
        """
        segment = self._open
        if segment is None:
            return False
        self._open = None
        self._next_msn = segment.msn + 1
        self._listed.append(segment)
        self._listed_us += segment.duration_us
        self._elapsed_us += segment.duration_us
        self._longest_us = max(self._longest_us, self._listed_us)
        self._bit_rate.add(segment.size_bytes, segment.duration_us)
        self._slide()
        self._changed()
        return True

    def end(self) -> None:
        """Complete the open segment and end the playlist with EXT-X-ENDLIST; again changes nothing."""
        if self._is_ended:
            return
        self.end_segment()
        self._is_ended = True
        self._changed()

    def set_siblings(self, siblings: Sequence[Rendition]) -> None:
        """Name the other renditions of the presentation, for EXT-X-RENDITION-REPORT."""
        self._siblings = tuple(siblings)
        self._changed()

    # What the doors take out.

    @property
    def is_ended(self) -> bool:
        """The playlist has EXT-X-ENDLIST."""
        return self._is_ended

    @property
    def low_latency(self) -> bool:
        """The playlist lists parts and offers blocking reload."""
        return self._options.low_latency

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks of its newest CMAF header; none before the first."""
        return self._header.tracks if self._header is not None else ()

    @property
    def first_msn(self) -> int:
        """Media Sequence Number of the first segment there ever was."""
        return self._first_msn

    @property
    def next_part_number(self) -> int:
        """Number of the part that the preload hint names."""
        return self._next_part_number

    @property
    def held_bytes(self) -> int:
        """Memory that its media takes now, with CMAF headers and what is kept of each sample, bytes."""
        return self._held_bytes

    @property
    def playlist_duration_us(self) -> int:
        """Duration of what the playlist lists: how long it stays after its end (6.2.1)."""
        open_us = self._open.duration_us if self._open is not None and self.low_latency else 0
        return self._listed_us + open_us

    def next_numbering(self) -> Numbering:
        """Where a rendition that follows this one may begin at the earliest."""
        discontinuities = sum(segment.is_discontinuous for segment in self._listed)
        msn = self._next_msn
        if self._open is not None:
            msn += 1
            discontinuities += self._open.is_discontinuous
        if self._header is not None:
            # Initialization sections are named after segments.
            msn = max(msn, self._header.number + 1)
        return Numbering(msn, self._next_part_number, self._discontinuity_sequence + discontinuities + 1)

    def edge(self) -> PlaylistEdge:
        """How far the playlist has come."""
        return PlaylistEdge(
            last_msn=self._next_msn - 1,
            last_segment_parts=len(self._listed[-1].chunks) if self._listed else 0,
            open_parts=len(self._open.chunks) if self._open is not None else 0,
            part_target_ms=self.timing.part_target_ms if self.low_latency else None,
            is_ended=self._is_ended,
        )

    def has_reached(self, awaited: Position | PartNumber) -> bool:
        """Say whether a request that waits can be answered: what it waits for is there, or will never be."""
        if self._is_ended:
            return True
        if isinstance(awaited, PartNumber):
            return awaited.number < self._next_part_number
        return self.edge().contains(awaited)

    def init(self, number: int) -> Resource | None:
        """The CMAF header ``init{number}.mp4``."""
        return self._inits.get(number)

    def segment(self, msn: int) -> Resource | None:
        """The complete segment ``seg{msn}.m4s``; one object for as long as it is held."""
        resource = self._segments.get(msn)
        if resource is None:
            for segment in self._complete_segments():
                if segment.msn == msn:
                    contents = tuple(chunk.content for chunk in segment.chunks)
                    resource = _media(contents, segment.header.resource.media_type, f"seg{msn}")
                    self._segments[msn] = resource
                    break
        return resource

    def part(self, number: int) -> Resource | None:
        """The part ``part{number}.m4s``; one object for as long as it is held."""
        resource = self._parts.get(number)
        if resource is None and self.low_latency and number < self._next_part_number:
            segments = self._complete_segments()
            for segment in segments if self._open is None else chain((self._open,), segments):
                index = number - segment.first_part_number
                if index >= 0:
                    media_type = segment.header.resource.media_type
                    resource = _media((segment.chunks[index].content,), media_type, f"part{number}")
                    self._parts[number] = resource
                    break
        return resource

    def _complete_segments(self) -> Iterable[_Segment]:
        """All that are held, newest first; those that have left the playlist come last."""
        return chain(reversed(self._listed), reversed(self._retired))

    def newest_keyframe(self) -> Keyframe | None:
        """The newest part with a keyframe; the same for as long as a segment lasts, as a rule."""
        segments = (*self._listed, self._open) if self._open is not None else tuple(self._listed)
        for segment in reversed(segments):
            for chunk in segment.chunks:
                if chunk.is_independent:
                    return Keyframe(segment.msn, segment.header.resource.buffers[0], chunk.content.join())
        return None

    def playlist(self) -> PlaylistSnapshot:
        """The media playlist as it stands; one object until it changes."""
        if self._snapshot is None:
            self._snapshot = PlaylistSnapshot(self._build_playlist())
        return self._snapshot

    def variant_stream(self) -> VariantStream | None:
        """What the multivariant playlist says of this rendition; ``None`` before its first segment."""
        if self._variant_stream is None and self._header is not None and self._bit_rate.average:
            tracks = self._header.tracks
            video = next((track for track in tracks if track.kind is TrackKind.VIDEO), None)
            self._variant_stream = VariantStream(
                uri=f"{self.name}.m3u8",
                bandwidth=self._bit_rate.peak,
                average_bandwidth=self._bit_rate.average,
                codecs=tuple(dict.fromkeys(track.codec for track in tracks)),
                width=video.shown_width if video else 0,
                height=video.height if video else 0,
                frame_rate_millihertz=_frame_rate_millihertz(video.frame_rate_hint) if video else 0,
            )
        return self._variant_stream

    # How it is kept.

    def _changed(self) -> None:
        """Forget what was made of the state before, here and where another rendition reports on this one."""
        self._snapshot = None
        self._variant_stream = None
        for sibling in self._siblings:
            sibling._snapshot = None

    def _assert_live(self) -> None:
        if self._is_ended:
            raise LocalStateError("the playlist has ended")

    def _open_segment(self, chunk: CmafChunk, epoch: datetime | None) -> None:
        if self._header is None:
            raise LocalStateError("a part before its CMAF header")
        previous = self._listed[-1] if self._listed else None
        if previous is None:
            # Nothing stands before the first segment that it could be discontinuous with, unless others have been.
            is_discontinuous = self._is_continuing
        else:
            is_discontinuous = chunk.is_discontinuous or previous.header is not self._header
        start_ms = chunk.start_ticks * 1000 // chunk.timescale
        if is_discontinuous and epoch is not None:
            self._epoch_ms = unix_ms(epoch)
        if is_discontinuous and previous is not None:
            # Dates do not go back, whatever the publisher's timestamps or the wall clock did.
            end_ms = previous.program_date_time_ms + previous.duration_ticks * 1000 // previous.timescale
            self._epoch_ms = max(self._epoch_ms, end_ms - start_ms)
        self._open = _Segment(
            msn=self._next_msn,
            header=self._header,
            first_part_number=self._next_part_number,
            timescale=chunk.timescale,
            program_date_time_ms=self._epoch_ms + start_ms,
            is_discontinuous=is_discontinuous,
        )

    def _slide(self) -> None:
        """Let the oldest segments leave the playlist, and forget those that nobody can ask for any more."""
        shortest_us = PLAYLIST_TARGETS_MIN * self.timing.target_duration_s * _US
        listed = self._listed
        while len(listed) > self._options.window_segments and (
            self._listed_us - listed[0].duration_us >= shortest_us or len(listed) > LISTED_SEGMENTS_MAX
        ):
            self._retire()
        while self._retired and (
            self._retired[0].expires_us < self._elapsed_us or self._held_bytes > self._options.window_bytes_max
        ):
            self._forget()
        while self._held_bytes > self._options.window_bytes_max and len(listed) > 1:
            self._retire()
            self._forget()
            self.segments_lost += 1

    def _make_room(self) -> None:
        """Let the oldest media go, for the segment that is open needs its memory."""
        while self._held_bytes > self._options.window_bytes_max and (self._retired or len(self._listed) > 1):
            if not self._retired:
                self._retire()
                self.segments_lost += 1
            self._forget()
        if self._open is not None and self._open.held_bytes > OPEN_SEGMENT_BYTES_MAX:
            raise MediaLimitError(f"a segment of more than {OPEN_SEGMENT_BYTES_MAX} bytes", limit="window_bytes_max")

    def _retire(self) -> None:
        """Take the oldest segment off the playlist.

        It leaves with its parts: they went out of the playlist no later, and need stay only three target durations
        longer, which is never more than what is asked for a segment.
        """
        segment = self._listed.popleft()
        self._listed_us -= segment.duration_us
        # 6.2.2: "the Media Segment MUST remain available to clients for a period of time equal to the duration of
        # the segment plus the duration of the longest Playlist file distributed by the server containing that
        # segment."
        segment.expires_us = self._elapsed_us + segment.duration_us + self._longest_us
        # 6.2.2: "If the server removes an EXT-X-DISCONTINUITY tag from a Media Playlist … it MUST increment the
        # value of the EXT-X-DISCONTINUITY-SEQUENCE tag".
        self._discontinuity_sequence += segment.is_discontinuous
        self._retired.append(segment)

    def _forget(self) -> None:
        segment = self._retired.popleft()
        self._held_bytes -= segment.held_bytes
        self._forget_header(segment.header)
        self._segments.pop(segment.msn, None)
        for number in range(segment.first_part_number, segment.first_part_number + len(segment.chunks)):
            self._parts.pop(number, None)

    def _forget_header(self, header: _Header) -> None:
        """Let a CMAF header go if nothing is played with it: segments have theirs in the order in which they came.

        Args:
            header: That of a segment that has just been forgotten, or one that another has replaced.
        """
        oldest = self._retired or self._listed
        # Its segments would be the oldest ones, or the newest.
        first = oldest[0] if oldest else self._open
        last = self._open or (self._listed or self._retired or (None,))[-1]
        if header is self._header or any(each is not None and each.header is header for each in (first, last)):
            return
        if self._inits.pop(header.number, None) is not None:
            self._held_bytes -= header.held_bytes

    def _build_playlist(self) -> hls.MediaPlaylist:
        low_latency = self.low_latency
        first_with_parts = len(self._listed) - SEGMENTS_WITH_PARTS if low_latency else len(self._listed)
        open_segment = self._open if low_latency else None
        is_live = low_latency and not self._is_ended
        last_header = self._open.header if self._open else self._listed[-1].header if self._listed else None
        preload_map = self._header if is_live and self._header is not last_header else None
        return hls.MediaPlaylist(
            target_duration_s=self.timing.target_duration_s,
            part_target_ms=self.timing.part_target_ms if low_latency else None,
            media_sequence=self._next_msn - len(self._listed),
            discontinuity_sequence=self._discontinuity_sequence,
            segments=tuple(
                segment.listed(self.name, is_open=False, with_parts=index >= first_with_parts)
                for index, segment in enumerate(self._listed)
            ),
            open_segment=open_segment.listed(self.name, is_open=True, with_parts=True)
            if open_segment is not None
            else None,
            preload_part_uri=f"{self.name}/part{self._next_part_number}.m4s" if is_live else None,
            preload_map_uri=preload_map.uri if preload_map is not None else None,
            rendition_reports=tuple(sibling._report() for sibling in self._siblings),
            is_ended=self._is_ended,
        )

    def _report(self) -> hls.RenditionReport:
        edge = self.edge()
        uri = f"{self.name}.m3u8"
        if not self.low_latency:
            return hls.RenditionReport(uri, edge.last_msn, None)
        # 4.4.5.4: LAST-PART is "the Part Index of the last Partial Segment currently in the specified Rendition
        # whose Media Sequence Number is equal to the LAST-MSN attribute value".
        if edge.open_parts:
            return hls.RenditionReport(uri, edge.last_msn + 1, edge.open_parts - 1)
        return hls.RenditionReport(uri, edge.last_msn, edge.last_segment_parts - 1 if edge.last_segment_parts else None)


def _media(contents: tuple[bytes | ChunkBytes, ...], media_type: str, name: str) -> Resource:
    return Resource(contents, media_type, f'"{name}"', is_immutable=True)


def _frame_rate_millihertz(hint: float) -> int:
    """Thousandths of a frame a second from what a publisher claims; 0 for a claim that no encoder makes."""
    # Not a number compares false with everything.
    return round(hint * 1000) if 0 < hint <= FRAME_RATE_MAX else 0

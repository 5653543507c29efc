"""The texts about one variant's media: its playlist, its edge, and its line in the multivariant playlist.

The window keeps the media.

Spec: rfc8216bis-22 sections 4.4.3, 4.4.4 and 6.2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from streamd.errors import LocalStateError
from streamd.formats.hls import media_playlist as hls
from streamd.formats.hls.multivariant_playlist import VariantStream
from streamd.limits import DEFAULT, HLS
from streamd.media.packager.cmaf_chunk import ChunkBytes, CmafChunk
from streamd.media.packager.multivariant import frame_rate_millihertz
from streamd.media.packager.named_bytes import NamedBytes
from streamd.media.packager.numbering import Numbering
from streamd.media.packager.playlist_text import PlaylistSnapshot
from streamd.media.packager.presentation_state import RenditionState
from streamd.media.packager.reload import PartNumber, PlaylistEdge, Position
from streamd.media.packager.segment import Header, Segment
from streamd.media.packager.segment_bit_rate import SegmentBitRate
from streamd.media.packager.timing import PlaylistTiming
from streamd.media.packager.window import LISTED_SEGMENTS_MAX, Window
from streamd.media.packet import Track, TrackKind

# 4.4.4.9: parts "SHOULD be removed from the Playlist after they are greater than three Target Durations from the
# end". The npm package hls-parser counts three segments instead, the open one included; both are kept.
SEGMENTS_WITH_PARTS = 2


@dataclass(frozen=True, slots=True)
class RenditionOptions:
    """Bounds of a rendition's list and memory."""

    window_segments: int = HLS.window_segments
    """Segments in a live playlist; more where three target durations need more."""
    low_latency: bool = HLS.low_latency
    """List parts and offer blocking reload; without it, a plain playlist of whole segments."""
    window_bytes_max: int = DEFAULT.window_bytes_max
    """Media held at most; above it, segments leave before the specification allows it."""


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A part at which a decoder can begin, with its CMAF header."""

    msn: int
    """Media Sequence Number of its segment."""
    cmaf_header: bytes
    """``ftyp`` and ``moov``."""
    fragment: bytes
    """``moof`` and ``mdat``."""


@dataclass(frozen=True, slots=True)
class HeldMedia:
    """A segment as far as it has come, for somebody who keeps it."""

    program_date_time_ms: int
    """Wall time of its first sample, milliseconds since 1970 in UTC."""
    duration_ms: int
    """Rounded down."""
    cmaf_header: bytes
    """``ftyp`` and ``moov``."""
    chunks: tuple[CmafChunk, ...]
    """Its parts; the segment is the concatenation of their bytes."""


class Rendition:
    """One variant's media, from its first part to EXT-X-ENDLIST.

    Args:
        name: The variant's name in URIs: lower-case letters, digits, ``_`` and ``-``; not ``index``.
        timing: The numbers that never change in the playlist's life.
        options: Bounds of its list and memory.
        numbering: The start of the counts.
        epoch: Wall time of tick 0 of the chunks' timeline, aware; for EXT-X-PROGRAM-DATE-TIME.
        is_continuing: Players know a playlist of this name with other media, which is gone: the first segment is
            discontinuous.

    Attributes:
        options: As given.
        first_msn: Media Sequence Number of the very first segment.
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
        self.first_msn = numbering.msn
        self.options = options
        self._window = Window(
            timing.target_duration_s,
            options.window_segments,
            options.window_bytes_max,
            numbering,
            epoch,
            is_continuing=is_continuing,
        )
        self._is_ended = False
        self._bit_rate = SegmentBitRate(timing.target_duration_s, LISTED_SEGMENTS_MAX)
        # Those that it reports on, and those that report on it.
        self._siblings: tuple[Rendition, ...] = ()
        self._reporters: tuple[Rendition, ...] = ()
        self._snapshot: PlaylistSnapshot | None = None
        self._variant_stream: VariantStream | None = None

    # Inputs from the media line.

    def set_header(self, cmaf_header: bytes, tracks: Sequence[Track]) -> None:
        """Give the CMAF header of the segments to come; the same bytes again change nothing.

        The segment that first uses another header than the one before it is discontinuous.

        Args:
            cmaf_header: ``ftyp`` and ``moov``, complete.
            tracks: The tracks in it.

        Spec: rfc8216bis 4.4.4.5 (EXT-X-MAP), 4.4.4.3 (EXT-X-DISCONTINUITY).
        """
        self._assert_live()
        if self._window.set_header(cmaf_header, tracks):
            self._changed()

    def add(self, chunk: CmafChunk, epoch: datetime | None = None) -> None:
        """List one more part.

        Args:
            chunk: The part; its content is kept.
            epoch: Wall time of tick 0 of its timeline; read if it is discontinuous. None goes on with the timeline
                before.

        Raises:
            LocalStateError: No header yet, the playlist has ended, or the first part starts no segment.
            MediaLimitError: The segment is larger than any may be.
        """
        self._assert_live()
        if chunk.starts_segment:
            self.end_segment()
        self._window.add(chunk, epoch)
        if self.options.low_latency:
            self._changed()

    def end_segment(self) -> bool:
        """Complete the open segment, where it is known that the next part starts another.

        ``add`` does it as well, one part later.

        Returns:
            Whether there was one.
        """
        segment = self._window.end_segment()
        if segment is None:
            return False
        self._bit_rate.add(segment.size_bytes, segment.duration_us)
        self._changed()
        return True

    def end(self) -> None:
        """Complete the open segment and end the playlist with EXT-X-ENDLIST; again changes nothing."""
        if self._is_ended:
            return
        self.end_segment()
        self._is_ended = True
        self._changed()

    def restore(self, state: RenditionState, content: Callable[[int], ChunkBytes]) -> None:
        """Hold what another node's rendition of this name lists; called once, before anything else.

        Args:
            state: Of that rendition.
            content: The bytes of the part of a number.

        Raises:
            ValueError: The state is not such as a rendition has.
        """
        self._window.restore(state.window, content)
        self._bit_rate.restore(
            state.bit_rate, [(segment.size_bytes, segment.duration_us) for segment in self._window.listed]
        )
        self._is_ended = state.is_ended

    def set_siblings(self, siblings: Sequence[Rendition], reporters: Sequence[Rendition] | None = None) -> None:
        """Name the other renditions of the presentation, for EXT-X-RENDITION-REPORT.

        Args:
            siblings: Those that this one reports on.
            reporters: Those that report on this one; None for the same.
        """
        self._siblings = tuple(siblings)
        self._reporters = self._siblings if reporters is None else tuple(reporters)
        self._changed()

    # Outputs to the doors.

    @property
    def state(self) -> RenditionState:
        """What is listed and counted, for another node; the bytes of parts are not in it."""
        return RenditionState(self.name, self.first_msn, self._is_ended, self._window.state(), self._bit_rate.state)

    @property
    def listed_segments(self) -> Sequence[Segment]:
        """The complete segments in the playlist, oldest first."""
        return tuple(self._window.listed)

    @property
    def open_segment(self) -> Segment | None:
        """The segment that is being written; None between two."""
        return self._window.open

    @property
    def is_ended(self) -> bool:
        """The playlist has EXT-X-ENDLIST."""
        return self._is_ended

    @property
    def low_latency(self) -> bool:
        """The playlist lists parts and offers blocking reload."""
        return self.options.low_latency

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks of its newest CMAF header; none before the first."""
        header = self._window.header
        return header.tracks if header is not None else ()

    @property
    def next_part_number(self) -> int:
        """Number of the part that the preload hint names."""
        return self._window.next_part_number

    @property
    def held_bytes(self) -> int:
        """Memory of its media now, with CMAF headers and the objects of each sample, bytes."""
        return self._window.held_bytes

    @property
    def segments_lost(self) -> int:
        """Segments that left before their time, as the window was over its bytes."""
        return self._window.segments_lost

    @property
    def playlist_duration_us(self) -> int:
        """Duration of the listed media, for which the playlist stays after its end (6.2.1)."""
        window = self._window
        open_us = window.open.duration_us if window.open is not None and self.low_latency else 0
        return window.listed_us + open_us

    def next_numbering(self) -> Numbering:
        """The earliest start of a rendition that follows this one."""
        return self._window.next_numbering()

    @property
    def used_until_s(self) -> int:
        """``seconds`` of ``next_numbering``."""
        return self._window.used_until_s

    def edge(self) -> PlaylistEdge:
        """The edge of the playlist."""
        window = self._window
        return PlaylistEdge(
            last_msn=window.next_msn - 1,
            last_segment_parts=len(window.listed[-1].chunks) if window.listed else 0,
            open_parts=len(window.open.chunks) if window.open is not None else 0,
            part_target_ms=self.timing.part_target_ms if self.low_latency else None,
            is_ended=self._is_ended,
        )

    def has_reached(self, awaited: Position | PartNumber) -> bool:
        """Say whether a waiting request can be answered: its position is there, or will never be."""
        if self._is_ended:
            return True
        if isinstance(awaited, PartNumber):
            return awaited.number < self._window.next_part_number
        return self.edge().contains(awaited)

    def init(self, number: int) -> NamedBytes | None:
        """The CMAF header ``init{number}.mp4``."""
        return self._window.init(number)

    def segment(self, msn: int) -> NamedBytes | None:
        """The complete segment ``seg{msn}.m4s``; one object for as long as it is held."""
        return self._window.segment(msn)

    def part(self, number: int) -> NamedBytes | None:
        """The part ``part{number}.m4s``; one object for as long as it is held."""
        return self._window.part(number) if self.low_latency else None

    def newest_keyframe(self) -> Keyframe | None:
        """The newest part with a keyframe; the same for as long as a segment lasts, as a rule."""
        window = self._window
        segments = (*window.listed, window.open) if window.open is not None else tuple(window.listed)
        for segment in reversed(segments):
            for chunk in segment.chunks:
                if chunk.is_independent:
                    return Keyframe(segment.msn, segment.header.content.buffers[0], chunk.content.join())
        return None

    def held_media(self) -> list[HeldMedia]:
        """All that is held, oldest first: what has just left the playlist is still there, and so is the open segment.

        Nothing is copied: whoever keeps it holds the memory of media that leaves the window meanwhile.
        """
        return [
            HeldMedia(
                segment.program_date_time_ms,
                segment.duration_us // 1000,
                segment.header.content.buffers[0],
                tuple(segment.chunks),
            )
            for segment in self._window.held_segments()
        ]

    def playlist(self) -> PlaylistSnapshot:
        """The media playlist as it stands; one object until it changes."""
        if self._snapshot is None:
            self._snapshot = PlaylistSnapshot(self.name, self._build_playlist())
        return self._snapshot

    def variant_stream(self) -> VariantStream | None:
        """Its entry in the multivariant playlist; ``None`` before its first segment."""
        header = self._window.header
        if self._variant_stream is None and header is not None and self._bit_rate.average:
            tracks = header.tracks
            video = next((track for track in tracks if track.kind is TrackKind.VIDEO), None)
            self._variant_stream = VariantStream(
                uri=f"{self.name}.m3u8",
                bandwidth=self._bit_rate.peak,
                average_bandwidth=self._bit_rate.average,
                codecs=tuple(dict.fromkeys(track.codec for track in tracks)),
                width=video.shown_width if video else 0,
                height=video.height if video else 0,
                frame_rate_millihertz=frame_rate_millihertz(video.frame_rate_hint) if video else 0,
            )
        return self._variant_stream

    # How it is told.

    def _changed(self) -> None:
        """Drop the texts of the state before, here and in other renditions that report on this one."""
        self._snapshot = None
        self._variant_stream = None
        for reporter in self._reporters:
            reporter._snapshot = None

    def _assert_live(self) -> None:
        if self._is_ended:
            raise LocalStateError("the playlist has ended")

    def _build_playlist(self) -> hls.MediaPlaylist:
        window, low_latency = self._window, self.low_latency
        listed = window.listed
        first_with_parts = len(listed) - SEGMENTS_WITH_PARTS if low_latency else len(listed)
        open_segment = window.open if low_latency else None
        is_live = low_latency and not self._is_ended
        last_header = window.open.header if window.open else listed[-1].header if listed else None
        preload_map = window.header if is_live and window.header is not last_header else None
        return hls.MediaPlaylist(
            target_duration_s=self.timing.target_duration_s,
            part_target_ms=self.timing.part_target_ms if low_latency else None,
            media_sequence=window.next_msn - len(listed),
            discontinuity_sequence=window.discontinuity_sequence,
            segments=tuple(
                self._listed(segment, is_open=False, with_parts=index >= first_with_parts)
                for index, segment in enumerate(listed)
            ),
            open_segment=self._listed(open_segment, is_open=True, with_parts=True)
            if open_segment is not None
            else None,
            preload_part_uri=f"{self.name}/part{window.next_part_number}.m4s" if is_live else None,
            preload_map_uri=self._map_uri(preload_map) if preload_map is not None else None,
            rendition_reports=tuple(sibling._report() for sibling in self._siblings),
            is_ended=self._is_ended,
        )

    def _listed(self, segment: Segment, *, is_open: bool, with_parts: bool) -> hls.Segment:
        """Describe a segment in the terms of the playlist."""
        parts = segment.listed_parts
        if with_parts:
            for number, chunk in enumerate(segment.chunks[len(parts) :], segment.first_part_number + len(parts)):
                parts.append(hls.Part(f"{self.name}/part{number}.m4s", chunk.duration_ticks, chunk.is_independent))
        return hls.Segment(
            uri=None if is_open else f"{self.name}/seg{segment.msn}.m4s",
            duration_ticks=segment.duration_ticks,
            timescale=segment.timescale,
            program_date_time_ms=segment.program_date_time_ms,
            map_uri=self._map_uri(segment.header),
            is_discontinuous=segment.is_discontinuous,
            parts=tuple(parts) if with_parts else (),
        )

    def _map_uri(self, header: Header) -> str:
        return f"{self.name}/init{header.number}.mp4"

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

"""Cuts samples into CMAF chunks, each one HLS part, and marks the starts of segments.

The lead track, video where there is any, sets the cuts. Samples wait for the open part in ``queues``. ``cadence``
decides the ends of parts and segments, by media time, and ``timing`` the playlist's numbers, once, before the first
chunk.

**No part waits for a track.** A part takes the audio that has come and starts before its end; later audio goes into the
next part, whose ``tfdt`` tells the truth. When audio is ahead of a stopped lead by ``LEAD_LAG_MS_MAX``, audio's time
closes the parts until the lead comes back.

In a stream with several renditions, one segmenter decides the numbers for all, and ``SegmentStarts`` makes their
segments start together.

Spec: rfc8216bis-22 sections 3.1.2 (fMP4), 4.4.4.9 (PART), 6.2.1.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from streamd.formats import memory
from streamd.formats.cmaf.fragment import ChunkHead
from streamd.limits import HLS
from streamd.media.packager.cadence import Cadence
from streamd.media.packager.cmaf_chunk import ChunkBytes, CmafChunk
from streamd.media.packager.frame_interval import FrameInterval
from streamd.media.packager.queues import BRIDGE_MS_MAX, GAP_MS_MAX, HELD_BYTES_MAX, LEAD_LAG_MS_MAX, Queues
from streamd.media.packager.segment_starts import SegmentStarts
from streamd.media.packager.timing import TARGET_DURATION_S_MAX, WIRE_ROUNDING_MS, PlaylistTiming, TimingDecision
from streamd.media.packet import Sample, Track, TrackKind


@dataclass(frozen=True, slots=True)
class SegmenterOptions:
    """The operator's configuration of it: ``[hls]``."""

    part_target_ms: int = HLS.part_target_ms
    """Wanted PART-TARGET, milliseconds; also the default latency's unit, 3 of them."""
    segment_target_ms: int = HLS.segment_target_ms
    """A segment starts with the first keyframe from here on, milliseconds; at most ``TARGET_DURATION_S_MAX``."""

    def __post_init__(self) -> None:
        assert 0 < self.part_target_ms <= self.segment_target_ms <= TARGET_DURATION_S_MAX * 1000


class Irregularity(enum.Enum):
    """Irregularities of a cut stream, for its broadcaster and the operator."""

    LONG_GOP = "long_gop"
    """A segment started without a keyframe, as the next keyframe did not come in time."""
    LEAD_PAUSE = "lead_pause"
    """Video stopped while audio went on: parts without video were made."""
    BRIDGED_GAP = "bridged_gap"
    """No track had media for longer than PART-TARGET: decode times were stretched over the gap."""
    TIMELINE_GAP = "timeline_gap"
    """A gap past ``GAP_MS_MAX`` in all tracks, over which the playlist steps, or past ``BRIDGE_MS_MAX`` in the lead."""
    HELD_BYTES = "held_bytes"
    """``HELD_BYTES_MAX`` was reached: a part was cut before its time."""
    BEFORE_KEYFRAME = "before_keyframe"
    """Video before the first keyframe, which nothing can decode: dropped."""


class Segmenter:
    """Cuts the samples of one rendition.

    Args:
        tracks: Tracks of the rendition as in its CMAF header; the first video track leads, or the
            first track.
        options: Wanted durations.
        timing: Numbers of the playlist that this continues; without, they are decided from the stream.
        starts_discontinuous: The first chunk follows other media: a discontinuity.
        first_sequence_number: ``mfhd`` sequence number of the first chunk.
        starts: Where other renditions' segments start; without, it is the only one.
        decides: It decides the playlist's numbers; otherwise it waits for ``adopt``.

    Attributes:
        timing: Numbers of the playlist, ``None`` until they are decided; no chunk comes before.
        has_opening: The first segment is cut short to be listed soon; decided with them.
        irregularities: How often each was met.
        next_sequence_number: ``mfhd`` sequence number of the next chunk.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        options: SegmenterOptions,
        timing: PlaylistTiming | None = None,
        *,
        starts_discontinuous: bool = False,
        first_sequence_number: int = 1,
        starts: SegmentStarts | None = None,
        decides: bool = True,
    ) -> None:
        lead = next((track for track in tracks if track.kind is TrackKind.VIDEO), tracks[0])
        self.timing: PlaylistTiming | None = None
        self.has_opening = False
        self.irregularities: Counter[Irregularity] = Counter()
        self.next_sequence_number = first_sequence_number
        self._scale = lead.timescale
        self._lead_id = lead.track_id
        self._is_audio_only = lead.kind is TrackKind.AUDIO
        # The lead sets the cuts from its first keyframe, which has come, except while it pauses.
        self._has_begun = False
        self._is_discontinuous = starts_discontinuous
        self._head = ChunkHead()
        # Discontinuities are counted alike in all renditions (6.2.4), and media that this one lacks another may have.
        gap_ms_max = GAP_MS_MAX if starts is None else BRIDGE_MS_MAX
        self._queues = Queues(lead, [track for track in tracks if track is not lead], gap_ms_max)
        self._interval = FrameInterval(
            lead.frame_ticks, WIRE_ROUNDING_MS * lead.timescale // 1000, LEAD_LAG_MS_MAX * lead.timescale // 1000
        )
        self._cadence = Cadence(lead, self._interval, options.segment_target_ms, starts)
        self._decides = decides
        # Samples wait in there until the playlist's numbers are decided.
        self._decision: TimingDecision | None = TimingDecision(
            lead, tracks, options.part_target_ms, options.segment_target_ms
        )
        if timing is None and decides and self._is_audio_only and lead.frame_ticks:
            # Every frame is a random access point of known length, so none waits.
            timing = self._decision.decide(gop_ticks=0)
        if timing is not None:
            self._set_timing(timing)

    def push(self, sample: Sample) -> Sequence[CmafChunk]:
        """Take the next sample.

        Args:
            sample: Samples of a track in decode order; tracks interleaved as they arrived.

        Returns:
            The chunks that it completes, most often none.
        """
        if not self._has_begun and sample.track_id == self._lead_id:
            if not sample.is_keyframe:
                self.irregularities[Irregularity.BEFORE_KEYFRAME] += 1
                return ()
            self._has_begun = True
            if self._decision is not None:
                self._decision.begin(sample)
        if self._decision is None:
            return self._cut(sample)
        return self._hold(self._decision, sample)

    @property
    def closes_in_ms(self) -> int:
        """How much later than the newest frame of the lead the next one is that completes something.

        0 where that is not known, as long as the playlist's numbers are not decided or the cadence is not steady; and
        where it may be the very next, a keyframe that ends a segment.
        """
        queues = self._queues
        return 0 if queues.is_lead_paused else self._cadence.closes_in_ms(is_empty=not queues.lead.samples)

    @property
    def held_bytes(self) -> int:
        """Bytes that wait in the open part, or for the decision."""
        return HELD_BYTES_MAX - (self._queues if self._decision is None else self._decision).room_bytes

    def adopt(self, timing: PlaylistTiming, *, has_opening: bool) -> list[CmafChunk]:
        """Take the numbers of the playlist that another segmenter of the stream decided.

        Returns:
            The chunks of the samples that waited for them.
        """
        if self._decision is None:
            return []
        if has_opening:
            self._decision.begin_with_opening()
        return self._release(self._decision, timing)

    @property
    def has_complete_segment(self) -> bool:
        """Tell whether the next part begins a segment, so that the one before is complete."""
        return self._cadence.starts_segment

    def finish(self) -> list[CmafChunk]:
        """Close the open part: no sample follows.

        Returns:
            The last chunks.
        """
        chunks: list[CmafChunk] = []
        if self._decision is not None and self._decision.samples:
            chunks += self._release(self._decision, self._decision.decide(gop_ticks=None))
        return chunks + self._close_all()

    # Until the numbers are decided.

    def _hold(self, decision: TimingDecision, sample: Sample) -> Sequence[CmafChunk]:
        """Let a sample wait for the playlist's numbers, which it may decide."""
        if not self._decides:
            if decision.room_bytes < 0:
                self.irregularities[Irregularity.HELD_BYTES] += 1
            else:
                decision.hold(sample)
            return ()
        decision.hold(sample)
        if decision.room_bytes < 0:
            self.irregularities[Irregularity.HELD_BYTES] += 1
        timing = decision.try_with(sample)
        return () if timing is None else self._release(decision, timing)

    def _release(self, decision: TimingDecision, timing: PlaylistTiming) -> list[CmafChunk]:
        """Cut everything that waited for the decision."""
        self._set_timing(timing)
        return [chunk for sample in decision.samples for chunk in self._cut(sample)]

    def _set_timing(self, timing: PlaylistTiming) -> None:
        assert self._decision is not None, "it is decided once"
        self.timing = timing
        self.has_opening = self._decision.opening_end is not None
        self._cadence.set_timing(timing, self._decision.opening_end)
        self._decision = None

    # Cutting.

    def _cut(self, sample: Sample) -> Sequence[CmafChunk]:
        queues = self._queues
        queues.count_bytes(sample)
        chunks = self._cut_by_lead(sample) if sample.track_id == self._lead_id else self._cut_by_other(sample)
        if queues.room_bytes < 0:
            self.irregularities[Irregularity.HELD_BYTES] += 1
            end = min(self._media_end(), self._open_position() + self._cadence.part_ticks)
            return [*chunks, self._close(end, takes_all=True)]
        return chunks

    def _cut_by_lead(self, sample: Sample) -> Sequence[CmafChunk]:
        """Take a sample of the lead, closing parts before it and with it."""
        cadence, queues = self._cadence, self._queues
        dts = sample.dts_ticks
        if not cadence.has_part:
            cadence.open(dts)
        self._interval.add(dts)
        if not sample.is_keyframe and cadence.is_mid_part(dts):
            # As most are.
            queues.add_lead(sample)
            return ()

        chunks: list[CmafChunk] = []
        while dts >= cadence.position + cadence.part_ticks and queues.has_samples_before(
            cadence.position + cadence.part_ticks
        ):
            chunks.append(self._close(cadence.position + cadence.part_ticks))
        if dts >= cadence.position + cadence.part_ticks:
            self._meet_gap(dts)

        # The start of a part with this sample: its own time if it ends a part, else the end of the part before.
        boundary = cadence.position
        if queues.lead.samples:
            boundary = cadence.boundary(dts)
        elif queues.is_lead_paused and queues.has_samples_before(dts):
            boundary = max(dts, cadence.position)
        if sample.is_keyframe:
            cadence.note_keyframe(dts)
        is_opening_over = cadence.is_opening_over(dts)
        if is_opening_over or (sample.is_keyframe and cadence.is_segment_due(boundary, sample.pts_ticks)):
            if boundary > cadence.position:
                chunks.append(self._close(boundary))
            cadence.start_with(sample.pts_ticks)
            if is_opening_over:
                cadence.end_opening()
        elif queues.lead.samples and (
            cadence.ends_before(dts)
            or (sample.is_sync and queues.lead.samples[0].is_sync and cadence.ends_before_keyframe(dts))
        ):
            chunks.append(self._close(max(dts, cadence.position + 1)))

        queues.add_lead(sample)
        end = cadence.end_with(dts, len(queues.lead.samples))
        if end > cadence.position:
            # Complete with this frame: the one after it will not fit.
            chunks.append(self._close(end))
        return chunks

    def _cut_by_other(self, sample: Sample) -> Sequence[CmafChunk]:
        """Take a sample of a track that does not lead; it closes parts only while the lead pauses."""
        cadence, queues = self._cadence, self._queues
        start = queues.start_of(sample)
        if cadence.has_part and not queues.is_bridged(start - cadence.position):
            chunks: list[CmafChunk] = []
            if queues.has_samples() and not queues.is_bridged(start - self._media_end()):
                chunks = self._close_all()
            self._meet_gap(start)
            if chunks:
                queues.add_other(sample)
                return chunks
        queues.add_other(sample)
        if not queues.is_lead_paused:
            lead_end = cadence.position
            if self._interval.has_begun:
                lead_end = self._interval.end
            elif not cadence.has_part:
                lead_end = queues.media_start()
            if queues.is_within_lag(start - lead_end):
                return ()
            queues.is_lead_paused = True
            self.irregularities[Irregularity.LEAD_PAUSE] += 1
        chunks = []
        while start >= self._open_position() + cadence.part_ticks and queues.has_samples():
            chunks.append(self._close(self._open_position() + cadence.part_ticks))
        return chunks

    def _meet_gap(self, ticks: int) -> None:
        """Go on at ``ticks``, beyond the end of the open part, if that part is empty."""
        if self._queues.is_bridged(ticks - self._cadence.position):
            self.irregularities[Irregularity.BRIDGED_GAP] += 1
        elif not self._queues.has_samples():
            self.irregularities[Irregularity.TIMELINE_GAP] += 1
            self._is_discontinuous = True
            self._queues.leap()
            self._cadence.leap(ticks)

    def _close_all(self) -> list[CmafChunk]:
        """Close parts until no sample waits."""
        chunks: list[CmafChunk] = []
        while self._queues.has_samples():
            position = self._open_position()
            end = self._media_end()
            if end > position + self._cadence.part_ticks:
                chunks.append(self._close(position + self._cadence.part_ticks))
            else:
                chunks.append(self._close(end, takes_all=True))
        return chunks

    def _close(self, end: int, *, takes_all: bool = False) -> CmafChunk:
        """Close the open part and open the next.

        Args:
            end: Where it ends, on the lead's timeline. At least one sample is waiting.
            takes_all: Take samples that start after ``end`` too.
        """
        cadence, queues, head = self._cadence, self._queues, self._head
        lead = queues.lead
        position = self._open_position()
        end = max(end, position + max(1, len(lead.samples)))
        if cadence.is_overlong(end):
            cadence.start_segment()
            if lead.samples and not self._is_audio_only:
                self.irregularities[Irregularity.LONG_GOP] += 1

        is_independent = starts_with_keyframe = self._is_audio_only
        head.begin(self.next_sequence_number, 1 + len(queues.others), queues.count())
        if lead.samples:
            sample = lead.samples[0]
            starts_with_keyframe = sample.is_keyframe
            # Not where a keyframe follows within it: a player that begins there would show nothing up to that.
            is_independent = sample.is_sync
            self._take_lead(end)
        elif not queues.has_samples_before(end):
            # No track has media here, and a chunk must have some: the media behind the gap begins in it.
            takes_all = True
        queues.take_others(end, head, takes_all)

        chunk = CmafChunk(
            content=ChunkBytes(head.write(), head.payloads, head.starts, head.samples_bytes),
            start_ticks=position,
            duration_ticks=end - position,
            timescale=self._scale,
            is_independent=is_independent,
            starts_segment=cadence.starts_segment,
            is_discontinuous=self._is_discontinuous,
        )
        memory.untrack(chunk)
        self.next_sequence_number += 1
        self._is_discontinuous = False
        cadence.close(end, starts_with_keyframe=starts_with_keyframe)
        queues.count_anew()
        return chunk

    def _take_lead(self, end: int) -> None:
        """Give all waiting samples of the lead to the chunk, a run that ends at ``end``, or sooner where it paused."""
        if self._queues.is_lead_paused and self._interval.has_begun:
            end = min(end, self._interval.end)
        if self._queues.take_lead(end, self._head) and not self._is_discontinuous:
            self.irregularities[Irregularity.TIMELINE_GAP] += 1

    def _open_position(self) -> int:
        """Return the start of the open part; the first part starts with the first waiting sample."""
        if not self._cadence.has_part:
            self._cadence.open(self._queues.media_start())
        return self._cadence.position

    def _media_end(self) -> int:
        """Return the expected end of the waiting samples; after the start of the open part."""
        # A frame that is alone for ever lasts a part.
        return self._queues.media_end(self._open_position(), self._interval.ticks or self._cadence.part_ticks)

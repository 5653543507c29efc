"""The samples of a rendition's tracks that wait for the part that is open.

Times are on the lead's timeline, in its ticks, but for those of the samples themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamd.formats.cmaf.fragment import ChunkHead
from streamd.media.packager.track_queue import TrackQueue
from streamd.media.packet import Sample, Track

# Bytes that may wait in the open part, or for the playlist's numbers: 4 s at 30 Mb/s. A stream past it is cut at once.
HELD_BYTES_MAX = 16 * 1024 * 1024
# Bytes of a waiting sample beside its payload: Sample, its two times, the head of the bytes, a list slot.
HELD_SAMPLE_BYTES = 256
# Distance of audio ahead of a silent lead before audio takes over: more than encoders interleave by, less than a
# viewer's hold back of 3 × PART-TARGET (1.5 s by default), so that viewers have parts to play meanwhile.
LEAD_LAG_MS_MAX = 1_000
# The longest gap that a track's decode times bridge while others go on. A longer gap is no dropped frames any more, as
# it passes every segment, and decoders need not bridge it.
BRIDGE_MS_MAX = 10_000
# The longest time without media of any track that parts are stretched over: the media in them is as much later than
# they say. hls.js 1.7.4 leaves a whole segment out where that is 2 s, as its buffer and the playlist disagree.
GAP_MS_MAX = 1_000

_SAMPLE_BYTES = HELD_SAMPLE_BYTES


class Queues:
    """The waiting samples of all tracks, the lead's first.

    Args:
        lead: The track that sets the cuts.
        others: The others, in the order of the CMAF header.
        gap_ms_max: The longest time without media of any track that parts are stretched over.

    Attributes:
        lead: The lead's samples.
        others: Those of the others.
        room_bytes: Bytes that may still wait; below 0 past the limit.
        is_lead_paused: The lead has fallen so far behind that audio's time closes the parts.
    """

    def __init__(self, lead: Track, others: Sequence[Track], gap_ms_max: int = GAP_MS_MAX) -> None:
        self.lead = TrackQueue(lead)
        self.others = [TrackQueue(track) for track in others]
        self.room_bytes = HELD_BYTES_MAX
        self.is_lead_paused = False
        # By the track's number, which begin with 1.
        self._by_track: list[TrackQueue | None] = [None] * (1 + max(track.track_id for track in (lead, *others)))
        for queue in (self.lead, *self.others):
            self._by_track[queue.track_id] = queue
        self._scale = lead.timescale
        self._lag_ticks_max = LEAD_LAG_MS_MAX * lead.timescale // 1000
        self._bridge_ticks_max = BRIDGE_MS_MAX * lead.timescale // 1000
        self._gap_ticks_max = gap_ms_max * lead.timescale // 1000

    def count_bytes(self, sample: Sample) -> None:
        """Count a sample that is about to wait."""
        self.room_bytes -= len(sample.payload) + _SAMPLE_BYTES

    def add_lead(self, sample: Sample) -> None:
        """Let a sample of the lead wait, which ends its pause."""
        self.lead.samples.append(sample)
        self.is_lead_paused = False

    def add_other(self, sample: Sample) -> None:
        """Let a sample of another track wait."""
        queue = self._by_track[sample.track_id]
        assert queue is not None, "it is one of the tracks"
        queue.samples.append(sample)

    def start_of(self, sample: Sample) -> int:
        """Return the decode time of any track's sample on the lead's timeline, rounded down."""
        queue = self._by_track[sample.track_id]
        assert queue is not None, "it is one of the tracks"
        return sample.dts_ticks * self._scale // queue.timescale

    def is_bridged(self, ticks: int) -> bool:
        """Tell whether a gap in all tracks is short enough for parts to be stretched over it."""
        return ticks <= self._gap_ticks_max

    def is_within_lag(self, ticks: int) -> bool:
        """Tell whether audio at this distance ahead still waits for the lead."""
        return ticks <= self._lag_ticks_max

    def count(self) -> int:
        """Return the number of waiting samples of all tracks."""
        count = len(self.lead.samples)
        for queue in self.others:
            count += len(queue.samples)
        return count

    def has_samples(self) -> bool:
        """Whether any sample waits."""
        if self.lead.samples:
            return True
        for queue in self.others:  # noqa: SIM110  # compiled, it is a loop of C
            if queue.samples:
                return True
        return False

    def has_samples_before(self, end: int) -> bool:
        """Tell whether a part that ends at ``end`` would take a waiting sample."""
        if self.lead.samples:
            return True
        for queue in self.others:  # noqa: SIM110  # compiled, it is a loop of C
            if queue.samples and self.start_of(queue.samples[0]) < end:
                return True
        return False

    def media_start(self) -> int:
        """Return the start of the earliest waiting sample. At least one waits."""
        return min(self.start_of(queue.samples[0]) for queue in (self.lead, *self.others) if queue.samples)

    def media_end(self, position: int, frame_ticks: int) -> int:
        """Return the expected end of the waiting samples.

        Args:
            position: Start of the open part; the end is after it.
            frame_ticks: Assumed duration of the lead's newest frame.
        """
        end = position + 1
        if self.lead.samples:
            end = max(end, self.lead.samples[-1].dts_ticks + frame_ticks)
        for queue in self.others:
            if queue.samples:
                queue_end = queue.samples[-1].dts_ticks + queue.last_duration
                end_on_lead = -(-queue_end * self._scale // queue.timescale)
                if not self.lead.samples and end_on_lead <= position:
                    # Only late audio waits: the part has no time of its own any more, but must have a duration.
                    span = queue_end - queue.samples[0].dts_ticks
                    end_on_lead = position + span * self._scale // queue.timescale
                end = max(end, end_on_lead)
        return end

    def leap(self) -> None:
        """Let the lead's decode times go on where its next sample is."""
        self.lead.next_ticks = None

    def take_lead(self, end: int, head: ChunkHead) -> bool:
        """Give all waiting samples of the lead to a chunk.

        Args:
            end: Where the last one ends.
            head: Of the chunk.

        Returns:
            Whether decode times stepped over a gap that is too long to bridge.
        """
        lead = self.lead
        sample = lead.samples[0]
        first = sample.dts_ticks
        steps = False
        if lead.next_ticks is not None:
            if first - lead.next_ticks <= self._bridge_ticks_max:
                first = lead.next_ticks
            else:
                steps = True
        lead.take(len(lead.samples), first, end, head)
        return steps

    def take_others(self, end: int, head: ChunkHead, takes_all: bool) -> None:
        """Give the other tracks' samples for a part that ends at ``end`` to its chunk.

        Args:
            end: Of the part.
            head: Of the chunk.
            takes_all: Give samples that start after ``end`` too.
        """
        for queue in self.others:
            count = len(queue.samples) if takes_all else queue.count_before(end, self._scale)
            if count:
                queue.take_counted(count, head)

    def count_anew(self) -> None:
        """Count the samples left behind a closed part."""
        self.room_bytes = HELD_BYTES_MAX
        for queue in self.others:
            for sample in queue.samples:
                self.room_bytes -= len(sample.payload) + _SAMPLE_BYTES

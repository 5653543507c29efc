"""The samples of one track that wait for their part, and the track's decode time."""

from __future__ import annotations

from streamd.formats.cmaf.fragment import ChunkHead
from streamd.media.packet import Sample, Track


class TrackQueue:
    """Samples in decode order, given to chunks run by run.

    Decode times never have a gap: the first sample of a run begins at the decode time at which the run before it ended,
    and lasts until the decode time of the second, so an error lives for one sample only. Presentation times stay exact,
    because the composition offset takes up the difference.

    Args:
        track: The track.

    Attributes:
        track_id: Its number in the CMAF header.
        timescale: Ticks a second of its times.
        samples: Those that wait, in decode order.
        next_ticks: Where the last run ended: the decode time from which the next one goes on. None before the first.
        last_duration: Substitute for the duration of a run's last sample, if frames are not counted.
    """

    __slots__ = ("_frame_ticks", "last_duration", "next_ticks", "samples", "timescale", "track_id")

    def __init__(self, track: Track) -> None:
        self.track_id = track.track_id
        self.timescale = track.timescale
        self._frame_ticks = track.frame_ticks
        self.samples: list[Sample] = []
        self.next_ticks: int | None = None
        self.last_duration = track.frame_ticks or 1

    def count_before(self, end: int, scale: int) -> int:
        """Return how many waiting samples start before ``end``, given in a timescale of ``scale``."""
        # From the end: most parts take all waiting samples, or all but the newest.
        samples = self.samples
        count = len(samples)
        while count:
            sample = samples[count - 1]
            if sample.dts_ticks * scale < end * self.timescale:
                break
            count -= 1
        return count

    def take_counted(self, count: int, head: ChunkHead) -> None:
        """Give the first ``count`` samples to a chunk at their own times, the last one as long as a frame.

        Args:
            count: How many, at least 1.
            head: Of the chunk.
        """
        samples = self.samples
        sample = samples[0]
        first = sample.dts_ticks
        sample = samples[count - 1]
        last = sample.dts_ticks
        if not self._frame_ticks and count > 1:
            self.last_duration = max(1, last - samples[count - 2].dts_ticks)
        if self.next_ticks is not None:
            first = max(first, self.next_ticks)
        self.take(count, first, last + self.last_duration, head)

    def take(self, count: int, first: int, end: int, head: ChunkHead) -> None:
        """Give the first ``count`` samples to a chunk, as a run.

        Args:
            count: How many, at least 1.
            first: Decode time given to the first; the others keep theirs where they can.
            end: Where the last one ends.
            head: Of the chunk.
        """
        samples = self.samples
        head.begin_run(self.track_id, first)
        time = first
        for index in range(count):
            sample = samples[index]
            if index + 1 < count:
                following = samples[index + 1]
                next_time = following.dts_ticks
            else:
                next_time = end
            # The first may be past the second now, and the end before the last: each then gets a tick.
            if next_time <= time:
                next_time = time + 1
            head.add(next_time - time, sample.pts_ticks - time, sample.is_sync, sample.payload, sample.body_at)
            time = next_time
        del samples[:count]
        self.next_ticks = time

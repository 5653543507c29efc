"""Writes a live stream as the endless fragmented MP4 of viewers of progressive MP4.

ISO/IEC 14496-12 (2022) sections 8.8.4 to 8.8.8 and 8.8.12.

Unlike the segmenter's parts, fragments are cut at every write, down to a single frame, as a part would add its own
duration to the latency. A fragment's decode times are those of its samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.formats.cmaf.fragment import ChunkHead, join_chunk
from streamd.media.packager.start_points import StartPoints
from streamd.media.packet import WIRE_TIMESCALE, TrackKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.media.packet import Sample, Track


class Fragmenter:
    """Writes the samples of one set of tracks.

    Args:
        tracks: Tracks as in the CMAF header.
        cmaf_header: ``ftyp`` + ``moov``.

    Attributes:
        head: Start of the byte stream.
        has_video: Only some samples can begin a stream.
    """

    def __init__(self, tracks: Sequence[Track], cmaf_header: bytes) -> None:
        self.head = cmaf_header
        self._video_track_id = next((track.track_id for track in tracks if track.kind is TrackKind.VIDEO), 0)
        self.has_video = bool(self._video_track_id)
        self._timescales = {track.track_id: track.timescale for track in tracks}
        self._starts = StartPoints()
        self._next_sequence_number = 1

    def head_after(self, _: Fragmenter) -> None:
        """Return None: viewers of another stream cannot go on with this one, as a file has one ``moov``."""

    def is_video(self, sample: Sample) -> bool:
        """Tell whether it is a frame of the video track."""
        return sample.track_id == self._video_track_id

    def is_keyframe(self, sample: Sample) -> bool:
        """Tell whether it is a frame of the video track with which viewers begin."""
        if not sample.is_keyframe or sample.track_id != self._video_track_id:
            return False
        return self._starts.is_start(is_sync=sample.is_sync, time_ms=self.time_ms(sample))

    def last_keyframe(self, samples: Sequence[Sample]) -> int:
        """The index of the last video frame with which viewers begin; -1 if there is none."""
        last = -1
        for index in range(len(samples)):
            if self.is_keyframe(samples[index]):
                last = index
        return last

    def payload_bytes(self, samples: Sequence[Sample]) -> int:
        """Total size of their payloads."""
        total = 0
        for sample in samples:
            total += len(sample.payload)
        return total

    def time_ms(self, sample: Sample) -> int:
        """Its decode time, milliseconds, rounded down."""
        return sample.dts_ticks * WIRE_TIMESCALE // self._timescales[sample.track_id]

    def write(self, samples: Sequence[Sample]) -> bytes:
        """Write samples, at least one, as a fragment: ``moof`` + ``mdat``."""
        sequence_number, self._next_sequence_number = self._next_sequence_number, self._next_sequence_number + 1
        # A head that is kept would keep the payloads after the last viewer has left.
        head = ChunkHead()
        head.begin(sequence_number, len(self._timescales), len(samples))
        for track_id in self._timescales:
            is_begun = False
            for sample in samples:
                if sample.track_id == track_id:
                    dts = sample.dts_ticks
                    if not is_begun:
                        head.begin_run(track_id, dts)
                        is_begun = True
                    head.add(
                        sample.duration_ticks,
                        sample.pts_ticks - dts,
                        sample.is_sync,
                        sample.payload,
                        sample.body_at,
                    )
        return join_chunk(head.write(), head.payloads, head.starts)

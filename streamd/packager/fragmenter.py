"""Writes a live stream as an endless fragmented MP4: what viewers of progressive MP4 are sent.

ISO/IEC 14496-12 (2022) sections 8.8.4 to 8.8.8 and 8.8.12.

Unlike the segmenter's parts, fragments are cut wherever there is something to send, down to a single frame, for a part
would add its own duration to the latency. A fragment's decode times are those of its samples. Only how long its last
sample lasts is not known yet; it is predicted on the short side, for a gap is legal and an overlap is not:

    8.8.12: "If the time expressed in the track fragment decode time ('tfdt') box exceeds the sum of the durations of
    the preceding movie fragments' samples, then the duration of the last sample preceding the track fragment is
    extended such that the sum now equals the time given in this box."
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from streamd.cmaf.fragment import TrackRun, write_chunk
from streamd.media.packet import WIRE_TIMESCALE, Sample, Track, TrackKind


class Fragmenter:
    """Writes the samples of one set of tracks.

    Args:
        tracks: Tracks as in the CMAF header.
        cmaf_header: ``ftyp`` + ``moov``.

    Attributes:
        head: What the byte stream begins with.
        has_video: Whether only some samples can be begun with.
    """

    def __init__(self, tracks: Sequence[Track], cmaf_header: bytes) -> None:
        self.head = cmaf_header
        self._video_track_id = next((track.track_id for track in tracks if track.kind is TrackKind.VIDEO), 0)
        self.has_video = bool(self._video_track_id)
        self._timescales = {track.track_id: track.timescale for track in tracks}
        self._cadences = {track.track_id: _Cadence(track.frame_ticks) for track in tracks}
        self._next_sequence_number = 1

    def head_after(self, _: Fragmenter) -> None:
        """Say that the viewers of another one's stream cannot go on with this: a file has one ``moov``."""

    def is_video(self, sample: Sample) -> bool:
        """Whether it is a frame of the video track."""
        return sample.track_id == self._video_track_id

    def is_keyframe(self, sample: Sample) -> bool:
        """Whether it is a frame of the video track with which decoding can start."""
        return sample.is_keyframe and sample.track_id == self._video_track_id

    def time_ms(self, sample: Sample) -> int:
        """Its decode time, milliseconds, rounded down."""
        return sample.dts_ticks * WIRE_TIMESCALE // self._timescales[sample.track_id]

    def write(self, samples: Sequence[Sample]) -> bytes:
        """Write samples, at least one, as a fragment: ``moof`` + ``mdat``."""
        runs: list[TrackRun] = []
        for track_id, cadence in self._cadences.items():
            own = [sample for sample in samples if sample.track_id == track_id]
            if own:
                times = [sample.dts_ticks for sample in own]
                runs.append(
                    TrackRun(
                        track_id=track_id,
                        decode_ticks=times[0],
                        durations=cadence.durations(times),
                        composition_offsets=[sample.pts_ticks - sample.dts_ticks for sample in own],
                        sync=[sample.is_keyframe for sample in own],
                        payloads=[sample.payload for sample in own],
                    )
                )
        sequence_number, self._next_sequence_number = self._next_sequence_number, self._next_sequence_number + 1
        return write_chunk(sequence_number, runs)


class _Cadence:
    """How far apart the samples of a track lie.

    Args:
        frame_ticks: Their distance where they are counted, else 0.
    """

    __slots__ = ("_frame_ticks", "_recent")

    def __init__(self, frame_ticks: int) -> None:
        self._frame_ticks = frame_ticks
        # The last three decode times, between which are the last two distances.
        self._recent: list[int] = []

    def durations(self, times: list[int]) -> list[int]:
        """Return how long each of the next samples lasts.

        Args:
            times: Their decode times, which strictly increase.
        """
        recent = self._recent = (self._recent + times)[-3:]
        # FLV rounds to a millisecond: of 33 and 34 the lower one is never too long.
        last = self._frame_ticks or min((later - earlier for earlier, later in pairwise(recent)), default=1)
        return [*(later - earlier for earlier, later in pairwise(times)), last]

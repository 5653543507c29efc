"""Times samples: each is held back until the next one of its track shows its duration.

A guess that is too short freezes the picture in browsers if the next sample comes at more than twice that distance, as
behind frames that an encoder dropped: W3C Media Source Extensions, "Coded Frame Processing", takes the distance for a
discontinuity, and drops all frames of all tracks up to the next keyframe. Holding back delays everything by one frame,
which is the smaller evil.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamd.media.packet import Sample


class SampleTimer:
    """Times the samples of one set of tracks. The last of each track is never given out, as no sample follows it."""

    def __init__(self) -> None:
        # By the track's number, which begin with 1.
        self._held: list[Sample | None] = []

    def push(self, samples: Iterable[Sample]) -> list[Sample]:
        """Take samples, and give those out after which another of their track has come, in the order of arrival."""
        held, timed = self._held, []
        for sample in samples:
            track_id = sample.track_id
            while len(held) <= track_id:
                held.append(None)
            before = held[track_id]
            held[track_id] = sample
            if before is not None:
                before.duration_ticks = sample.dts_ticks - before.dts_ticks
                timed.append(before)
        return timed

"""Chunks of tracks that are written down as columns, one entry a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamd.formats.cmaf.fragment import ChunkHead, join_chunk


@dataclass
class TrackRun:
    """Consecutive samples of one track in decode order, as ``ChunkHead`` takes them."""

    track_id: int
    decode_ticks: int
    durations: list[int]
    composition_offsets: list[int]
    sync: list[bool]
    payloads: list[bytes]
    starts: list[int]

    def rows(self) -> list[tuple[int, int, bool, bytes, int]]:
        """What is known of each sample."""
        columns = (self.durations, self.composition_offsets, self.sync, self.payloads, self.starts)
        return list(zip(*columns, strict=True))


def fill(head: ChunkHead, sequence_number: int, runs: Sequence[TrackRun]) -> None:
    """Have a chunk written to where nothing but ``write`` is missing."""
    head.begin(sequence_number, len(runs), sum(len(run.payloads) for run in runs))
    for run in runs:
        head.begin_run(run.track_id, run.decode_ticks)
        for row in run.rows():
            head.add(*row)


def write_chunk(sequence_number: int, runs: Sequence[TrackRun]) -> bytes:
    """A whole chunk."""
    head = ChunkHead()
    fill(head, sequence_number, runs)
    return join_chunk(head.write(), head.payloads, head.starts)

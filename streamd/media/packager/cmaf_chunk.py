"""CMAF chunks, each of which becomes one HLS part: the segmenter hands them to the rendition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamd.formats import memory
from streamd.formats.cmaf.fragment import chunk_pieces, join_chunk
from streamd.formats.payload import Payload

# Bytes of a sample beside its content until a chunk is put together: its payload object, and its offset there.
_SAMPLE_BYTES = 128
# Bytes of a chunk beside its content: the object, and its lines in the playlist.
_CHUNK_BYTES = 512


class ChunkBytes:
    """The bytes of a chunk, put together at the first request: never, for a stream without viewers.

    Until then its samples are the publisher's messages, which the viewers of pushed streams share.

    Args:
        head: Everything up to the first sample.
        payloads: Each ends with the bytes of a sample.
        starts: Offset of the sample in each of them.
        samples_bytes: Bytes of all samples.
    """

    __slots__ = ("_head", "_joined", "_payloads", "_size_bytes", "_starts")

    def __init__(
        self, head: bytes, payloads: Sequence[bytes | Payload] = (), starts: Sequence[int] = (), samples_bytes: int = 0
    ) -> None:
        self._head = head
        self._payloads = payloads
        self._starts = starts
        self._size_bytes = len(head) + samples_bytes
        self._joined: bytes | None = None
        for thing in (self, payloads, starts):
            memory.untrack(thing)

    def __len__(self) -> int:
        return self._size_bytes

    @property
    def held_bytes(self) -> int:
        """Its memory, bytes; at the most, as a chunk that is put together takes less."""
        return self._size_bytes + len(self._payloads) * _SAMPLE_BYTES + _CHUNK_BYTES

    def join(self) -> bytes:
        """Put the bytes together, once; later calls return the same object."""
        if self._joined is None:
            self._joined = join_chunk(self._head, self._payloads, self._starts)
            self._head, self._payloads, self._starts = b"", (), ()
        return self._joined

    def pieces(self) -> list[bytes | memoryview]:
        """Show the bytes where they lie, in order; a thread may ask while the loop puts them together."""
        head, payloads, starts = self._head, self._payloads, self._starts
        # ``join`` sets it before it lets go of what was just read.
        return chunk_pieces(head, payloads, starts) if self._joined is None else [self._joined]


@dataclass
class CmafChunk:
    """One ``moof`` + ``mdat``: the bytes of one part, and its facts in the playlist.

    Positions are on the lead track's timeline (video where there is any), so that the durations of
    consecutive chunks add up without rounding. It is not changed.
    """

    __slots__ = (
        "content",
        "duration_ticks",
        "is_discontinuous",
        "is_independent",
        "start_ticks",
        "starts_segment",
        "timescale",
    )

    content: ChunkBytes
    """``moof`` + ``mdat``, complete; once they are put together, every viewer gets the same object."""
    start_ticks: int
    """Start of the part on the lead track's timeline."""
    duration_ticks: int
    """Its duration: the next chunk starts at its end, unless that one is discontinuous."""
    timescale: int
    """Ticks a second of ``start_ticks`` and ``duration_ticks``."""
    is_independent: bool
    """A decoder can start with it (INDEPENDENT=YES): its first frame is independent by its own bytes, or it is audio
    alone."""
    starts_segment: bool
    """It is the first chunk of a new segment."""
    is_discontinuous: bool
    """EXT-X-DISCONTINUITY stands before its segment (only where ``starts_segment``)."""

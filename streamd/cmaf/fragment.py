"""CMAF chunks: one ``moof`` and the ``mdat`` it describes, with one ``traf`` for each track.

ISO/IEC 14496-12 (2022) sections 8.8.4 to 8.8.8 and 8.8.12; ISO/IEC 23000-19 (2020) section 7.3.2.3.

Each field is written in its cheapest legal form: a value that all samples of a run share stands once
in ``tfhd``, one that differs is a column of ``trun``, a column of zeros is left out.

Two deliberate choices. A chunk may carry several tracks, which RFC 8216 section 3.3 allows and CMAF,
being a format of single tracks, does not: a muxed rendition costs a viewer one request instead of
two. And there is no ``styp``: HLS does not ask for one, and without it the bytes of a segment are
exactly the bytes of its parts.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from streamd.cmaf.box import box, box_header, full_box

# 8.8.3.1, sample_flags: sample_depends_on in bits 24-25 (2: on no other, 1: on others) and
# sample_is_non_sync_sample in bit 16.
SYNC_SAMPLE_FLAGS = 0x0200_0000
NON_SYNC_SAMPLE_FLAGS = 0x0101_0000

# 8.8.7.1, tf_flags. CMAF wants default-base-is-moof set and base-data-offset-present not, so that a
# chunk means the same wherever in a segment it lies.
_TFHD_DEFAULT_SAMPLE_DURATION = 0x00_0008
_TFHD_DEFAULT_SAMPLE_FLAGS = 0x00_0020
_TFHD_DEFAULT_BASE_IS_MOOF = 0x02_0000

# 8.8.8.1, tr_flags.
_TRUN_DATA_OFFSET = 0x00_0001
_TRUN_SAMPLE_DURATION = 0x00_0100
_TRUN_SAMPLE_SIZE = 0x00_0200
_TRUN_SAMPLE_FLAGS = 0x00_0400
_TRUN_SAMPLE_COMPOSITION_TIME_OFFSET = 0x00_0800

_UINT32 = 0xFFFF_FFFF


@dataclass
class TrackRun:
    """Consecutive samples of one track in decode order: what becomes one ``traf``.

    The lists are parallel, one entry a sample, and not empty. Times are in the track's timescale.
    """

    __slots__ = ("composition_offsets", "decode_ticks", "durations", "payloads", "starts", "sync", "track_id")

    track_id: int
    """``track_ID`` of the CMAF header."""
    decode_ticks: int
    """``baseMediaDecodeTime``: decode time of the first sample, ``0 <= decode_ticks < 2**64``."""
    durations: list[int]
    """Ticks from each sample's decode time to the next one's, ``0 <= duration < 2**32``."""
    composition_offsets: list[int]
    """Presentation minus decode time in ticks, signed 32 bits."""
    sync: list[bool]
    """Whether a decoder can start at the sample."""
    payloads: list[bytes]
    """Each ends with the bytes of a sample."""
    starts: list[int]
    """Offset of the sample in each of them."""


def write_chunk(sequence_number: int, runs: Sequence[TrackRun]) -> bytes:
    """Write a CMAF chunk at once; arguments as of ``write_chunk_head``.

    Returns:
        ``moof`` + ``mdat``; the samples are copied once, into it.
    """
    return join_chunk(
        write_chunk_head(sequence_number, runs),
        [payload for run in runs for payload in run.payloads],
        [start for run in runs for start in run.starts],
    )


def join_chunk(head: bytes, payloads: Sequence[bytes], starts: Sequence[int]) -> bytes:
    """Put samples behind their head.

    Args:
        head: What ``write_chunk_head`` gave for them.
        payloads: As in ``TrackRun``, of all runs, in their order.
        starts: Likewise, bytes.

    Returns:
        ``moof`` + ``mdat``; the samples are copied once, into it.
    """
    samples = [memoryview(payload)[start:] for payload, start in zip(payloads, starts, strict=True)]
    return b"".join((head, *samples))


def write_chunk_head(sequence_number: int, runs: Sequence[TrackRun]) -> bytes:
    """Write what a CMAF chunk begins with, up to the first sample.

    Args:
        sequence_number: ``mfhd`` sequence number, greater than that of the chunk before.
        runs: One run for each track that has samples; their bytes are to lie in ``mdat`` in this order.

    Returns:
        ``moof`` and the header of ``mdat``.

    Spec: ISO/IEC 14496-12 sections 8.8.4 (moof), 8.8.5 (mfhd), 8.1.1 (mdat).
    """
    mfhd = full_box(b"mfhd", 0, 0, sequence_number.to_bytes(4, "big"))
    tracks = [_Traf(run) for run in runs]
    moof_bytes = 8 + len(mfhd) + sum(track.size_bytes for track in tracks)

    # 8.8.7.1, default-base-is-moof: "the base-data-offset for this track fragment is the position
    # of the first byte of the enclosing Movie Fragment Box"; the samples begin after mdat's header.
    data_offset = moof_bytes + 8
    trafs: list[bytes] = []
    for track in tracks:
        trafs.append(track.write(data_offset))
        data_offset += track.data_bytes
    mdat = box_header(b"mdat", data_offset - moof_bytes - 8)
    return b"".join((box_header(b"moof", moof_bytes - 8), mfhd, *trafs, mdat))


class _Traf:
    """A ``traf`` whose only open question is where its samples will lie.

    Spec: ISO/IEC 14496-12 sections 8.8.6 (traf), 8.8.7 (tfhd), 8.8.8 (trun), 8.8.12 (tfdt).
    """

    def __init__(self, run: TrackRun) -> None:
        sizes = [len(payload) - start for payload, start in zip(run.payloads, run.starts, strict=True)]
        count = len(sizes)
        durations = run.durations
        is_sync = run.sync[0]
        # Columns of the sample table in the order of 8.8.8.2.
        columns: list[Sequence[int]] = []
        tr_flags = _TRUN_DATA_OFFSET | _TRUN_SAMPLE_SIZE
        if durations.count(durations[0]) != count:
            tr_flags |= _TRUN_SAMPLE_DURATION
            columns.append(durations)
        columns.append(sizes)
        if run.sync.count(is_sync) != count:
            tr_flags |= _TRUN_SAMPLE_FLAGS
            columns.append([SYNC_SAMPLE_FLAGS if sync else NON_SYNC_SAMPLE_FLAGS for sync in run.sync])
        if any(run.composition_offsets):
            tr_flags |= _TRUN_SAMPLE_COMPOSITION_TIME_OFFSET
            # Version 1 offsets are signed: two's complement lets one format string pack all columns.
            columns.append([offset & _UINT32 for offset in run.composition_offsets])
        rows = [0] * (count * len(columns))
        for index, column in enumerate(columns):
            rows[index :: len(columns)] = column

        self._head = full_box(
            b"tfhd",
            0,
            _TFHD_DEFAULT_BASE_IS_MOOF | _TFHD_DEFAULT_SAMPLE_DURATION | _TFHD_DEFAULT_SAMPLE_FLAGS,
            struct.pack(
                ">III",
                run.track_id,
                durations[0],
                SYNC_SAMPLE_FLAGS if is_sync else NON_SYNC_SAMPLE_FLAGS,
            ),
        ) + full_box(b"tfdt", 1, 0, run.decode_ticks.to_bytes(8, "big"))
        self._tr_flags = tr_flags
        self.data_bytes = sum(sizes)
        self._count = count
        self._table = struct.pack(f">{len(rows)}I", *rows)
        # traf's header, then trun's: FullBox header 12, sample_count 4, data_offset 4.
        self.size_bytes = 8 + len(self._head) + 20 + len(self._table)

    def write(self, data_offset: int) -> bytes:
        """Return the box, its first sample ``data_offset`` bytes after the first byte of ``moof``."""
        trun = full_box(b"trun", 1, self._tr_flags, struct.pack(">Ii", self._count, data_offset) + self._table)
        return box(b"traf", self._head, trun)

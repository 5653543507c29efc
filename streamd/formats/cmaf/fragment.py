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

import sys
from array import array
from collections.abc import Sequence

from streamd.formats.cmaf.box import BOX_BYTES_MAX
from streamd.formats.payload import Payload, views

# 8.8.3.1, sample_flags: sample_depends_on in bits 24-25 (2: on no other, 1: on others) and
# sample_is_non_sync_sample in bit 16.
_SYNC_SAMPLE_FLAGS = 0x0200_0000
_NON_SYNC_SAMPLE_FLAGS = 0x0101_0000

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

# Every field up to the first sample is of 32 bits, or of two times 32: it is written as words, in the machine's order
# of bytes until the end.
_MOOF, _MFHD, _TRAF, _TFHD, _TFDT, _TRUN, _MDAT = (
    int.from_bytes(box_type, "big") for box_type in (b"moof", b"mfhd", b"traf", b"tfhd", b"tfdt", b"trun", b"mdat")
)
_SWAPS_BYTES = sys.byteorder == "little"
# moof's header and mfhd.
_MOOF_WORDS = 6
# traf's header, tfhd, tfdt, and trun up to its table.
_TRAF_WORDS = 18
# Of them, trun.
_TRUN_WORDS = 5
# The header of mdat.
_MDAT_WORDS = 2
# A sample with all columns, in the order of 8.8.8.2: duration, size, flags, composition time offset.
_ROW_WORDS = 4


class ChunkHead:
    """Writes the head of CMAF chunks, up to the first sample: ``moof``, and the header of ``mdat``.

    The samples of each track are one run, in decode order, and become one ``traf``; times are in the track's timescale.
    For each chunk: ``begin``; for each of its tracks ``begin_run``, and ``add`` for its samples; ``write``. Chunks are
    written one after the other, in the same memory.

    Attributes:
        payloads: Each ends with the bytes of a sample; they are to lie in ``mdat`` in this order. The next chunk has a
            list of its own.
        starts: Offset of the sample in each of them; likewise.
        samples_bytes: Bytes of all samples.

    Spec: ISO/IEC 14496-12 sections 8.8.4 (moof), 8.8.5 (mfhd), 8.8.6 (traf), 8.8.7 (tfhd), 8.8.8 (trun),
    8.8.12 (tfdt), 8.1.1 (mdat).
    """

    __slots__ = (
        "_array",
        "_columns",
        "_duration",
        "_end",
        "_is_sync",
        "_room",
        "_row",
        "_rows",
        "_words",
        "payloads",
        "samples_bytes",
        "starts",
    )

    def __init__(self) -> None:
        # The table of the current run, with all columns, stands at the end, behind the boxes: only a complete run shows
        # which columns it needs.
        self._array = array("I")
        # The same words, with a type that the compiler knows.
        self._words = self._array
        self._room = 0
        # Offsets of the next run, of the table behind the boxes, and of the next sample's row in it.
        self._end = 0
        self._rows = 0
        self._row = 0
        # The defaults of the run, which are the values of its first sample, and the columns that differ from them.
        self._duration = 0
        self._is_sync = False
        self._columns = 0
        self.payloads: list[bytes | Payload] = []
        self.starts: list[int] = []
        self.samples_bytes = 0

    def begin(self, sequence_number: int, tracks: int, samples: int) -> None:
        """Begin a chunk.

        Args:
            sequence_number: ``mfhd`` sequence number, greater than that of the chunk before, below 2**32.
            tracks: Room for so many runs.
            samples: Room for so many samples, of all runs.
        """
        room = _MOOF_WORDS + tracks * _TRAF_WORDS + 2 * samples * _ROW_WORDS + _MDAT_WORDS
        if room > self._room:
            # The next one may be longer.
            self._room = 2 * room
            self._array = array("I", bytes(4 * self._room))
            self._words = self._array
        words = self._words
        words[1] = _MOOF
        words[2] = 16
        words[3] = _MFHD
        words[4] = 0
        words[5] = sequence_number
        self._end = _MOOF_WORDS
        self._rows = self._row = self._room - samples * _ROW_WORDS
        self.payloads = []
        self.starts = []
        self.samples_bytes = 0

    def begin_run(self, track_id: int, decode_ticks: int) -> None:
        """Begin the next track.

        Args:
            track_id: ``track_ID`` of the CMAF header.
            decode_ticks: ``baseMediaDecodeTime``: decode time of the first sample, ``0 <= decode_ticks < 2**64``.
        """
        if self._row > self._rows:
            self._end_run()
        words, at = self._words, self._end
        words[at + 1] = _TRAF
        words[at + 2] = 24
        words[at + 3] = _TFHD
        words[at + 4] = _TFHD_DEFAULT_BASE_IS_MOOF | _TFHD_DEFAULT_SAMPLE_DURATION | _TFHD_DEFAULT_SAMPLE_FLAGS
        words[at + 5] = track_id
        words[at + 8] = 20
        words[at + 9] = _TFDT
        # Version 1: 64 bits.
        words[at + 10] = 1 << 24
        words[at + 11] = decode_ticks >> 32
        words[at + 12] = decode_ticks & _UINT32
        words[at + 14] = _TRUN
        # Counted from the first sample, until its place is known.
        words[at + 17] = self.samples_bytes
        self._columns = _TRUN_SAMPLE_SIZE

    def add(self, duration: int, composition_offset: int, is_sync: bool, payload: bytes | Payload, start: int) -> None:
        """Add the next sample of the track.

        Args:
            duration: Ticks from its decode time to the next one's, ``0 <= duration < 2**32``.
            composition_offset: Presentation minus decode time in ticks, signed 32 bits.
            is_sync: Whether a decoder can start at it.
            payload: Ends with its bytes.
            start: Where they start in it.
        """
        row = self._row
        if row == self._rows:
            self._duration = duration
            self._is_sync = is_sync
        if duration != self._duration:
            self._columns |= _TRUN_SAMPLE_DURATION
        if is_sync != self._is_sync:
            self._columns |= _TRUN_SAMPLE_FLAGS
        if composition_offset:
            self._columns |= _TRUN_SAMPLE_COMPOSITION_TIME_OFFSET
        size = len(payload) - start
        assert 0 <= duration <= _UINT32, "a field of 32 bits"
        assert size >= 0, "a payload ends with its sample"
        words = self._words
        words[row] = duration
        words[row + 1] = size
        words[row + 2] = _SYNC_SAMPLE_FLAGS if is_sync else _NON_SYNC_SAMPLE_FLAGS
        # Version 1 offsets are signed: two's complement.
        words[row + 3] = composition_offset & _UINT32
        self._row = row + _ROW_WORDS
        self.samples_bytes += size
        self.payloads.append(payload)
        self.starts.append(start)

    def write(self) -> bytes:
        """Return ``moof`` and the header of ``mdat``."""
        self._end_run()
        words, end = self._words, self._end
        # 8.8.7.1, default-base-is-moof: "the base-data-offset for this track fragment is the position
        # of the first byte of the enclosing Movie Fragment Box"; the samples begin after mdat's header.
        data_offset = 4 * end + 8
        assert data_offset + self.samples_bytes <= BOX_BYTES_MAX, "a part never needs largesize"
        at = _MOOF_WORDS
        while at < end:
            words[at + 17] += data_offset
            at += words[at] // 4
        words[0] = 4 * end
        words[end] = 8 + self.samples_bytes
        words[end + 1] = _MDAT
        head = self._array[: end + _MDAT_WORDS]
        if _SWAPS_BYTES:
            head.byteswap()
        return head.tobytes()

    def _end_run(self) -> None:
        """Complete the ``traf``: its table has a column only for what differs between samples."""
        words, at, rows, end, columns = self._words, self._end, self._rows, self._row, self._columns
        count = (end - rows) // _ROW_WORDS
        assert count, "a run has samples"
        has_durations = columns & _TRUN_SAMPLE_DURATION != 0
        has_flags = columns & _TRUN_SAMPLE_FLAGS != 0
        has_offsets = columns & _TRUN_SAMPLE_COMPOSITION_TIME_OFFSET != 0
        width = 1 + has_durations + has_flags + has_offsets
        column = at + _TRAF_WORDS
        self._end = column + count * width
        self._row = rows
        assert self._end + _MDAT_WORDS <= rows, "room for so many runs"

        words[at] = 4 * (self._end - at)
        words[at + 6] = self._duration
        words[at + 7] = _SYNC_SAMPLE_FLAGS if self._is_sync else _NON_SYNC_SAMPLE_FLAGS
        words[at + 13] = 4 * (_TRUN_WORDS + count * width)
        # Version 1: signed composition offsets.
        words[at + 15] = 1 << 24 | _TRUN_DATA_OFFSET | columns
        words[at + 16] = count
        if has_durations:
            words[column : self._end : width] = words[rows:end:_ROW_WORDS]
            column += 1
        words[column : self._end : width] = words[rows + 1 : end : _ROW_WORDS]
        if has_flags:
            column += 1
            words[column : self._end : width] = words[rows + 2 : end : _ROW_WORDS]
        if has_offsets:
            column += 1
            words[column : self._end : width] = words[rows + 3 : end : _ROW_WORDS]


def chunk_pieces(head: bytes, payloads: Sequence[bytes | Payload], starts: Sequence[int]) -> list[bytes | memoryview]:
    """Show the bytes of a chunk where they lie, in order.

    Args:
        head: The head that ``ChunkHead`` wrote for the samples.
        payloads: As there.
        starts: As there.
    """
    pieces: list[bytes | memoryview] = [head]
    for payload, start in zip(payloads, starts, strict=True):
        pieces += views(payload, start)
    return pieces


def join_chunk(head: bytes, payloads: Sequence[bytes | Payload], starts: Sequence[int]) -> bytes:
    """Put samples behind their head.

    Args:
        head: As ``chunk_pieces`` has it, like the others.
        payloads: Likewise.
        starts: Likewise.

    Returns:
        ``moof`` + ``mdat``; the samples are copied once, into it.
    """
    return b"".join(chunk_pieces(head, payloads, starts))

"""The edit list of a track: from which time of its media on a player shows it.

A recording has the times of the live stream that it was, so that it begins at 10 s, or at an hour. With an edit list in
its header players show it from 0 on, and none of its fragments is changed.

ISO/IEC 14496-12 (2022) sections 8.6.5 (edts) and 8.6.6 (elst).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from streamd.formats.cmaf.decode_times import inside, track_id_of

if TYPE_CHECKING:
    from collections.abc import Mapping

# edts; elst of version 1 with one entry: segment_duration, media_time, media_rate. 8.6.6.3: a segment_duration of 0 is
# all that the fragments have.
_EDTS = struct.Struct(">I4sI4sIIQqI")
_RATE_1 = 0x0001_0000
_TIME_MAX = 2**63 - 1
_BOX_HEAD_BYTES = 8


def with_edit_lists(header: bytes, media_times: Mapping[int, int]) -> bytes:
    """A CMAF header whose tracks are shown from a time of their media on.

    Args:
        header: ``ftyp`` and ``moov``.
        media_times: Ticks of each track's timescale, by track id; a track that is not named stays as it is, as does one
            that has an edit list, or a time that no edit list can say.

    Returns:
        The header, longer by one box for each track; as it was where it is something else.
    """
    for moov_at, moov_end in inside(header, 0, len(header), b"moov"):
        boxes = bytearray()
        at = moov_at
        for trak_at, trak_end in inside(header, moov_at, moov_end, b"trak"):
            time = media_times.get(track_id_of(header, trak_at, trak_end))
            has_list = any(True for _ in inside(header, trak_at, trak_end, b"edts"))
            # 8.6.5: the list stands in the track, in any place; behind its header, as everybody writes it.
            place = next((end for _, end in inside(header, trak_at, trak_end, b"tkhd")), None)
            if time is None or time > _TIME_MAX or has_list or place is None:
                continue
            edts = _EDTS.pack(_EDTS.size, b"edts", _EDTS.size - 8, b"elst", 1 << 24, 1, 0, time, _RATE_1)
            size = trak_end - trak_at + _BOX_HEAD_BYTES + len(edts)
            boxes += header[at : trak_at - _BOX_HEAD_BYTES] + struct.pack(">I4s", size, b"trak")
            boxes += header[trak_at:place] + edts + header[place:trak_end]
            at = trak_end
        boxes += header[at:moov_end]
        head = struct.pack(">I4s", len(boxes) + _BOX_HEAD_BYTES, b"moov")
        return header[: moov_at - _BOX_HEAD_BYTES] + head + bytes(boxes) + header[moov_end:]
    return header

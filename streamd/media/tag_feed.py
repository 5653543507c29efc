"""The file that libavformat reads: an FLV byte stream that is as long as the tags fed so far.

Adobe Flash Video File Format Specification 10.1, Annex E.3 (The FLV File Body) and E.4.1 (FLV Tag).

Each batch of tags is followed by a *marker*, a script tag of ours that libavformat returns as a packet of a data
stream: once the marker is back, the whole batch is out of libavformat. An empty read is the end for libavformat, for
good; with markers it never reads that far.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamd.errors import DemuxError
from streamd.formats.flv.tag import TAG_HEADER_BYTES, TagType, flv_header
from streamd.formats.payload import HEAD_BYTES, Payload, first_bytes

if TYPE_CHECKING:
    from streamd.formats.flv.tag import FlvTag

# The size of libavformat's buffer. A larger frame is read past it, straight into the packet.
READ_BYTES = 4096

# A script tag: its name as an AMF0 string, and a null. libavformat returns script data that it does not know as a
# packet, if it is longer than 18 bytes (flvdec.c: "size > 13 + 1 + 4").
_MARKER_NAME = b"streamd.lockstep"
MARKER = b"\x02" + len(_MARKER_NAME).to_bytes(2, "big") + _MARKER_NAME + b"\x05"

# TagType and DataSize; Timestamp and, in its low byte, TimestampExtended; StreamID.
_TAG_HEADER = struct.Struct(">II3x")
_PREVIOUS_TAG_SIZE = struct.Struct(">I")
# libavformat's own least "probesize".
_PROBE_BYTES_MIN = 32
# DataSize is 24 bits.
_TAG_BYTES_END = 1 << 24
# Tags are numbered in place of their timestamps, far below the sign of a 32-bit timestamp.
_NUMBERS_END = 1 << 30


class TagFeed:
    """The tags of one demuxer, numbered in place of their timestamps; a file object, to libavformat.

    Payloads are read where they lie: the bytes that libavformat asks for are copied out of the slab once, and kept
    nowhere.

    Args:
        headers: The first tags of the stream: its tracks' sequence headers.

    Attributes:
        marker_number: Of the last marker.
        probe_bytes: Bytes of packets after which libavformat has read the headers; less than the stream has.
    """

    def __init__(self, headers: Sequence[FlvTag]) -> None:
        # In the order in which they are read; the bytes before the offset in the next one are read already. A payload's
        # first bytes are in the piece before it.
        self._pieces: list[bytes | Payload] = []
        self._at = 0
        self._offset = 0
        self._next_number = 0
        self.marker_number = 0
        # The header's flags are left 0: they would make libavformat wait for streams. The first marker makes the
        # markers' stream before there is any other.
        self._pieces.append(flv_header(has_video=False, has_audio=False))
        self._put((), 0)
        # A header makes a packet only where it is a frame. So the marker behind them is as long as all of them: probing
        # reads up to it in any case, and not to the end.
        header_bytes = sum(len(header.payload) for header in headers)
        self.probe_bytes = len(MARKER) + header_bytes + 1
        self._put(headers, max(header_bytes, _PROBE_BYTES_MIN))
        self._put((), 0)

    def put(self, tags: Sequence[FlvTag]) -> int:
        """Add tags, and a marker.

        Returns:
            The number of the first tag; each of the others, and the marker, has the next one.

        Raises:
            DemuxError: A tag is larger than FLV has a number for; this feed cannot be used again.
        """
        return self._put(tags, 0)

    def _put(self, tags: Sequence[FlvTag], padding_bytes: int) -> int:
        """Add tags, and a marker that is longer by so much."""
        count = len(tags)
        if self._next_number + count >= _NUMBERS_END:
            self._next_number = 0
        first_number = number = self._next_number
        self._next_number = number + count + 1
        pieces = self._pieces
        # Short bytes that one read brings.
        short: list[bytes] = []
        short_bytes = 0
        for tag in tags:
            payload = tag.payload
            size = len(payload)
            if size >= _TAG_BYTES_END:
                raise DemuxError(f"a frame of {size} bytes, FLV has a number for {_TAG_BYTES_END - 1}")
            header = _header(tag.tag_type, number, size)
            number += 1
            if size > READ_BYTES:
                # A read ends here, so that the next one is past libavformat's buffer.
                pieces.append(b"".join((*short, header, first_bytes(payload))))
                pieces.append(payload if isinstance(payload, Payload) else payload[HEAD_BYTES:])
                short = []
                short_bytes = 0
            else:
                if short and short_bytes + TAG_HEADER_BYTES + size > READ_BYTES:
                    pieces.append(b"".join(short))
                    short = []
                    short_bytes = 0
                short += (header, bytes(payload) if isinstance(payload, bytes) else _copy(payload))
                short_bytes += TAG_HEADER_BYTES + size
            short.append(_PREVIOUS_TAG_SIZE.pack(TAG_HEADER_BYTES + size))
            short_bytes += 4
        # No piece is empty: that would be the end.
        if short:
            pieces.append(b"".join(short))
        # A marker is a piece of its own: no read ends inside it. libavformat reads the name of a script tag and then
        # seeks back to its start, which it can only within one filling of its buffer (flvdec.c: "avio_seek(s->pb,
        # meta_pos, SEEK_SET)"); a marker cut in two would come out short, and the rest of it be taken for a tag.
        size = len(MARKER) + padding_bytes
        header, end = _header(TagType.SCRIPT, number, size), _PREVIOUS_TAG_SIZE.pack(TAG_HEADER_BYTES + size)
        pieces.append(b"".join((header, MARKER, bytes(padding_bytes), end)))
        self.marker_number = number
        return first_number

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes of one piece; none is the end for libavformat."""
        pieces = self._pieces
        if not pieces:
            return b""
        piece, start = pieces[self._at], self._offset
        left = len(piece) - start
        if isinstance(piece, Payload):
            data = piece.piece(start, size)
        else:
            data = piece[start : start + size] if start or left > size else piece
        if len(data) < left:
            self._offset = start + len(data)
            return data
        self._at += 1
        self._offset = 0
        if self._at == len(pieces):
            # Drop the references to payloads.
            self._pieces = []
            self._at = 0
        elif isinstance(pieces[self._at], Payload):
            self._offset = HEAD_BYTES
        return data


def _header(tag_type: int, number: int, size: int) -> bytes:
    """Write the 11 bytes in front of a tag's body: number in place of its timestamp, ``size`` below 2**24."""
    return _TAG_HEADER.pack(tag_type << 24 | size, (number & 0xFF_FFFF) << 8 | number >> 24)


def _copy(payload: Payload) -> bytes:
    """Copy a payload: as ``bytes`` does, but mostly in one step."""
    data = payload.piece(0, len(payload))
    return data if len(data) == len(payload) else bytes(payload)

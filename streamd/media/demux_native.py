"""Our own demuxer: what the gate has found in a frame's first bytes says all that its packet needs.

There is nothing left to search for, and the frame itself is not copied. libavformat reads the same
(``streamd.media.demux_pyav``); ``tests/media/test_demux.py`` holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamd.errors import DemuxError
from streamd.media.packet import new_packet

if TYPE_CHECKING:
    from streamd.formats.flv.tag import FlvTag
    from streamd.media.packet import MediaPacket


class NativeDemuxer:
    """The demuxer of one set of tracks (``Demuxer``)."""

    def demux(self, tags: Sequence[FlvTag]) -> list[MediaPacket]:
        """Make a packet of each tag, in order.

        Args:
            tags: Frames of these tracks, as the gate let them through.

        Raises:
            DemuxError: A tag is none: the gate is wrong.
        """
        packets: list[MediaPacket] = []
        for tag in tags:
            head = tag.head
            if head is None:
                raise DemuxError("a tag that is no frame of a track that is open")
            dts_ms = tag.timestamp_ms
            pts_ms = dts_ms + tag.composition_time_ms
            packets.append(new_packet(head.track_number, dts_ms, pts_ms, head.is_keyframe, tag.payload, head.body_at))
        return packets

    def close(self) -> None:
        """Do nothing: it holds nothing."""

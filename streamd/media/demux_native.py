"""Our own demuxer: a look at the first bytes of a tag.

No search is left: ``intake`` has read every tag, and lets frames through in one form alone. The first bytes of a tag
say all that its packet needs, and the frame itself is not copied.

libavformat reads the same (``streamd.media.demux_pyav``); ``tests/media/test_demux.py`` holds the two against each
other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamd.errors import DemuxError
from streamd.formats.flv.frame import head_sizes, read_composition_time
from streamd.formats.payload import first_bytes
from streamd.media.intake.intake import frame_heads
from streamd.media.packet import new_packet

if TYPE_CHECKING:
    from streamd.formats.flv.tag import FlvTag
    from streamd.media.intake.intake import TrackHeader
    from streamd.media.packet import MediaPacket


class NativeDemuxer:
    """The demuxer of one set of tracks (``Demuxer``).

    Args:
        headers: The tracks; the first one's packets have ``track_id`` 1.
    """

    def __init__(self, headers: Sequence[TrackHeader]) -> None:
        self._heads = {
            first: (track_id, head)
            for track_id, header in enumerate(headers, 1)
            for first, head in frame_heads(header).items()
        }
        self._head_sizes = head_sizes(self._heads)

    def demux(self, tags: Sequence[FlvTag]) -> list[MediaPacket]:
        """Make a packet of each tag, in order.

        Args:
            tags: Frames of these tracks, as the gate let them through.

        Raises:
            DemuxError: A tag is none: the gate is wrong.
        """
        packets: list[MediaPacket] = []
        for tag in tags:
            first = first_bytes(tag.payload)
            for size in self._head_sizes:
                known = self._heads.get(first[:size])
                if known is not None:
                    break
            else:
                raise DemuxError("a tag that is no frame of a track that is open")
            track_id, head = known
            dts_ms = pts_ms = tag.timestamp_ms
            if head.composition_time_at:
                pts_ms += read_composition_time(first, head.composition_time_at)
            packets.append(new_packet(track_id, dts_ms, pts_ms, head.is_keyframe, tag.payload, head.body_at))
        return packets

    def close(self) -> None:
        """Do nothing: it holds nothing."""

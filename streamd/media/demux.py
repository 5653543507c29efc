"""The demuxer's interface and its two kinds: the tags of frames in, packets out."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from streamd.media.demux_native import NativeDemuxer
from streamd.media.demux_pyav import PyavDemuxer

if TYPE_CHECKING:
    from streamd.formats.flv.tag import FlvTag
    from streamd.media.intake.actions import Open
    from streamd.media.packet import MediaPacket


class DemuxerKind(enum.Enum):
    """The reader of a frame's tag (``[ingest] demuxer``)."""

    PYAV = "pyav"
    """libavformat's, through PyAV: each packet is demuxed by it."""
    NATIVE = "native"
    """Our own, of the tag's first bytes."""


class Demuxer(Protocol):
    """The demuxer of one set of tracks. All kinds give equal packets for equal tags."""

    def demux(self, tags: Sequence[FlvTag]) -> list[MediaPacket]:
        """Make a packet of each tag, in order. Cheapest in batches.

        Args:
            tags: Frames of these tracks, as the gate let them through.

        Raises:
            DemuxError: It cannot read them, or lost count of them, and cannot be used again.
        """

    def close(self) -> None:
        """Free what it holds; again is no error."""


def open_demuxer(kind: DemuxerKind, opening: Open) -> Demuxer:
    """Open a demuxer for the tracks of an opening; the first one's packets have ``track_id`` 1.

    libavformat's blocks for a millisecond, most of it without the GIL: call it in a thread. The frames that the opening
    holds are demuxed like any that follow.

    Raises:
        DemuxError: libavformat does not find these tracks in their headers.
    """
    match kind:
        case DemuxerKind.PYAV:
            return PyavDemuxer(opening)
        case DemuxerKind.NATIVE:
            return NativeDemuxer()

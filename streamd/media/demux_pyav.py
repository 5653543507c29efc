"""libavformat's demuxer, through PyAV: it reads each tag, in lockstep with the caller.

A batch of tags goes in with a marker behind it (``streamd.media.tag_feed``), and packets are taken out until the marker
comes back. libavformat reads the fields of a packet: track, keyframe, composition time, and the frame's length within
the tag. The frame's bytes are not taken out of libavformat: they end the tag's payload, which lies in a slab.

Only tags that ``intake`` let through may come here. A fault inside them ends in ``DemuxError``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from av.error import FFmpegError

from streamd.errors import DemuxError, LocalStateError
from streamd.media.flv_input import open_flv, streams_of_tracks
from streamd.media.packet import new_packet
from streamd.media.tag_feed import READ_BYTES, TagFeed

if TYPE_CHECKING:
    from streamd.formats.flv.tag import FlvTag
    from streamd.media.intake.actions import Open
    from streamd.media.packet import MediaPacket

# The marker before the first tag makes its stream, before any other.
_MARKER_STREAM = 0


class PyavDemuxer:
    """One libavformat demuxer, for as long as the tracks stay as they were at open (``Demuxer``).

    libavformat is given the number of a tag in place of its timestamp, and a packet gets the time of the tag whose
    number it carries: unwrapped, beyond 32 bits if need be, and without libavformat's guesses.

    Args:
        opening: The gate's collection, of which only the headers are read here.

    Raises:
        DemuxError: libavformat does not find the tracks in their headers.
    """

    def __init__(self, opening: Open) -> None:
        self._is_closed = True
        self._feed = TagFeed(opening.headers)
        self._container = open_flv(
            self._feed,
            buffer_bytes=READ_BYTES,
            probe_bytes=self._feed.probe_bytes,
            streams_max=1 + len(opening.tracks),
        )
        self._packets = self._container.demux()
        self._is_closed = False
        try:
            streams_of_tracks(list(self._container.streams)[_MARKER_STREAM + 1 :], opening.tracks)
            self._skip_opening()
        except BaseException:
            self.close()
            raise

    def demux(self, tags: Sequence[FlvTag]) -> list[MediaPacket]:
        """Make a packet of each tag, in order.

        Cheapest in batches: each costs a marker.

        Args:
            tags: Frames of these tracks, as the gate let them through.

        Raises:
            DemuxError: libavformat failed or lost step; this demuxer is closed.
            LocalStateError: It is closed.
        """
        if self._is_closed:
            raise LocalStateError("the demuxer is closed")
        packets: list[MediaPacket] = []
        count = len(tags)
        if not count:
            return packets
        at = 0
        try:
            number = self._feed.put(tags)
            for packet in self._packets:
                dts, pts = packet.dts, packet.pts
                # Behind its end, libavformat has packets without a time.
                if dts is None or pts is None:
                    break
                decode_number, presentation_number = dts, pts
                stream_index = packet.stream_index
                if decode_number != number:
                    break
                if at == count:
                    if stream_index != _MARKER_STREAM:
                        break
                    return packets
                tag = tags[at]
                payload = tag.payload
                body_at = len(payload) - packet.size
                if stream_index == _MARKER_STREAM or body_at <= 0:
                    break
                dts_ms = tag.timestamp_ms
                pts_ms = dts_ms + presentation_number - number
                # Streams are numbered from 0 with the markers' first, tracks from 1 without it.
                packets.append(new_packet(stream_index, dts_ms, pts_ms, packet.is_keyframe, payload, body_at))
                at += 1
                number += 1
        except FFmpegError as exc:
            self.close()
            raise DemuxError(f"libavformat cannot read the stream: {exc.strerror}") from exc
        except DemuxError:
            self.close()
            raise
        self.close()
        raise DemuxError("libavformat lost step with the tags")

    def __del__(self) -> None:
        # PyAV's container and its streams refer to each other: 2 MB would wait for the garbage collector.
        self.close()

    def close(self) -> None:
        """Free what libavformat holds; again is no error."""
        if not self._is_closed:
            self._is_closed = True
            self._packets = iter(())
            self._container.close()

    def _skip_opening(self) -> None:
        """Read the headers of its opening: some codecs have a frame for a header, which must not be played."""
        try:
            for packet in self._packets:
                if packet.stream_index == _MARKER_STREAM and packet.dts == self._feed.marker_number:
                    return
        except FFmpegError as exc:
            raise DemuxError(f"libavformat cannot read the stream: {exc.strerror}") from exc
        raise DemuxError("libavformat lost step with the tags")

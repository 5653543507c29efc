"""libavformat's reading of the first tags of a stream: the tracks in them, and their CMAF header.

Only tags that ``intake`` let through may come here. A fault inside them ends in ``DemuxError``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from av.video.stream import VideoStream

from streamd.errors import DemuxError, TrackRefusedError
from streamd.formats.codecs.codec import read_picture_format
from streamd.formats.flv.tag import flv_header, serialise
from streamd.media.cmaf_header import MediaStream, write_cmaf_header
from streamd.media.flv_input import open_flv, streams_of_tracks
from streamd.media.packet import VIDEO_TIMESCALE, Track, TrackKind

if TYPE_CHECKING:
    from streamd.formats.codecs.picture_format import PictureFormat
    from streamd.formats.flv.tag import FlvTag
    from streamd.media.intake.actions import Open
    from streamd.media.intake.track import TrackHeader


class Probe:
    """libavformat with the tags of an opening. A context manager: its end frees libavformat's memory.

    No decoder is opened: only facts in the configuration records and the frames' own headers are known. Making one
    blocks for a millisecond or more, most of it without the GIL: do it in a thread.

    Args:
        opening: The gate's collection.

    Raises:
        DemuxError: libavformat does not find the tracks in these tags.
        TrackRefusedError: The picture size of a track is in none of its headers, and there are other tracks.

    Attributes:
        tracks: The tracks, video first; ``track_id`` counts from 1.
    """

    def __init__(self, opening: Open) -> None:
        tags = (*opening.headers, *opening.tags)
        # The header's flags are left 0: they would make probing wait for streams.
        flv = flv_header(has_video=False, has_audio=False) + b"".join(map(serialise, tags))
        self._container = open_flv(
            io.BytesIO(flv), buffer_bytes=len(flv), probe_bytes=len(flv), streams_max=len(opening.tracks)
        )
        try:
            self._streams = streams_of_tracks(list(self._container.streams), opening.tracks)
            self.tracks = tuple(
                _track(track_id, header, stream, opening)
                for track_id, (header, stream) in enumerate(zip(opening.tracks, self._streams, strict=True), 1)
            )
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def write_cmaf_header(self, tracks: Sequence[Track]) -> bytes:
        """Write ``ftyp`` and ``moov`` for some of the tracks; they are numbered from 1 there, in this order.

        Blocks for some milliseconds.

        Raises:
            TrackRefusedError: libavformat has no sample entry for a codec, or its configuration does not make one.
            DemuxError: The same of the only track.
        """
        try:
            return write_cmaf_header([self._streams[track.track_id - 1] for track in tracks], tracks)
        except DemuxError:
            if len(tracks) == len(self.tracks) == 1:
                raise
            if len(tracks) == 1:
                raise TrackRefusedError(tracks[0].track_id - 1, f"no CMAF header for {tracks[0].codec}") from None
            for track in tracks:
                self.write_cmaf_header([track])
            raise


def _track(track_id: int, header: TrackHeader, stream: MediaStream, opening: Open) -> Track:
    config = header.config
    if isinstance(stream, VideoStream):
        picture = config.picture or _picture_format(header, track_id, opening.tags)
        if picture is None:
            raise TrackRefusedError(track_id - 1, f"no picture size in the configuration of {header.codec}")
        return Track(
            track_id=track_id,
            kind=TrackKind.VIDEO,
            codec=config.codec_string,
            timescale=VIDEO_TIMESCALE,
            codec_config=header.record,
            width=picture.width,
            height=picture.height,
            aspect=picture.aspect,
            colours=picture.colours,
            frame_rate_hint=opening.frame_rate_hint,
        )
    return Track(
        track_id=track_id,
        kind=TrackKind.AUDIO,
        codec=config.codec_string,
        timescale=config.sample_rate,
        codec_config=header.record,
        channels=config.channels,
        frame_ticks=config.frame_ticks,
    )


def _picture_format(header: TrackHeader, track_id: int, tags: Sequence[FlvTag]) -> PictureFormat | None:
    """Read what a track's pictures are in its first keyframe; None where it is not said there."""
    for tag in tags:
        head = tag.head
        if head is not None and head.track_number == track_id and head.is_keyframe:
            return read_picture_format(header.codec, header.record, bytes(tag.payload)[head.body_at :])
    return None

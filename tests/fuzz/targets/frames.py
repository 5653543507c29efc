"""What follows the opening of a stream: whatever comes, the gate keeps the demuxers alike, and libavformat in step."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tests.fuzz.framing import read_tags, write_tags
from tests.fuzz.targets.demuxer import demux
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.flv_media import h264_aac

if TYPE_CHECKING:
    from streamd.formats.flv.tag import FlvTag

# Headers and some frames of every track; as many again are a seed.
OPENING_TAGS = 12


@functools.cache
def streams() -> tuple[tuple[FlvTag, ...], ...]:
    return (
        h264_aac(1, bframes=2),
        *(encoded((VideoTrack(encoder),), (AudioTrack(),), 1) for encoder in ("libx265", "libsvtav1", "libvpx-vp9")),
        *(
            encoded((VideoTrack(),), (AudioTrack(encoder),), 1)
            for encoder in ("libopus", "flac", "ac3", "eac3", "libmp3lame")
        ),
        encoded((VideoTrack(width=160, height=96),) * 2, (AudioTrack(), AudioTrack("libopus")), 1),
    )


def seeds() -> list[bytes]:
    """Each begins with its stream, and how many tags are demuxed at a time."""
    return [
        bytes((number, number)) + write_tags(tags[OPENING_TAGS : 2 * OPENING_TAGS])
        for number, tags in enumerate(streams())
    ]


def run(data: bytes) -> None:
    """Args: data: Which stream it is, how many tags are demuxed at a time, and tags, framed by ``write_tags``."""
    if len(data) >= 2:
        opening = streams()[data[0] % len(streams())][:OPENING_TAGS]
        demux((*opening, *read_tags(data[2:])), batch=data[1] % 8 + 1, is_probed=False)

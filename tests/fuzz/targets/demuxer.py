"""Gate and demuxers: tags in, a packet of each frame out, the same of both; no tag may crash libavformat."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from streamd.errors import DemuxError, TrackRefusedError
from streamd.formats.flv.tag import FlvTag
from streamd.media.demux import Demuxer, DemuxerKind, open_demuxer
from streamd.media.intake.actions import Drop, Hold, Open, Split
from streamd.media.intake.intake import Intake
from streamd.media.intake.limits import IntakeLimits
from streamd.media.probe import Probe
from tests.fuzz.framing import read_tags, write_tags
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.flv_media import h264_aac

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamd.media.packet import MediaPacket

LIMITS = IntakeLimits(reopen_tags_min=8)
TAGS = 12


def seeds() -> list[bytes]:
    """Each begins with how many tags are demuxed at a time."""
    streams = [
        h264_aac(1, bframes=2),
        *(encoded((VideoTrack(encoder),), (), 1) for encoder in ("libx265", "libsvtav1", "libvpx-vp9")),
        *(encoded((), (AudioTrack(e),), 1) for e in ("libopus", "flac", "ac3", "eac3", "libmp3lame")),
        encoded((VideoTrack(width=160, height=96),) * 2, (AudioTrack(), AudioTrack("libopus")), 1),
    ]
    return [bytes((number,)) + write_tags(tags[:TAGS]) for number, tags in enumerate(streams)]


def run(data: bytes) -> None:
    """Args: data: How many tags are demuxed at a time, and tags, framed by ``write_tags``."""
    if data:
        demux(read_tags(data[1:]), batch=data[0] % 8 + 1)


def demux(tags: Sequence[FlvTag], *, batch: int, is_probed: bool = True) -> list[MediaPacket]:
    """Take tags through a gate and its demuxers as the media line does, to where the stream would end.

    Args:
        tags: Of the publisher.
        batch: How many are demuxed at a time.
        is_probed: Whether libavformat is asked about the tracks as well, which takes most of the time.

    Returns:
        The packets of the demuxers.
    """
    intake = Intake(LIMITS)
    demuxers: list[Demuxer] = []
    pending: list[FlvTag] = []
    packets: list[MediaPacket] = []

    def flush() -> None:
        if demuxers and pending:
            # Whatever the gate lets through, libavformat keeps step with it: no DemuxError.
            found, expected = (demuxer.demux(pending) for demuxer in demuxers)
            assert found == expected
            # A tag that came through the gate is a frame: one packet each, in order.
            assert [packet.dts_ms for packet in found] == [tag.timestamp_ms for tag in pending]
            assert all(len(packet.payload) > packet.body_at for packet in found)
            packets.extend(found)
        pending.clear()

    def close() -> None:
        for demuxer in demuxers:
            demuxer.close()
        demuxers.clear()

    unread = deque(tags)
    while unread:
        match intake.receive(unread.popleft()):
            case FlvTag() as frame:
                pending.append(frame)
            case Split(shares):
                unread.extendleft(reversed(shares))
            case Open() as opening:
                flush()
                close()
                try:
                    if is_probed:
                        with Probe(opening) as probe:
                            probe.write_cmaf_header(probe.tracks)
                except TrackRefusedError as exc:
                    intake.refuse(opening.tracks[exc.index], str(exc))
                except DemuxError:
                    return packets
                else:
                    demuxers += (open_demuxer(kind, opening) for kind in DemuxerKind)
                    pending += opening.tags
            case Drop(_, detail):
                assert detail.isprintable()
            case Hold():
                pass
        if len(pending) >= batch:
            flush()
    flush()
    close()
    return packets

"""What a publisher's timestamps can do to the timeline and the segmenter: chunks that follow each other."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from streamd.media.packager.ladder import Ladder, Variant
from streamd.media.packager.segmenter import SegmenterOptions
from streamd.media.packet import MediaPacket
from streamd.media.timeline import Timeline
from tests.support.samples import AUDIO, VIDEO, audio_packets, interleave, read_chunk, video_packets

if TYPE_CHECKING:
    from collections.abc import Iterable

# Track, keyframe and size; decode time and composition time: milliseconds, of which Enhanced RTMP has 32 bits and 24.
_PACKET = struct.Struct(">Bqi")
_WIRE_MS = 2**33
_COMPOSITION_MS = 2**23
# Enough for several segments of packets that lie far apart.
PACKETS_MAX = 32
BYTES_MAX = PACKETS_MAX * _PACKET.size


def seeds() -> list[bytes]:
    dense = interleave(video_packets(30, 5, 60, composition_ms=66), audio_packets(duration_s=5))
    usual = interleave(video_packets(4, 6, 8, composition_ms=66), [*audio_packets(duration_s=6)][::24])
    jump = [_moved(packet, 2**32) if packet.dts_ms > 2000 else packet for packet in usual]
    back = [_moved(packet, -3000) if packet.dts_ms > 3000 else packet for packet in usual]
    return [_written(packets[:PACKETS_MAX]) for packets in (dense, usual, jump, back, dense[::9])]


def _moved(packet: MediaPacket, by_ms: int) -> MediaPacket:
    return replace(packet, dts_ms=packet.dts_ms + by_ms, pts_ms=packet.pts_ms + by_ms)


def _written(packets: Iterable[MediaPacket]) -> bytes:
    return b"".join(
        _PACKET.pack(each.track_id | each.is_keyframe << 2, each.dts_ms, each.pts_ms - each.dts_ms) for each in packets
    )


def run(data: bytes) -> None:
    """Args: data: Packets, 13 bytes each."""
    timeline = Timeline((VIDEO, AUDIO))
    ladder = Ladder((Variant("main", (VIDEO, AUDIO)),), SegmenterOptions())
    ends: dict[int, int] = {}
    chunks = []
    for offset in range(0, min(len(data) // _PACKET.size, PACKETS_MAX) * _PACKET.size, _PACKET.size):
        head, dts_ms, composition_ms = _PACKET.unpack_from(data, offset)
        track_id = AUDIO.track_id if head & 2 else VIDEO.track_id
        dts_ms = (dts_ms + _WIRE_MS) % (2 * _WIRE_MS) - _WIRE_MS
        composition_ms = (composition_ms + _COMPOSITION_MS) % (2 * _COMPOSITION_MS) - _COMPOSITION_MS
        packet = MediaPacket(track_id, dts_ms, dts_ms + composition_ms, bool(head & 4) or bool(head & 2), b"payload", 0)
        sample = timeline.place(packet)
        if sample is not None:
            chunks += [chunk for _, chunk in ladder.push([sample])]
    chunks += [chunk for _, chunk in ladder.finish()]
    for chunk in chunks:
        for track_id, samples in read_chunk(chunk.content.join()).tracks.items():
            for read in samples:
                assert read.dts_ticks >= ends.get(track_id, 0)
                assert read.duration_ticks >= 0
                ends[track_id] = read.dts_ticks + read.duration_ticks

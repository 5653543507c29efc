from __future__ import annotations

from dataclasses import replace

from streamd.media.packager.named_bytes import BytesKind, NamedBytes
from streamd.media.packager.segment import Header, Segment
from tests.support.chunk_feeder import AUDIO, HEADER, VIDEO, ChunkFeeder

CONTENT = NamedBytes(BytesKind.INIT, "init1000", (HEADER,), has_video=True)


def test_a_header_weighs_what_its_tracks_configurations_weigh_too() -> None:
    tracks = (replace(VIDEO, codec_config=bytes(30)), replace(AUDIO, codec_config=bytes(2)))
    assert Header(1000, tracks, CONTENT).held_bytes == len(HEADER) + 32


def test_a_segment_is_the_sum_of_its_parts() -> None:
    segment = Segment(1000, Header(1000, (VIDEO,), CONTENT), 10_000, 90_000, 1_000, is_discontinuous=False)
    chunks = list(ChunkFeeder(payload_bytes=70).segment(100_000))
    held = [segment.add(chunk) for chunk in chunks]
    assert segment.chunks == chunks
    assert (segment.duration_ticks, segment.size_bytes, segment.held_bytes) == (100_000, 210, sum(held))
    assert segment.duration_us == 1_111_111
    assert segment.end_date_time_ms == 2_111

"""What somebody keeps of a rendition: all that is held, in order, and as it stood."""

from __future__ import annotations

from streamd.formats.hls.attribute_list import unix_ms
from streamd.media.packager.rendition import RenditionOptions
from streamd.media.packet import VIDEO_TIMESCALE
from tests.support.chunk_feeder import EPOCH, HEADER, ChunkFeeder, start_rendition

SEGMENT = 2 * VIDEO_TIMESCALE


def test_is_all_that_can_be_fetched_with_the_open_segment() -> None:
    rendition, feeder = start_rendition(options=RenditionOptions(window_segments=4)), ChunkFeeder()
    assert rendition.held_media() == []
    for _ in range(12):
        for chunk in feeder.segment(SEGMENT):
            rendition.add(chunk)
    held = rendition.held_media()
    # Four that are listed, the open one, and those that have just left the playlist.
    assert len(held) > 5
    assert [media.program_date_time_ms for media in held] == [
        unix_ms(EPOCH) + 2000 * number for number in range(12 - len(held), 12)
    ]
    assert {(media.duration_ms, media.cmaf_header, len(media.chunks)) for media in held} == {(2000, HEADER, 4)}
    assert [chunk for media in held for chunk in media.chunks] == feeder.chunks[-4 * len(held) :]


def test_stays_as_it_stood_while_the_stream_goes_on() -> None:
    rendition, feeder = start_rendition(), ChunkFeeder()
    chunks = feeder.segment(SEGMENT)
    rendition.add(next(chunks))
    (before,) = rendition.held_media()
    for chunk in chunks:
        rendition.add(chunk)
    assert (before.duration_ms, len(before.chunks)) == (500, 1)
    assert rendition.held_media()[0].duration_ms == 2000
    rendition.end()
    assert len(rendition.held_media()) == 1


def test_a_part_that_is_held_is_read_without_being_put_together() -> None:
    rendition, feeder = start_rendition(), ChunkFeeder()
    for chunk in feeder.segment(SEGMENT):
        rendition.add(chunk)
    (held,) = rendition.held_media()
    data = b"".join(piece for chunk in held.chunks for piece in chunk.content.pieces())
    assert data == b"".join(chunk.content.join() for chunk in feeder.chunks)

from __future__ import annotations

import pytest

from streamd.media.packager.presentation import Presentation
from streamd.media.packager.rendition import RenditionOptions
from tests.support.chunk_feeder import ChunkFeeder, feed, start_rendition
from tests.support.llhls_checker import check_playlist


def test_it_awaits_each_renditions_first_segment() -> None:
    high, low = start_rendition(name="high"), start_rendition(name="low")
    presentation = Presentation([high, low])
    assert presentation.awaited_rendition() is high
    assert presentation.multivariant_playlist() is None
    feed(high, ChunkFeeder(), [2, 2])
    feeder = ChunkFeeder()
    feed(low, feeder, [1])
    assert presentation.awaited_rendition() is low
    feed(low, feeder, [2])
    assert presentation.awaited_rendition() is None


def test_a_rendition_that_has_not_begun_is_not_awaited() -> None:
    high, low = start_rendition(name="high"), start_rendition(name="low")
    presentation = Presentation([high, low])
    feed(high, ChunkFeeder(), [2, 2])
    assert presentation.awaited_rendition() is None
    text = presentation.multivariant_playlist()
    assert text is not None
    assert b"low" not in text.buffers[0]


def test_variants_stand_in_order_of_preference() -> None:
    renditions = [start_rendition(name="high"), start_rendition(name="low")]
    presentation = Presentation(renditions)
    for rendition in renditions:
        feed(rendition, ChunkFeeder(), [2, 2])
    text = presentation.multivariant_playlist()
    assert text is not None
    lines = text.buffers[0].decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["high.m3u8", "low.m3u8"]
    assert presentation.multivariant_playlist() is text


@pytest.mark.parametrize(
    ("seconds", "low_latency", "report"),
    [
        ([], True, "LAST-MSN=999"),  # nothing yet: no reader gets this playlist before its own segment
        ([2, 0.5], True, "LAST-MSN=1001,LAST-PART=0"),
        ([2, 1.5], True, "LAST-MSN=1001,LAST-PART=2"),
        ([2, 1.5], False, "LAST-MSN=1000"),
    ],
)
def test_each_playlist_reports_on_the_others(seconds: list[float], low_latency: bool, report: str) -> None:
    options = RenditionOptions(low_latency=low_latency)
    high, low = start_rendition(name="high", options=options), start_rendition(name="low", options=options)
    Presentation([high, low])
    feed(high, ChunkFeeder(), [2, 2])
    before = high.playlist()
    feed(low, ChunkFeeder(), seconds)
    if seconds:
        assert high.playlist() is not before
    text = high.playlist().full.buffers[0]
    assert text.endswith(f'#EXT-X-RENDITION-REPORT:URI="low.m3u8",{report}\n'.encode())
    assert check_playlist(text) == []


def test_a_segment_just_complete_is_reported_with_its_last_part() -> None:
    high, low = start_rendition(name="high"), start_rendition(name="low")
    Presentation([high, low])
    feed(low, ChunkFeeder(), [2])
    low.end_segment()
    assert b"LAST-MSN=1000,LAST-PART=3\n" in high.playlist().full.buffers[0]


def test_captions_are_listed_and_named_by_every_variant() -> None:
    renditions = [start_rendition(name="high"), start_rendition(name="low")]
    presentation = Presentation(renditions)
    for rendition in renditions:
        feed(rendition, ChunkFeeder(), [2, 2])
    before = presentation.multivariant_playlist()
    assert before is not None
    assert b"CAPTIONS" not in before.buffers[0]
    for _ in range(2):
        presentation.set_captions(frozenset({"CC1", "SERVICE1"}))
    text = presentation.multivariant_playlist()
    assert text is not None
    assert presentation.multivariant_playlist() is text
    lines = text.buffers[0].decode().splitlines()
    assert [line for line in lines if line.startswith("#EXT-X-MEDIA:")] == [
        f'#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="captions",NAME="Captions {channel}",DEFAULT=NO,AUTOSELECT=YES,'
        f'INSTREAM-ID="{channel}"'
        for channel in ("CC1", "SERVICE1")
    ]
    variants = [line for line in lines if line.startswith("#EXT-X-STREAM-INF:")]
    assert len(variants) == 2
    assert all(line.endswith('CLOSED-CAPTIONS="captions"') for line in variants)

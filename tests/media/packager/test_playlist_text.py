from __future__ import annotations

import gzip

from streamd.media.packager.playlist_text import PlaylistText
from tests.support.chunk_feeder import ChunkFeeder, feed, start_rendition


class TestPlaylistText:
    TEXT = b"#EXTM3U\n" * 20

    def test_gzip_holds_the_same_text_and_no_time(self) -> None:
        text = PlaylistText(self.TEXT)
        packed = text.gzipped()
        assert packed is text.gzipped()
        (data,) = packed.buffers
        assert gzip.decompress(data) == self.TEXT
        assert data[4:8] == bytes(4)
        assert packed.content_encoding == "gzip"
        assert packed.entity_tag != text.plain.entity_tag

    def test_equal_text_has_an_equal_entity_tag(self) -> None:
        again, other = PlaylistText(self.TEXT), PlaylistText(self.TEXT + b"\n")
        text = PlaylistText(self.TEXT)
        assert text.plain.entity_tag == again.plain.entity_tag != other.plain.entity_tag
        assert text.gzipped().entity_tag == again.gzipped().entity_tag != other.gzipped().entity_tag


class TestDeltaUpdate:
    """rfc8216bis 6.2.5.1."""

    def test_where_nothing_can_be_skipped_it_is_the_full_playlist(self) -> None:
        rendition = start_rendition()
        feed(rendition, ChunkFeeder(), [2] * 3)
        snapshot = rendition.playlist()
        assert snapshot.delta() is snapshot.full

    def test_it_is_made_once(self) -> None:
        rendition = start_rendition()
        feed(rendition, ChunkFeeder(), [2] * 12)
        snapshot = rendition.playlist()
        assert snapshot.delta() is snapshot.delta() is not snapshot.full

from __future__ import annotations

from streamd.formats.hls import media_playlist as hls
from streamd.media.packager.named_bytes import BytesKind
from streamd.media.packager.playlist_text import playlist_bytes
from tests.support.chunk_feeder import ChunkFeeder, feed, start_rendition


def test_a_playlists_bytes_are_its_text_under_its_name() -> None:
    content = playlist_bytes("index", b"#EXTM3U\n")
    assert (content.kind, content.name, content.buffers) == (BytesKind.PLAYLIST, "index", (b"#EXTM3U\n",))


class TestSnapshot:
    def test_it_is_the_playlist_in_words(self) -> None:
        rendition = start_rendition()
        feed(rendition, ChunkFeeder(), [2] * 3)
        snapshot = rendition.playlist()
        assert snapshot.full.name == "main"
        assert snapshot.full.buffers == (hls.render(snapshot.playlist),)


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
        assert b"#EXT-X-SKIP" in snapshot.delta().buffers[0]

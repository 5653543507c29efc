"""Playlists as text, rendered once for all who read them: whole, as a delta update, and gzipped.

Spec: rfc8216bis-22 section 6.2.5.1.
"""

from __future__ import annotations

import gzip
import hashlib

from streamd.formats.hls import media_playlist as hls
from streamd.media.packager.resource import Resource

# The highest level takes the most that gzip can save on two kilobytes, once for all viewers of a part.
GZIP_LEVEL = 9


class PlaylistText:
    """One rendered playlist, plain and gzipped; each is made once, when first asked for."""

    MEDIA_TYPE = "application/vnd.apple.mpegurl"

    __slots__ = ("_gzipped", "plain")

    def __init__(self, text: bytes) -> None:
        self.plain = Resource((text,), self.MEDIA_TYPE, self._entity_tag(text))
        self._gzipped: Resource | None = None

    def gzipped(self) -> Resource:
        """The same playlist under Content-Encoding gzip; ``mtime`` is 0, so equal text gives equal bytes."""
        if self._gzipped is None:
            data = gzip.compress(self.plain.buffers[0], GZIP_LEVEL, mtime=0)
            tag = self._entity_tag(data)
            self._gzipped = Resource((data,), self.MEDIA_TYPE, tag, content_encoding="gzip")
        return self._gzipped

    @staticmethod
    def _entity_tag(data: bytes) -> str:
        return f'"{hashlib.blake2b(data, digest_size=9).hexdigest()}"'


class PlaylistSnapshot:
    """A media playlist between two changes, with the texts that all its readers share.

    Attributes:
        playlist: What it says.
        full: The full playlist.
    """

    __slots__ = ("_delta", "full", "playlist")

    def __init__(self, playlist: hls.MediaPlaylist) -> None:
        self.playlist = playlist
        self.full = PlaylistText(hls.render(playlist))
        self._delta: PlaylistText | None = None

    def delta(self) -> PlaylistText:
        """The delta update, or the full playlist where there is nothing to skip (6.2.5.1 allows both)."""
        if self._delta is None:
            skipped = hls.skippable_segments(self.playlist)
            self._delta = PlaylistText(hls.render(self.playlist, skipped)) if skipped else self.full
        return self._delta

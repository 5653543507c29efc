"""Playlists as text, rendered once for all who read them: whole, and as a delta update.

Spec: rfc8216bis-22 section 6.2.5.1.
"""

from __future__ import annotations

from streamd.formats.hls import media_playlist as hls
from streamd.media.packager.named_bytes import BytesKind, NamedBytes


def playlist_bytes(name: str, text: bytes) -> NamedBytes:
    """Put the text of a playlist under its name."""
    return NamedBytes(BytesKind.PLAYLIST, name, (text,))


class PlaylistSnapshot:
    """A media playlist between two changes, with the texts that all its readers share.

    Args:
        name: Of its rendition.
        playlist: What it says.

    Attributes:
        full: The full playlist.
    """

    __slots__ = ("_delta", "full", "playlist")

    def __init__(self, name: str, playlist: hls.MediaPlaylist) -> None:
        self.playlist = playlist
        self.full = playlist_bytes(name, hls.render(playlist))
        self._delta: NamedBytes | None = None

    def delta(self) -> NamedBytes:
        """The delta update, or the full playlist where there is nothing to skip (6.2.5.1 allows both)."""
        if self._delta is None:
            skipped = hls.skippable_segments(self.playlist)
            text = hls.render(self.playlist, skipped) if skipped else b""
            self._delta = playlist_bytes(self.full.name, text) if skipped else self.full
        return self._delta

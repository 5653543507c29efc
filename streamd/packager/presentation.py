"""The renditions of one stream behind its multivariant playlist.

Spec: rfc8216bis-22 sections 4.4.6 and 6.2.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from streamd.hls import multivariant_playlist as hls
from streamd.packager.rendition import PlaylistText, Rendition


class Presentation:
    """What a viewer of one stream can choose from; it does not change but for its bit rates.

    Args:
        renditions: One for each variant, in order of preference. All have the same timing (6.2.4).

    Attributes:
        renditions: The same, by name.
    """

    def __init__(self, renditions: Sequence[Rendition]) -> None:
        assert renditions
        assert len({rendition.timing for rendition in renditions}) == 1
        self.renditions = MappingProxyType({rendition.name: rendition for rendition in renditions})
        for rendition in renditions:
            rendition.set_siblings([other for other in renditions if other is not rendition])
        self._variants: tuple[hls.VariantStream, ...] = ()
        self._text: PlaylistText | None = None

    @property
    def target_duration_s(self) -> int:
        """EXT-X-TARGETDURATION of every rendition, whole seconds."""
        return next(iter(self.renditions.values())).timing.target_duration_s

    def awaited_rendition(self) -> Rendition | None:
        """A rendition without a complete segment, whose bit rate is therefore not known yet."""
        return next((each for each in self.renditions.values() if each.variant_stream() is None), None)

    def multivariant_playlist(self) -> PlaylistText | None:
        """The multivariant playlist of the renditions that have begun; one object until a bit rate changes.

        Returns:
            The playlist, or ``None`` where none has begun.
        """
        streams = (rendition.variant_stream() for rendition in self.renditions.values())
        variants = tuple(stream for stream in streams if stream is not None)
        if variants != self._variants:
            self._variants = variants
            self._text = PlaylistText(hls.render(variants))
        return self._text

"""The renditions of one stream behind its multivariant playlist.

Spec: rfc8216bis-22 sections 4.4.6 and 6.2.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from streamd.formats.hls.multivariant_playlist import VariantStream
from streamd.media.packager.multivariant import ListedAudio, render_presentation
from streamd.media.packager.named_bytes import NamedBytes
from streamd.media.packager.playlist_text import playlist_bytes
from streamd.media.packager.presentation_state import PresentationState
from streamd.media.packager.rendition import Rendition


class Presentation:
    """The choice of a viewer of one stream; only its bit rates change.

    Args:
        variants: In order of preference. All renditions have the same timing (6.2.4).
        audio: Audio renditions to play the variants with, in order of preference.
        resting: Renditions of which there is no media now, and may be again. Earlier viewers may wait there.

    Attributes:
        renditions: All of them, by name.
        listed: Those that have media now: the variants, and the audio renditions.
    """

    def __init__(
        self, variants: Sequence[Rendition], audio: Sequence[Rendition] = (), resting: Sequence[Rendition] = ()
    ) -> None:
        listed = self.listed = (*variants, *audio)
        assert variants
        assert len({rendition.timing for rendition in (*listed, *resting)}) == 1
        self.renditions = MappingProxyType({rendition.name: rendition for rendition in (*listed, *resting)})
        everything = tuple(self.renditions.values())
        for rendition in everything:
            # One that rests reports on those that go on, for whoever waits there; nothing is said of it.
            others = [other for other in listed if other is not rendition]
            reporters = [other for other in everything if other is not rendition] if rendition in listed else ()
            rendition.set_siblings(others, reporters)
        self._variants = tuple(variants)
        self._audio = tuple(audio)
        self._streams: tuple[VariantStream | None, ...] = ()
        self._text: NamedBytes | None = None
        self._captions: frozenset[str] = frozenset()

    def set_captions(self, channels: frozenset[str]) -> None:
        """Name the channels of captions in the pictures (INSTREAM-ID); none where there are no captions."""
        if channels != self._captions:
            self._captions = channels
            self._streams = ()

    @property
    def in_order(self) -> Sequence[Rendition]:
        """All renditions: variants, audio renditions, and those that rest."""
        return tuple(self.renditions.values())

    @property
    def state(self) -> PresentationState:
        """What its playlists say, for another node; the bytes of parts are not in it."""
        first = self._variants[0]
        return PresentationState(
            timing=first.timing,
            window_segments=first.options.window_segments,
            low_latency=first.low_latency,
            renditions=tuple(rendition.state for rendition in self.in_order),
            variants=len(self._variants),
            audio=len(self._audio),
            captions=tuple(sorted(self._captions)),
        )

    @property
    def target_duration_s(self) -> int:
        """EXT-X-TARGETDURATION of every rendition, whole seconds."""
        return self._variants[0].timing.target_duration_s

    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the variants, and of the audio renditions."""
        return tuple(each.name for each in self._variants), tuple(each.name for each in self._audio)

    def awaited_rendition(self) -> Rendition | None:
        """The rendition to wait for, as long as none that has begun could be played.

        The multivariant playlist is read once: a playlist without a variant whose first segment is nearly complete
        would keep its reader from that variant. A rendition that has not begun at all is not waited for.
        """
        first = self._variants[0]
        if first.variant_stream() is None:
            return first
        return next((each for each in self.listed if each.variant_stream() is None and each.edge().open_parts), None)

    def multivariant_playlist(self) -> NamedBytes | None:
        """The multivariant playlist of the renditions that have begun; one object until a bit rate changes.

        Returns:
            The playlist, or ``None`` where no variant has begun.
        """
        streams = tuple(rendition.variant_stream() for rendition in self.listed)
        if streams != self._streams:
            self._streams = streams
            variants = [stream for each in self._variants if (stream := each.variant_stream()) is not None]
            self._text = playlist_bytes("index", self._render(variants)) if variants else None
        return self._text

    def _render(self, variants: Sequence[VariantStream]) -> bytes:
        audio = [
            ListedAudio(number, stream, each.tracks[0].channels)
            for number, each in enumerate(self._audio, 1)
            if (stream := each.variant_stream()) is not None
        ]
        return render_presentation(variants, audio, self._captions)

"""The renditions of one publisher's tracks, and the way of each sample into them.

One video track and one audio track are one variant, muxed: one playlist and one part to fetch. More video tracks are
variants of their own, each muxed with the same audio: an adaptive ladder made by the broadcaster's encoder. With a
choice of sound, or with sound that browsers do not decode, audio and video are apart: variants without sound, and audio
renditions to play them with. Players cannot leave muxed sound out, so a variant has one of the two forms.

**A rendition has pictures, sound, or both, and the same for its life.** Browsers make room for the tracks of the first
initialization section that they are given, and for no others later: hls.js 1.7.4 ends with a fatal error where a
playlist of pictures gets sound, or the other way round, discontinuity or not. So the first tracks decide the ``Form``
of a stream, and a track that comes late has a rendition of its own.

Spec: rfc8216bis-22 sections 4.4.6 and 6.2.4.
"""

from __future__ import annotations

import enum
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from streamd.media.packager.cmaf_chunk import CmafChunk
from streamd.media.packager.segment_starts import SegmentStarts
from streamd.media.packager.segmenter import Irregularity, Segmenter, SegmenterOptions
from streamd.media.packager.timing import PlaylistTiming
from streamd.media.packet import Sample, Track, TrackKind

MAIN_VARIANT = "main"
"""The name of the first variant, which is the only one of most streams."""

# Codecs that browsers decode in fragmented MP4. AAC is ``mp4a.40`` and the audio object type: LC, HE-AAC, HE-AAC v2.
_BROWSER_AUDIO = frozenset({"mp4a.40.2", "mp4a.40.5", "mp4a.40.29", "Opus", "fLaC"})


@dataclass(frozen=True, slots=True)
class Variant:
    """The tracks of one rendition."""

    name: str
    """In URIs."""
    sources: tuple[Track, ...]
    """Tracks of the demuxer, video first."""
    is_alternative: bool = False
    """It is an audio rendition to play variants with (EXT-X-MEDIA), and no variant."""
    cmaf_header: bytes = b""
    """``ftyp`` and ``moov``; empty until it is written."""

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The same tracks as they stand in the CMAF header: numbered from 1."""
        return tuple(replace(track, track_id=number) for number, track in enumerate(self.sources, 1))


def decodes_everywhere(codec: str) -> bool:
    """Say whether browsers decode an audio codec.

    Args:
        codec: RFC 6381 codecs parameter.
    """
    return codec in _BROWSER_AUDIO


class Form(enum.Enum):
    """What the rendition ``main`` has, for as long as the stream lives."""

    MUXED = "muxed"
    """Pictures and sound. Without one of them, the other is in renditions of other names."""
    PICTURES = "pictures"
    """Pictures; all sound is apart."""
    SOUND = "sound"
    """Sound; pictures, should they come, are variants that are played with it."""


def decide_form(tracks: Sequence[Track]) -> Form:
    """Decide the form of a stream from its first tracks.

    Args:
        tracks: Of the demuxer.
    """
    audio = [track for track in tracks if track.kind is TrackKind.AUDIO]
    if len(audio) == len(tracks):
        return Form.SOUND
    is_muxed = len(audio) == 1 and decodes_everywhere(audio[0].codec)
    return Form.MUXED if is_muxed else Form.PICTURES


def plan_variants(tracks: Sequence[Track], form: Form) -> tuple[Variant, ...]:
    """Group tracks into variants and audio renditions.

    Args:
        tracks: Of the demuxer, video first, each kind in order of preference. Sound that browsers decode goes before
            other sound.
        form: That of the stream. In a muxed one, audio beyond the first track, or beside a picture audio that browsers
            do not decode, is in no variant.

    Returns:
        Variants, then audio renditions.
    """
    video = [track for track in tracks if track.kind is TrackKind.VIDEO]
    audio = [track for track in tracks if track.kind is TrackKind.AUDIO]
    # Players that take what stands first are to hear it.
    audio.sort(key=lambda track: not decodes_everywhere(track.codec))
    if form is Form.MUXED and video:
        muxed = [track for track in audio[:1] if decodes_everywhere(track.codec)]
        names = _names("video") if muxed else _names("picture", first="picture0")
        return tuple(Variant(name, (track, *muxed)) for name, track in zip(names, video, strict=False))
    names = _names("video", first=MAIN_VARIANT if form is Form.PICTURES else "video0")
    sound_names = _names("audio", first=MAIN_VARIANT if form is Form.SOUND else "audio0")
    return (
        *(Variant(name, (track,)) for name, track in zip(names, video, strict=False)),
        *(
            Variant(name, (track,), is_alternative=bool(video) or number > 0)
            for number, (name, track) in enumerate(zip(sound_names, audio, strict=False))
        ),
    )


def _names(kind: str, first: str = MAIN_VARIANT) -> Iterator[str]:
    """Names of renditions of a kind, without end."""
    yield first
    for number in itertools.count(1):
        yield f"{kind}{number}"


class Ladder:
    """Cuts samples into the chunks of every rendition.

    Args:
        variants: All variants; the first one decides the playlists' numbers.
        options: Wanted durations.
        timing: Numbers of the playlists that this continues; without, they are decided from the stream.
        starts_discontinuous: The first chunks follow other media.
        first_sequence_number: ``mfhd`` sequence number of the first chunks.
    """

    def __init__(
        self,
        variants: Sequence[Variant],
        options: SegmenterOptions,
        timing: PlaylistTiming | None = None,
        *,
        starts_discontinuous: bool = False,
        first_sequence_number: int = 1,
    ) -> None:
        starts = SegmentStarts() if len(variants) > 1 else None
        self._segmenters = {
            variant.name: Segmenter(
                variant.tracks,
                options,
                timing,
                starts_discontinuous=starts_discontinuous,
                first_sequence_number=first_sequence_number,
                starts=starts,
                decides=index == 0,
            )
            for index, variant in enumerate(variants)
        }
        # The destination of a track's samples: rendition, segmenter, and the track's number there.
        self._routes: dict[int, list[tuple[str, Segmenter, int]]] = {}
        for variant in variants:
            for number, source in enumerate(variant.sources, 1):
                route = (variant.name, self._segmenters[variant.name], number)
                self._routes.setdefault(source.track_id, []).append(route)
        self._first = self._segmenters[variants[0].name]
        # The only rendition of most streams, whose tracks keep the demuxer's numbers.
        is_plain = len(variants) == 1 and variants[0].sources == variants[0].tracks
        self._only = variants[0].name if is_plain else None
        self._only_tracks = len(variants[0].sources)
        self._timing_is_shared = len(variants) == 1 or timing is not None

    @property
    def timing(self) -> PlaylistTiming | None:
        """Numbers of all playlists; ``None`` until they are decided, and no chunk comes before."""
        return self._first.timing

    @property
    def irregularities(self) -> Counter[Irregularity]:
        """Number of each, over all renditions."""
        return sum((segmenter.irregularities for segmenter in self._segmenters.values()), Counter())

    @property
    def next_sequence_number(self) -> int:
        """``mfhd`` sequence number that is greater than those of all chunks."""
        return max(segmenter.next_sequence_number for segmenter in self._segmenters.values())

    @property
    def closes_in_ms(self) -> int:
        """Return how much later than the newest frame the earliest end of a part is, over all renditions."""
        if self._only is not None:
            return self._first.closes_in_ms
        return min(segmenter.closes_in_ms for segmenter in self._segmenters.values())

    @property
    def held_bytes(self) -> int:
        """Bytes that wait in the open parts of all renditions."""
        return sum(segmenter.held_bytes for segmenter in self._segmenters.values())

    def push(self, samples: Sequence[Sample]) -> list[tuple[str, CmafChunk]]:
        """Take the next samples.

        Args:
            samples: With their tracks' ids in the demuxer; a track that is in no variant is passed over.

        Returns:
            The chunks that they complete, each with its rendition's name.
        """
        done: list[tuple[str, CmafChunk]] = []
        if self._only is not None:
            name, segmenter = self._only, self._first
            for sample in samples:
                if sample.track_id <= self._only_tracks:
                    chunks = segmenter.push(sample)
                    if chunks:
                        done += [(name, chunk) for chunk in chunks]
            return done
        for sample in samples:
            track_id = sample.track_id
            for name, segmenter, number in self._routes.get(track_id, ()):
                chunks = segmenter.push(sample if number == track_id else replace(sample, track_id=number))
                done += [(name, chunk) for chunk in chunks]
            if not self._timing_is_shared and self.timing is not None:
                done += self._share_timing(self.timing)
        return done

    def complete_segments(self) -> list[str]:
        """List the renditions whose newest segment is complete."""
        return [name for name, segmenter in self._segmenters.items() if segmenter.has_complete_segment]

    def finish(self) -> list[tuple[str, CmafChunk]]:
        """Close the open parts of every rendition: no sample follows.

        Returns:
            The last chunks, each with its rendition's name.
        """
        done: list[tuple[str, CmafChunk]] = []
        for name, segmenter in self._segmenters.items():
            done += [(name, chunk) for chunk in segmenter.finish()]
            if self.timing is None:
                # The first variant had no media, and a stream needs it.
                return done
            if not self._timing_is_shared:
                done += self._share_timing(self.timing)
        return done

    def _share_timing(self, timing: PlaylistTiming) -> list[tuple[str, CmafChunk]]:
        self._timing_is_shared = True
        has_opening = self._first.has_opening
        return [
            (name, chunk)
            for name, segmenter in self._segmenters.items()
            for chunk in segmenter.adopt(timing, has_opening=has_opening)
        ]

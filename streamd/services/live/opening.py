"""New tracks of a publisher: libavformat's reading of them, a bound for it, and the tags that queue meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from streamd.errors import DemuxError, MediaLimitError
from streamd.media.demux import open_demuxer
from streamd.media.packager.ladder import Variant, decide_form, plan_variants
from streamd.media.probe import Probe
from streamd.services.bounds.allowance import Allowance

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from streamd.clock import Clock
    from streamd.formats.flv.tag import FlvTag
    from streamd.media.demux import Demuxer, DemuxerKind
    from streamd.media.intake.actions import Open
    from streamd.media.packager.ladder import Form
    from streamd.media.packet import Track

# Tags that may queue while new tracks are probed (4–20 ms; 1 s on a loaded machine): one second at 50 Mb/s and a half.
HELD_BYTES_MAX = 10 * 1024 * 1024
# Bytes of a queued tag beside its payload.
_HELD_TAG_BYTES = 256
# Queued tags are taken so many at a time, some 3 ms, and 15 for hostile ones: then the others have their turn.
QUEUED_TAGS_AT_ONCE = 256
# An opening takes a thread for some milliseconds, and its tracks a CMAF header in each rendition. A publisher has one,
# one more for each track that begins late or is refused, and some for an encoder that changes its picture size with
# every keyframe, for a while. Past it, changed tracks are left out until an opening is allowed again.
OPENINGS_AT_ONCE_MAX = 24
OPENINGS_PER_S = 1.0


class Opened(NamedTuple):
    """The tracks of an opening, their renditions, and their demuxer."""

    tracks: tuple[Track, ...]
    variants: tuple[Variant, ...]
    direct: Variant
    demuxer: Demuxer
    form: Form
    """That of the stream's renditions."""


class Opener:
    """Opens the tracks of one publisher.

    Args:
        kind: Which demuxer reads the frames.
        form: That of the stream which this goes on with; None where its first tracks decide it.
        picture_pixels_max: Says how large pictures may be now.
        probing: Held while new tracks are probed; shared by all streams.
        charge: Takes the cost of an opening, seconds of processor time.
        clock: Measures the cost, and the time in which further openings are allowed.
    """

    def __init__(
        self,
        kind: DemuxerKind,
        *,
        form: Form | None,
        picture_pixels_max: Callable[[], int],
        probing: asyncio.Semaphore,
        charge: Callable[[float], None],
        clock: Clock,
    ) -> None:
        self._kind = kind
        self._form = form
        self._picture_pixels_max = picture_pixels_max
        self._probing = probing
        self._charge = charge
        self._clock = clock
        self._allowance = Allowance(OPENINGS_PER_S, OPENINGS_AT_ONCE_MAX, clock.monotonic())
        # Cost of the last probe, seconds.
        self._probe_s = 0.0

    def may_open(self, now: float) -> bool:
        """Whether there may be one more opening now."""
        return self._allowance.left(now) > 0

    def take(self, now: float) -> None:
        """Count an opening.

        Raises:
            MediaLimitError: It is one too many.
        """
        if not self._allowance.take(now):
            raise MediaLimitError("the tracks change all the time, or none of them is fit", limit="openings_max")

    async def open(self, opening: Open) -> Opened:
        """Ask libavformat about tracks, and open a demuxer for them, in a thread.

        Args:
            opening: The tracks.

        Raises:
            TrackRefusedError: One track is not fit; the others are.
            MediaError: None is, or a picture is larger than may be (``MediaLimitError``).
        """
        # libavformat takes some milliseconds, which would be every other stream's delay.
        async with self._probing:
            try:
                opened = await asyncio.to_thread(self._open_in_thread, opening)
            finally:
                self._charge(self._probe_s)
        try:
            self._check_pictures(opened)
        except MediaLimitError:
            opened.demuxer.close()
            raise
        return opened

    def _open_in_thread(self, opening: Open) -> Opened:
        # The thread's own time: it is the loop's processor that it uses, or the interpreter's lock.
        since = self._clock.cpu()
        try:
            return self._probe(opening)
        finally:
            self._probe_s = self._clock.cpu() - since

    def _probe(self, opening: Open) -> Opened:
        with Probe(opening) as probe:
            if self._form is None:
                self._form = decide_form(probe.tracks)
            planned = plan_variants(probe.tracks, self._form)
            headers = {variant.sources: probe.write_cmaf_header(variant.sources) for variant in planned}
            # Frame by frame go the tracks that players without multitrack play (Enhanced RTMP v2, "Multitrack").
            tracks = zip(opening.tracks, probe.tracks, strict=True)
            sources = tuple(track for header, track in tracks if header.track_id == 0)
            if sources and sources not in headers:
                headers[sources] = probe.write_cmaf_header(sources)
        variants = tuple(replace(variant, cmaf_header=headers[variant.sources]) for variant in planned)
        direct = Variant("direct", sources, cmaf_header=headers.get(sources, b""))
        return Opened(probe.tracks, variants, direct, open_demuxer(self._kind, opening), self._form)

    def _check_pictures(self, opened: Opened) -> None:
        pixels_max = self._picture_pixels_max()
        for track in (track for variant in (opened.direct, *opened.variants) for track in variant.sources):
            if track.width * track.height > pixels_max:
                raise MediaLimitError(
                    f"pictures of {track.width}x{track.height}, {pixels_max} pixels are allowed",
                    limit="picture_pixels_max",
                )


class TagQueue:
    """The tags that queue while tracks are opened.

    Attributes:
        held_bytes: Their memory, bytes.
    """

    def __init__(self) -> None:
        self.held_bytes = 0
        self._tags: list[FlvTag] = []

    def __len__(self) -> int:
        return len(self._tags)

    def add(self, tags: Collection[FlvTag]) -> None:
        """Queue tags behind the others.

        Raises:
            DemuxError: There are more than may wait.
        """
        self._tags.extend(tags)
        self._count_in(tags)

    def add_in_front(self, tags: Collection[FlvTag]) -> None:
        """Queue tags before the others, all of which came later.

        Raises:
            DemuxError: There are more than may wait.
        """
        self._tags[:0] = tags
        self._count_in(tags)

    def take(self) -> list[FlvTag]:
        """Take the first of them, as many as may be taken at once."""
        taken = self._tags[:QUEUED_TAGS_AT_ONCE]
        del self._tags[:QUEUED_TAGS_AT_ONCE]
        self.held_bytes -= _queued_bytes(taken)
        return taken

    def _count_in(self, tags: Collection[FlvTag]) -> None:
        self.held_bytes += _queued_bytes(tags)
        if self.held_bytes > HELD_BYTES_MAX:
            raise DemuxError(f"more than {HELD_BYTES_MAX} bytes arrived while the tracks were probed")


def _queued_bytes(tags: Collection[FlvTag]) -> int:
    """Memory of tags while they queue."""
    return sum(len(tag.payload) for tag in tags) + _HELD_TAG_BYTES * len(tags)

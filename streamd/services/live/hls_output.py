"""The output of parts that viewers fetch over HLS: the playlists of one stream, and the requests that wait for more.

Spec: rfc8216bis-22 sections 6.2.1, 6.2.2 and 6.2.4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from streamd.errors import MediaLimitError
from streamd.media.packager.numbering import Numbering
from streamd.media.packager.presentation import Presentation
from streamd.media.packager.rendition import Rendition
from streamd.media.packager.window import OPEN_SEGMENT_BYTES_MAX
from streamd.services.live.outputs import Numbered, PartOutput
from streamd.services.live.restart_record import PlaylistRecord
from streamd.services.live.viewers import WINDOW_TARGETS, HlsViewers
from streamd.services.live.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from streamd.media.packager.cmaf_chunk import CmafChunk
    from streamd.media.packager.ladder import Variant
    from streamd.media.packager.rendition import RenditionOptions
    from streamd.media.packager.timing import PlaylistTiming
    from streamd.services.live.outputs import OutputContext, StreamTracks
    from streamd.services.live.waiters import Awaited


class HlsOutput(PartOutput, Numbered):
    """The playlists of one stream.

    Args:
        context: Its environment. From a record it has the earlier playlists, without media: requests for them wait for
            the publisher.

    Attributes:
        presentation: The viewers' choice; None before the first part, and after the release.
        waiters: The requests that wait for more.
    """

    name = "hls"

    def __init__(self, context: OutputContext) -> None:
        self.presentation: Presentation | None = None
        self.waiters = Waiters(context.budget)
        self._numbering = context.numbering
        self._options = context.rendition
        self._clock = context.clock
        self._metrics = context.metrics
        self._variants: tuple[Variant, ...] = ()
        self._epoch = context.live_since
        self._has_parts = False
        self._segments_lost = 0
        self._captions: frozenset[str] = frozenset()
        self._viewers = HlsViewers()
        self._viewers_counted = 0
        self._has_ended = False
        # None where it has to be made anew: it is asked for every second, and changes with a discontinuity.
        self._record: PlaylistRecord | None = None
        if context.record is not None:
            self._restore(context.record)

    # -- what the media line makes ------------------------------------------------------------

    def start(self, tracks: StreamTracks) -> None:
        """Go on with the earlier renditions; a rendition that is gone answers its waiting requests so.

        One that has gone is not found any more, and sends its viewers to another variant that has what it had, pictures
        or sound or both. Where no other has that, it rests: its viewers' requests wait, as players that are given other
        tracks end (``ladder``), and those that wait go on when the tracks are back.
        """
        self._variants, self._epoch = tracks.variants, tracks.epoch
        self._record = None
        presentation = self.presentation
        if presentation is None:
            return
        names = {variant.name for variant in tracks.variants}
        if names == presentation.renditions.keys() == {rendition.name for rendition in presentation.listed}:
            for variant in tracks.variants:
                presentation.renditions[variant.name].set_header(variant.cmaf_header, variant.tracks)
        else:
            first = next(iter(presentation.renditions.values()))
            self.presentation = self._present(first.timing, presentation)
            self._wake()

    def note_leap(self, epoch: datetime) -> None:
        """Date what follows anew."""
        self._epoch = epoch

    def note_captions(self, channels: frozenset[str]) -> None:
        """List the captions, for whoever reads the multivariant playlist from now on."""
        self._captions = channels
        if self.presentation is not None:
            self.presentation.set_captions(channels)

    def take_part(self, rendition: str, chunk: CmafChunk, timing: PlaylistTiming) -> None:
        """List the next part, and wake the requests for it."""
        presentation = self.presentation
        if presentation is None:
            presentation = self.presentation = self._present(timing, None)
            self._set_viewer_window(timing)
        presentation.renditions[rendition].add(chunk, self._epoch)
        self._has_parts = True
        if chunk.is_discontinuous:
            self._record = None
        self._wake()

    def end_segment(self, rendition: str) -> None:
        """Complete a rendition's newest segment, and wake the requests for it."""
        if self.presentation is not None and self.presentation.renditions[rendition].end_segment():
            self._wake()

    def dismiss_viewers(self) -> None:
        """Answer all waiting requests; the playlists stay open."""
        self.waiters.close()

    def end(self) -> float:
        """End the playlists with EXT-X-ENDLIST, and answer all waiting requests.

        Returns:
            For how long the playlists stay (6.2.1), seconds.
        """
        linger_us = 0
        try:
            for rendition in self._renditions():
                rendition.end()
                linger_us = max(linger_us, rendition.playlist_duration_us)
        except Exception:
            # A playlist that cannot be ended is removed, as requests for more of it would wait in vain.
            renditions, self.presentation = [*self._renditions()], None
            for rendition in renditions:
                self._numbering = rendition.next_numbering().no_earlier_than(self._numbering)
            raise
        finally:
            self.waiters.close()
            self._has_ended = True
            self._count_viewers(0)
        return linger_us / 1e6

    def release(self) -> None:
        """Drop the media; answers under way go on.

        The renditions of one presentation know each other. Left to the garbage collector, which seldom looks at old
        objects (``process.GC_THRESHOLDS``), the window would stay for minutes.
        """
        for rendition in self._renditions():
            rendition.set_siblings(())
        self.presentation = None

    # -- once a second ---------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Count viewers, and segments that the window has lost.

        Raises:
            MediaLimitError: The open segments of all renditions take more than those of one may.
        """
        self._count_viewers(self._viewers.count(now))
        if self.presentation is None:
            return
        segments_lost = held_bytes = 0
        for rendition in self.presentation.listed:
            segments_lost += rendition.segments_lost
            held_bytes += rendition.held_bytes
        if segments_lost > self._segments_lost:
            self._metrics.limit_hits_total.labels("window_bytes_max").inc(segments_lost - self._segments_lost)
            self._segments_lost = segments_lost
        # Each rendition bounds its own open segment; together they have what one of a single rendition may.
        if held_bytes > self._options.window_bytes_max + OPEN_SEGMENT_BYTES_MAX:
            raise MediaLimitError(f"{held_bytes} bytes of open segments", limit="window_bytes_max")

    @property
    def held_bytes(self) -> int:
        """Media in memory, bytes."""
        return sum([rendition.held_bytes for rendition in self._renditions()])

    @property
    def viewers(self) -> int:
        """Viewers, as of about a second ago; the first at once, as a server that stops waits for whoever watches."""
        return self._viewers_counted

    def note_viewer(self, source: str, user_agent: str) -> None:
        """Note a request for a media playlist.

        Args:
            source: The peer that the address is counted as (``source_of``).
            user_agent: The header, empty if there was none.
        """
        self._viewers.note(source, user_agent, self._clock.monotonic())
        if not self._viewers_counted and not self._has_ended:
            self._count_viewers(1)

    def _count_viewers(self, count: int) -> None:
        if count == self._viewers_counted:
            return
        self._metrics.viewing.viewers.labels("hls").inc(count - self._viewers_counted)
        self._viewers_counted = count

    # -- numbers ---------------------------------------------------------------------------------

    @property
    def next_numbering(self) -> Numbering:
        """The earliest start of a stream that follows this one under the same name."""
        numbering = self._numbering
        for rendition in self._renditions():
            numbering = rendition.next_numbering().no_earlier_than(numbering)
        return numbering

    @property
    def used_until_s(self) -> int:
        """``seconds`` of ``next_numbering``, without the rest of it."""
        seconds = self._numbering.seconds
        for rendition in self._renditions():
            seconds = max(seconds, rendition.used_until_s)
        return seconds

    @property
    def has_used_numbers(self) -> bool:
        """Whether there is any media under the numbers that it began with."""
        return self._has_parts

    @property
    def record(self) -> PlaylistRecord | None:
        """The facts with which another server goes on with the playlists; None before there are any."""
        if self._record is not None or self.presentation is None:
            return self._record
        variants, audio = self.presentation.names()
        timing = self.presentation.renditions[variants[0]].timing
        self._record = PlaylistRecord(timing, variants, audio, self.next_numbering.discontinuity_sequence)
        return self._record

    def _restore(self, record: PlaylistRecord) -> None:
        self._numbering = self._numbering.no_earlier_than(Numbering(0, 0, record.discontinuity_sequence))
        options = self._rendition_options(len(record.variants) + len(record.audio))
        variants, audio = (
            [
                Rendition(name, record.timing, options, self._numbering, self._epoch, is_continuing=True)
                for name in names
            ]
            for names in (record.variants, record.audio)
        )
        self.presentation = Presentation(variants, audio)
        self._set_viewer_window(record.timing)

    # -- renditions ------------------------------------------------------------------------------

    def _present(self, timing: PlaylistTiming, previous: Presentation | None) -> Presentation:
        """Make the renditions of the present variants, going on with the earlier ones."""
        numbering = self._numbering
        known: dict[str, Rendition] = {}
        resting: list[Rendition] = []
        if previous is not None:
            known = {rendition.name: rendition for rendition in previous.listed}
            # Discontinuities are counted alike in all playlists of a stream (6.2.4), also by those that begin later.
            numbering = previous.listed[0].next_numbering()
            resting = self._rest(previous)
            for each in resting:
                each.end_segment()
            # No number is used again, should a rendition come back.
            for earlier in previous.renditions.values():
                if earlier.name not in known or all(variant.name != earlier.name for variant in self._variants):
                    self._numbering = earlier.next_numbering().no_earlier_than(self._numbering)
        variants: list[Rendition] = []
        audio: list[Rendition] = []
        options = self._rendition_options(len(self._variants))
        for variant in self._variants:
            rendition = known.get(variant.name)
            if rendition is None:
                first = numbering.no_earlier_than(self._numbering)
                rendition = Rendition(variant.name, timing, options, first, self._epoch)
            rendition.set_header(variant.cmaf_header, variant.tracks)
            (audio if variant.is_alternative else variants).append(rendition)
        presentation = Presentation(variants, audio, resting)
        presentation.set_captions(self._captions)
        return presentation

    def _rest(self, previous: Presentation) -> list[Rendition]:
        """Return the earlier renditions that rest now."""
        names = {variant.name for variant in self._variants}
        kinds = {frozenset(track.kind for track in variant.sources) for variant in self._variants}
        # Another server's renditions have no tracks yet.
        are_known = any(rendition.name in names for rendition in previous.listed)
        resting: list[Rendition] = []
        for rendition in previous.renditions.values():
            has = frozenset(track.kind for track in rendition.tracks)
            is_replaced = has in kinds if has else are_known
            if rendition.name not in names and not is_replaced:
                resting.append(rendition)
        return resting

    def _rendition_options(self, renditions: int) -> RenditionOptions:
        # A stream holds no more, however many renditions it has.
        return replace(self._options, window_bytes_max=self._options.window_bytes_max // renditions)

    def _renditions(self) -> Iterable[Rendition]:
        return self.presentation.renditions.values() if self.presentation is not None else ()

    def _set_viewer_window(self, timing: PlaylistTiming) -> None:
        self._viewers.window_s = float(WINDOW_TARGETS * timing.target_duration_s)

    def _wake(self) -> None:
        """Wake the requests whose part is there now."""
        self.waiters.wake(self._is_reached)

    def _is_reached(self, awaited: Awaited) -> bool:
        rendition = self.presentation.renditions.get(awaited.variant) if self.presentation is not None else None
        return rendition is None or rendition.has_reached(awaited.until)

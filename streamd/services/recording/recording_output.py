"""The output of parts that records them: parts become segments, and segments go to the recording of the moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streamd.formats.hls.attribute_list import unix_ms
from streamd.media.packager.multivariant import frame_rate_millihertz
from streamd.media.packet import TrackKind
from streamd.services.live.outputs import PartOutput
from streamd.services.recording.documents import RecordedRendition

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from streamd.media.packager.cmaf_chunk import ChunkBytes, CmafChunk
    from streamd.media.packager.ladder import Variant
    from streamd.media.packager.timing import PlaylistTiming
    from streamd.services.live.outputs import OutputContext, StreamTracks
    from streamd.services.recording.recording import Recording

_US = 1_000_000
# After a failure the next recording is tried this much later, and twice as late after each one that came to nothing: a
# disk that is read-only for a day makes a few failed recordings, and not thousands.
RETRY_S = 10.0
RETRY_S_MAX = 600.0
# Media after which a recording has come to something, milliseconds.
_LASTING_MS = 60_000


@dataclass
class _OpenSegment:
    """The parts of a segment that is not complete."""

    recording: Recording
    """The recording that knows its CMAF header; another one has begun when this one has failed in the meantime."""
    start_ticks: int
    timescale: int
    is_discontinuous: bool
    parts: list[ChunkBytes] = field(default_factory=list)
    duration_ticks: int = 0
    size_bytes: int = 0


@dataclass
class _Line:
    """One rendition of the stream."""

    variant: Variant
    epoch_ms: int
    """Wall time of tick 0 of its timeline, milliseconds since 1970 in UTC."""
    is_interrupted: bool
    """The next segment has nothing to do with the one before."""
    open: _OpenSegment | None = None
    told: Recording | None = None
    """The recording that knows its CMAF header."""


class RecordingOutput(PartOutput):
    """Records a stream while it is wanted.

    Args:
        context: Its environment.
        begin: Makes a recording for the channel.
        is_wanted: Whether its broadcasts are recorded, where nobody has asked for this one.
        has_space: Whether the disk has room for a recording; asked after a failure.
        continued: The recording that an earlier server left of this very broadcast; None where there is none.
        elsewhere_delay: Says why nothing comes to where recordings go from the disk; empty where it does.

    Attributes:
        recording: The recording that goes on; None between two.
        is_asked: Whether somebody wants this broadcast recorded; None where nobody has said.
        is_ended: The broadcast is over.
    """

    name = "recording"

    def __init__(
        self,
        context: OutputContext,
        begin: Callable[[], Recording],
        is_wanted: Callable[[], bool],
        has_space: Callable[[], bool] = lambda: True,
        continued: Recording | None = None,
        elsewhere_delay: Callable[[], str] = lambda: "",
    ) -> None:
        self.recording = continued
        self.is_asked: bool | None = None
        self.is_ended = False
        self._begin = begin
        self._is_wanted = is_wanted
        self._has_space = has_space
        self._elsewhere_delay = elsewhere_delay
        self._retry_s = RETRY_S / 2
        self._clock = context.clock
        self._lines: dict[str, _Line] = {}
        self._epoch_ms = unix_ms(context.live_since)
        self._is_continuing = continued is not None
        self._retry_at = float("-inf")
        self._fault = ""
        # The one that failed last. Until its files are closed none begins: its media may still wait for a disk that
        # hangs.
        self._failed: Recording | None = None

    # -- what the media line makes ------------------------------------------------------------

    def start(self, tracks: StreamTracks) -> None:
        """Take new tracks: segments that are open end here."""
        self._close_all()
        self._epoch_ms = unix_ms(tracks.epoch)
        interrupted = tracks.begins_anew or self._is_continuing
        self._is_continuing = False
        self._lines = {variant.name: _Line(variant, self._epoch_ms, interrupted) for variant in tracks.variants}

    def note_leap(self, epoch: datetime) -> None:
        """Date what follows anew."""
        self._epoch_ms = unix_ms(epoch)

    @property
    def takes_parts(self) -> bool:
        """Whether the broadcast is recorded, or is to be."""
        is_wanted = self._is_wanted() if self.is_asked is None else self.is_asked
        return is_wanted or self.recording is not None or any(line.open is not None for line in self._lines.values())

    def take_part(self, rendition: str, chunk: CmafChunk, timing: PlaylistTiming) -> None:
        """Add a part to the open segment of its rendition."""
        line = self._lines[rendition]
        if chunk.starts_segment:
            self._close(line)
            recording = self._going_recording()
            if recording is None:
                return
            # Of a leap while nothing was recorded, no part has told.
            if chunk.is_discontinuous or line.told is not recording:
                line.epoch_ms = self._epoch_ms
            is_discontinuous = chunk.is_discontinuous or line.is_interrupted
            line.open = _OpenSegment(recording, chunk.start_ticks, chunk.timescale, is_discontinuous)
            line.is_interrupted = False
            self._tell_header(recording, line, timing.target_duration_s)
        segment = line.open
        if segment is None:
            # A recording that is asked for in the middle of a segment begins with the next one.
            return
        segment.parts.append(chunk.content)
        segment.duration_ticks += chunk.duration_ticks
        segment.size_bytes += len(chunk.content)

    def end_segment(self, rendition: str) -> None:
        """Record a rendition's newest segment."""
        self._close(self._lines[rendition])

    def look(self, now: float) -> None:
        """See whether the recording has failed."""
        if self.recording is not None and self.recording.is_over:
            if self.recording.fault:
                is_lasting = self.recording.totals.duration_ms >= _LASTING_MS
                self._retry_s = RETRY_S if is_lasting else min(2 * self._retry_s, RETRY_S_MAX)
                self._retry_at = now + self._retry_s
                self._failed = self.recording
            self._fault = self.recording.fault
            self.recording = None

    def dismiss_viewers(self) -> None:
        """Record what there is: the server stops."""
        self._close_all()

    def end(self) -> float:
        """Complete the recording."""
        self._close_all()
        self.is_ended = True
        self._finish()
        return 0.0

    # -- what is asked -------------------------------------------------------------------------

    def ask(self, *, is_wanted: bool) -> None:
        """Record this broadcast from its next segment on, or complete its recording and begin no other."""
        self.is_asked = is_wanted
        if not is_wanted:
            self._close_all()
            self._finish()

    @property
    def fault(self) -> str:
        """The reason why the newest recording failed; empty once another goes on."""
        return self._fault

    @property
    def delay(self) -> str:
        """The reason why recordings stay on the disk for now; empty where they do not."""
        return self._elsewhere_delay() if self.recording is not None else ""

    @property
    def held_bytes(self) -> int:
        """Media of open segments, and media that waits for the disk, bytes."""
        open_bytes = sum(line.open.size_bytes for line in self._lines.values() if line.open is not None)
        # The queue of a writer that is over is in the recorder's account, as are those of earlier ones.
        is_going = self.recording is not None and not self.recording.is_over
        return open_bytes + (self.recording.queued_bytes if is_going and self.recording is not None else 0)

    # -- inside ---------------------------------------------------------------------------------

    def _finish(self) -> None:
        recording, self.recording = self.recording, None
        if recording is not None:
            recording.finish()

    def _going_recording(self) -> Recording | None:
        """The recording to add to; one is begun where it is wanted."""
        if self.recording is None:
            is_wanted = self._is_wanted() if self.is_asked is None else self.is_asked
            if not is_wanted or self._clock.monotonic() < self._retry_at:
                return None
            if self._fault and not ((self._failed is None or self._failed.is_complete) and self._has_space()):
                self._retry_at = self._clock.monotonic() + RETRY_S
                return None
            self.recording = self._begin()
            self._fault = ""
            self._failed = None
        return None if self.recording.is_over else self.recording

    def _tell_header(self, recording: Recording, line: _Line, target_duration_s: int) -> None:
        if line.told is recording:
            return
        line.told = recording
        variant = line.variant
        video = next((track for track in variant.tracks if track.kind is TrackKind.VIDEO), None)
        recording.set_header(
            RecordedRendition(
                path=variant.name,
                codecs=tuple(dict.fromkeys(track.codec for track in variant.tracks)),
                resolution_width=video.shown_width if video is not None else 0,
                resolution_height=video.height if video is not None else 0,
                frame_rate_millihertz=frame_rate_millihertz(video.frame_rate_hint) if video is not None else 0,
                channels=variant.tracks[0].channels if video is None else 0,
                is_alternative=variant.is_alternative,
            ),
            variant.cmaf_header,
            target_duration_s,
        )

    def _close_all(self) -> None:
        for line in self._lines.values():
            self._close(line)

    def _close(self, line: _Line) -> None:
        """Hand the open segment of a rendition on."""
        segment, line.open = line.open, None
        if segment is None or not segment.parts:
            return
        # One that has failed takes nothing.
        segment.recording.append(
            line.variant.name,
            segment.parts,
            duration_us=segment.duration_ticks * _US // segment.timescale,
            program_date_time_ms=line.epoch_ms + segment.start_ticks * 1000 // segment.timescale,
            is_discontinuous=segment.is_discontinuous,
        )

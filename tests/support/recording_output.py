"""An output that remembers what it is fed, and fails where a test says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.services.live.outputs import OutputContext, PartOutput, SampleOutput, StreamTracks, TagOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from streamd.formats.flv.tag import FlvTag
    from streamd.media.packager.cmaf_chunk import CmafChunk
    from streamd.media.packager.timing import PlaylistTiming
    from streamd.media.packet import Sample


class RecordingOutput(TagOutput, SampleOutput, PartOutput):
    """Takes all that there is.

    Args:
        context: None where there is no stream.
        name: As the log has it.
        fails_at: The name of the call in which it fails.
        error: How.

    Attributes:
        calls: The names of all calls, in order, but for those of once a second.
        ended_segments: How many parts there were of each rendition when its newest segment was said to be complete.
    """

    calls: list[str]

    def __init__(
        self,
        context: OutputContext | None = None,
        *,
        name: str = "recording",
        fails_at: str = "",
        error: Exception | None = None,
    ) -> None:
        self.context = context
        self.name = name
        self.fails_at = fails_at
        self.error = error or ValueError("a bug")
        self.calls = []
        self.starts: list[StreamTracks] = []
        self.epochs: list[datetime] = []
        self.captions: list[frozenset[str]] = []
        self.tags: list[FlvTag] = []
        self.batches: list[int] = []
        self.samples: list[Sample] = []
        self.parts: dict[str, list[CmafChunk]] = {}
        self.timings: set[PlaylistTiming] = set()
        self.ended_segments: dict[str, int] = {}
        self.queued = 0
        self.on_tags: Callable[[int], None] = lambda _: None

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call == self.fails_at:
            raise self.error

    def start(self, tracks: StreamTracks) -> None:
        self._note("start")
        self.starts.append(tracks)
        self.epochs.append(tracks.epoch)
        for variant in tracks.variants:
            self.parts.setdefault(variant.name, [])

    def note_leap(self, epoch: datetime) -> None:
        self._note("note_leap")
        self.epochs.append(epoch)

    def note_captions(self, channels: frozenset[str]) -> None:
        self._note("note_captions")
        self.captions.append(channels)

    def take_tags(self, tags: Sequence[FlvTag]) -> None:
        self._note("take_tags")
        self.tags += tags
        self.batches.append(len(tags))
        self.on_tags(len(tags))

    def take_samples(self, samples: Sequence[Sample]) -> None:
        self._note("take_samples")
        self.samples += samples

    def take_part(self, rendition: str, chunk: CmafChunk, timing: PlaylistTiming) -> None:
        self._note("take_part")
        self.parts[rendition].append(chunk)
        self.timings.add(timing)

    def end_segment(self, rendition: str) -> None:
        self._note("end_segment")
        self.ended_segments[rendition] = len(self.parts[rendition])

    def look(self, now: float) -> None:
        if self.fails_at == "look":
            raise self.error

    def end(self) -> float:
        self._note("end")
        return 3.0

    def release(self) -> None:
        self._note("release")

    @property
    def queued_bytes(self) -> int:
        return self.queued

    @property
    def held_bytes(self) -> int:
        return self.queued

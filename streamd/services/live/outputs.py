"""The takers of a media line's frames and parts: the socket that every capability of a stream plugs into.

An ``Output`` takes *frames*, as FLV tags (``TagOutput``) or as samples (``SampleOutput``), or *parts* (``PartOutput``),
and says by its class which. A stream has the outputs that its server makes (``StreamOptions.outputs``), and knows none
by name. An output that fails is dropped alone; the broadcast and the other outputs go on.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from streamd.errors import MediaLimitError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.formats.flv.tag import FlvTag
    from streamd.media.packager.cmaf_chunk import CmafChunk
    from streamd.media.packager.ladder import Variant
    from streamd.media.packager.numbering import Numbering
    from streamd.media.packager.rendition import RenditionOptions
    from streamd.media.packager.timing import PlaylistTiming
    from streamd.media.packet import Sample
    from streamd.services.live.gop_cache import GopLimits
    from streamd.services.live.restart_record import PlaylistRecord
    from streamd.services.live.waiters import WaiterBudget
    from streamd.services.metrics import Metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamTracks:
    """The media line's products from here on."""

    variants: tuple[Variant, ...]
    """The renditions that the parts belong to, with their CMAF headers."""
    direct: Variant
    """The tracks that go out frame by frame."""
    epoch: datetime
    """Wall time of tick 0 of the timeline."""
    begins_anew: bool = False
    """The publisher has come back: the timestamps have nothing to do with those before."""


@dataclass(frozen=True, slots=True)
class OutputContext:
    """The environment of a new output."""

    name: str
    """Channel name."""
    live_since: datetime
    numbering: Numbering
    """Where the counts of parts and segments begin at the earliest."""
    rendition: RenditionOptions
    gop: GopLimits
    clock: Clock
    metrics: Metrics
    budget: WaiterBudget
    """How many requests may wait in the whole server."""
    hurry: Callable[[], None]
    """Asks for the publisher's media as it comes; to be called when a viewer begins to wait for every frame."""
    record: PlaylistRecord | None = None
    """Another server's record of the stream's playlists."""


class Output:
    """A taker of a media line's products.

    All calls come from the loop, in the order of the media, and none may wait. An output is started before its first
    media, and again with each change of tracks. An output that raises is dropped: it gets the call of the end, and no
    other any more. ``MediaLimitError`` alone is not its own fault: the publisher has gone past a limit, and the
    broadcast ends.
    """

    name: str
    """One word, for the log and for operators."""
    queued_bytes_max: int = 0
    """Bytes that it may queue; with more it is dropped. 0 for an output without a queue."""

    def start(self, tracks: StreamTracks, /) -> None:
        """Take new tracks; whatever follows belongs to them."""

    def note_leap(self, epoch: datetime, /) -> None:
        """Note that the publisher's timestamps have leapt: what follows begins with a discontinuity.

        Args:
            epoch: Wall time of tick 0 of the timeline, as it is from here on.
        """

    def note_captions(self, channels: frozenset[str], /) -> None:
        """Note that there is text in channels of captions in the pictures.

        Args:
            channels: All that there have been, by their INSTREAM-ID (rfc8216bis-22 4.4.6.1).
        """

    def look(self, now: float, /) -> None:
        """Do what is to be done about once a second.

        Args:
            now: Loop time, seconds.
        """

    def dismiss_viewers(self) -> None:
        """End all waiting and following: the server stops, and another goes on with the stream."""

    def end(self) -> float:
        """Take no more: the stream has ended, or the output is dropped.

        Returns:
            Seconds for which its media may still be requested.
        """
        return 0.0

    def release(self) -> None:
        """Drop the media: the stream is forgotten."""

    @property
    def held_bytes(self) -> int:
        """Its memory, its queue included, bytes."""
        return 0

    @property
    def queued_bytes(self) -> int:
        """Bytes that it has taken and not passed on, as its receivers are slow."""
        return 0

    @property
    def fault(self) -> str:
        """Its trouble of the moment, for operators, while it goes on; empty where there is none."""
        return ""

    @property
    def delay(self) -> str:
        """What it waits for, while it loses nothing; empty for nothing."""
        return ""

    @property
    def viewers(self) -> int | None:
        """Its number of viewers; None if it is not for viewers."""
        return None

    @property
    def follows_frames(self) -> bool:
        """Whether a viewer waits for every frame now, so that none may be left in the kernel."""
        return False


class TagOutput(Output, ABC):
    """An output of frames as the publisher sent them."""

    @abstractmethod
    def take_tags(self, tags: Sequence[FlvTag], /) -> None:
        """Take frames of the direct tracks, in order. They are kept by others too, and not to be changed."""


class SampleOutput(Output, ABC):
    """An output of frames on the stream's timeline."""

    @abstractmethod
    def take_samples(self, samples: Sequence[Sample], /) -> None:
        """Take the frames of the direct tracks, in order, under the numbers that they have there."""


class PartOutput(Output, ABC):
    """An output of parts."""

    @property
    def takes_parts(self) -> bool:
        """Whether it has a use for parts now; asked about once a second, and no part is given to one that has none."""
        return True

    @abstractmethod
    def take_part(self, rendition: str, chunk: CmafChunk, timing: PlaylistTiming, /) -> None:
        """Take the next part of a rendition.

        Args:
            rendition: Its name, of the variants that it was started with.
            chunk: The part.
            timing: The numbers of all playlists of the stream, which never change.
        """

    @abstractmethod
    def end_segment(self, rendition: str, /) -> None:
        """Complete the newest segment of a rendition, if it is not: the next part begins another."""


class Numbered(ABC):
    """An output whose players remember the names of what they were sent: none is given twice (rfc8216bis-22 6.2.1)."""

    @property
    @abstractmethod
    def next_numbering(self) -> Numbering:
        """Where a stream that follows this one under the same name may begin at the earliest."""

    @property
    @abstractmethod
    def used_until_s(self) -> int:
        """The same as seconds since 2020 (``Numbering.seconds``); asked for every second."""

    @property
    @abstractmethod
    def has_used_numbers(self) -> bool:
        """Whether there is any media under the numbers that it began with."""

    @property
    @abstractmethod
    def record(self) -> PlaylistRecord | None:
        """The facts with which another server goes on with its playlists; None before there are any."""


AnOutput = TypeVar("AnOutput")


class Outputs:
    """The outputs of one stream, fed as one.

    Args:
        stream: Channel name, for the log.

    Attributes:
        failed: Names of those that are dropped, with the reason.
    """

    def __init__(self, stream: str) -> None:
        self.failed: dict[str, str] = {}
        self._stream = stream
        # All that there ever were, and those that are fed.
        self._all: tuple[Output, ...] = ()
        self._fed: tuple[Output, ...] = ()
        self._of_tags: tuple[TagOutput, ...] = ()
        self._of_samples: tuple[SampleOutput, ...] = ()
        self._of_frames: tuple[Output, ...] = ()
        # Those of parts, and those of them that take any now.
        self._part_outputs: tuple[PartOutput, ...] = ()
        self._of_parts: tuple[PartOutput, ...] = ()
        self._looking: tuple[Output, ...] = ()
        self._queueing: tuple[Output, ...] = ()
        self._numbered: Numbered | None = None
        self._linger_s = 0.0

    def make(self, maker: Callable[[OutputContext], Output], context: OutputContext) -> None:
        """Have an output made, and add it; one that cannot be made is told of like one that is dropped."""
        try:
            output = maker(context)
        except Exception as exc:  # noqa: BLE001  # an output's fault is not the broadcast's
            self._note_failure(getattr(maker, "name", maker.__name__), exc)
        else:
            self.add(output)

    def add(self, output: Output) -> None:
        """Add an output, before anything is fed; it is fed after those that were added before."""
        self._all += (output,)
        if self._numbered is None and isinstance(output, Numbered):
            self._numbered = output
        self._feed((*self._fed, output))

    def find(self, kind: type[AnOutput]) -> AnOutput | None:
        """The output of a class, dropped or not; None where the stream has none."""
        return next((output for output in self._all if isinstance(output, kind)), None)

    @property
    def numbered(self) -> Numbered | None:
        """The output whose players remember names, dropped or not; None where the stream has none."""
        return self._numbered

    # -- what the media line makes ------------------------------------------------------------

    def start(self, tracks: StreamTracks) -> None:
        """Start all of them with new tracks.

        Raises:
            MediaLimitError: Like all calls that feed: the publisher has gone past a limit.
        """
        self._tell(lambda output: output.start(tracks))
        self._choose_of_parts()

    def note_leap(self, epoch: datetime) -> None:
        """Tell all of a leap of the publisher's timestamps."""
        self._tell(lambda output: output.note_leap(epoch))

    def note_captions(self, channels: frozenset[str]) -> None:
        """Tell all of the channels of captions."""
        self._tell(lambda output: output.note_captions(channels))

    def take_tags(self, tags: Sequence[FlvTag]) -> None:
        """Feed frames as the publisher sent them."""
        for output in self._of_tags:
            try:
                output.take_tags(tags)
            except Exception as exc:  # noqa: BLE001  # an output's fault is not the broadcast's
                self._drop(output, exc)
        if self._queueing:
            self._drop_slow()

    def take_samples(self, samples: Sequence[Sample]) -> None:
        """Feed frames on the stream's timeline."""
        for output in self._of_samples:
            try:
                output.take_samples(samples)
            except Exception as exc:  # noqa: BLE001  # an output's fault is not the broadcast's
                self._drop(output, exc)
        if self._queueing:
            self._drop_slow()

    def take_part(self, rendition: str, chunk: CmafChunk, timing: PlaylistTiming) -> None:
        """Feed the next part of a rendition."""
        for output in self._of_parts:
            try:
                output.take_part(rendition, chunk, timing)
            except Exception as exc:  # noqa: BLE001  # an output's fault is not the broadcast's
                self._drop(output, exc)
        if self._queueing:
            self._drop_slow()

    def end_segment(self, rendition: str) -> None:
        """Say that a rendition's newest segment is complete."""
        for output in self._of_parts:
            try:
                output.end_segment(rendition)
            except Exception as exc:  # noqa: BLE001  # an output's fault is not the broadcast's
                self._drop(output, exc)

    # -- what the stream does ------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Have all do what is to be done about once a second.

        Raises:
            MediaLimitError: The publisher has gone past a limit.
        """
        for output in self._looking:
            try:
                output.look(now)
            except Exception as exc:  # noqa: BLE001  # an output's fault is not the broadcast's
                self._drop(output, exc)
        self._choose_of_parts()
        if self._queueing:
            self._drop_slow()

    def dismiss_viewers(self) -> None:
        """Have nobody wait or follow any more."""
        self._tell(lambda output: output.dismiss_viewers())

    def end(self) -> float:
        """End all of them; again changes nothing.

        Returns:
            For how long what they have may still be asked for, seconds.
        """
        for output in self._fed:
            self._end(output)
        self._feed(())
        return self._linger_s

    def release(self) -> None:
        """Have all let go of their media."""
        for output in self._all:
            try:
                output.release()
            except Exception as exc:  # noqa: BLE001  # an output's fault is not the server's
                self._note_failure(output.name, exc)

    @property
    def faults(self) -> Mapping[str, str]:
        """The trouble of those that go on in spite of it, by name."""
        return {output.name: fault for output in self._fed if (fault := output.fault)}

    @property
    def delays(self) -> Mapping[str, str]:
        """What those that go on wait for, by name."""
        return {output.name: delay for output in self._fed if (delay := output.delay)}

    @property
    def held_bytes(self) -> int:
        """Memory of all of them, bytes; dropped ones included, until they are released."""
        return sum([output.held_bytes for output in self._all])

    @property
    def viewers(self) -> Mapping[str, int]:
        """Viewers, by the name of the output."""
        return {output.name: viewers for output in self._all if (viewers := output.viewers) is not None}

    @property
    def follows_frames(self) -> bool:
        """Whether a viewer waits for every frame now."""
        for output in self._of_frames:  # noqa: SIM110  # asked with every read
            if output.follows_frames:
                return True
        return False

    # -- inside ---------------------------------------------------------------------------------

    def _tell(self, call: Callable[[Output], None]) -> None:
        for output in self._fed:
            try:
                call(output)
            except Exception as exc:  # noqa: BLE001  # an output's fault is not the broadcast's
                self._drop(output, exc)

    def _choose_of_parts(self) -> None:
        """Leave out what has no use for parts: recording that is off costs nothing."""
        self._of_parts = tuple([output for output in self._part_outputs if output.takes_parts])

    def _drop_slow(self) -> None:
        for output in self._queueing:
            queued_bytes = output.queued_bytes
            if queued_bytes > output.queued_bytes_max:
                self._drop(output, OutputError(f"{queued_bytes} bytes wait, {output.queued_bytes_max} may"))

    def _drop(self, output: Output, error: Exception) -> None:
        """Do without an output from now on.

        Raises:
            MediaLimitError: It is that, and the publisher's fault.
        """
        if isinstance(error, MediaLimitError):
            raise error
        self._note_failure(output.name, error)
        self._feed(tuple(other for other in self._fed if other is not output))
        self._end(output)

    def _end(self, output: Output) -> None:
        try:
            self._linger_s = max(self._linger_s, output.end())
        except Exception as exc:  # noqa: BLE001  # an output's fault is not the broadcast's
            self._note_failure(output.name, exc)

    def _note_failure(self, name: str, error: Exception) -> None:
        """Tell of an output's failure, once."""
        if name in self.failed:
            return
        is_ours = not isinstance(error, OutputError)
        self.failed[name] = "internal error" if is_ours else str(error)
        log.error(
            "output.failed",
            extra={"stream": self._stream, "output": name, "reason": self.failed[name]},
            exc_info=error if is_ours else None,
        )

    def _feed(self, outputs: tuple[Output, ...]) -> None:
        self._fed = outputs
        self._of_tags = tuple(output for output in outputs if isinstance(output, TagOutput))
        self._of_samples = tuple(output for output in outputs if isinstance(output, SampleOutput))
        self._of_frames = tuple(output for output in outputs if isinstance(output, TagOutput | SampleOutput))
        self._part_outputs = tuple(output for output in outputs if isinstance(output, PartOutput))
        self._choose_of_parts()
        # Those that have anything to do then.
        self._looking = tuple(output for output in outputs if type(output).look is not Output.look)
        self._queueing = tuple(output for output in outputs if output.queued_bytes_max)

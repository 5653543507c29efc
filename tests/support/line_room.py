"""A media line with its real demuxer, and an output that remembers what came out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from streamd.clock import ManualClock
from streamd.errors import DemuxError, MediaLimitError
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media.demux import DemuxerKind, open_demuxer
from streamd.media.packager.segmenter import SegmenterOptions
from streamd.media.timeline import Repair
from streamd.services.live import opening
from streamd.services.live.media_line import MediaLine
from streamd.services.live.meter import StreamMeter
from streamd.services.live.outputs import Outputs
from streamd.services.metrics import Metrics
from tests.support.ingest import eventually
from tests.support.recording_output import RecordingOutput

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import pytest

    from streamd.media.demux import Demuxer
    from streamd.media.intake.actions import Open
    from streamd.media.packager.cmaf_chunk import CmafChunk
    from streamd.media.packet import MediaPacket
    from streamd.services.live.packaging import Continuation

HOUR_MS = 3_600_000


@dataclass
class LineRoom:
    """A line, and an output that remembers all that it gave out."""

    clock: ManualClock = field(default_factory=ManualClock)
    metrics: Metrics = field(default_factory=Metrics)
    meter: StreamMeter = field(default_factory=StreamMeter)
    output: RecordingOutput = field(default_factory=RecordingOutput)
    error: Exception | None = None
    probing: asyncio.Semaphore | None = None
    pixels_max: int = 10_000_000
    continuation: Continuation | None = None
    demuxer: DemuxerKind | None = None
    """None: as ``any_demuxer`` has it."""
    warnings: list[str] = field(default_factory=list)
    charged: list[float] = field(default_factory=list)
    """Processor time, seconds."""
    tag_s: float = 0.0
    """What each that goes on costs."""

    any_demuxer: ClassVar[DemuxerKind] = DemuxerKind.PYAV

    def __post_init__(self) -> None:
        outputs = Outputs("alice")
        outputs.add(self.output)
        self.output.on_tags = lambda count: self.clock.work(self.tag_s * count)
        self.line = MediaLine(
            outputs,
            options=SegmenterOptions(),
            clock=self.clock,
            metrics=self.metrics,
            meter=self.meter,
            warn=lambda reason, _: self.warnings.append(reason),
            charge=self.charged.append,
            on_failed=self.fail,
            picture_pixels_max=lambda: self.pixels_max,
            continuation=self.continuation,
            probing=self.probing,
            demuxer=self.demuxer or self.any_demuxer,
        )

    def fail(self, error: Exception) -> None:
        self.error = error

    @property
    def chunks(self) -> dict[str, list[CmafChunk]]:
        return self.output.parts

    @property
    def epochs(self) -> list[datetime]:
        return self.output.epochs

    @property
    def tags(self) -> list[FlvTag]:
        return self.output.tags

    @property
    def leaps(self) -> int:
        return self.output.calls.count("note_leap")

    async def receive(self, tags: Sequence[FlvTag]) -> None:
        """Give the line tags, the first of which open its demuxer."""
        self.line.receive(tags)
        await eventually(lambda: self.chunks or self.error)
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing is being opened, and nothing queues."""
        await eventually(lambda: not self.line.when_open(lambda: None))

    def repaired(self, repair: Repair) -> float:
        value = self.metrics.registry.get_sample_value("streamd_timestamps_repaired_total", {"reason": repair.value})
        return value or 0.0

    @property
    def is_open(self) -> bool:
        """Whether no demuxer is being opened."""
        return not self.line.when_open(lambda: None)

    def counted(self, name: str, kind: DemuxerKind) -> float:
        return self.metrics.registry.get_sample_value(name, {"demuxer": kind.value}) or 0.0


def later(tags: Iterable[FlvTag], by_ms: int) -> list[FlvTag]:
    return [replace(tag, timestamp_ms=tag.timestamp_ms + by_ms) for tag in tags]


def discontinuities(chunks: Sequence[CmafChunk]) -> list[CmafChunk]:
    return [chunk for chunk in chunks if chunk.is_discontinuous]


def assert_is_continuous(chunks: Sequence[CmafChunk]) -> None:
    """Every chunk starts where the one before it ended, but for sound that went beyond the picture at a leap."""
    end_ticks = chunks[0].start_ticks
    for chunk in chunks:
        if chunk.is_discontinuous:
            assert abs(chunk.start_ticks - end_ticks) <= chunk.timescale // 10
        else:
            assert chunk.start_ticks == end_ticks
        end_ticks = chunk.start_ticks + chunk.duration_ticks


AVC_HEADER = FlvTag(
    TagType.VIDEO, 0, b"\x17\x00\x00\x00\x00" + bytes.fromhex("0142c01fffe1000b6742c01fd900780227e54001000568cb83cb20")
)


def another_header(number: int) -> FlvTag:
    """Good, and different from all others in what stands behind its parameter sets."""
    return replace(AVC_HEADER, payload=bytes(AVC_HEADER.payload) + number.to_bytes(4, "big"))


def picture(timestamp_ms: int, *, is_key: bool = False, size: int = 30) -> FlvTag:
    return FlvTag(TagType.VIDEO, timestamp_ms, (b"\x17" if is_key else b"\x27") + b"\x01\x00\x00\x00" + bytes(size))


def video_only(room: LineRoom) -> None:
    room.line.receive_metadata({"hasVideo": True, "hasAudio": False})


def limit_of(error: Exception | None) -> str:
    assert isinstance(error, MediaLimitError)
    return error.limit


class FailingDemuxer:
    """A demuxer that fails with its ``fails_at``-th batch; ``made`` has all there were."""

    made: ClassVar[list[FailingDemuxer]] = []

    def __init__(self, demuxer: Demuxer, fails_at: int | None) -> None:
        self._demuxer = demuxer
        self.fails_at = fails_at
        self.batches = 0
        self.is_closed = False
        self.made.append(self)

    def demux(self, tags: Sequence[FlvTag]) -> list[MediaPacket]:
        assert not self.is_closed
        self.batches += 1
        if self.batches == self.fails_at:
            raise DemuxError("lost step")
        return self._demuxer.demux(tags)

    def close(self) -> None:
        self.is_closed = True
        self._demuxer.close()


def let_fail(monkeypatch: pytest.MonkeyPatch, *fails_at: int | None) -> list[FailingDemuxer]:
    """Have each demuxer that is opened fail at one of its batches, the last one's standing for all that follow."""
    made: list[FailingDemuxer] = []
    monkeypatch.setattr(FailingDemuxer, "made", made)

    def opened(kind: DemuxerKind, opening: Open) -> FailingDemuxer:
        return FailingDemuxer(open_demuxer(kind, opening), fails_at[min(len(made), len(fails_at) - 1)])

    monkeypatch.setattr(opening, "open_demuxer", opened)
    return made

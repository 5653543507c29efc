"""A room that keeps evidence of real streams, with what it needs."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from unittest.mock import Mock

from streamd.services.live.publisher import EndReason
from streamd.services.live.stream_options import OUTPUTS
from streamd.services.moderation.evidence.maker import EvidenceMaker
from streamd.services.moderation.evidence.room import EvidenceRoom
from streamd.services.moderation.evidence.shelf import EvidenceOptions, EvidenceShelf
from streamd.services.moderation.evidence.sources import EvidenceSources
from streamd.services.moderation.evidence.store import EvidenceStore
from streamd.services.moderation.evidence.timestamping import TimeStamper
from streamd.services.recording.clip_index import ClipIndex
from streamd.services.recording.index import RecordingIndex
from streamd.services.recording.past import Pasts
from streamd.services.recording.recorder import Recorder, RecorderOptions
from streamd.services.recording.records import RecordingMode
from tests.support.flv_media import h264_aac
from tests.support.ingest import NOON, IngestRoom, Peer, eventually, publish
from tests.support.recordings import OPTIONS
from tests.support.rtmp_wire import message

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from pathlib import Path

    from streamd.media.storyboard import CellSize
    from streamd.services.events.sender import Sender
    from streamd.services.keys.key_store import KeyStore
    from streamd.services.moderation.evidence.chain import EvidenceRecord
    from streamd.services.moderation.evidence.maker import Artist

CASE = "case_01kjmg3m00aaaaaaaaaaaaaaaa"
OTHER_CASE = "case_01kjmg3m01aaaaaaaaaaaaaaaa"


@dataclass(frozen=True)
class Target:
    """What was reported."""

    kind: str = "channel"
    id: str = "alice"
    channel: str = "alice"


@dataclass
class StandInCases:
    """Cases of violence, some of which are open."""

    open: set[str] = field(default_factory=set)
    restricted: set[str] = field(default_factory=set)

    async def about(self, case_id: str) -> tuple[str, bool]:
        return "VIOLENCE", case_id in self.restricted

    async def restricted_among(self, case_ids: Collection[str]) -> Collection[str]:
        return self.restricted & set(case_ids)

    async def needed_among(self, case_ids: Collection[str], before: datetime) -> Collection[str]:
        return self.open & set(case_ids)


@dataclass
class PaintedArtist:
    """Draws the same picture of everything, as soon as it may."""

    jpeg: bytes | None = b"\xff\xd8 a picture \xff\xd9"
    error: Exception | None = None
    may_draw: asyncio.Event = field(default_factory=asyncio.Event)
    drawn: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_closed: bool = False

    def __post_init__(self) -> None:
        self.may_draw.set()

    async def draw(self, cmaf_header: bytes, fragment: bytes) -> bytes | None:
        self.drawn.append((cmaf_header, fragment))
        await self.may_draw.wait()
        if self.error is not None:
            raise self.error
        return self.jpeg

    async def draw_cell(self, cmaf_header: bytes, fragment: bytes, size: CellSize) -> bytes | None:
        return bytes(size.bytes)

    async def draw_sheet(self, cells: bytes, size: CellSize) -> bytes | None:
        return b"\xff\xd8 a blur \xff\xd9"

    async def close(self) -> None:
        self.is_closed = True


class EvidenceHouse:
    """Alice's broadcast, and who keeps evidence of it.

    Args:
        store: Has the index.
        directory: Of recordings and evidence.
        artist: Draws.
        mode: Which broadcasts are recorded.
        options: How much is kept.
        stamper: The way to an authority that stamps.
    """

    def __init__(
        self,
        store: KeyStore,
        directory: Path,
        artist: Artist,
        mode: RecordingMode = RecordingMode.OFF,
        options: EvidenceOptions | None = None,
        stamper: Sender | None = None,
    ) -> None:
        self.directory = directory / "evidence"
        self.counts: list[str] = []
        self.news: list[str] = []
        self.cases = StandInCases()
        self.ingest = IngestRoom(outputs=(*OUTPUTS, lambda context: self.recorder.output(context)), start=NOON)
        self.clock = self.ingest.clock
        self.recorder = Recorder(
            RecorderOptions(mode, directory / "recordings", replace(OPTIONS, min_free_bytes=1)),
            RecordingIndex(store.database),
            self.clock,
        )
        self.pasts = Pasts(0, self.clock)
        self.store = EvidenceStore(store.database)
        self._artist = artist
        self._options = options or EvidenceOptions()
        self.stamper = TimeStamper("http://tsa.example" if stamper is not None else "", stamper or Mock())
        self._keys = store
        self.room = self.new_room()

    def new_room(self) -> EvidenceRoom:
        """A room of another server on the same directory."""
        pool = ThreadPoolExecutor(2)
        index = self.recorder.index
        sources = EvidenceSources(
            self.ingest.registry,
            self.pasts,
            index,
            self.recorder.recording_of,
            self.recorder.folder,
            ClipIndex(self._keys.database, index),
            pool,
        )
        shelf = EvidenceShelf(
            self._options, self.directory, self.store, self.clock, pool,
            cases=self.cases, stamper=self.stamper,
        )  # fmt: skip
        maker = EvidenceMaker(shelf, sources, self._artist, self.clock)
        return EvidenceRoom(
            shelf, maker, sources, self.clock, pool,
            count=self.counts.append, on_kept=lambda: self.news.append("kept"),
        )  # fmt: skip

    async def go_live(self, seconds: int = 6) -> Peer:
        """Alice's broadcast so far, packaged."""
        peer = await publish(self.ingest)
        await self.send(peer, seconds)
        return peer

    async def send(self, peer: Peer, seconds: int, from_ms: int = 0) -> None:
        """Send seconds of media, and have them packaged."""
        tags = h264_aac(seconds)
        await peer.send_all(
            *(message(tag.tag_type, bytes(tag.payload), time_ms=from_ms + tag.timestamp_ms) for tag in tags)
        )
        stream = self.ingest.registry.find("alice")
        assert stream is not None
        await eventually(lambda: stream.is_playable)
        await eventually(lambda: not stream.when_open(lambda: None))

    def end(self) -> None:
        """End the broadcast, as a kick does."""
        stream = self.ingest.registry.find("alice")
        assert stream is not None
        self.ingest.registry.end(stream, EndReason.KICKED)

    async def keep(
        self, case_id: str = CASE, target: Target | None = None, at_s: float | None = None
    ) -> EvidenceRecord:
        """Keep a piece, and wait for it."""
        evidence_id = self.room.begin(case_id, target or Target(), at_s)
        assert evidence_id
        await self.room.wait(case_id)
        return await self.store.find(evidence_id)

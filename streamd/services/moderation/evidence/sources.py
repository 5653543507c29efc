"""Where the media and the facts of evidence come from: live streams, the past, recordings and clips."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from streamd.services.moderation.evidence.media import (
    INSTANT_FROM_S,
    PAST,
    RECORDING,
    OnDisk,
    Piece,
    RecordedMedia,
    Snapshot,
    Span,
    choose,
    hold,
)
from streamd.services.recording.records import RecordingFilter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from concurrent.futures import Executor
    from pathlib import Path

    from streamd.services.live.channel import Channel
    from streamd.services.live.live_stream import LiveStream
    from streamd.services.recording.clip_records import Clip
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.past import Past
    from streamd.services.recording.records import RecordingRecord
    from streamd.services.store.page import Page

T = TypeVar("T")

# The newest recordings of a channel, among which the one with the moment of a report is looked for.
RECORDINGS_SEARCHED = 16
# A playlist or header that a bucket has and the disk lacks.
_SMALL = (".m3u8", ".mp4", ".json")


class EvidenceTarget(Protocol):
    """What was reported."""

    @property
    def kind(self) -> str:
        """``channel``, ``key``, ``recording`` or ``clip``."""

    @property
    def id(self) -> str:
        """Name of the channel, id of the key, the recording or the clip."""

    @property
    def channel(self) -> str:
        """The channel that it belongs to."""


class LiveStreams(Protocol):
    """The live streams."""

    def find(self, name: str) -> LiveStream | None:
        """A stream that is live, or has ended so lately that its playlist is still served."""

    def find_channel(self, name: str) -> Channel | None:
        """Likewise, as doors see it."""


class Pasts(Protocol):
    """The past of live streams."""

    def find(self, name: str) -> Past | None:
        """The past of a channel."""


class Recordings(Protocol):
    """The index of recordings."""

    async def find(self, recording_id: str) -> RecordingRecord | None:
        """Find a recording; None where there is none."""

    async def page(self, found: RecordingFilter, *, limit: int) -> Page[RecordingRecord]:
        """Recordings, the newest first."""


class ClipsIndex(Protocol):
    """The index of clips."""

    async def find(self, clip_id: str) -> Clip | None:
        """Find a clip; None where there is none."""


class Bucket(Protocol):
    """Recordings that a bucket alone has."""

    async def bring(self, record: RecordingRecord, is_wanted: Callable[[str], bool]) -> RecordingFolder | None:
        """Have small files of a recording on the disk."""

    def read(self, record: RecordingRecord, path: str, start: int, stop: int) -> AsyncGenerator[bytes]:
        """Bytes of a media file, a piece at a time."""


@dataclass(frozen=True, slots=True)
class HeldFacts:
    """What was known of a channel at the moment of a report."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    live: dict[str, Any] | None = None
    """The facts of its stream, as JSON's types; None where it was not live."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is kept."""

    renditions: dict[str, tuple[Piece, ...]] = field(default_factory=dict)
    """The segments of each, the first variant first."""
    at_ms: int | None = None
    """When what was reported was seen, wall time."""
    is_cut: bool = False
    """Some was left out, for it was more than is kept."""
    recording: dict[str, Any] | None = None
    """The facts of the recording, as JSON's types."""


class EvidenceSources:
    """Finds what is kept.

    Args:
        streams: The live streams.
        pasts: What viewers can go back to.
        recordings: The index of recordings.
        recording_of: The id of the recording that a channel's broadcast goes into now; empty where it is not recorded.
        folder: The files of a recording.
        clips: The index of clips.
        bucket: Has recordings that the disk lacks; None where there is none.
        pool: Threads that may wait for the disk.
    """

    def __init__(
        self,
        streams: LiveStreams,
        pasts: Pasts,
        recordings: Recordings,
        recording_of: Callable[[str], str],
        folder: Callable[[RecordingRecord], RecordingFolder],
        clips: ClipsIndex,
        pool: Executor,
        bucket: Bucket | None = None,
    ) -> None:
        self._streams = streams
        self._pasts = pasts
        self._recordings = recordings
        self._recording_of = recording_of
        self._folder = folder
        self._clips = clips
        self._pool = pool
        self._bucket = bucket
        self._recorded = RecordedMedia()
        self._turn = asyncio.Lock()

    @property
    def held_bytes(self) -> int:
        """Memory of what is kept for the next time, bytes."""
        return self._recorded.held_bytes

    def hold(self, name: str) -> HeldFacts:
        """Hold what is known of a channel now; nothing is copied, and nobody is waited for."""
        stream, channel = self._streams.find(name), self._streams.find_channel(name)
        if stream is None or channel is None:
            return HeldFacts()
        summary = stream.summary()
        return HeldFacts(
            hold(channel.presentation),
            {
                "is_live": stream.is_live,
                "live_since": stream.live_since.isoformat(),
                "user": stream.broadcaster.admission.user,
                "key_id": stream.broadcaster.admission.key_id,
                "publisher_address": stream.broadcaster.address,
                "encoder": stream.broadcaster.encoder,
                "codecs": list(summary.codecs),
                "width": summary.width,
                "height": summary.height,
                "viewers": dict(summary.viewers),
            },
        )

    async def find(
        self, target: EvidenceTarget, at_s: float | None, held: HeldFacts, *, last_s: int, bytes_max: int, staging: Path
    ) -> Found:
        """Find the media that is kept.

        Args:
            target: What was reported.
            at_s: When what was reported was seen: seconds since 1970; of a recording or a clip also from its
                beginning. None for now, or the beginning.
            held: What was in memory when it was reported.
            last_s: What is kept before that moment, seconds; 0 for a picture alone.
            bytes_max: Of all of it; the oldest is left out beyond.
            staging: A folder for what is fetched from a bucket; made when it is needed.

        Raises:
            OSError: The disk does not answer.
            StoreUnavailableError: The index does not.
            StorageError: The bucket does not.
        """
        if target.kind in ("recording", "clip"):
            found = await self._find_recorded(target, at_s, last_s)
        else:
            found = await self._find_live(target.channel, at_s, held, last_s)
        if found is None:
            return Found()
        window, recorded, span, record = found
        renditions: dict[str, tuple[Piece, ...]] = {}
        is_cut = False
        for name in dict.fromkeys((*window, *recorded)):
            # The first variant has what it needs; its sound in other languages shares the rest.
            kept, was_cut = choose(window.get(name, ()), recorded.get(name, ()), span, bytes_max)
            bytes_max -= sum(piece.content.size_bytes for piece in kept)
            is_cut |= was_cut
            if kept:
                renditions[name] = kept
        if record is not None and self._bucket is not None:
            renditions = {
                name: tuple([await self._fetched(self._bucket, record, piece, staging) for piece in pieces])
                for name, pieces in renditions.items()
            }
        return Found(renditions, span.at_ms, is_cut, None if record is None else _facts_of(record))

    # -- inside ------------------------------------------------------------------------------------

    async def _find_live(
        self, name: str, at_s: float | None, held: HeldFacts, last_s: int
    ) -> tuple[dict[str, tuple[Piece, ...]], dict[str, tuple[Piece, ...]], Span, RecordingRecord | None] | None:
        snapshot = held.snapshot
        newest_ms = snapshot.newest_ms
        at_ms = None if at_s is None else round(at_s * 1000)
        if at_ms is not None and newest_ms is not None:
            # Nothing has been seen that is not there yet.
            at_ms = min(at_ms, newest_ms)
        folder, source, record = await self._recorded_of(name, at_ms)
        if at_ms is None:
            at_ms = newest_ms
        if at_ms is None and folder is not None:
            at_ms = await self._read(partial(self._recorded.newest_ms, folder))
        if at_ms is None:
            return None
        span = Span.around(at_ms, last_s)
        main = next(iter(snapshot.pieces.values()), ())
        if folder is None or (main and main[0].began_ms <= span.from_ms):
            return snapshot.pieces, {}, span, record
        recorded = await self._read(partial(self._recorded.pieces, folder, span, source))
        return snapshot.pieces, recorded, span, record

    async def _find_recorded(
        self, target: EvidenceTarget, at_s: float | None, last_s: int
    ) -> tuple[dict[str, tuple[Piece, ...]], dict[str, tuple[Piece, ...]], Span, RecordingRecord | None] | None:
        recording_id = target.id
        if target.kind == "clip":
            clip = await self._clips.find(target.id)
            if clip is None:
                return None
            recording_id, begin_s = clip.recording_id, clip.start_actual_ms / 1000
            if at_s is None or at_s < INSTANT_FROM_S:
                # Viewers of a clip see its beginning first, and go on from there.
                at_s = begin_s + (at_s if at_s is not None else min(last_s, clip.duration_ms / 1000))
        record = await self._recordings.find(recording_id)
        if record is None:
            return None
        folder = await self._local(record)
        span = await self._read(partial(self._recorded.span_of, folder, at_s, last_s))
        if span is None:
            return None
        return {}, await self._read(partial(self._recorded.pieces, folder, span, RECORDING)), span, record

    async def _recorded_of(
        self, name: str, at_ms: int | None
    ) -> tuple[RecordingFolder | None, str, RecordingRecord | None]:
        """What has the media of a channel that is in memory no more."""
        if recording_id := self._recording_of(name):
            record = await self._recordings.find(recording_id)
            if record is not None and (at_ms is None or record.started_at.timestamp() * 1000 <= at_ms):
                return await self._local(record), RECORDING, record
        if (past := self._pasts.find(name)) is not None:
            return past.folder, PAST, None
        page = await self._recordings.page(RecordingFilter(user=name), limit=RECORDINGS_SEARCHED)
        for record in page.items:
            if at_ms is None or record.started_at.timestamp() * 1000 <= at_ms:
                return await self._local(record), RECORDING, record
        return None, "", None

    async def _local(self, record: RecordingRecord) -> RecordingFolder:
        """The folder of a recording with its playlists, which a bucket may have."""
        folder = self._folder(record)
        if self._bucket is not None and not await self._read(folder.index.exists):
            return await self._bucket.bring(record, lambda path: path.endswith(_SMALL)) or folder
        return folder

    async def _fetched(self, bucket: Bucket, record: RecordingRecord, piece: Piece, staging: Path) -> Piece:
        """A segment whose file is on the disk: fetched there, where the bucket alone has it."""
        content = piece.content
        if not isinstance(content, OnDisk) or await self._read(content.path.exists):
            return piece
        path = staging / f"{piece.stored.replace('/', '-')}-{content.offset}"
        await self._read(lambda: staging.mkdir(mode=0o700, parents=True, exist_ok=True))
        with await self._read(lambda: path.open("wb")) as file:
            async for block in bucket.read(record, piece.stored, content.offset, content.offset + content.size_bytes):
                await self._read(partial(file.write, block))
        return replace(piece, content=OnDisk(path, 0, content.size_bytes))

    async def _read(self, work: Callable[[], T]) -> T:
        # Playlists that are remembered are used by one thread at a time.
        async with self._turn:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _facts_of(record: RecordingRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "user": record.user,
        "title": record.title,
        "state": record.state.value,
        "visibility": record.visibility.value,
        "started_at": record.started_at.isoformat(),
        "duration_s": record.duration_ms / 1000,
    }

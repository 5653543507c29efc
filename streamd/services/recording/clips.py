"""Clips: some segments of a recording under a name of their own, made at once and without a copy of any media.

A clip holds what its playlists say, in the index, and its recording has the media: a rule deletes no recording that has
a clip, and a recording that is deleted by hand, or whose user is suspended or deleted, takes its clips with it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from streamd.errors import ClipRefusedError, ClipsBusyError, ClipTimesError, RecordingNotFoundError
from streamd.limits import CLIPS
from streamd.services.audit.records import AuditEntry
from streamd.services.bounds.allowance import Allowance
from streamd.services.events.event import Event, EventType
from streamd.services.recording.clip_records import Clip, ClipMaker, ClipMedia, ClipRendition, ClipState
from streamd.services.recording.clip_times import choose_segments, same_time
from streamd.services.recording.folder import init_name
from streamd.services.recording.playlist_file import parse_playlist
from streamd.services.recording.recording_id import new_clip_id
from streamd.services.recording.records import RecordingState
from streamd.services.recording.recovery import recorded_document

if TYPE_CHECKING:
    from pathlib import Path

    from streamd.clock import Clock
    from streamd.services.audit.records import Actor
    from streamd.services.events.event import EventSink, Value
    from streamd.services.recording.clip_index import ClipIndex
    from streamd.services.recording.clip_times import ClipRange, ClipTimes
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.playlist_file import RecordedSegment
    from streamd.services.recording.recorder import Recorder
    from streamd.services.recording.records import RecordingRecord

log = logging.getLogger(__name__)

# Clips of all askers together: a crowd that sees something. Past it they are told to come back.
CLIPS_AT_ONCE_MAX = 120
CLIPS_PER_SECOND = 2.0
# Askers who wait for their turn: each clip reads a playlist, one at a time.
WAITING_MAX = 32
# Segments of playlists that are kept for the next clip, 270 bytes each: a broadcast of a day in two qualities.
KEPT_SEGMENTS_MAX = 100_000

_OPEN = frozenset({RecordingState.RECORDING, RecordingState.FINALIZING})
_LAST_LINE = b".m4s\n"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """The people who may make clips, and how long a clip may be."""

    who: ClipMaker = ClipMaker.OPERATORS
    max_s: int = CLIPS.max_s
    """Seconds that a clip may be asked for; whole segments add to it."""
    per_address_per_hour: int = CLIPS.per_address_per_hour
    """Clips of viewers at one address."""


@dataclass
class _Known:
    """A media playlist so far."""

    inode: int
    read_bytes: int
    target_duration_s: int
    segments: list[RecordedSegment]


class SegmentLists:
    """The segments of recorded renditions, of which the new ones alone are read.

    Used by one thread at a time.
    """

    def __init__(self) -> None:
        # The one that was asked for last stands last.
        self._known: dict[Path, _Known] = {}

    def read(self, path: Path) -> tuple[int, list[RecordedSegment]]:
        """The segments of a playlist, which belong to this, and its target duration in whole seconds.

        Raises:
            OSError: It cannot be read.
        """
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            known = self._known.pop(path, None)
            if known is None or known.inode != found.st_ino or found.st_size < known.read_bytes:
                known = _Known(found.st_ino, 0, 0, [])
            file.seek(known.read_bytes)
            data = file.read(found.st_size - known.read_bytes)
        # Up to the last segment that is whole.
        data = data[: data.rfind(_LAST_LINE) + len(_LAST_LINE)] if _LAST_LINE in data else b""
        last = known.segments[-1] if known.segments else None
        playlist = parse_playlist(data.decode(errors="replace"), last.init_number if last is not None else 0)
        known.read_bytes += len(data)
        known.target_duration_s = known.target_duration_s or playlist.target_duration_s
        known.segments += playlist.segments
        self._known[path] = known
        kept = sum(len(each.segments) for each in self._known.values())
        while kept > KEPT_SEGMENTS_MAX:
            kept -= len(self._known.pop(next(iter(self._known))).segments)
        return known.target_duration_s, known.segments

    @property
    def count(self) -> int:
        """Segments that are kept."""
        return sum(len(each.segments) for each in self._known.values())


class Clips:
    """Makes and deletes clips.

    Args:
        options: The people who may make clips, and how long a clip may be.
        recorder: Has the recordings.
        index: The index of all clips.
        clock: For dates and the pace.
        tell: Receives the events of clips.

    Attributes:
        options: As given, or as they were read again.
        index: As given.
    """

    def __init__(
        self, options: ClipOptions, *, recorder: Recorder, index: ClipIndex, clock: Clock, tell: EventSink
    ) -> None:
        self.options = options
        self.index = index
        self._recorder = recorder
        self._clock = clock
        self._tell = tell
        self._pace = Allowance(CLIPS_PER_SECOND, CLIPS_AT_ONCE_MAX, clock.monotonic())
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._lists = SegmentLists()

    @property
    def held_bytes(self) -> int:
        """Memory of what is kept for the next clip, bytes."""
        return 270 * self._lists.count

    async def recording_of(self, name: str) -> RecordingRecord:
        """The recording that a channel's broadcast goes into now.

        Raises:
            ClipRefusedError: It is not recorded.
            StoreUnavailableError: The index could not be asked.
        """
        recording_id = self._recorder.recording_of(name)
        record = await self._recorder.index.find(recording_id) if recording_id else None
        if record is None:
            raise ClipRefusedError(f"{name} is not being recorded now: a clip is cut from a recording")
        return record

    async def make(self, record: RecordingRecord, asked: ClipTimes, title: str, actor: Actor) -> Clip:
        """Make a clip of a recording, which can be watched when this returns.

        Args:
            record: The recording; it may go on.
            asked: The times.
            title: For people; may be empty.
            actor: The person who asks, for the audit log.

        Raises:
            ClipTimesError: The times do not fit.
            ClipRefusedError: The recording is deleted, its files are not here, or it has too many clips.
            ClipsBusyError: Too many clips are being made.
            StoreUnavailableError: It could not be written.
        """
        if record.state is RecordingState.DELETED:
            raise ClipRefusedError("the recording is deleted")
        if self._waiting >= WAITING_MAX or not self._pace.take(self._clock.monotonic()):
            raise ClipsBusyError
        self._waiting += 1
        try:
            async with self._turn:
                clip = await self._cut(record, asked, title, actor)
        finally:
            self._waiting -= 1
        facts: dict[str, Value] = {
            "clip_id": clip.id,
            "recording_id": clip.recording_id,
            "duration_s": clip.duration_ms / 1000,
        }
        log.info("clip.created", extra={"stream": clip.user, "by": actor.name, **facts})
        self._tell(Event(EventType.CLIP_CREATED, clip.created_at, {"user": clip.user, "title": title, **facts}))
        return clip

    async def delete(self, clip: Clip, actor: Actor, reason: str) -> Clip:
        """Delete a clip: nobody finds it from here on, and its recording is pinned by it no more.

        Raises:
            ClipNotFoundError: There is none.
            StoreUnavailableError: It could not be written; the clip stays.
        """
        entry = AuditEntry(
            self._clock.now(), actor.name, "clip.deleted", actor.address, user=clip.user, stream=clip.user,
            reason=": ".join(filter(None, (clip.id, reason))),
        )  # fmt: skip
        deleted = await self.index.delete(clip.id, reason, entry)
        log.info("clip.deleted", extra={"stream": clip.user, "clip_id": clip.id, "reason": reason})
        return deleted

    async def rename(self, clip: Clip, actor: Actor, title: str) -> Clip:
        """Give a clip another title.

        Raises:
            ClipNotFoundError: There is none, or it is deleted.
            StoreUnavailableError: It could not be written.
        """
        entry = AuditEntry(
            self._clock.now(), actor.name, "clip.changed", actor.address, user=clip.user, stream=clip.user,
            reason=f"{clip.id}: title",
        )  # fmt: skip
        return await self.index.rename(clip.id, title, entry)

    async def _cut(self, record: RecordingRecord, asked: ClipTimes, title: str, actor: Actor) -> Clip:
        folder = self._recorder.folder(record)
        is_open = record.state in _OPEN
        max_ms = self.options.max_s * 1000
        try:
            chosen, media = await self._recorder.read(partial(_find_media, self._lists, folder, asked, max_ms, is_open))
        except OSError:
            raise ClipRefusedError("the files of the recording are not on this server") from None
        now = self._clock.now()
        main = media.renditions[0]
        clip = Clip(
            id=new_clip_id(now),
            recording_id=record.id,
            user=record.user,
            state=ClipState.READY,
            title=title,
            created_at=now,
            created_by=actor.name,
            start_ms=chosen.start_ms,
            end_ms=chosen.end_ms,
            start_actual_ms=chosen.start_actual_ms,
            end_actual_ms=chosen.end_actual_ms,
            began_at=_EPOCH + timedelta(milliseconds=main.segments[0].program_date_time_ms),
            size_bytes=sum(segment.size_bytes for each in media.renditions for segment in each.segments),
            media=media,
        )
        entry = AuditEntry(
            now, actor.name, "clip.created", actor.address, user=clip.user, stream=clip.user, reason=clip.id
        )
        try:
            await self.index.add(clip, entry)
        except RecordingNotFoundError:
            # The index is told of a recording behind its beginning.
            raise ClipRefusedError("the recording has just begun") from None
        return clip


def _find_media(
    lists: SegmentLists, folder: RecordingFolder, asked: ClipTimes, max_ms: int, is_open: bool
) -> tuple[ClipRange, ClipMedia]:
    """Find what a clip is made of; in a thread that may wait for the disk.

    Raises:
        ClipTimesError: The times do not fit.
        OSError: The recording cannot be read.
    """
    document = recorded_document(folder)
    if document is None and not is_open:
        raise FileNotFoundError(folder.path)
    # Pictures decide over the times; sound of its own follows.
    ordered = sorted(
        document.media.hls.renditions if document is not None else (), key=lambda each: each.is_alternative
    )
    if not ordered:
        raise ClipTimesError("nothing is recorded yet")
    try:
        target_duration_s, main = lists.read(folder.playlist(ordered[0].path))
    except FileNotFoundError:
        if folder.hls.exists():
            raise ClipTimesError("nothing is recorded yet") from None
        raise
    chosen = choose_segments(main, asked, max_ms=max_ms, is_open=is_open)
    # A list is the next clip's, and may be forgotten when another is read.
    found = [ClipRendition(ordered[0], target_duration_s, tuple(main[chosen.first : chosen.stop]), {})]
    for rendition in ordered[1:]:
        try:
            target_duration_s, segments = lists.read(folder.playlist(rendition.path))
        except FileNotFoundError:
            continue
        first, stop = same_time(segments, main, chosen)
        if stop > first:
            found.append(ClipRendition(rendition, target_duration_s, tuple(segments[first:stop]), {}))
    for each in found:
        path = folder.variant(each.facts.path)
        for number in dict.fromkeys(segment.init_number for segment in each.segments):
            each.header_bytes[number] = (path / init_name(number)).stat().st_size
    return chosen, ClipMedia(tuple(found))

"""The record of the live streams for the next server on the same data directory.

A server that stops, or is killed, takes its media with it. Its publishers come back within seconds and its viewers
never left: for them the playlists must go on, under numbers that have not been used, with the discontinuities counted
on (rfc8216bis-22 sections 6.2.1 and 6.2.2). The record is written when a stream begins, ends or has another
discontinuity, so that writing costs little; the media sequence numbers come from the clock, and are reserved by the
thousand (``channel_numbers``). Between two writes the time of the file says how long that server was alive, should the
clock be behind when the next one starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, TypeAdapter, ValidationError

from streamd.media.packager.ladder import Form
from streamd.media.packager.timing import PlaylistTiming
from streamd.services.live.channel_numbers import SECONDS_MAX, ChannelAhead
from streamd.services.whole_file import replace_file

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlaylistRecord:
    """The playlists of one stream, without their media."""

    timing: PlaylistTiming
    variants: tuple[str, ...]
    """Names of the renditions that are variants."""
    audio: tuple[str, ...]
    """Names of the audio renditions to play them with."""
    discontinuity_sequence: int
    """EXT-X-DISCONTINUITY-SEQUENCE of a segment that follows all there are."""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One live stream that has a playlist."""

    name: str
    key_id: str
    """Of the key that alone may go on with it within the reconnect window."""
    live_since: datetime
    timing: PlaylistTiming
    """The target durations must not change (rfc8216bis 6.2.1)."""
    variants: tuple[str, ...]
    """Names of the renditions that are variants."""
    audio: tuple[str, ...]
    """Names of the audio renditions to play them with."""
    discontinuity_sequence: int
    """EXT-X-DISCONTINUITY-SEQUENCE of a segment that follows all there are."""
    form: Form | None = None
    """Its renditions. None in a record of an earlier version."""
    timeline_from: datetime | None = None
    """When the timeline of its decode times began: the time since is as far as its media has come, or somewhat farther.
    None in a record of an earlier version."""

    @property
    def playlists(self) -> PlaylistRecord:
        """The part about its playlists."""
        return PlaylistRecord(self.timing, self.variants, self.audio, self.discontinuity_sequence)


@dataclass(frozen=True, slots=True)
class RestartRecord:
    """All facts for the next server."""

    streams: tuple[StreamRecord, ...] = ()
    numbers_used_until_s: Annotated[int, Field(ge=0, le=SECONDS_MAX)] = 0
    """Seconds since 2020 up to which ``Numbering.at`` may give numbers that are taken, by whatever channel: somewhat
    beyond the clock, which may be behind when the next server starts."""
    channels_ahead: tuple[ChannelAhead, ...] = ()
    """The channels that may have taken numbers beyond that, as their media came faster than time passes."""
    stopped_at: datetime | None = None
    """When the server that left the streams was told to stop; None where it runs, or was killed."""


# The record is saved once a second, and its file's time is set anew with so many: a write of an inode, which the disk
# makes when it likes. After a crash, decode times go on at most so much later than they had to.
SAVES_PER_SIGN_OF_LIFE = 10
SIGN_OF_LIFE_INTERVAL = timedelta(seconds=SAVES_PER_SIGN_OF_LIFE)

_RECORD = TypeAdapter(RestartRecord)


class RestartRecordFile:
    """The file that it is kept in.

    Args:
        path: Where it is; another file beside it is written to first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved: RestartRecord | None = None
        self._is_failing = False
        self._saves = 0
        # A server that stops saves beside the sweep that may be saving.
        self._writing = threading.Lock()

    def load(self) -> RestartRecord:
        """Read the record of the server before this one; empty without one, or if the file is damaged."""
        try:
            return _RECORD.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return RestartRecord()
        except (OSError, ValidationError) as exc:
            # A server that does not start would be worse than players that have to begin anew.
            why = exc.strerror if isinstance(exc, OSError) else "not in the form in which it is written"
            log.warning("restart_record.unreadable", extra={"path": str(self._path), "reason": why})
            return RestartRecord()

    def last_alive_at(self) -> datetime | None:
        """When the server before this one was alive at the latest, good to ``SIGN_OF_LIFE_INTERVAL``; None without one.

        It is asked for before this server saves anything.
        """
        try:
            return datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
        except (OSError, ValueError, OverflowError):
            return None

    async def save(self, record: RestartRecord) -> None:
        """Keep a record, if it differs from the last; a disk that refuses it is logged."""
        self._saves += 1
        if record.streams and self._saves % SAVES_PER_SIGN_OF_LIFE == 0:
            # A full disk takes it, too.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(os.utime, self._path)
        if record == self._saved:
            return
        try:
            await asyncio.to_thread(self._write, _RECORD.dump_json(record))
        except OSError as exc:
            # It is tried again a second later, as its reservation may be used up by then; logged once.
            if not self._is_failing:
                log.warning("restart_record.unwritable", extra={"path": str(self._path), "reason": exc.strerror})
            self._is_failing = True
        else:
            self._saved = record
            self._is_failing = False

    def _write(self, data: bytes) -> None:
        """Replace the file as a whole: whoever reads it finds the old record or the new one."""
        with self._writing:
            replace_file(self._path, data)

"""The past of live streams: which recording it is read from, how far back it goes, and for how long it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.clock import EPOCH_2020
from streamd.media.packager.reload import Position
from streamd.services.live.waiters import Waiters
from streamd.services.recording.past_playlist import PastPlaylist

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from streamd.clock import Clock
    from streamd.services.live.waiters import Awaited, WaiterBudget
    from streamd.services.recording.folder import RecordingFolder
    from streamd.services.recording.playlist_file import RecordedPlaylist, RecordedSegment

_US = 1_000_000
# Media Sequence Numbers begin with the clock, so that the numbers of the next recording are higher: of segments that
# are at least a quarter of a second long. Every player takes a number below 2**31, which this reaches in 2037.
_NUMBERS_A_SECOND = 4
# Behind its end a past stays for as long as it goes back, and this much at least, seconds: viewers come to its end.
LINGER_S_MIN = 60.0
# Files before the oldest one that is listed which may still be asked for: players have the playlist of a moment ago.
FILES_BEHIND = 1
# Pasts of one channel that have ended and stay: a broadcaster who comes and goes every few seconds leaves thousands in
# two hours otherwise, each with its files. The newest is what viewers are shown; players of older ones are at their
# ends.
ENDED_PER_CHANNEL_MAX = 4


def first_number(at: datetime) -> int:
    """The Media Sequence Number of the first segment of a past that begins now."""
    # A clock that is not set yet may say 1970, and a number is not negative.
    return max(0, int((at - EPOCH_2020).total_seconds() * _NUMBERS_A_SECOND))


class Past:
    """The past of one broadcast, as far as one recording has it. All calls come from the loop.

    Args:
        name: Channel name.
        folder: The recording's folder.
        window_s: How far back it goes, seconds.
        first_msn: Media Sequence Number of the first segment.
        budget: The most requests that may wait in the whole server.

    Attributes:
        name: As given.
        folder: As given.
        waiters: The requests that wait for the next segment.
        playlists: The playlists by variant.
        window_s: As given.
        is_ended: The recording is over.
    """

    def __init__(self, name: str, folder: RecordingFolder, window_s: int, first_msn: int, budget: WaiterBudget) -> None:
        self.name = name
        self.folder = folder
        self.window_s = window_s
        self.waiters = Waiters(budget)
        self.playlists: dict[str, PastPlaylist] = {}
        self.is_ended = False
        self._first_msn = first_msn

    @property
    def id(self) -> str:
        """Id of the recording."""
        return self.folder.id

    @property
    def has_media(self) -> bool:
        """Whether there is a segment."""
        return any(playlist.duration_us for playlist in self.playlists.values())

    @property
    def duration_s(self) -> float:
        """How far back it goes, seconds, to the millisecond."""
        return max((playlist.duration_us // 1000 for playlist in self.playlists.values()), default=0) / 1000

    @property
    def next_msn(self) -> int:
        """The Media Sequence Number behind all that it has given."""
        return max((playlist.last_msn + 1 for playlist in self.playlists.values()), default=self._first_msn)

    @property
    def held_bytes(self) -> int:
        """Memory, bytes."""
        return sum(playlist.held_bytes for playlist in self.playlists.values())

    def restore(self, playlists: Mapping[str, RecordedPlaylist]) -> None:
        """Take what an earlier server has recorded of the broadcast."""
        for variant, recorded in playlists.items():
            playlist = self._playlist(variant)
            playlist.target_duration_s = recorded.target_duration_s
            for segment in recorded.segments:
                playlist.add(segment)

    def set_target(self, variant: str, target_duration_s: int) -> None:
        """Learn of a variant.

        Args:
            variant: Its name.
            target_duration_s: EXT-X-TARGETDURATION, whole seconds.
        """
        self._playlist(variant).target_duration_s = target_duration_s

    def add(self, variant: str, segment: RecordedSegment) -> None:
        """Add a segment whose bytes are written, and wake those who wait for it."""
        self._playlist(variant).add(segment)
        self.waiters.wake(self._is_reached)

    def end(self) -> None:
        """End it: nothing will be added, and nobody waits."""
        self.is_ended = True
        for playlist in self.playlists.values():
            playlist.is_ended = True
        self.waiters.close()

    def leave(self) -> None:
        """Have nobody wait: the server stops, and the next one goes on with it."""
        self.waiters.close()

    def may_be_read(self, variant: str, file_number: int) -> bool:
        """Whether a media file is in the window, or has just left it."""
        playlist = self.playlists.get(variant)
        return playlist is not None and file_number >= playlist.first_file - FILES_BEHIND

    def _playlist(self, variant: str) -> PastPlaylist:
        playlist = self.playlists.get(variant)
        if playlist is None:
            prefix = f"{self.id}/{variant}/"
            playlist = self.playlists[variant] = PastPlaylist(prefix, self.window_s * _US, self._first_msn)
        return playlist

    def _is_reached(self, awaited: Awaited) -> bool:
        playlist = self.playlists.get(awaited.variant)
        return playlist is None or (isinstance(awaited.until, Position) and playlist.edge.contains(awaited.until))


class Pasts:
    """The past of every stream that has one.

    Args:
        window_s: How far back it goes, seconds; 0: none has one.
        clock: Measures for how long one stays behind its end.

    Attributes:
        window_s: As given, or as it was read again: for broadcasts that begin from now on.
    """

    def __init__(self, window_s: int, clock: Clock) -> None:
        self.window_s = window_s
        self._clock = clock
        # By id, the oldest first; and since when those that have ended did.
        self._pasts: dict[str, Past] = {}
        self._of_channel: dict[str, dict[str, Past]] = {}
        self._ended_at: dict[str, float] = {}

    def begin(
        self,
        name: str,
        folder: RecordingFolder,
        at: datetime,
        budget: WaiterBudget,
    ) -> Past | None:
        """Begin the past of a broadcast; None where there is to be none.

        Args:
            name: Channel name.
            folder: The folder of the recording that it is read from.
            at: Its Media Sequence Numbers begin with this time. It is that of the recording's beginning, unless
                segments of it are lost that players know.
            budget: The most requests that may wait in the whole server.
        """
        if not self.window_s:
            return None
        of_channel = self._of_channel.setdefault(name, {})
        ended = [past for past in of_channel.values() if past.is_ended]
        # All of them are at one address: where the clock was set back, numbers go on behind those that were given.
        first_msn = max([first_number(at), *(past.next_msn for past in ended)])
        past = self._pasts[folder.id] = of_channel[folder.id] = Past(name, folder, self.window_s, first_msn, budget)
        for old in ended[: max(0, len(ended) - ENDED_PER_CHANNEL_MAX)]:
            self.drop(old.id)
        return past

    def find(self, name: str) -> Past | None:
        """The past of a channel: that which has gone on longest of those that go on, else the newest."""
        found = None
        for past in self._of_channel.get(name, {}).values():
            if past.has_media and (found is None or found.is_ended):
                found = past
        return found

    def get(self, name: str, recording_id: str) -> Past | None:
        """The past of a channel that is read from one recording."""
        past = self._pasts.get(recording_id)
        return past if past is not None and past.name == name else None

    def drop(self, recording_id: str) -> None:
        """Forget the past that a recording holds: it is deleted."""
        past = self._pasts.pop(recording_id, None)
        self._ended_at.pop(recording_id, None)
        if past is not None:
            of_channel = self._of_channel[past.name]
            del of_channel[recording_id]
            if not of_channel:
                del self._of_channel[past.name]
            past.end()

    def drop_all_of(self, name: str) -> None:
        """Forget the past of a channel."""
        for past in tuple(self._of_channel.get(name, {}).values()):
            self.drop(past.id)

    def look(self) -> None:
        """Forget what has ended long ago; called about once a second."""
        now = self._clock.monotonic()
        for past in [past for past in self._pasts.values() if past.is_ended]:
            if now - self._ended_at.setdefault(past.id, now) > max(past.window_s, LINGER_S_MIN):
                self.drop(past.id)

    def __contains__(self, recording_id: object) -> bool:
        """Say whether one is read from a recording."""
        return recording_id in self._pasts

    @property
    def held_bytes(self) -> int:
        """Memory of all of them, bytes."""
        return sum(past.held_bytes for past in self._pasts.values())

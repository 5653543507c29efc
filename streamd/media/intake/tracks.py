"""Which tracks of a publisher send frames, which have stopped, and which a demuxer is open for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.formats.flv.tag import TagType
from streamd.media.intake.track import TrackHeader, TrackKey, rank

if TYPE_CHECKING:
    from collections.abc import Mapping


class TrackSet:
    """The tracks of one publisher.

    Args:
        headers: The last good sequence header of each track; it changes while it is looked at here.

    Attributes:
        started: Those that send frames. Each has a header.
        gone: Those that have stopped.
        opened: Those that the demuxer was opened with; empty while none is open.
    """

    def __init__(self, headers: Mapping[TrackKey, TrackHeader]) -> None:
        self._headers = headers
        self.started: set[TrackKey] = set()
        self.gone: set[TrackKey] = set()
        self.opened: dict[TrackKey, TrackHeader] = {}

    def start(self, key: TrackKey) -> None:
        """Note that a track sends frames."""
        self.started.add(key)
        self.gone.discard(key)

    def stop(self, key: TrackKey) -> None:
        """Note that a track has stopped."""
        self.started.discard(key)
        self.gone.add(key)

    def begin_anew(self, key: TrackKey) -> bool:
        """Forget what a track did under the header that it had.

        Returns:
            Whether it had begun.
        """
        self.gone.discard(key)
        had_started = key in self.started
        self.started.discard(key)
        return had_started

    def open(self) -> None:
        """Note that a demuxer is open for the tracks that send frames."""
        self.opened = {key: self._headers[key] for key in sorted(self.started, key=rank)}

    def close(self) -> None:
        """Note that no demuxer is open."""
        self.opened = {}
        # Sound can go on anywhere, pictures with a keyframe alone.
        self.started = {key for key in self.started if key[0] is TagType.AUDIO}

    def lead(self) -> TrackKey | None:
        """The video track that the others wait for, if there is one that has not stopped."""
        return min((key for key in self._headers if key[0] is TagType.VIDEO and key not in self.gone), default=None)

    def is_as_opened(self, key: TrackKey) -> bool:
        """Whether the demuxer reads a track's frames: it is open, and for the header that the track has."""
        return self._headers[key] == self.opened.get(key)

    def differ(self) -> bool:
        """Whether the tracks that send frames are others than those of the demuxer that is open."""
        return {key: self._headers[key] for key in self.started} != self.opened

    def have_all_started(self) -> bool:
        """Whether every track that is described sends frames, or has stopped."""
        return self._headers.keys() - self.gone <= self.started

    def has_sound(self) -> bool:
        """Whether an audio track is described."""
        return any(kind is TagType.AUDIO for kind, _ in self._headers)

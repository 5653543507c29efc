"""Frames that are held for an opening, within bounds of bytes and of their count."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from streamd.formats.flv.tag import TagType

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from streamd.formats.flv.tag import FlvTag
    from streamd.media.intake.limits import IntakeLimits
    from streamd.media.intake.track import TrackKey

# Bytes of a held frame beside its payload: the tag, its place in the queue, and its name there.
_HELD_TAG_BYTES = 256
# Keyframes of several video tracks belong together if they are this close: a frame at 10 a second.
_KEYFRAMES_TOGETHER_MS = 100


class HeldFrames:
    """The frames that wait for a demuxer, in the order in which they came.

    Args:
        limits: How much is held at the most: what comes on top opens the demuxer.
    """

    def __init__(self, limits: IntakeLimits) -> None:
        self._limits = limits
        self._frames: deque[tuple[TrackKey, FlvTag]] = deque()
        self._payload_bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def payload_bytes(self) -> int:
        """Of all the frames."""
        return self._payload_bytes

    @property
    def held_bytes(self) -> int:
        """Their bytes, names included."""
        return self._payload_bytes + len(self._frames) * _HELD_TAG_BYTES

    @property
    def is_full(self) -> bool:
        """Whether no more may be held."""
        return (
            self._payload_bytes > self._limits.opening_bytes_max or len(self._frames) >= self._limits.opening_tags_max
        )

    def add(self, key: TrackKey, tag: FlvTag) -> None:
        """Hold one more.

        Args:
            key: Its track.
            tag: The frame.
        """
        self._frames.append((key, tag))
        self._payload_bytes += len(tag.payload)

    def take_all(self) -> list[FlvTag]:
        """Let go of all, to be played."""
        tags = [tag for _, tag in self._frames]
        self.forget_all()
        return tags

    def forget_all(self) -> None:
        """Let go of all."""
        self._frames.clear()
        self._payload_bytes = 0

    def forget(self, key: TrackKey) -> None:
        """Let go of one track's frames."""
        self._keep(lambda held, _: held != key)

    def drop_before(self, timestamp_ms: int, started: Collection[TrackKey]) -> tuple[int, set[TrackKey]]:
        """Drop sound before a time, and with their keyframe the pictures of a track that began well before it.

        Args:
            timestamp_ms: When the track begins that the others waited for.
            started: The tracks that have begun.

        Returns:
            How many frames were dropped, and of which video tracks, which are to begin anew.
        """
        ended: set[TrackKey] = set()
        if not self._frames or self._frames[0][1].timestamp_ms >= timestamp_ms:
            return 0, ended
        early_ms = timestamp_ms - _KEYFRAMES_TOGETHER_MS

        def is_kept(key: TrackKey, tag: FlvTag) -> bool:
            if key[0] is not TagType.VIDEO:
                return tag.timestamp_ms >= timestamp_ms
            if tag.timestamp_ms < early_ms:
                ended.add(key)
            return key in started and key not in ended

        return self._keep(is_kept), ended

    def trim(self, timestamp_ms: int, started: Collection[TrackKey]) -> tuple[int, set[TrackKey]]:
        """Drop what is from before a time, as far as it stands in front: each frame is looked at once.

        Args:
            timestamp_ms: Older frames are not needed.
            started: The tracks that have begun.

        Returns:
            As ``drop_before`` does.
        """
        dropped = 0
        while self._frames and self._frames[0][1].timestamp_ms < timestamp_ms:
            key, tag = self._frames[0]
            if key[0] is TagType.VIDEO:
                if tag.timestamp_ms >= timestamp_ms - _KEYFRAMES_TOGETHER_MS:
                    break
                others, ended = self.drop_before(timestamp_ms, started)
                return dropped + others, ended
            self._frames.popleft()
            self._payload_bytes -= len(tag.payload)
            dropped += 1
        return dropped, set()

    def _keep(self, is_kept: Callable[[TrackKey, FlvTag], bool]) -> int:
        """Let go of some; return how many."""
        before = len(self._frames)
        self._frames = deque(frame for frame in self._frames if is_kept(*frame))
        self._payload_bytes = sum(len(tag.payload) for _, tag in self._frames)
        return before - len(self._frames)

"""The silence that stands for sound that has stopped, where its codec has a frame of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamd.formats.codecs.silence import silent_frame
from streamd.formats.flv import audio
from streamd.formats.flv.tag import FlvTag, TagType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamd.media.intake.limits import IntakeLimits
    from streamd.media.intake.track import TrackHeader, TrackKey

# Silence that is made at once: between two roll calls of 4 pictures a second.
SILENCE_MS_MAX = 5_000


class Silences:
    """The tracks that would be silent without us.

    Args:
        limits: After how long there is silence, and how much of it.

    Attributes:
        made: The silence that is made now, by track.
    """

    def __init__(self, limits: IntakeLimits) -> None:
        self._limits = limits
        self.made: dict[TrackKey, _Silence] = {}
        self._frames_left = limits.silent_frames_max

    def __contains__(self, key: TrackKey) -> bool:
        return key in self.made

    def allow(self, frames: int) -> None:
        """Let more silence be made: as much of it as the time that has passed, and not the publisher's, has room for.

        Args:
            frames: How many frames more; what is not used adds up to ``IntakeLimits.silent_frames_max``.
        """
        self._frames_left = min(self._limits.silent_frames_max, self._frames_left + frames)

    def has_made(self, tag: FlvTag) -> bool:
        """Whether a tag is ours."""
        return any(tag.payload is silence.payload for silence in self.made.values())

    def begin(self, header: TrackHeader, heard_ms: int | None, timestamp_ms: int, missing_ms: int) -> bool:
        """Let silence take the place of an audio track, if it is time to, and there is silence of its codec.

        Args:
            header: The track's.
            heard_ms: When it was heard last; None where that is not known.
            timestamp_ms: Of another track.
            missing_ms: For how long it has been missing by the others' clock, short of the time between two roll calls.
        """
        if heard_ms is None or header.key in self.made:
            return False
        after_ms = self._limits.audio_silent_ms
        # Where the two times are far apart, the tracks have clocks of their own.
        if missing_ms < after_ms // 2 or not after_ms <= timestamp_ms - heard_ms <= SILENCE_MS_MAX:
            return False
        silence = _silence(header, heard_ms)
        if silence is None:
            return False
        self.made[header.key] = silence
        return True

    def make(self, timestamp_ms: int) -> tuple[list[FlvTag], list[TrackKey]]:
        """Make the silence that is due up to a time.

        Returns:
            The frames, and the tracks of which more is due than may be made now: they have stopped, as one has for
            which there is no silence.
        """
        tags: list[FlvTag] = []
        ended: list[TrackKey] = []
        for key, silence in self.made.items():
            made = self._make(silence, timestamp_ms)
            if made is None:
                ended.append(key)
            else:
                tags += made
        self.end(ended)
        return tags, ended

    def give_way(self, key: TrackKey, tag: FlvTag) -> list[FlvTag] | None:
        """End a track's silence where its sound is back.

        Args:
            key: The track.
            tag: Its frame, which may be silence of ours.

        Returns:
            The silence that goes before the sound; None where the track's silence, if it has any, goes on.
        """
        silence = self.made.get(key)
        if silence is None or tag.payload is silence.payload:
            return None
        del self.made[key]
        return self._make(silence, tag.timestamp_ms) or []

    def end(self, keys: Iterable[TrackKey]) -> None:
        """Make no more silence for some tracks."""
        for key in keys:
            self.made.pop(key, None)

    def end_all(self) -> None:
        """Make no more silence."""
        self.made.clear()

    def _make(self, silence: _Silence, timestamp_ms: int) -> list[FlvTag] | None:
        """Return the silence that is due up to a time; None where it is more than may be made now."""
        count = silence.count_until(timestamp_ms)
        if count > self._frames_left:
            return None
        self._frames_left -= count
        return silence.take(count)


class _Silence:
    """The silence that stands for a track's sound.

    Args:
        payload: Of each tag.
        heard_ms: When the last frame of sound was.
        frame_ticks: Samples in a frame, sound or silence.
        sample_rate: Samples a second.
    """

    __slots__ = ("_count", "_frame_ticks", "_heard_ms", "_sample_rate", "payload")

    def __init__(self, payload: bytes, heard_ms: int, frame_ticks: int, sample_rate: int) -> None:
        self.payload = payload
        self._heard_ms = heard_ms
        self._frame_ticks = frame_ticks
        self._sample_rate = sample_rate
        self._count = 1

    def count_until(self, timestamp_ms: int) -> int:
        """Return how many frames end by then, and follow those that were taken before."""
        if timestamp_ms - self._time_ms(self._count) > SILENCE_MS_MAX:
            return 0  # Time has leapt.
        # The last one is that whose end, rounded down, is no later.
        ends = ((timestamp_ms - self._heard_ms + 1) * self._sample_rate - 1) // (self._frame_ticks * 1000)
        return max(0, ends - self._count)

    def take(self, count: int) -> list[FlvTag]:
        """Return the tags of the next frames."""
        start, self._count = self._count, self._count + count
        return [FlvTag(TagType.AUDIO, self._time_ms(number), self.payload) for number in range(start, self._count)]

    def _time_ms(self, count: int) -> int:
        return self._heard_ms + count * self._frame_ticks * 1000 // self._sample_rate


def _silence(header: TrackHeader, heard_ms: int) -> _Silence | None:
    """Make silence for a track from its last frame on; None where there is none of its codec."""
    frame = silent_frame(header.codec, header.config)
    if frame is None:
        return None
    payload = audio.coded_frame(header.codec, header.track_id, frame.access_unit)
    return _Silence(payload, heard_ms, frame.ticks, frame.sample_rate)

"""The publisher's milliseconds become the stream's timeline, repaired only where they are broken.

DTS and CTS are the publisher's. RTMP 1.0 section 5.3.1 and FLV (Adobe, v10.1) Annex E carry them in whole milliseconds,
which is fine for video and too coarse for sound: an AAC frame of 1024 samples at 48 kHz lasts 21.333 ms, so its
timestamps alternate between steps of 21 and 22. Hence:

* Video timestamps pass through, multiplied to the track's timescale.
* Audio is counted in samples from its first timestamp. The wire is only the reference that the count is held against:
  the two drift apart where sound is missing or doubled, or where the encoder's sample clock and its time stamps
  disagree. When they have been apart by more than ``AUDIO_DRIFT_MS_MAX`` for a while, the count steps to the wire, so
  the error is bounded however long the stream runs. A wire that stutters and recovers meanwhile, with every sample
  delivered, costs no sound.
* A track whose time leaps, forward or back, is moved so that the timeline goes on; the other tracks
  follow to the same offset when they leap too, so that sound and picture keep their distance.
* A track that steps back alone, to beside the others, has not leapt: its encoder's clock was set, or has come back from
  where it had stepped to. Its stamps are right again, so sound and picture go by them: sound is dropped until it is
  where they put it; pictures cannot be dropped, so sound follows them.
* A stream has one timeline for its life, however many connections and servers it had: decode times go on forward, as
  there are players that take no notice of EXT-X-DISCONTINUITY (GStreamer 1.22 shows nothing until time has passed where
  it was). Each ``Timeline`` begins where the one before it ended.

Every repair is counted by its reason. No packet is held back: each one comes out at once, or is dropped and counted.
"""

from __future__ import annotations

import enum
import sys
from collections import Counter
from collections.abc import Sequence

from streamd.media.packet import WIRE_TIMESCALE, MediaPacket, Sample, Track, TrackKind, new_sample

# The place of a stream's first packet. Another track's first frame may lie earlier, by JUMP_MS_MAX at most, and a
# presentation time before its decode time, by COMPOSITION_MS_MAX: this is more than both together, so no output is
# below zero.
START_MS = 10_000
# How far ahead of all tracks a packet may lie before it is a leap and not a pause. mediamtx restamps from the same 5 s
# on; a viewer's buffer is of that order, so a longer hole would stall the player anyway.
JUMP_MS_MAX = 5_000
# How far a track may step back and still be disorder among a few frames; more is a new clock.
# Repairing it one tick at a time squeezes frames together, which 200 ms (six frames at 30 fps) bounds.
STEP_BACK_MS_MAX = 200
# The distance by which encoders interleave their tracks: leaps within this time belong together.
TRACKS_APART_MS_MAX = 1_000
# How far counted audio may part from the wire. FLV's rounding alone is 1 ms; a frame at 60 fps is
# 16.7 ms, and sound must stay within one frame of the picture.
AUDIO_DRIFT_MS_MAX = 15
# Frames in a row for which it may be that far: 0.2 s of AAC, in which a delayed batch of a capture device has passed.
AUDIO_DRIFT_FRAMES = 10
# Farther apart than this the count steps at once: it is no jitter, and viewers would see it on lips. EBU R 37 allows 40
# ms one way and 60 ms the other for as long as it likes.
AUDIO_STEP_MS_MIN = 100
# Beyond any reordering: 16 frames, the most that H.264 (A.3.1) allows, at 3.2 fps.
COMPOSITION_MS_MAX = 5_000
_NEVER = sys.maxsize
# The same where every packet is compared: compiled, they are integers of C.
_JUMP_MS_MAX = JUMP_MS_MAX
_STEP_BACK_MS_MAX = STEP_BACK_MS_MAX
_COMPOSITION_MS_MAX = COMPOSITION_MS_MAX
_WIRE_TIMESCALE = WIRE_TIMESCALE
# In the place of a time: the packet is dropped.
_DROPPED = -sys.maxsize


class Repair(enum.Enum):
    """Why a timestamp was changed, or a packet dropped."""

    JUMP = "jump"
    """Time leapt, forward past ``JUMP_MS_MAX`` or back past ``STEP_BACK_MS_MAX``: moved so that it goes on."""
    BASE = "base"
    """A track began on a clock of its own: it was set to start beside the others."""
    NON_MONOTONIC_DTS = "non_monotonic_dts"
    """A decode time not above the one before it: set one tick above it."""
    AUDIO_GAP = "audio_gap"
    """The wire ran ahead of the counted samples: sound is missing, the count stepped forward."""
    AUDIO_OVERLAP = "audio_overlap"
    """The wire fell behind the counted samples: sound is doubled, a frame was dropped."""
    COMPOSITION_TIME = "composition_time"
    """A presentation time more than ``COMPOSITION_MS_MAX`` from its decode time: set equal to it."""


class Timeline:
    """Places packets of one publisher on one timeline.

    Args:
        tracks: The publisher's tracks; packets carry their ids.
        starts_ms: The place of the first packet, milliseconds: ``START_MS``, or where a timeline before it ended.
        offset_ms: Added by the timeline before it to the same publisher's milliseconds; the first packet keeps to
            that, if it lies near. None for another publisher.

    Attributes:
        repairs: How often each repair was made; its owner may take them out.
        breaks: How many times the publisher's time leapt: where this rises, a discontinuity is due.
        newest_ms: The newest time on the timeline, of any track, milliseconds; ``starts_ms`` before the first packet.
        offset_ms: Added to the publisher's milliseconds; None before the first packet.
    """

    def __init__(self, tracks: Sequence[Track], starts_ms: int = START_MS, offset_ms: int | None = None) -> None:
        self.repairs: Counter[Repair] = Counter()
        self.breaks = 0
        self.newest_ms = starts_ms
        self._tracks = {track.track_id: _TrackClock(track) for track in tracks}
        self.offset_ms = offset_ms
        self._offsets_differ = False
        # Where the last break was.
        self._broke_ms: int | None = None
        # Where a track of pictures stepped back to beside the others: those whose offset is still the old one a while
        # later have not leapt with it, and move to the new one.
        self._stepped_from_ms = self._stepped_to_ms = 0
        self._stepped_until_ms = _NEVER

    def place(self, packet: MediaPacket) -> Sample | None:
        """Map a packet to the timeline.

        Args:
            packet: The next packet in wire order, of a track given at construction.

        Returns:
            The sample, in the timescale of its track; None for a packet that had to be dropped.
            Decode times of a track strictly increase. None is negative.
        """
        clock = self._tracks[packet.track_id]
        time_ms = self._map(clock, packet.dts_ms)
        clock.follow(time_ms)
        self.newest_ms = max(self.newest_ms, time_ms)

        if clock.frame_ticks:
            counted = self._count_audio(clock, time_ms)
            if counted == _DROPPED:
                return None
            return new_sample(packet.track_id, counted, counted, packet.is_keyframe, packet.payload, packet.body_at)

        composition_ms = packet.pts_ms - packet.dts_ms
        if not -_COMPOSITION_MS_MAX <= composition_ms <= _COMPOSITION_MS_MAX:
            composition_ms = 0
            self.repairs[Repair.COMPOSITION_TIME] += 1
        # Exact for video, whose timescale is a multiple of 1000; else rounded down by less than a tick.
        dts_ticks = time_ms * clock.timescale // _WIRE_TIMESCALE
        if clock.is_audio and time_ms < clock.last_ms - _STEP_BACK_MS_MAX:
            self.repairs[Repair.AUDIO_OVERLAP] += 1
            return None
        pts_ticks = (time_ms + composition_ms) * clock.timescale // _WIRE_TIMESCALE
        if dts_ticks < clock.next_ticks:
            dts_ticks = clock.next_ticks
            self.repairs[Repair.NON_MONOTONIC_DTS] += 1
        clock.next_ticks = dts_ticks + 1
        return new_sample(packet.track_id, dts_ticks, pts_ticks, packet.is_keyframe, packet.payload, packet.body_at)

    def _map(self, clock: _TrackClock, wire_ms: int) -> int:
        """Return where ``wire_ms`` lies on the timeline, moving the track's offset where time leapt."""
        if not clock.has_begun:
            return self._begin(clock, wire_ms)
        expected_ms = clock.last_ms + clock.interval_ms
        if self._offsets_differ:
            # Another track has leapt. This one follows to the same offset as soon as that fits its
            # cadence better: exactly the packet with which it leaps too, whatever the interleaving.
            nearest = self._nearest_offset(expected_ms - wire_ms)
            if abs(wire_ms + nearest - expected_ms) < abs(wire_ms + clock.offset_ms - expected_ms):
                self._move(clock, nearest)
            elif clock.offset_ms == self._stepped_from_ms and self.newest_ms > self._stepped_until_ms:
                self._move(clock, self._stepped_to_ms)
        time_ms = wire_ms + clock.offset_ms
        if clock.last_ms - _STEP_BACK_MS_MAX <= time_ms <= self.newest_ms + _JUMP_MS_MAX:
            return time_ms
        steps_back_alone = time_ms < clock.last_ms and self._is_beside_others(clock, time_ms)
        if steps_back_alone and clock.is_audio:
            # Should the others step back as well, it follows them then.
            return time_ms
        self.repairs[Repair.JUMP] += 1
        if self._broke_ms is None or self.newest_ms - self._broke_ms > TRACKS_APART_MS_MAX:
            # Tracks on clocks of their own leap one after the other.
            self.breaks += 1
            self._broke_ms = self.newest_ms
        time_ms = max(expected_ms, self.newest_ms)
        if steps_back_alone:
            self._stepped_from_ms, self._stepped_to_ms = clock.offset_ms, time_ms - wire_ms
            self._stepped_until_ms = time_ms + TRACKS_APART_MS_MAX
        self._move(clock, time_ms - wire_ms)
        return time_ms

    def _is_beside_others(self, clock: _TrackClock, time_ms: int) -> bool:
        """Tell whether a place of a track lies as near to another on the same clock as interleaved tracks do."""
        return any(
            other.offset_ms == clock.offset_ms and abs(time_ms - other.last_ms) <= TRACKS_APART_MS_MAX
            for other in self._tracks.values()
            if other.has_begun and other is not clock
        )

    def _nearest_offset(self, offset_ms: int) -> int:
        """Return the offset of a track that is nearest to another."""
        nearest, distance = offset_ms, _NEVER
        for other in self._tracks.values():
            if other.has_begun and abs(other.offset_ms - offset_ms) < distance:
                nearest, distance = other.offset_ms, abs(other.offset_ms - offset_ms)
        return nearest

    def _begin(self, clock: _TrackClock, wire_ms: int) -> int:
        """Return where the first packet of a track lies: in step with the others where their clocks agree."""
        if self.offset_ms is None:
            self.offset_ms = self.newest_ms - wire_ms
        time_ms = wire_ms + self.offset_ms
        if abs(time_ms - self.newest_ms) > _JUMP_MS_MAX:
            self.repairs[Repair.BASE] += 1
            time_ms = self.newest_ms
        self._move(clock, time_ms - wire_ms)
        return time_ms

    def _move(self, clock: _TrackClock, offset_ms: int) -> None:
        clock.offset_ms = self.offset_ms = offset_ms
        self._offsets_differ = any(
            other.offset_ms != offset_ms for other in self._tracks.values() if other.has_begun and other is not clock
        )

    def _count_audio(self, clock: _TrackClock, time_ms: int) -> int:
        """Return the decode time of the next audio frame by counting; ``_DROPPED`` to drop the frame."""
        wire_ticks = time_ms * clock.timescale // _WIRE_TIMESCALE
        ticks = clock.next_ticks
        drift_ticks = wire_ticks - ticks
        if not clock.is_counting:
            clock.is_counting = True
            ticks = wire_ticks
        elif -clock.drift_ticks_max <= drift_ticks <= clock.drift_ticks_max:
            clock.drifted_frames = 0
        elif clock.has_drifted(drift_ticks):
            if drift_ticks < 0:
                # One frame for each that is too many, until the two meet.
                self.repairs[Repair.AUDIO_OVERLAP] += 1
                return _DROPPED
            self.repairs[Repair.AUDIO_GAP] += 1
            clock.drifted_frames = 0
            ticks = wire_ticks
        clock.next_ticks = ticks + clock.frame_ticks
        return ticks


class _TrackClock:
    """Where one track stands."""

    __slots__ = (
        "drift_ticks_max",
        "drifted_frames",
        "frame_ticks",
        "has_begun",
        "interval_ms",
        "is_audio",
        "is_counting",
        "last_ms",
        "next_ticks",
        "offset_ms",
        "step_ticks_min",
        "timescale",
    )

    def __init__(self, track: Track) -> None:
        self.is_audio = track.kind is TrackKind.AUDIO
        self.timescale = track.timescale
        self.frame_ticks = track.frame_ticks
        self.drift_ticks_max = AUDIO_DRIFT_MS_MAX * track.timescale // _WIRE_TIMESCALE
        self.step_ticks_min = AUDIO_STEP_MS_MIN * track.timescale // _WIRE_TIMESCALE
        # For how many frames in a row counted audio has been apart from the wire: negative where the wire is behind.
        self.drifted_frames = 0
        # Added to the wire's milliseconds; meaningless until the first packet.
        self.offset_ms = 0
        # The furthest that the track has come on the timeline, milliseconds; meaningless, too.
        self.last_ms = 0
        self.has_begun = False
        # The usual step, to go on with after a leap.
        self.interval_ms = track.frame_ticks * _WIRE_TIMESCALE // track.timescale
        # The lowest decode time that the next sample may have; for counted audio, exactly its own.
        self.next_ticks = 0
        self.is_counting = False

    def follow(self, time_ms: int) -> None:
        """Take note of a packet's place."""
        if not self.has_begun:
            self.has_begun = True
            self.last_ms = time_ms
        elif time_ms > self.last_ms:
            # A pause of a second or more says nothing of the usual step.
            if time_ms - self.last_ms < _WIRE_TIMESCALE:
                self.interval_ms = time_ms - self.last_ms
            self.last_ms = time_ms

    def has_drifted(self, drift_ticks: int) -> bool:
        """Count a frame that is apart from the wire; return whether the count has to step to it.

        Args:
            drift_ticks: Distance by which the wire is ahead.
        """
        if drift_ticks > 0:
            self.drifted_frames = max(self.drifted_frames, 0) + 1
        else:
            self.drifted_frames = min(self.drifted_frames, 0) - 1
        return abs(self.drifted_frames) > AUDIO_DRIFT_FRAMES or abs(drift_ticks) > self.step_ticks_min

"""The cost that a stream may have before it is complete, in waiting and in memory."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.limits import DEFAULT

# libavformat discards the timestamps of a frame that is shown more than 15 minutes after it is decoded. Encoders
# reorder over a few frames.
COMPOSITION_TIME_MAX_MS = 15 * 60 * 1000


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """Limits of one publisher's gate."""

    track_wait_ms: int = 1_000
    """Media time to wait for the first frame of every track. Encoders begin all within some frames; one that starts
    its audio device later than this gets a new demuxer then."""
    audio_silent_ms: int = 1_000
    """Media time without a frame after which silence takes an audio track's place. Encoders interleave their tracks up
    to a second apart; players have half a second more than that in hand."""
    audio_gone_ms: int = 2_000
    """The same after which a track has stopped for which there is no silence."""
    video_gone_ms: int = 5_000
    """The same for video, whose frames may be seconds apart: slides."""
    keyframe_wait_ms: int = 10_000
    """Media time for which audio waits for a keyframe of a video track that is configured: the longest keyframe
    interval that a playlist of ours has room for."""
    opening_tags_max: int = 4_096
    """Tags, whatever their timestamps say: 10 s at 120 frames a second, with audio, and as much again."""
    opening_bytes_max: int = 16 * 1024 * 1024
    """Two messages of the largest size that RTMP lets in."""
    tracks_max: int = DEFAULT.tracks_max
    """Tracks of a kind. OBS's enhanced broadcasting sends five of video, and has six for audio; each costs a
    rendition's memory."""
    reopen_tags_min: int = 32
    """Tags between one demuxer and the next, so that a codec changing on every frame cannot make us open one (some
    milliseconds of work) for each. Half a second of an ordinary stream."""
    silent_frames_max: int = 1_536
    """Frames of silence that may be owed at once: those of eight tracks between two roll calls of 4 pictures a second.
    Each takes as long as a frame of the publisher's, who sends nothing for it; more become due with time alone
    (``Intake.allow_silence``)."""

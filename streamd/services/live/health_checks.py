"""The faults of a stream, code by code: limits with their reasons, and the remedy in OBS.

The advice names the menus and fields of OBS Studio's settings window as its English locale writes them (29 to 32).
"""

from __future__ import annotations

from statistics import median

from streamd.media.packager.ladder import decodes_everywhere
from streamd.media.packager.segment_starts import SEGMENT_TOLERANCE_MS
from streamd.media.packager.timing import TARGET_DURATION_S_MAX
from streamd.services.live.health import Check, HealthCode, Observation, Severity, Vitals

# Encoders begin with a keyframe, so something is playable within a segment. OBS's longest interval by default is
# 10.4 s (250 frames at 24 fps), should it have begun without one.
PLAYABLE_WITHIN_S = 12.0
# Of the media that there should be. Timestamps of one read lie within 0.1 s of each other, 2 % of the readings' 5 s;
# an encoder's clock is off by less than 0.1 %.
STARVED_BELOW, STARVED_UNTIL = 0.9, 0.97
FASTER_ABOVE, FASTER_UNTIL = 1.1, 1.03
# A publisher who catches up after a gap sends faster, too, and is not ahead. ffmpeg's -re lets 0.5 s through at once,
# OBS nothing.
FASTER_LEAD_S = 3.0
# OvenMediaEngine's limit, and what most platforms ask for at the most: a viewer who joins, or loses the stream, sees
# nothing until a keyframe, and players stay one segment farther behind.
KEYFRAME_INTERVAL_MS_MAX = 4_000
# Intervals whose like is told: a minute and more of OBS's default, 16 s of what we advise.
KEYFRAME_INTERVALS_MIN = 4
# A single one may stand between good ones.
KEYFRAMES_UNFIT_MIN = 2
# One that is longer than the usual by this makes its segment as much longer. Keyframes that come early, at a scene's
# cut, do no harm.
IRREGULAR_FACTOR = 1.5
REGULAR_MS_MAX = 2_000 + SEGMENT_TOLERANCE_MS
# Of the best that this stream had. Counting frames over 5 s of media is good to 3 %.
FRAMES_MISSING_BELOW, FRAMES_MISSING_UNTIL = 0.85, 0.93
# Movement falls apart below this; cinema has 24.
FRAME_RATE_MIN = 15.0
# Phones and many televisions decode no more than 60, which 59.94 and a counting error lie around.
FRAME_RATE_MAX = 65.0
# Bits to a pixel of a frame of H.264, and half of that for its successors. x264 "veryfast" at 0.02 is mush wherever
# something moves: 1080p60 at 2.5 Mb/s. OBS's own default, 1080p30 at 2.5 Mb/s, has 0.04. A picture that hardly
# changes needs less, so this is no fault.
BITS_PER_PIXEL_MIN = 0.02
# Where there is one variant, every viewer needs a line that carries it, with room to catch up. Twitch takes 6 Mb/s and
# Mux 5; twice as much is what no mobile viewer can count on.
BITRATE_BPS_MAX = 12_000_000
# The shorter side of the picture, pixels: the lowest rung of platforms' ladders is 240p, or smaller than that for slow
# lines alone.
SHORT_SIDE_MIN = 240
# 2160p: more is beyond level 5.1 of H.264, at which the decoders of most devices end.
PIXELS_MAX = 3840 * 2160
# Within the 5 s of the readings: one sound frame that is set right now and then is an encoder's clock, this is not.
REPAIRS_MIN = 3
# Findings about moments are kept for as long as a broadcaster may take to look.
EVENT_KEPT_S = 60.0

_KEYFRAME_ADVICE = (
    "In OBS: Settings → Output → Output Mode: Advanced → Streaming → Keyframe Interval: 2 s (0 means auto, which is "
    "250 frames)."
)
_BITRATE_FIELD = "Settings → Output → Video Bitrate (Output Mode Advanced: Streaming → Bitrate)"
_ENCODER_FIELD = "Settings → Output → Video Encoder (Output Mode Advanced: Streaming → Video Encoder)"
_RESOLUTION_FIELD = "Settings → Video → Output (Scaled) Resolution"
_FPS_FIELD = "Settings → Video → Common FPS Values"
# H.264 profile_idc, as the codecs parameter begins with it: Baseline, Main, High. All else has more than 8 bits, or
# more colour than 4:2:0, and no phone decodes it.
_H264_PROFILES = {"avc1.42", "avc1.4d", "avc1.64"}
# Codecs that many browsers decode, with the browsers.
_VIDEO_LIMITS = {
    "hvc1": ("HEVC", "Safari, and elsewhere where the hardware decodes it"),
    "hev1": ("HEVC", "Safari, and elsewhere where the hardware decodes it"),
    "av01": ("AV1", "Chrome, Firefox and Edge, and Safari on Apple's newer devices"),
    "vp09": ("VP9", "Chrome, Firefox and Edge, and not Safari's own player"),
}


def _not_playable(vitals: Vitals, _: bool) -> Observation | None:
    if vitals.is_playable or vitals.fed_s < PLAYABLE_WITHIN_S:
        return None
    return Observation(
        Severity.ERROR,
        "Media arrives, but nothing of it can be played: no keyframe or no codec configuration has come.",
        f"In OBS: choose an H.264 encoder, {_ENCODER_FIELD}, then stop and start streaming.",
    )


def _starved(vitals: Vitals, is_raised: bool) -> Observation | None:
    rate = vitals.media_rate
    if rate is None or rate >= (STARVED_UNTIL if is_raised else STARVED_BELOW):
        return None
    return Observation(
        Severity.ERROR,
        f"Only {rate:.0%} of the media arrives in time, and viewers' players stop.",
        f"The line or the computer does not keep up. In OBS: lower {_BITRATE_FIELD}, enable Settings → Advanced → "
        "Dynamically change bitrate to manage congestion, and use a cable in place of Wi-Fi. If Stats shows skipped "
        "frames due to encoding lag, choose a hardware encoder.",
    )


def _faster_than_real_time(vitals: Vitals, is_raised: bool) -> Observation | None:
    rate = vitals.media_rate
    if rate is None or rate <= (FASTER_UNTIL if is_raised else FASTER_ABOVE) or vitals.media_lead_s < FASTER_LEAD_S:
        return None
    return Observation(
        Severity.WARNING,
        f"Media arrives {rate:.1f} times as fast as it plays, and is {vitals.media_lead_s:.0f} s ahead: viewers lose "
        "what leaves the playlist before they reach it.",
        "A file has to be sent in real time: with ffmpeg, put -re before -i. OBS does so by itself; if this is OBS, "
        "restart it.",
    )


def _track_refused(vitals: Vitals, _: bool) -> Observation | None:
    if not vitals.refusals:
        return None
    return Observation(
        Severity.ERROR,
        f"Not carried: {'; '.join(vitals.refusals)}.",
        f"In OBS: choose an H.264 encoder, {_ENCODER_FIELD}, AAC under Audio Encoder beside it, and Settings → Audio → "
        "Channels: Stereo.",
    )


def _video_missing(vitals: Vitals, _: bool) -> Observation | None:
    if vitals.videos or not vitals.audios:
        return None
    return Observation(
        Severity.INFO if vitals.lacks_video else Severity.WARNING,
        "There is no picture, only sound.",
        f"If a picture is meant to be there: in OBS, choose another encoder, {_ENCODER_FIELD}, and start anew.",
    )


def _audio_missing(vitals: Vitals, _: bool) -> Observation | None:
    if vitals.audios or not vitals.videos:
        return None
    advice = (
        "In OBS: choose a device under Settings → Audio → Global Audio Devices, and the track that carries it under "
        "Settings → Output → Streaming → Audio Track."
    )
    if vitals.refusals:
        advice = "What is not carried may be the sound: that finding says why."
    severity = Severity.INFO if vitals.lacks_audio else Severity.WARNING
    return Observation(severity, "There is a picture and no sound.", advice)


def _video_codec_unplayable(vitals: Vitals, _: bool) -> Observation | None:
    codecs = [track.codec for track in vitals.videos]
    # Players choose the variant that they decode.
    if not codecs or any(codec[:7].lower() in _H264_PROFILES for codec in codecs):
        return None
    codec = codecs[0]
    limit = _VIDEO_LIMITS.get(codec.partition(".")[0])
    if limit is not None:
        name, where = limit
        return Observation(
            Severity.WARNING,
            f"Not every browser plays {name} ({codec}): it plays in {where}.",
            f"To be seen everywhere, in OBS: choose an H.264 encoder, {_ENCODER_FIELD}.",
        )
    return Observation(
        Severity.ERROR,
        f"Not every browser plays this form of H.264 ({codec}), and no phone does.",
        "In OBS: Settings → Advanced → Video → Color Format: NV12 (8-bit, 4:2:0, 2 planes), and Settings → Output → "
        "Streaming → Profile: high.",
    )


def _audio_codec_unplayable(vitals: Vitals, _: bool) -> Observation | None:
    codecs = [track.codec for track in vitals.audios]
    if not codecs or any(decodes_everywhere(codec) for codec in codecs):
        return None
    return Observation(
        Severity.ERROR,
        f"Not every browser plays this sound ({', '.join(dict.fromkeys(codecs))}); where it does not, it is silent.",
        "In OBS: Settings → Output → Streaming → Audio Encoder: one that is called AAC.",
    )


def _keyframe_interval_long(vitals: Vitals, _: bool) -> Observation | None:
    interval_ms = max(vitals.open_gop_ms, *vitals.keyframe_intervals_ms[-1:], 0)
    if interval_ms <= KEYFRAME_INTERVAL_MS_MAX:
        return None
    if interval_ms > TARGET_DURATION_S_MAX * 1000:
        severity, harm = Severity.ERROR, "segments begin without one, and viewers who join wait for a picture"
    else:
        severity, harm = Severity.WARNING, "viewers wait longer for the first picture, and are farther behind"
    return Observation(severity, f"Keyframes are {interval_ms / 1000:.1f} s apart: {harm}.", _KEYFRAME_ADVICE)


def _keyframe_interval_irregular(vitals: Vitals, _: bool) -> Observation | None:
    intervals_ms = vitals.keyframe_intervals_ms
    if len(intervals_ms) < KEYFRAME_INTERVALS_MIN:
        return None
    longest_ms = max(intervals_ms)
    if longest_ms <= REGULAR_MS_MAX or longest_ms <= IRREGULAR_FACTOR * median(intervals_ms):
        return None
    return Observation(
        Severity.WARNING,
        f"Keyframes come irregularly, {min(intervals_ms) / 1000:.1f} to {longest_ms / 1000:.1f} s apart: so do "
        "segments, and players have to wait for the long ones.",
        _KEYFRAME_ADVICE,
    )


def _keyframes_unfit(vitals: Vitals, _: bool) -> Observation | None:
    if vitals.keyframes_unfit < KEYFRAMES_UNFIT_MIN:
        return None
    return Observation(
        Severity.ERROR,
        "What the encoder calls keyframes are pictures at which no browser can begin (intra refresh, or open groups of "
        "pictures): viewers of before see them, and viewers who join see nothing.",
        "Switch intra refresh off (also: periodic or gradual intra refresh, GDR, recovery points) and closed GOPs on, "
        f"for an IDR picture every 2 s. {_KEYFRAME_ADVICE} With x264, take intra-refresh out of the options.",
    )


def _frames_missing(vitals: Vitals, is_raised: bool) -> Observation | None:
    rate, best = vitals.frame_rate, vitals.frame_rate_best
    if not rate or rate >= best * (FRAMES_MISSING_UNTIL if is_raised else FRAMES_MISSING_BELOW):
        return None
    return Observation(
        Severity.WARNING,
        f"Frames are missing: {rate:.1f} a second of {best:.1f}.",
        f"See OBS's Stats window. Dropped frames (network): lower {_BITRATE_FIELD}. Frames skipped due to encoding "
        f"lag, or missed due to rendering lag: lower {_RESOLUTION_FIELD}, or choose a hardware encoder.",
    )


def _frame_rate_low(vitals: Vitals, _: bool) -> Observation | None:
    if vitals.frame_rate is None or not 0 < vitals.frame_rate < FRAME_RATE_MIN:
        return None
    return Observation(
        Severity.WARNING,
        f"{vitals.frame_rate:.1f} frames a second: movement is not smooth.",
        f"In OBS: {_FPS_FIELD}: 30.",
    )


def _frame_rate_high(vitals: Vitals, _: bool) -> Observation | None:
    if vitals.frame_rate is None or vitals.frame_rate <= FRAME_RATE_MAX:
        return None
    return Observation(
        Severity.WARNING,
        f"{vitals.frame_rate:.0f} frames a second: phones and many televisions decode no more than 60.",
        f"In OBS: {_FPS_FIELD}: 60 or 30.",
    )


def _bitrate_low(vitals: Vitals, _: bool) -> Observation | None:
    videos = vitals.videos
    if len(videos) != 1 or not vitals.frame_rate or vitals.media_bitrate_bps is None:
        return None
    video = videos[0]
    share = 1.0 if video.codec.startswith("avc1") else 0.5
    enough_bps = video.width * video.height * vitals.frame_rate * BITS_PER_PIXEL_MIN * share
    if vitals.media_bitrate_bps >= enough_bps:
        return None
    return Observation(
        Severity.INFO,
        f"{_megabits(vitals.media_bitrate_bps)} is little for {video.width}×{video.height} at "
        f"{vitals.frame_rate:.0f} frames a second: movement will be blurred.",
        f"In OBS: raise {_BITRATE_FIELD} to {_megabits(2 * enough_bps)} or more, or lower {_RESOLUTION_FIELD}.",
    )


def _bitrate_high(vitals: Vitals, is_raised: bool) -> Observation | None:
    bitrate_bps = vitals.media_bitrate_bps
    # Of several variants, viewers whose line is slow take another one.
    if bitrate_bps is None or len(vitals.videos) > 1:
        return None
    if bitrate_bps <= BITRATE_BPS_MAX * (0.9 if is_raised else 1):
        return None
    return Observation(
        Severity.WARNING,
        f"{_megabits(bitrate_bps)} is more than many viewers' lines carry, and there is no smaller variant for them.",
        f"In OBS: set {_BITRATE_FIELD} to 6000 Kbps or less.",
    )


def _resolution_small(vitals: Vitals, _: bool) -> Observation | None:
    largest = max(vitals.videos, key=lambda track: track.width * track.height, default=None)
    # The size of some tracks is known to the decoder alone.
    if largest is None or not largest.width or min(largest.width, largest.height) >= SHORT_SIDE_MIN:
        return None
    return Observation(
        Severity.INFO,
        f"The picture is small: {largest.width}×{largest.height}.",
        f"In OBS: {_RESOLUTION_FIELD}: 1280x720 or more.",
    )


def _resolution_large(vitals: Vitals, _: bool) -> Observation | None:
    smallest = min(vitals.videos, key=lambda track: track.width * track.height, default=None)
    if smallest is None or smallest.width * smallest.height <= PIXELS_MAX:
        return None
    return Observation(
        Severity.WARNING,
        f"The picture is larger than phones decode: {smallest.width}×{smallest.height}.",
        f"In OBS: {_RESOLUTION_FIELD}: 1920x1080.",
    )


def _timestamps_repaired(vitals: Vitals, is_raised: bool) -> Observation | None:
    count = sum(vitals.repairs.values())
    if count < (1 if is_raised else REPAIRS_MIN):
        return None
    reasons = ", ".join(f"{reason} {times}" for reason, times in sorted(vitals.repairs.items()))
    return Observation(
        Severity.WARNING,
        f"Timestamps are broken and are repaired ({reasons}): sound or picture may jump.",
        "In OBS: the same Settings → Audio → Sample Rate for OBS and for every device, no Sync Offset that changes "
        "while live, and a restart of OBS after the computer has slept.",
    )


def _media_damaged(vitals: Vitals, _: bool) -> Observation | None:
    if not vitals.damages:
        return None
    return Observation(
        Severity.WARNING,
        "Media arrived that could not be read: frames are missing.",
        f"If it happens again: update OBS, or choose another encoder, {_ENCODER_FIELD}.",
    )


def _output_failed(vitals: Vitals, _: bool) -> Observation | None:
    if not vitals.failed_outputs:
        return None
    return Observation(
        Severity.ERROR,
        f"Broken off, while the rest of the broadcast goes on: {', '.join(vitals.failed_outputs)}.",
        "The fault is the server's: its log says why (output.failed). Stop and start streaming to have it all again.",
    )


def _output_interrupted(vitals: Vitals, _: bool) -> Observation | None:
    if not vitals.output_faults:
        return None
    faults = "; ".join(f"{name}: {reason}" for name, reason in vitals.output_faults.items())
    return Observation(
        Severity.ERROR,
        f"Interrupted, while the broadcast goes on: {faults}.",
        "The fault is the server's, and it tries again every few seconds. Tell its operator if it stays.",
    )


def _output_delayed(vitals: Vitals, _: bool) -> Observation | None:
    if not vitals.output_delays:
        return None
    delays = "; ".join(f"{name}: {reason}" for name, reason in vitals.output_delays.items())
    return Observation(
        Severity.WARNING,
        f"Kept on the server, and not yet where it is to go: {delays}.",
        "Nothing is lost while the server's disk has space, and it tries again every minute. Tell its operator if it "
        "stays.",
    )


def _megabits(bits_per_second: float) -> str:
    return f"{bits_per_second / 1e6:.1f} Mb/s"


# Rates are means over 5 s, so that a condition of theirs which holds for as long has nothing of what was before.
# Withdrawing takes twice as long and more, so a broadcaster who is about to look still finds it.
CHECKS = (
    Check(HealthCode.NOT_PLAYABLE, _not_playable),
    Check(HealthCode.STARVED, _starved, raise_after_s=3, withdraw_after_s=15),
    Check(HealthCode.FASTER_THAN_REAL_TIME, _faster_than_real_time, raise_after_s=3, withdraw_after_s=15),
    Check(HealthCode.TRACK_REFUSED, _track_refused, withdraw_after_s=5),
    # A track may come some seconds after the others.
    Check(HealthCode.VIDEO_MISSING, _video_missing, raise_after_s=5, withdraw_after_s=5),
    Check(HealthCode.AUDIO_MISSING, _audio_missing, raise_after_s=5, withdraw_after_s=5),
    Check(HealthCode.VIDEO_CODEC_UNPLAYABLE, _video_codec_unplayable, withdraw_after_s=5, is_of_tracks=True),
    Check(HealthCode.AUDIO_CODEC_UNPLAYABLE, _audio_codec_unplayable, withdraw_after_s=5, is_of_tracks=True),
    Check(HealthCode.KEYFRAME_INTERVAL_LONG, _keyframe_interval_long, withdraw_after_s=30),
    Check(HealthCode.KEYFRAME_INTERVAL_IRREGULAR, _keyframe_interval_irregular, withdraw_after_s=30),
    Check(HealthCode.KEYFRAMES_UNFIT, _keyframes_unfit, withdraw_after_s=30),
    Check(HealthCode.FRAMES_MISSING, _frames_missing, raise_after_s=5, withdraw_after_s=15),
    Check(HealthCode.FRAME_RATE_LOW, _frame_rate_low, raise_after_s=5, withdraw_after_s=15),
    Check(HealthCode.FRAME_RATE_HIGH, _frame_rate_high, raise_after_s=5, withdraw_after_s=15),
    Check(HealthCode.BITRATE_LOW, _bitrate_low, raise_after_s=10, withdraw_after_s=30),
    Check(HealthCode.BITRATE_HIGH, _bitrate_high, raise_after_s=10, withdraw_after_s=30),
    Check(HealthCode.RESOLUTION_SMALL, _resolution_small, raise_after_s=5, withdraw_after_s=5, is_of_tracks=True),
    Check(HealthCode.RESOLUTION_LARGE, _resolution_large, raise_after_s=5, withdraw_after_s=5, is_of_tracks=True),
    Check(HealthCode.TIMESTAMPS_REPAIRED, _timestamps_repaired, withdraw_after_s=EVENT_KEPT_S),
    Check(HealthCode.MEDIA_DAMAGED, _media_damaged, withdraw_after_s=EVENT_KEPT_S),
    Check(HealthCode.OUTPUT_FAILED, _output_failed),
    Check(HealthCode.OUTPUT_INTERRUPTED, _output_interrupted),
    Check(HealthCode.OUTPUT_DELAYED, _output_delayed),
)
"""All rules; the faults that viewers notice most stand first."""

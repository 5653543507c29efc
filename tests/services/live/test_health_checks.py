from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamd.media.packet import Track, TrackKind
from streamd.services.live.health import Finding, HealthCode, HealthMonitor, Severity, Vitals
from streamd.services.live.health_checks import CHECKS

VIDEO = Track(1, TrackKind.VIDEO, "avc1.640028", 90_000, width=1920, height=1080)
AUDIO = Track(2, TrackKind.AUDIO, "mp4a.40.2", 48_000, channels=2, frame_ticks=1024)
WELL = Vitals(
    is_playable=True,
    fed_s=60.0,
    videos=(VIDEO,),
    audios=(AUDIO,),
    media_bitrate_bps=6e6,
    frame_rate=60.0,
    frame_rate_best=60.2,
    media_rate=1.0,
    media_lead_s=0.1,
    keyframe_intervals_ms=(2000,) * 8,
    open_gop_ms=1000,
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
# Longer than any check waits before it says anything.
LONG_S = 60


def video(codec: str = VIDEO.codec, *, width: int = 1920, height: int = 1080) -> tuple[Track, ...]:
    return (replace(VIDEO, codec=codec, width=width, height=height),)


def audio(*codecs: str) -> tuple[Track, ...]:
    return tuple(replace(AUDIO, track_id=2 + index, codec=codec) for index, codec in enumerate(codecs))


def findings(vitals: Vitals) -> tuple[Finding, ...]:
    monitor = HealthMonitor(CHECKS)
    for now in range(LONG_S):
        monitor.assess(vitals, now=float(now), wall_now=NOW)
    return monitor.health.findings


class TestWhatIsWell:
    @pytest.mark.parametrize(
        ("name", "vitals"),
        [
            ("a usual stream", WELL),
            ("its first second", Vitals(is_playable=False, fed_s=0.5)),
            ("cinema", replace(WELL, frame_rate=23.976, frame_rate_best=24.1)),
            ("sound that is set right once", replace(WELL, repairs=Counter(audio_gap=1))),
            ("keyframes at scene cuts too", replace(WELL, keyframe_intervals_ms=(2000, 700, 2000, 1400, 2000))),
            ("one keyframe was late", replace(WELL, keyframe_intervals_ms=(2000, 2000, 2600, 2000, 2000))),
            ("nothing can be said yet", replace(WELL, media_rate=None, frame_rate=None, media_bitrate_bps=None)),
            ("catching up after a gap", replace(WELL, media_rate=1.5, media_lead_s=0.0)),
            ("a burst at the start", replace(WELL, media_rate=1.0, media_lead_s=10.0)),
            ("a ladder", replace(WELL, videos=(VIDEO, replace(VIDEO, width=640, height=360)),
                                 media_bitrate_bps=20e6)),
            ("HEVC beside H.264", replace(WELL, videos=(replace(VIDEO, codec="hvc1.1.6.L120.90"), VIDEO))),
            ("AC-3 beside AAC", replace(WELL, audios=audio("ac-3", "mp4a.40.2"))),
            ("Opus", replace(WELL, audios=audio("Opus"))),
            ("a size that only the decoder knows", replace(WELL, videos=(VIDEO, *video(width=0, height=0)))),
        ],
    )  # fmt: skip
    def test_nothing_is_said(self, name: str, vitals: Vitals) -> None:
        assert findings(vitals) == ()


class TestWhatIsWrong:
    @pytest.mark.parametrize(
        ("vitals", "code", "severity", "measured"),
        [
            (Vitals(is_playable=False, fed_s=12.0), HealthCode.NOT_PLAYABLE, Severity.ERROR, "keyframe"),
            (replace(WELL, media_rate=0.6), HealthCode.STARVED, Severity.ERROR, "60%"),
            (replace(WELL, media_rate=0.0), HealthCode.STARVED, Severity.ERROR, "0%"),
            (
                replace(WELL, media_rate=2.0, media_lead_s=9.0),
                HealthCode.FASTER_THAN_REAL_TIME, Severity.WARNING, "2.0 times",
            ),
            (
                replace(WELL, refusals=["unsupported codec (vp08)"]),
                HealthCode.TRACK_REFUSED, Severity.ERROR, "unsupported codec (vp08)",
            ),
            (replace(WELL, videos=()), HealthCode.VIDEO_MISSING, Severity.WARNING, "no picture"),
            (replace(WELL, videos=(), lacks_video=True), HealthCode.VIDEO_MISSING, Severity.INFO, "no picture"),
            (replace(WELL, audios=()), HealthCode.AUDIO_MISSING, Severity.WARNING, "no sound"),
            (replace(WELL, audios=(), lacks_audio=True), HealthCode.AUDIO_MISSING, Severity.INFO, "no sound"),
            (
                replace(WELL, videos=video("avc1.f4001f")),
                HealthCode.VIDEO_CODEC_UNPLAYABLE, Severity.ERROR, "avc1.f4001f",
            ),
            (
                replace(WELL, videos=video("hvc1.1.6.L120.90")),
                HealthCode.VIDEO_CODEC_UNPLAYABLE, Severity.WARNING, "HEVC",
            ),
            (
                replace(WELL, videos=video("av01.0.08M.08")),
                HealthCode.VIDEO_CODEC_UNPLAYABLE, Severity.WARNING, "AV1",
            ),
            (replace(WELL, audios=audio("ec-3")), HealthCode.AUDIO_CODEC_UNPLAYABLE, Severity.ERROR, "ec-3"),
            (
                replace(WELL, keyframe_intervals_ms=(8333,) * 4),
                HealthCode.KEYFRAME_INTERVAL_LONG, Severity.WARNING, "8.3 s",
            ),
            (
                replace(WELL, keyframe_intervals_ms=(), open_gop_ms=12_000),
                HealthCode.KEYFRAME_INTERVAL_LONG, Severity.ERROR, "12.0 s",
            ),
            (
                replace(WELL, keyframe_intervals_ms=(1000, 1000, 3900, 1000, 1000)),
                HealthCode.KEYFRAME_INTERVAL_IRREGULAR, Severity.WARNING, "1.0 to 3.9 s",
            ),
            (replace(WELL, keyframes_unfit=2), HealthCode.KEYFRAMES_UNFIT, Severity.ERROR, "intra refresh"),
            (
                replace(WELL, frame_rate=45.0, media_bitrate_bps=8e6),
                HealthCode.FRAMES_MISSING, Severity.WARNING, "45.0 a second of 60.2",
            ),
            (
                replace(WELL, frame_rate=10.0, frame_rate_best=10.0),
                HealthCode.FRAME_RATE_LOW, Severity.WARNING, "10.0 frames",
            ),
            (
                replace(WELL, frame_rate=120.0, frame_rate_best=120.0),
                HealthCode.FRAME_RATE_HIGH, Severity.WARNING, "120 frames",
            ),
            (replace(WELL, media_bitrate_bps=2e6), HealthCode.BITRATE_LOW, Severity.INFO, "1920×1080"),
            (replace(WELL, media_bitrate_bps=40e6), HealthCode.BITRATE_HIGH, Severity.WARNING, "40.0 Mb/s"),
            (replace(WELL, videos=video(width=320, height=180)), HealthCode.RESOLUTION_SMALL, Severity.INFO, "320×180"),
            (
                replace(WELL, videos=video("avc1.64003c", width=7680, height=4320), media_bitrate_bps=None),
                HealthCode.RESOLUTION_LARGE, Severity.WARNING, "7680×4320",
            ),
            (
                replace(WELL, repairs=Counter(jump=1, audio_gap=2)),
                HealthCode.TIMESTAMPS_REPAIRED, Severity.WARNING, "audio_gap 2, jump 1",
            ),
            (replace(WELL, damages=1), HealthCode.MEDIA_DAMAGED, Severity.WARNING, "could not be read"),
        ],
    )  # fmt: skip
    def test_it_is_found_alone_and_told_with_its_figure(
        self, vitals: Vitals, code: HealthCode, severity: Severity, measured: str
    ) -> None:
        (finding,) = findings(vitals)
        assert (finding.code, finding.severity) == (code, severity)
        assert measured in finding.message
        assert "OBS" in finding.advice

    def test_every_code_but_the_publishers_absence_has_one_check(self) -> None:
        codes = [check.code for check in CHECKS]
        assert len(codes) == len(set(codes))
        assert set(codes) == set(HealthCode) - {HealthCode.PUBLISHER_AWAY}

    def test_every_code_is_explained_to_operators(self) -> None:
        explained = (Path(__file__).parents[3] / "docs" / "observing.md").read_text()
        for code in HealthCode:
            assert f"`{code.value}`" in explained, code

    def test_obs_with_its_defaults_is_told_of_its_keyframes_and_nothing_else(self) -> None:
        # 250 frames at 30 a second, or fewer where x264 sees a scene's cut; 2500 kb/s at 1080p.
        obs = replace(
            WELL,
            media_bitrate_bps=2.66e6,
            frame_rate=30.0,
            frame_rate_best=30.1,
            keyframe_intervals_ms=(8333, 8333, 8333, 8333, 8333),
            open_gop_ms=7000,
        )
        assert [finding.code for finding in findings(obs)] == [HealthCode.KEYFRAME_INTERVAL_LONG]

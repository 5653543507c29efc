from __future__ import annotations

from datetime import timedelta

import pytest

from streamd.clock import ManualClock
from streamd.media.packet import Track, TrackKind
from streamd.services.live.health import (
    Check,
    HealthCode,
    HealthMonitor,
    HealthStatus,
    Observation,
    Severity,
    Vitals,
    away,
)

WELL = Vitals(is_playable=True, fed_s=60.0, media_rate=1.0)
SLOW = Vitals(is_playable=True, fed_s=60.0, media_rate=0.5)
SILENT = Vitals(is_playable=True, fed_s=60.0, media_rate=1.0, lacks_audio=True)


def observe_slow(vitals: Vitals, is_raised: bool) -> Observation | None:
    assert vitals.media_rate is not None
    if vitals.media_rate >= (0.97 if is_raised else 0.9):
        return None
    return Observation(Severity.ERROR, f"{vitals.media_rate} arrives", "send more")


def observe_silent(vitals: Vitals, _: bool) -> Observation | None:
    return Observation(Severity.WARNING, "no sound", "choose a device") if vitals.lacks_audio else None


def observe_small(vitals: Vitals, _: bool) -> Observation | None:
    return Observation(Severity.INFO, "small", "enlarge it") if vitals.lacks_video else None


CHECKS = (
    Check(HealthCode.RESOLUTION_SMALL, observe_small),
    Check(HealthCode.AUDIO_MISSING, observe_silent),
    Check(HealthCode.STARVED, observe_slow, raise_after_s=3, withdraw_after_s=10),
)


class Stream:
    """A monitor that is asked once a second."""

    def __init__(self) -> None:
        self.monitor = HealthMonitor(CHECKS)
        self.clock = ManualClock()

    def pass_seconds(self, seconds: int, vitals: Vitals) -> tuple[HealthCode, ...]:
        for _ in range(seconds):
            self.clock.advance(1)
            self.monitor.assess(vitals, now=self.clock.monotonic(), wall_now=self.clock.now())
        return self.monitor.health.codes


@pytest.fixture
def stream() -> Stream:
    return Stream()


class TestRaising:
    def test_a_condition_that_holds_is_raised(self, stream: Stream) -> None:
        assert stream.pass_seconds(3, SLOW) == ()
        assert stream.pass_seconds(1, SLOW) == (HealthCode.STARVED,)

    def test_one_that_comes_and_goes_is_not(self, stream: Stream) -> None:
        for _ in range(10):
            stream.pass_seconds(3, SLOW)
            assert stream.pass_seconds(1, WELL) == ()

    def test_one_that_is_a_fact_is_raised_at_once(self, stream: Stream) -> None:
        assert stream.pass_seconds(1, SILENT) == (HealthCode.AUDIO_MISSING,)

    def test_it_is_since_it_was_first_so_and_told_as_it_is_now(self, stream: Stream) -> None:
        stream.pass_seconds(1, SLOW)
        since = stream.clock.now()
        stream.pass_seconds(4, Vitals(is_playable=True, fed_s=60.0, media_rate=0.25))
        (finding,) = stream.monitor.health.findings
        assert (finding.since, finding.message, finding.advice) == (since, "0.25 arrives", "send more")


class TestWithdrawing:
    def test_a_finding_stays_until_it_has_been_well_for_a_while(self, stream: Stream) -> None:
        stream.pass_seconds(4, SLOW)
        assert stream.pass_seconds(9, WELL) == (HealthCode.STARVED,)
        assert stream.pass_seconds(1, WELL) == ()

    def test_meeting_the_condition_again_begins_that_while_anew(self, stream: Stream) -> None:
        stream.pass_seconds(4, SLOW)
        stream.pass_seconds(9, WELL)
        stream.pass_seconds(1, SLOW)
        assert stream.pass_seconds(9, WELL) == (HealthCode.STARVED,)

    def test_what_would_not_raise_a_finding_may_keep_it(self, stream: Stream) -> None:
        hardly = Vitals(is_playable=True, fed_s=60.0, media_rate=0.95)
        assert stream.pass_seconds(60, hardly) == ()
        stream.pass_seconds(4, SLOW)
        assert stream.pass_seconds(60, hardly) == (HealthCode.STARVED,)


class TestTheWholeOfIt:
    @pytest.mark.parametrize(
        ("vitals", "status", "is_healthy"),
        [
            (WELL, HealthStatus.GOOD, True),
            (Vitals(is_playable=True, fed_s=60.0, media_rate=1.0, lacks_video=True), HealthStatus.GOOD, True),
            (SILENT, HealthStatus.OK, False),
            (SLOW, HealthStatus.BAD, False),
            (Vitals(is_playable=False, fed_s=60.0, media_rate=1.0), HealthStatus.NO_DATA, None),
            (Vitals(is_playable=False, fed_s=60.0, media_rate=1.0, lacks_audio=True), HealthStatus.NO_DATA, None),
        ],
    )
    def test_the_worst_finding_decides(self, vitals: Vitals, status: HealthStatus, is_healthy: bool | None) -> None:
        stream = Stream()
        stream.pass_seconds(5, vitals)
        assert (stream.monitor.health.status, stream.monitor.health.is_healthy) == (status, is_healthy)

    def test_the_worst_finding_stands_first(self, stream: Stream) -> None:
        everything = Vitals(is_playable=True, fed_s=60.0, media_rate=0.5, lacks_audio=True, lacks_video=True)
        assert stream.pass_seconds(5, everything) == (
            HealthCode.STARVED,
            HealthCode.AUDIO_MISSING,
            HealthCode.RESOLUTION_SMALL,
        )

    def test_before_any_assessment_nothing_is_known(self, stream: Stream) -> None:
        assert (stream.monitor.health.status, stream.monitor.health.findings) == (HealthStatus.NO_DATA, ())

    def test_a_publisher_who_is_away_is_an_error_and_no_turn(self, stream: Stream) -> None:
        since = stream.clock.now() - timedelta(seconds=3)
        health = away(since)
        assert (health.status, health.is_healthy, health.codes) == (
            HealthStatus.NO_DATA,
            None,
            (HealthCode.PUBLISHER_AWAY,),
        )
        assert health.findings[0].since == since


class TestTracks:
    """A check that looks at the tracks alone is not asked again while they are the same, and it has found nothing."""

    @staticmethod
    def track(width: int) -> Track:
        return Track(1, TrackKind.VIDEO, "avc1.64001f", 90_000, width=width, height=width)

    def assess(self, monitor: HealthMonitor, *videos: tuple[Track, ...]) -> tuple[HealthCode, ...]:
        for each in videos:
            self.clock.advance(1)
            vitals = Vitals(is_playable=True, fed_s=60.0, videos=each)
            monitor.assess(vitals, now=self.clock.monotonic(), wall_now=self.clock.now())
        return monitor.health.codes

    def monitor(self, asked: list[Vitals]) -> HealthMonitor:
        self.clock = ManualClock()

        def observe_width(vitals: Vitals, _: bool) -> Observation | None:
            asked.append(vitals)
            is_small = any(track.width < 100 for track in vitals.videos)
            return Observation(Severity.INFO, "small", "enlarge it") if is_small else None

        return HealthMonitor((Check(HealthCode.RESOLUTION_SMALL, observe_width, is_of_tracks=True),))

    def test_it_is_asked_once_of_good_tracks(self) -> None:
        asked: list[Vitals] = []
        tracks = (self.track(1280),)
        assert self.assess(self.monitor(asked), *[tracks] * 5) == ()
        assert len(asked) == 1

    def test_it_is_asked_of_others(self) -> None:
        good, small = (self.track(1280),), (self.track(64),)
        asked: list[Vitals] = []
        monitor = self.monitor(asked)
        assert self.assess(monitor, good, good, small) == (HealthCode.RESOLUTION_SMALL,)
        assert self.assess(monitor, small, small) == (HealthCode.RESOLUTION_SMALL,)
        assert self.assess(monitor, good) == ()
        assert self.assess(monitor, good, small) == (HealthCode.RESOLUTION_SMALL,)

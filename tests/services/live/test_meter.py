from __future__ import annotations

from collections import Counter

import pytest

from streamd.media.packet import new_sample
from streamd.services.live.meter import READINGS_MAX, LineReading, StreamMeter

BYTES_A_SECOND = 750_000
FRAME_RATE = 30


class Publisher:
    """What a publisher sends, second by second; times are seconds and begin anywhere."""

    def __init__(self, meter: StreamMeter, gop_s: int = 2) -> None:
        self.meter = meter
        self.now = 500.0
        self.sent_s = 0
        self.repairs: Counter[str] = Counter()
        self.damages = 0
        self._gop_s = gop_s
        self._base_ms = 70_000

    def send(self, media_s: int, *, frame_rate: int = FRAME_RATE) -> None:
        for _ in range(media_s):
            for frame in range(frame_rate):
                dts_ms = self._base_ms + self.sent_s * 1000 + frame * 1000 // frame_rate
                is_keyframe = frame == 0 and self.sent_s % self._gop_s == 0
                self.meter.note_video(new_sample(1, dts_ms * 90, dts_ms * 90, is_keyframe, b"", 0))
            self.meter.media_bytes += BYTES_A_SECOND
            self.sent_s += 1

    def read(self) -> None:
        self.now += 1
        media_ms = self.sent_s * 1000 if self.sent_s else None
        self.meter.read(self.now, LineReading(media_ms, Counter(self.repairs), self.damages))

    def stream(self, seconds: int, *, frame_rate: int = FRAME_RATE) -> None:
        """Send and read in real time."""
        for _ in range(seconds):
            self.send(1, frame_rate=frame_rate)
            self.read()


@pytest.fixture
def meter() -> StreamMeter:
    return StreamMeter()


@pytest.fixture
def publisher(meter: StreamMeter) -> Publisher:
    return Publisher(meter)


class TestRates:
    def test_nothing_is_known_before_there_is_media(self, meter: StreamMeter, publisher: Publisher) -> None:
        publisher.read()
        publisher.read()
        assert (meter.bitrate_bps, meter.media_bitrate_bps, meter.frame_rate, meter.media_rate) == (
            0.0,
            None,
            None,
            None,
        )

    def test_a_stream_in_real_time(self, meter: StreamMeter, publisher: Publisher) -> None:
        publisher.stream(20)
        assert (meter.bitrate_bps, meter.media_bitrate_bps) == (8.0 * BYTES_A_SECOND, 8.0 * BYTES_A_SECOND)
        assert (meter.frame_rate, meter.frame_rate_best) == (FRAME_RATE, FRAME_RATE)
        assert (meter.media_rate, meter.media_lead_s) == (1.0, 0.0)

    def test_twice_as_fast_is_no_other_stream(self, meter: StreamMeter, publisher: Publisher) -> None:
        for _ in range(10):
            publisher.send(2)
            publisher.read()
        assert (meter.frame_rate, meter.media_bitrate_bps) == (FRAME_RATE, 8.0 * BYTES_A_SECOND)
        assert (meter.media_rate, meter.media_lead_s) == (2.0, 9.0)
        assert meter.bitrate_bps == 16.0 * BYTES_A_SECOND

    def test_a_gap_and_what_is_caught_up_after_it(self, meter: StreamMeter, publisher: Publisher) -> None:
        publisher.stream(10)
        for _ in range(READINGS_MAX):
            publisher.read()
        assert (meter.media_rate, meter.frame_rate, meter.bitrate_bps) == (0.0, None, 0.0)
        publisher.send(READINGS_MAX + 1)
        publisher.read()
        assert meter.frame_rate == FRAME_RATE
        assert meter.frame_rate_best == FRAME_RATE
        assert meter.media_lead_s == pytest.approx(0.0)

    def test_frames_that_are_missing_leave_the_best_rate_standing(
        self, meter: StreamMeter, publisher: Publisher
    ) -> None:
        publisher.stream(10)
        publisher.stream(10, frame_rate=15)
        assert (meter.frame_rate, meter.frame_rate_best) == (15.0, FRAME_RATE)


class TestKeyframes:
    def test_intervals_are_those_of_the_last_keyframes(self, meter: StreamMeter, publisher: Publisher) -> None:
        assert meter.keyframe_interval_ms is None
        publisher.stream(40)
        assert list(meter.keyframe_intervals_ms) == [2000] * 8
        assert meter.keyframe_interval_ms == 2000

    def test_a_gop_that_does_not_end_is_seen_before_it_ends(self, meter: StreamMeter) -> None:
        Publisher(meter, gop_s=60).stream(10)
        assert meter.keyframe_interval_ms is None
        assert meter.open_gop_ms == 9000

    def test_sound_alone_has_no_gop(self, meter: StreamMeter, publisher: Publisher) -> None:
        publisher.stream(10, frame_rate=0)
        assert meter.open_gop_ms == 0


class TestFaults:
    def test_only_those_of_the_last_seconds_are_told(self, meter: StreamMeter, publisher: Publisher) -> None:
        publisher.stream(2)
        publisher.repairs["jump"] += 1
        publisher.damages += 1
        publisher.stream(1)
        assert (meter.repairs, meter.damages) == ({"jump": 1}, 1)
        publisher.stream(READINGS_MAX)
        assert (meter.repairs, meter.damages) == ({}, 0)


class TestAnotherPublisher:
    def test_nothing_is_measured_across_the_two(self, meter: StreamMeter) -> None:
        Publisher(meter).stream(20, frame_rate=60)
        meter.restart()
        again = Publisher(meter)
        again.now = 10_000.0
        again.stream(20)
        assert (meter.frame_rate, meter.frame_rate_best) == (FRAME_RATE, FRAME_RATE)
        assert (meter.media_rate, meter.media_lead_s) == (1.0, 0.0)
        assert set(meter.keyframe_intervals_ms) == {2000}
        assert meter.video_frames == 20 * 60 + 20 * FRAME_RATE

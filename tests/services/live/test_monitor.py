from __future__ import annotations

import pytest

from streamd.clock import ManualClock
from streamd.media.packager.segmenter import SegmenterOptions
from streamd.media.packager.timing import PlaylistTiming
from streamd.services.live.health import HealthCode, HealthStatus
from streamd.services.live.media_line import MediaLine
from streamd.services.live.monitor import HELD_S_MAX, StreamMonitor
from streamd.services.live.outputs import Outputs
from streamd.services.metrics import Metrics
from tests.support.chunk_feeder import AUDIO, VIDEO, ChunkFeeder
from tests.support.flv_media import h264_aac
from tests.support.output_context import tracks_of

TIMING = PlaylistTiming(2, 500)


class Watch:
    """A monitor, and a line that nothing passes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.playable = 0
        self.monitor = StreamMonitor("alice", clock=self.clock, metrics=self.metrics, on_playable=self.note_playable)
        self.line = MediaLine(
            Outputs("alice"),
            options=SegmenterOptions(),
            clock=self.clock,
            metrics=self.metrics,
            meter=self.monitor.meter,
            warn=lambda _, __: None,
            charge=lambda _: None,
            on_failed=lambda _: None,
            picture_pixels_max=lambda: 0,
        )
        self.chunks = ChunkFeeder()

    def note_playable(self) -> None:
        self.playable += 1

    def add_segment(self, *, part_s: float = 0.5, is_discontinuous: bool = False) -> None:
        for chunk in self.chunks.segment(4 * 45_000, is_discontinuous=is_discontinuous):
            self.clock.advance(part_s)
            self.monitor.take_part("main", chunk, TIMING)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


class TestParts:
    def test_they_are_counted(self) -> None:
        watch = Watch()
        watch.add_segment()
        watch.add_segment()
        assert (watch.monitor.tally.parts, watch.monitor.tally.segments) == (8, 2)
        assert (watch.value("streamd_parts_total"), watch.value("streamd_segments_total")) == (8, 2)

    def test_the_first_is_what_there_is_to_play(self) -> None:
        watch = Watch()
        watch.add_segment()
        watch.add_segment()
        assert watch.playable == 1
        assert watch.value("streamd_publish_to_playable_seconds_sum") == pytest.approx(0.5)

    def test_one_is_as_late_as_it_comes_after_the_last_frame_and_not_when_the_line_is_finished(self) -> None:
        watch = Watch()
        watch.monitor.note_media(())
        watch.add_segment()
        assert watch.value("streamd_part_latency_seconds_count") == 4
        assert watch.value("streamd_part_latency_seconds_sum") == pytest.approx(0.5 + 1 + 1.5 + 2)
        watch.monitor.note_finish()
        watch.add_segment()
        assert watch.value("streamd_part_latency_seconds_count") == 4

    def test_its_delay_is_what_it_came_later_than_the_media_of_the_one_before(self) -> None:
        watch = Watch()
        watch.add_segment(part_s=0.6)
        watch.add_segment(part_s=0.6, is_discontinuous=True)
        # Not of the first, and not of one behind a discontinuity.
        assert watch.value("streamd_part_delay_seconds_count") == 6
        assert watch.value("streamd_part_delay_seconds_sum") == pytest.approx(6 * 0.1)

    def test_nobody_is_called_after_the_end(self) -> None:
        watch = Watch()
        watch.monitor.end()
        watch.add_segment()
        assert watch.playable == 0


class TestTracks:
    def test_each_is_there_once_video_first(self) -> None:
        monitor = Watch().monitor
        monitor.start(tracks_of("audio0", "main", "video1"))
        assert (monitor.videos, monitor.audios, monitor.tracks) == ((VIDEO,), (AUDIO,), (VIDEO, AUDIO))


class TestReading:
    def test_a_stream_of_which_nothing_can_be_played_has_no_data_and_says_why(self) -> None:
        watch = Watch()
        for _ in range(15):
            watch.monitor.note_media(h264_aac(1))
            watch.clock.advance(1)
            assert not watch.monitor.read(watch.line, (), {})
        assert watch.monitor.health.status is HealthStatus.NO_DATA
        assert HealthCode.NOT_PLAYABLE in watch.monitor.health.codes
        assert watch.monitor.tally.findings == set(watch.monitor.health.codes)

    def test_what_is_wrong_is_counted_while_it_is(self) -> None:
        watch = Watch()
        watch.monitor.read(watch.line, ["hls"], {})
        assert watch.value("streamd_stream_findings", code="output_failed") == 1
        watch.monitor.read(watch.line, (), {})
        assert watch.value("streamd_stream_findings", code="output_failed") == 0
        watch.monitor.read(watch.line, (), {}, {"recording": "the bucket is full"})
        assert watch.value("streamd_stream_findings", code="output_delayed") == 1
        assert "recording: the bucket is full" in watch.monitor.health.findings[-1].message

    def test_time_in_which_the_kernel_may_hold_media_is_not_counted(self) -> None:
        watch = Watch()
        watch.monitor.note_media(h264_aac(1))
        watch.monitor.read(watch.line, (), {})
        watch.clock.advance(2)
        watch.monitor.note_media(h264_aac(1))
        watch.clock.advance(0.9 * HELD_S_MAX)
        watch.monitor.read(watch.line, (), {})
        sent = sum(len(tag.payload) for tag in h264_aac(1))
        assert watch.monitor.meter.bitrate_bps == pytest.approx(sent * 8 / 2)

    def test_the_most_that_watched_at_a_time_are_remembered(self) -> None:
        monitor = Watch().monitor
        for count in (1, 5, 3):
            monitor.note_viewers(count)
        assert monitor.tally.viewers_max == 5


class TestLife:
    def test_who_is_away_is_a_finding_and_who_is_back_is_measured_anew(self) -> None:
        watch = Watch()
        watch.monitor.note_away()
        assert watch.monitor.health.codes == (HealthCode.PUBLISHER_AWAY,)
        watch.clock.advance(20)
        watch.monitor.note_back()
        assert not watch.monitor.health.findings
        assert watch.monitor.last_media_at == watch.clock.monotonic()
        assert watch.monitor.tally.reconnects == 1
        # Not yet for as long that it should be playable.
        watch.monitor.read(watch.line, (), {})
        assert HealthCode.NOT_PLAYABLE not in watch.monitor.health.codes

    def test_what_has_ended_is_counted_no_more(self) -> None:
        watch = Watch()
        watch.monitor.note_away()
        watch.monitor.note_end()
        assert watch.value("streamd_stream_findings", code="publisher_away") == 0
        assert watch.monitor.closing_fields["findings"] == "publisher_away"

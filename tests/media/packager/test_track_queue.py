from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from streamd.formats.cmaf.fragment import ChunkHead
from streamd.media.packager.track_queue import TrackQueue
from streamd.media.packet import Sample, Track
from tests.support.samples import AUDIO, VIDEO, ReadSample, audio_sample, read_chunk, video_sample


def waiting(track: Track, samples: Sequence[Sample]) -> TrackQueue:
    queue = TrackQueue(track)
    queue.samples.extend(samples)
    return queue


def begun() -> ChunkHead:
    head = ChunkHead()
    head.begin(1, 1, 20)
    return head


def written(head: ChunkHead, queue: TrackQueue) -> list[ReadSample]:
    payloads = b"".join(bytes(payload)[start:] for payload, start in zip(head.payloads, head.starts, strict=True))
    return read_chunk(head.write() + payloads).tracks[queue.track_id]


class TestCount:
    @pytest.mark.parametrize(("end_ms", "count"), [(0, 0), (1, 1), (100, 3), (101, 4), (1000, 5)])
    def test_those_that_start_before_an_end_in_another_timescale(self, end_ms: int, count: int) -> None:
        queue = waiting(VIDEO, [video_sample(time_ms) for time_ms in (0, 33, 67, 100, 133)])
        assert queue.count_before(end_ms, 1000) == count


class TestRun:
    def test_its_first_sample_begins_where_it_is_told_and_the_second_at_its_own_time(self) -> None:
        queue = waiting(VIDEO, [video_sample(10, composition_ms=20), video_sample(43), video_sample(76)])
        head = begun()
        queue.take(2, 450, 6000, head)
        samples = written(head, queue)
        assert [(each.dts_ticks, each.duration_ticks) for each in samples] == [(450, 43 * 90 - 450), (3870, 2130)]
        assert [each.pts_ticks for each in samples] == [30 * 90, 43 * 90]
        assert queue.next_ticks == 6000
        assert len(queue.samples) == 1

    def test_each_sample_has_a_tick_where_there_is_no_time_left(self) -> None:
        queue = waiting(VIDEO, [video_sample(0), video_sample(1), video_sample(2)])
        head = begun()
        queue.take(3, 9000, 100, head)
        assert [(each.dts_ticks, each.duration_ticks) for each in written(head, queue)] == [
            (9000, 1),
            (9001, 1),
            (9002, 1),
        ]
        assert queue.next_ticks == 9003


class TestCountedRun:
    def test_the_last_one_is_as_long_as_a_frame(self) -> None:
        queue = waiting(AUDIO, [audio_sample(index) for index in range(3)])
        head = begun()
        queue.take_counted(3, head)
        assert [each.duration_ticks for each in written(head, queue)] == [1024] * 3
        assert queue.next_ticks == 3072

    def test_where_frames_are_not_counted_it_is_as_long_as_the_one_before(self) -> None:
        queue = waiting(replace(AUDIO, frame_ticks=0), [audio_sample(index) for index in range(2)])
        head = begun()
        queue.take_counted(2, head)
        assert [each.duration_ticks for each in written(head, queue)] == [1024, 1024]
        assert queue.last_duration == 1024

    def test_it_does_not_begin_before_the_one_before_has_ended(self) -> None:
        queue = waiting(AUDIO, [audio_sample(0), audio_sample(0), audio_sample(1)])
        queue.take_counted(1, begun())
        head = begun()
        queue.take_counted(2, head)
        assert [each.dts_ticks for each in written(head, queue)] == [1024, 1025]

from __future__ import annotations

from streamd.formats.flv.tag import FlvTag
from streamd.services.restream.tag_queue import TagQueue
from tests.support.restream import audio, video


def times(queue: TagQueue) -> list[int]:
    return [queue.pop().timestamp_ms for _ in range(len(queue))]


def gop(at_ms: int) -> list[FlvTag]:
    return [video(at_ms, is_keyframe=True), *(video(at_ms + ms) for ms in range(250, 1000, 250))]


class TestTagQueue:
    def test_nothing_is_taken_before_the_first_keyframe(self) -> None:
        queue = TagQueue(5000)
        queue.extend([video(0), audio(10), *gop(20)])
        assert times(queue) == [20, 270, 520, 770]
        assert queue.dropped == 0

    def test_older_gops_are_left_out_whole(self) -> None:
        queue = TagQueue(2500)
        for at_ms in range(0, 4000, 1000):
            queue.extend(gop(at_ms))
        assert times(queue) == [2000, 2250, 2500, 2750, 3000, 3250, 3500, 3750]
        assert queue.dropped == 8

    def test_a_gop_longer_than_the_queue_is_given_up(self) -> None:
        queue = TagQueue(2000)
        queue.extend([video(0, is_keyframe=True), *(video(ms) for ms in range(500, 4000, 500))])
        assert times(queue) == []
        assert queue.waits_for_keyframe
        queue.extend([video(4000), video(4500, is_keyframe=True)])
        assert times(queue) == [4500]
        assert queue.dropped == 8

    def test_of_sound_alone_the_older_half_is_left_out(self) -> None:
        queue = TagQueue(1000)
        queue.begin(has_video=False)
        for ms in range(0, 1200, 100):
            queue.extend([audio(ms)])
        assert times(queue) == list(range(600, 1200, 100))
        assert queue.dropped == 6

    def test_another_connection_begins_with_nothing_from_before(self) -> None:
        queue = TagQueue(5000)
        queue.extend(gop(0))
        queue.begin(has_video=True)
        assert len(queue) == 0
        assert queue.held_bytes == 0
        assert queue.waits_for_keyframe

    def test_without_a_connection_the_newest_gop_is_kept(self) -> None:
        queue = TagQueue(5000)
        queue.keep_newest([video(0), *gop(1000), *gop(2000)])
        queue.keep_newest([audio(2800)])
        assert times(queue) == [2000, 2250, 2500, 2750, 2800]
        assert queue.dropped == 0

    def test_one_that_is_too_long_is_not(self) -> None:
        queue = TagQueue(2000)
        queue.keep_newest([video(0, is_keyframe=True), *(video(ms) for ms in range(500, 4000, 500))])
        assert queue.waits_for_keyframe
        assert queue.dropped == 0

    def test_of_sound_alone_nothing_is_kept(self) -> None:
        queue = TagQueue(5000)
        queue.begin(has_video=False)
        queue.keep_newest([audio(0)])
        assert len(queue) == 0

from __future__ import annotations

from streamd.media.packager.sample_timer import SampleTimer
from tests.support.samples import audio_sample, video_sample


def test_a_sample_is_held_back_until_the_next_of_its_track() -> None:
    timer = SampleTimer()
    first, second, third = (video_sample(ms) for ms in (0, 33, 67))
    assert timer.push([first]) == []
    assert timer.push([second]) == [first]
    assert first.duration_ticks == 33 * 90
    assert timer.push([third]) == [second]
    assert second.duration_ticks == 34 * 90


def test_a_batch_comes_out_in_order_less_its_last() -> None:
    timer = SampleTimer()
    frames = [video_sample(ms) for ms in (0, 33, 67)]
    assert timer.push(frames) == frames[:2]
    assert timer.push([]) == []


def test_dropped_frames_make_the_one_before_them_last_longer() -> None:
    timer = SampleTimer()
    (before,) = timer.push([video_sample(0), video_sample(150)])
    assert before.duration_ticks == 150 * 90


def test_tracks_do_not_wait_for_each_other() -> None:
    timer = SampleTimer()
    video, sound = video_sample(0), audio_sample(0)
    assert timer.push([video, sound]) == []
    assert timer.push([audio_sample(1)]) == [sound]
    assert sound.duration_ticks == 1024
    assert timer.push([video_sample(40)]) == [video]
    assert video.duration_ticks == 40 * 90


def test_frames_of_the_same_time_have_no_duration_but_the_last() -> None:
    timer = SampleTimer()
    assert [timed.duration_ticks for timed in timer.push([video_sample(0), video_sample(0), video_sample(33)])] == [
        0,
        33 * 90,
    ]

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.media.packet import MediaPacket, Sample, Track
from streamd.media.timeline import (
    AUDIO_DRIFT_FRAMES,
    AUDIO_DRIFT_MS_MAX,
    COMPOSITION_MS_MAX,
    JUMP_MS_MAX,
    START_MS,
    STEP_BACK_MS_MAX,
    Repair,
    Timeline,
)
from tests.support.samples import AUDIO, AUDIO_44100, VIDEO, audio_packets, interleave, video_packets


def video(dts_ms: int, pts_ms: int | None = None) -> MediaPacket:
    return MediaPacket(VIDEO.track_id, dts_ms, dts_ms if pts_ms is None else pts_ms, True, b"v", 0)


def audio(dts_ms: int) -> MediaPacket:
    return MediaPacket(AUDIO.track_id, dts_ms, dts_ms, True, b"a", 0)


def shifted(packets: Iterable[MediaPacket], by_ms: int) -> list[MediaPacket]:
    return [replace(packet, dts_ms=packet.dts_ms + by_ms, pts_ms=packet.pts_ms + by_ms) for packet in packets]


def place(timeline: Timeline, packets: Iterable[MediaPacket]) -> list[Sample]:
    return [sample for packet in packets if (sample := timeline.place(packet)) is not None]


def times_ms(samples: Sequence[Sample], track: Track) -> list[float]:
    return [s.dts_ticks * 1000 / track.timescale for s in samples if s.track_id == track.track_id]


def steps_ms(samples: Sequence[Sample], track: Track) -> list[float]:
    times = times_ms(samples, track)
    return [later - earlier for earlier, later in pairwise(times)]


class TestVideo:
    def test_times_pass_through_from_the_first_packet(self) -> None:
        timeline = Timeline([VIDEO])
        samples = place(timeline, [video(70_000, 70_067), video(70_033, 70_200), video(70_067)])
        assert [sample.dts_ticks - START_MS * 90 for sample in samples] == [0, 33 * 90, 67 * 90]
        assert [sample.pts_ticks - sample.dts_ticks for sample in samples] == [67 * 90, 167 * 90, 0]
        assert not timeline.repairs

    def test_a_negative_composition_time_is_legal(self) -> None:
        timeline = Timeline([VIDEO])
        (sample,) = place(timeline, [video(0, -33)])
        assert sample.pts_ticks - sample.dts_ticks == -33 * 90
        assert not timeline.repairs

    @pytest.mark.parametrize("composition_ms", [COMPOSITION_MS_MAX + 1, -COMPOSITION_MS_MAX - 1, 2**23 - 1])
    def test_an_absurd_composition_time_is_set_to_zero(self, composition_ms: int) -> None:
        timeline = Timeline([VIDEO])
        (sample,) = place(timeline, [video(0, composition_ms)])
        assert sample.pts_ticks == sample.dts_ticks
        assert timeline.repairs == {Repair.COMPOSITION_TIME: 1}

    @pytest.mark.parametrize("step_ms", [0, -1, -STEP_BACK_MS_MAX])
    def test_a_decode_time_that_does_not_rise_is_nudged_and_keeps_its_presentation(self, step_ms: int) -> None:
        timeline = Timeline([VIDEO])
        first, second, third = place(timeline, [video(1000), video(1000 + step_ms, 1066), video(1033)])
        assert second.dts_ticks == first.dts_ticks + 1
        assert second.pts_ticks == first.pts_ticks + 66 * 90
        assert third.dts_ticks == first.dts_ticks + 33 * 90
        assert timeline.repairs == {Repair.NON_MONOTONIC_DTS: 1}

    def test_a_clock_that_creeps_back_is_noticed_in_the_end(self) -> None:
        timeline = Timeline([VIDEO])
        place(timeline, [video(10_000 - 150 * index) for index in range(10)])
        assert timeline.breaks > 0

    def test_a_key_flag_and_the_payload_pass_unchanged(self) -> None:
        packet = MediaPacket(VIDEO.track_id, 5, 5, False, b"frame", 0)
        (sample,) = place(Timeline([VIDEO]), [packet])
        assert sample.payload is packet.payload
        assert not sample.is_keyframe


class TestAudio:
    @pytest.mark.parametrize("track", [AUDIO, AUDIO_44100], ids=["48k", "44k1"])
    def test_frames_are_counted_not_timed(self, track: Track) -> None:
        timeline = Timeline([track])
        samples = place(timeline, audio_packets(track, duration_s=60))
        first = samples[0].dts_ticks
        assert first == START_MS * track.timescale // 1000
        assert [sample.dts_ticks for sample in samples] == [first + index * 1024 for index in range(len(samples))]
        assert not timeline.repairs

    def test_jitter_within_the_tolerance_changes_nothing(self) -> None:
        timeline = Timeline([AUDIO])
        packets = shifted(audio_packets(duration_s=2), 500)
        late = [
            replace(packet, dts_ms=packet.dts_ms + index * 7 % AUDIO_DRIFT_MS_MAX)
            for index, packet in enumerate(packets)
        ]
        samples = place(timeline, late)
        assert {round(step, 3) for step in steps_ms(samples, AUDIO)} == {21.333}
        assert not timeline.repairs

    @pytest.mark.parametrize("stutter_ms", [-60, 60])
    def test_a_wire_that_stutters_and_recovers_costs_no_sound(self, stutter_ms: int) -> None:
        timeline = Timeline([AUDIO])
        packets = list(audio_packets(duration_s=2))
        late = slice(40, 40 + AUDIO_DRIFT_FRAMES)
        samples = place(timeline, [*packets[: late.start], *shifted(packets[late], stutter_ms), *packets[late.stop :]])
        assert {round(step, 3) for step in steps_ms(samples, AUDIO)} == {21.333}
        assert not timeline.repairs

    @pytest.mark.parametrize(("shift_ms", "repairs"), [(-60, {Repair.AUDIO_OVERLAP: 3}), (60, {Repair.AUDIO_GAP: 1})])
    def test_a_wire_that_stays_apart_is_followed_after_a_while(self, shift_ms: int, repairs: dict[Repair, int]) -> None:
        timeline = Timeline([AUDIO])
        packets = list(audio_packets(duration_s=2))
        samples = place(timeline, [*packets[:40], *shifted(packets[40:], shift_ms)])
        assert timeline.repairs == repairs
        drift_ms = samples[-1].dts_ticks / 48 - START_MS - packets[-1].dts_ms - shift_ms
        assert abs(drift_ms) <= AUDIO_DRIFT_MS_MAX + 1

    def test_missing_sound_leaves_a_gap(self) -> None:
        timeline = Timeline([AUDIO])
        packets = list(audio_packets(duration_s=1))
        samples = place(timeline, packets[:10] + packets[15:])
        assert steps_ms(samples, AUDIO)[9] == pytest.approx(6 * 1024 / 48, abs=1)
        assert timeline.repairs == {Repair.AUDIO_GAP: 1}

    def test_doubled_sound_is_dropped(self) -> None:
        timeline = Timeline([AUDIO])
        packets = list(audio_packets(duration_s=1))
        samples = place(timeline, packets[:10] + packets[7:])
        assert {round(step, 3) for step in steps_ms(samples, AUDIO)} == {21.333}
        assert timeline.repairs == {Repair.AUDIO_OVERLAP: 3}

    @pytest.mark.parametrize(("rate_error", "repair"), [(1.001, Repair.AUDIO_GAP), (0.999, Repair.AUDIO_OVERLAP)])
    def test_a_sample_clock_that_is_off_never_drifts_past_the_tolerance(
        self, rate_error: float, repair: Repair
    ) -> None:
        timeline = Timeline([AUDIO])
        for index in range(20_000):
            wire_ms = int(index * rate_error * 1024 / 48)
            for sample in place(timeline, [audio(wire_ms)]):
                assert abs(sample.dts_ticks / 48 - START_MS - wire_ms) <= AUDIO_DRIFT_MS_MAX + 1
        assert set(timeline.repairs) == {repair}

    def test_audio_without_a_fixed_frame_is_timed_by_the_wire(self) -> None:
        track = dataclasses.replace(AUDIO, frame_ticks=0)
        samples = place(Timeline([track]), [audio(0), audio(20), audio(80)])
        assert steps_ms(samples, track) == [20, 60]


class TestTwoTracks:
    @pytest.mark.parametrize("audio_start_ms", [-4000, -21, 0, 33, 4000])
    def test_they_keep_their_distance_and_nothing_is_negative(self, audio_start_ms: int) -> None:
        timeline = Timeline([VIDEO, AUDIO])
        samples = place(timeline, [video(0, 0), audio(audio_start_ms), video(33, -4000)])
        assert times_ms(samples, AUDIO)[0] - times_ms(samples, VIDEO)[0] == audio_start_ms
        assert min(min(sample.dts_ticks, sample.pts_ticks) for sample in samples) >= 0
        assert not timeline.repairs

    def test_a_track_that_joins_late_joins_at_its_time(self) -> None:
        timeline = Timeline([VIDEO, AUDIO])
        samples = place(
            timeline, interleave(video_packets(duration_s=12), audio_packets(start_ms=10_000, duration_s=1))
        )
        assert times_ms(samples, AUDIO)[0] == START_MS + 10_000
        assert not timeline.repairs

    @pytest.mark.parametrize("base_ms", [3_600_000, -3_600_000, 2**32])
    def test_a_track_on_a_clock_of_its_own_starts_beside_the_other(self, base_ms: int) -> None:
        timeline = Timeline([VIDEO, AUDIO])
        packets = []
        for frame, sound in zip(video_packets(duration_s=2), audio_packets(duration_s=2), strict=False):
            packets += [frame, *shifted([sound], base_ms)]
        samples = place(timeline, packets)
        assert times_ms(samples, AUDIO)[0] == times_ms(samples, VIDEO)[0]
        assert timeline.repairs == {Repair.BASE: 1}

    @pytest.mark.parametrize(
        ("rate", "track"), [(Fraction(60), AUDIO), (Fraction(24_000, 1001), AUDIO_44100)], ids=["60", "23.976"]
    )
    def test_after_twenty_minutes_they_are_where_the_wire_put_them(self, rate: Fraction, track: Track) -> None:
        timeline = Timeline([VIDEO, track])
        for packet in interleave(video_packets(rate, 1200), audio_packets(track, 1200)):
            (sample,) = place(timeline, [packet])
            timescale = 90_000 if packet.track_id == VIDEO.track_id else track.timescale
            assert abs(sample.dts_ticks * 1000 / timescale - START_MS - packet.dts_ms) <= 1.001
        assert not timeline.repairs


class TestJump:
    """A clock that leaps: the timeline goes on."""

    @pytest.mark.parametrize("jump_ms", [JUMP_MS_MAX + 200, 3_600_000, 2**32, -500, -1500, -3_600_000, -(2**32)])
    @pytest.mark.parametrize("offset_ms", [-90, -10, 0, 10, 90])
    def test_both_tracks_are_moved_together(self, jump_ms: int, offset_ms: int) -> None:
        def run() -> list[MediaPacket]:
            return interleave(video_packets(duration_s=4), audio_packets(duration_s=4, start_ms=offset_ms))

        timeline = Timeline([VIDEO, AUDIO])
        before = run()
        # Back by 1.5 s or forward by hours: relative to where the stream was, 4 s on.
        samples = place(timeline, before + shifted(run(), 4000 + jump_ms))
        for track, frame_ms in ((VIDEO, 34), (AUDIO, 22)):
            steps = steps_ms(samples, track)
            assert min(steps) > 0
            assert max(steps) <= frame_ms + 2 * abs(offset_ms) + 40, "it goes on at once"
        after = len(before)
        drift = [times_ms(part, AUDIO)[-1] - times_ms(part, VIDEO)[-1] for part in (samples[:after], samples[after:])]
        assert abs(drift[1] - drift[0]) <= AUDIO_DRIFT_MS_MAX + 1, "they keep their distance"
        assert timeline.breaks == 1

    def test_tracks_on_clocks_of_their_own_leap_together(self) -> None:
        timeline = Timeline([VIDEO, AUDIO])

        def run(at_ms: int) -> list[MediaPacket]:
            frames = video_packets(duration_s=4, start_ms=at_ms)
            return interleave(frames, shifted(audio_packets(duration_s=4, start_ms=at_ms), 3_600_000))

        for leap in range(3):
            place(timeline, sorted(run(leap * 7_200_000), key=lambda packet: packet.dts_ms % 3_600_000))
            assert timeline.breaks == leap
            assert timeline.repairs[Repair.JUMP] == 2 * leap

    def test_a_single_outlier_is_a_leap_there_and_back(self) -> None:
        timeline = Timeline([VIDEO, AUDIO])
        packets = interleave(video_packets(duration_s=4), audio_packets(duration_s=4))
        outlier = next(i for i, p in enumerate(packets) if i > 100 and p.track_id == VIDEO.track_id)
        samples = place(
            timeline,
            [*packets[:outlier], *shifted([packets[outlier]], 7_200_000), *packets[outlier + 1 :]],
        )
        assert timeline.breaks == 1
        assert max(steps_ms(samples, VIDEO)) <= 70
        for track in (VIDEO, AUDIO):
            sent_ms = [packet.dts_ms for packet in packets if packet.track_id == track.track_id]
            assert times_ms(samples, track)[-1] == pytest.approx(START_MS + sent_ms[-1], abs=1)

    def test_a_track_that_pauses_while_the_other_goes_on_has_not_leapt(self) -> None:
        timeline = Timeline([VIDEO, AUDIO])
        packets = interleave(
            video_packets(duration_s=2),
            audio_packets(duration_s=30),
            video_packets(duration_s=2, start_ms=25_000),
        )
        samples = place(timeline, packets)
        assert max(steps_ms(samples, VIDEO)) == 25_000 - 1966
        assert not timeline.repairs

    def test_a_pause_of_all_tracks_up_to_the_limit_is_kept(self) -> None:
        samples = place(Timeline([VIDEO]), [video(0), video(33), video(33 + JUMP_MS_MAX)])
        assert steps_ms(samples, VIDEO) == [33, JUMP_MS_MAX]

    def test_a_pause_past_the_limit_is_closed_to_one_frame(self) -> None:
        samples = place(Timeline([VIDEO]), [video(0), video(33), video(34 + JUMP_MS_MAX)])
        assert steps_ms(samples, VIDEO) == [33, 33]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([VIDEO.track_id, AUDIO.track_id]),
            st.sampled_from([0, 1, -1, 20, 33, 34, -201, 5001, -5000, 10**7, -(10**7), 2**32, -(2**32)]),
            st.sampled_from([0, -33, 67, 6000, -(2**23)]),
        ),
        max_size=60,
    )
)
def test_whatever_the_wire_says_the_timeline_rises_and_stays_continuous(
    wire: list[tuple[int, int, int]],
) -> None:
    timeline = Timeline([VIDEO, AUDIO])
    now = {VIDEO.track_id: 0, AUDIO.track_id: 0}
    last: dict[int, int] = {}
    newest_ms = float(START_MS)
    for track_id, step_ms, composition_ms in wire:
        now[track_id] += step_ms
        packet = MediaPacket(track_id, now[track_id], now[track_id] + composition_ms, True, b"", 0)
        for sample in place(timeline, [packet]):
            assert sample.dts_ticks > last.get(track_id, -1)
            assert sample.pts_ticks >= 0
            last[track_id] = sample.dts_ticks
            time_ms = sample.dts_ticks / (90 if track_id == VIDEO.track_id else 48)
            assert time_ms <= newest_ms + JUMP_MS_MAX + 1000
            newest_ms = max(newest_ms, time_ms)


class TestBehindAnother:
    def test_another_publisher_begins_where_it_is_told_to(self) -> None:
        samples = place(Timeline([VIDEO, AUDIO], 3_600_000), interleave(video_packets(), audio_packets()))
        assert times_ms(samples, VIDEO)[0] == 3_600_000
        assert abs(times_ms(samples, AUDIO)[0] - 3_600_000) < 50

    def test_the_same_publisher_goes_on_as_if_nothing_were(self) -> None:
        before = Timeline([VIDEO])
        place(before, [video(70_000), video(70_033)])
        timeline = Timeline([AUDIO, VIDEO], before.newest_ms, before.offset_ms)
        samples = place(timeline, [video(70_133), audio(70_140)])
        assert times_ms(samples, VIDEO) == [START_MS + 133]
        assert times_ms(samples, AUDIO) == [START_MS + 140]
        assert not timeline.repairs

    @pytest.mark.parametrize("leap_ms", [-3_600_000, 3_600_000, 1 - 2**32])
    def test_the_same_publisher_with_another_clock_begins_where_it_was(self, leap_ms: int) -> None:
        before = Timeline([VIDEO])
        place(before, [video(70_000), video(75_000)])
        samples = place(Timeline([VIDEO], before.newest_ms, before.offset_ms), [video(75_000 + leap_ms)])
        assert times_ms(samples, VIDEO) == [START_MS + 5_000]


OPUS = replace(AUDIO, codec="opus", frame_ticks=0)


class TestATrackThatStepsAwayAndComesBack:
    """Sound and picture are where the stamps put them, when those are right again at the latest."""

    @pytest.mark.parametrize("away", [VIDEO, AUDIO, OPUS], ids=["video", "aac", "opus"])
    @pytest.mark.parametrize("step_ms", [-2000, -700, -300, -150, 150, 250, 300, 900, 2000, 4900, 6000, 3_600_000])
    @pytest.mark.parametrize("lead_ms", [-200, 0, 200])
    def test_once_it_is_back_tracks_lie_as_their_stamps_do(self, away: Track, step_ms: int, lead_ms: int) -> None:
        sound = OPUS if away is OPUS else AUDIO
        timeline = Timeline([VIDEO, sound])
        # Sound is sent ahead of the picture, or behind it.
        packets = sorted(
            [*video_packets(duration_s=40), *audio_packets(duration_s=40)],
            key=lambda packet: packet.dts_ms - (lead_ms if packet.track_id == AUDIO.track_id else 0),
        )
        sent = [
            replace(packet, dts_ms=packet.dts_ms + step_ms, pts_ms=packet.pts_ms + step_ms)
            if packet.track_id == away.track_id and 8_000 < packet.dts_ms < 16_000
            else packet
            for packet in packets
        ]
        apart_ms: dict[int, float] = {}
        for packet in sent:
            for sample in place(timeline, [packet]):
                track = VIDEO if sample.track_id == VIDEO.track_id else sound
                if packet.dts_ms >= 30_000:
                    apart_ms[track.track_id] = sample.dts_ticks * 1000 / track.timescale - packet.dts_ms
        assert abs(apart_ms[AUDIO.track_id] - apart_ms[VIDEO.track_id]) <= AUDIO_DRIFT_MS_MAX + 1

    @pytest.mark.parametrize("step_ms", [250, 300, 900, 2000])
    def test_sound_that_comes_back_is_no_leap(self, step_ms: int) -> None:
        timeline = Timeline([VIDEO, AUDIO])
        for packet in interleave(video_packets(), audio_packets()):
            is_away = packet.track_id == AUDIO.track_id and 3_000 < packet.dts_ms < 6_000
            timeline.place(replace(packet, dts_ms=packet.dts_ms + step_ms) if is_away else packet)
        assert timeline.breaks == 0
        assert timeline.repairs.keys() == {Repair.AUDIO_GAP, Repair.AUDIO_OVERLAP}

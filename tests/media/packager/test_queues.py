from __future__ import annotations

from collections.abc import Sequence

import pytest

from streamd.formats.cmaf.fragment import ChunkHead
from streamd.media.packager.queues import (
    BRIDGE_MS_MAX,
    GAP_MS_MAX,
    HELD_BYTES_MAX,
    HELD_SAMPLE_BYTES,
    LEAD_LAG_MS_MAX,
    Queues,
)
from streamd.media.packet import Sample
from tests.support.samples import AUDIO, VIDEO, audio_sample, video_sample


def waiting(video: Sequence[Sample] = (), audio: Sequence[Sample] = ()) -> Queues:
    queues = Queues(VIDEO, [AUDIO])
    for sample in video:
        queues.add_lead(sample)
    for sample in audio:
        queues.add_other(sample)
    return queues


def begun(samples: int = 20) -> ChunkHead:
    head = ChunkHead()
    head.begin(1, 2, samples)
    return head


class TestTimes:
    def test_any_tracks_sample_is_placed_on_the_leads_timeline(self) -> None:
        queues = waiting()
        assert queues.start_of(video_sample(100)) == 9000
        assert queues.start_of(audio_sample(0, start_ms=100)) == 9000
        assert queues.start_of(audio_sample(1)) == 1920

    def test_media_starts_with_the_earliest(self) -> None:
        assert waiting([video_sample(100)], [audio_sample(0, start_ms=90)]).media_start() == 8100
        assert waiting([video_sample(80)], [audio_sample(0, start_ms=90)]).media_start() == 7200

    def test_media_ends_with_the_last_that_ends(self) -> None:
        audio = [audio_sample(0), audio_sample(1)]
        assert waiting([video_sample(0)], audio).media_end(0, 3000) == 3840
        assert waiting([video_sample(0)], audio).media_end(0, 4000) == 4000
        assert waiting().media_end(500, 3000) == 501

    def test_late_audio_alone_lasts_as_long_as_it_does(self) -> None:
        queues = waiting(audio=[audio_sample(0), audio_sample(1)])
        assert queues.media_end(90_000, 3000) == 90_000 + 3840

    @pytest.mark.parametrize(("ms", "is_bridged"), [(GAP_MS_MAX, True), (GAP_MS_MAX + 1, False)])
    def test_a_gap_in_all_tracks_is_bridged_up_to_a_limit(self, ms: int, is_bridged: bool) -> None:
        assert waiting().is_bridged(90 * ms) == is_bridged

    def test_beside_other_renditions_a_longer_one_is(self) -> None:
        assert Queues(VIDEO, [AUDIO], BRIDGE_MS_MAX).is_bridged(90 * BRIDGE_MS_MAX)

    def test_behind_a_leap_decode_times_go_on_where_the_lead_does(self) -> None:
        queues = waiting([video_sample(0)])
        queues.take_lead(3000, begun())
        queues.leap()
        queues.add_lead(video_sample(1000))
        assert not queues.take_lead(90 * 1000 + 3000, head := begun())
        assert head.samples_bytes
        assert queues.lead.next_ticks == 90 * 1000 + 3000

    @pytest.mark.parametrize(("ms", "waits"), [(LEAD_LAG_MS_MAX, True), (LEAD_LAG_MS_MAX + 1, False)])
    def test_audio_waits_for_the_lead_up_to_a_limit(self, ms: int, waits: bool) -> None:
        assert waiting().is_within_lag(90 * ms) == waits


class TestContent:
    def test_it_knows_whether_there_is_any(self) -> None:
        assert not waiting().has_samples()
        assert waiting([video_sample(0)]).has_samples()
        assert waiting(audio=[audio_sample(0)]).has_samples()
        assert waiting([video_sample(0)], [audio_sample(0), audio_sample(1)]).count() == 3

    def test_a_part_takes_all_of_the_lead_and_of_others_what_starts_in_it(self) -> None:
        assert waiting([video_sample(900)]).has_samples_before(10)
        assert not waiting(audio=[audio_sample(1)]).has_samples_before(1920)
        assert waiting(audio=[audio_sample(1)]).has_samples_before(1921)

    def test_a_frame_of_the_lead_ends_its_pause(self) -> None:
        queues = waiting()
        queues.is_lead_paused = True
        queues.add_other(audio_sample(0))
        assert queues.is_lead_paused
        queues.add_lead(video_sample(0))
        assert not queues.is_lead_paused

    def test_bytes_are_counted_as_they_come_and_anew_behind_a_part(self) -> None:
        queues = waiting()
        first, late = audio_sample(0, payload=bytes(100)), audio_sample(40, payload=bytes(50))
        for sample in (first, late):
            queues.count_bytes(sample)
            queues.add_other(sample)
        assert queues.room_bytes == HELD_BYTES_MAX - 150 - 2 * HELD_SAMPLE_BYTES
        queues.take_others(3000, begun(), takes_all=False)
        queues.count_anew()
        assert queues.room_bytes == HELD_BYTES_MAX - 50 - HELD_SAMPLE_BYTES


class TestTaking:
    def test_what_starts_after_the_end_stays_unless_all_is_taken(self) -> None:
        for takes_all, left in ((False, 1), (True, 0)):
            queues = waiting(audio=[audio_sample(0), audio_sample(2)])
            queues.take_others(3000, begun(), takes_all)
            assert len(queues.others[0].samples) == left

    def test_the_leads_decode_times_are_stretched_over_a_short_gap(self) -> None:
        queues = waiting([video_sample(0)])
        assert not queues.take_lead(3000, begun())
        queues.add_lead(video_sample(BRIDGE_MS_MAX))
        head = begun()
        assert not queues.take_lead(90 * BRIDGE_MS_MAX + 3000, head)
        assert queues.lead.next_ticks == 90 * BRIDGE_MS_MAX + 3000
        assert int.from_bytes(head.write()[68:76], "big") == 3000, (
            "baseMediaDecodeTime goes on where the last run ended"
        )

    def test_they_step_over_a_long_one(self) -> None:
        queues = waiting([video_sample(0)])
        queues.take_lead(3000, begun())
        queues.add_lead(video_sample(BRIDGE_MS_MAX + 1000))
        assert queues.take_lead(90 * (BRIDGE_MS_MAX + 2000), begun())

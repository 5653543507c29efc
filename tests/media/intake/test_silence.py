from __future__ import annotations

import pytest

from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media.intake.limits import IntakeLimits
from streamd.media.intake.silence import Silences
from tests.support.gate_media import OTHER_SOUND, SOUND, audio_header, sound

AAC_SILENCE = b"\xaf\x01\x21\x00\x49\x90\x02\x19\x00\x23\x80"
SURROUND_ASC = b"\x11\xb0"


def silent(limits: IntakeLimits | None = None) -> Silences:
    silences = Silences(limits or IntakeLimits())
    assert silences.begin(audio_header(), 0, 1000, 800)
    return silences


class TestBegin:
    @pytest.mark.parametrize(
        ("heard_ms", "timestamp_ms", "missing_ms"),
        [(None, 1000, 800), (1, 1000, 800), (0, 5001, 800), (0, 1000, 499)],
        ids=["never heard", "just heard", "on another clock", "not missed by the others"],
    )
    def test_it_is_not_time_to(self, heard_ms: int | None, timestamp_ms: int, missing_ms: int) -> None:
        silences = Silences(IntakeLimits())
        assert not silences.begin(audio_header(), heard_ms, timestamp_ms, missing_ms)
        assert not silences.made

    def test_there_is_none_of_its_kind(self) -> None:
        assert not Silences(IntakeLimits()).begin(audio_header(SURROUND_ASC), 0, 1000, 800)

    def test_it_begins_once(self) -> None:
        silences = silent()
        assert SOUND in silences
        assert OTHER_SOUND not in silences
        assert not silences.begin(audio_header(), 0, 1000, 800)


class TestMaking:
    def test_frames_follow_the_last_sound_without_a_gap(self) -> None:
        silences = silent()
        tags, ended = silences.make(1000)
        assert ended == []
        assert {tag.payload for tag in tags} == {AAC_SILENCE}
        more, _ = silences.make(1100)
        assert [tag.timestamp_ms for tag in tags + more] == [n * 1024 // 48 for n in range(1, len(tags + more) + 1)]
        assert 1100 - 2 * 1024 // 48 < more[-1].timestamp_ms <= 1100 - 1024 // 48
        assert silences.has_made(tags[0])
        assert not silences.has_made(FlvTag(TagType.AUDIO, 0, bytes(bytearray(AAC_SILENCE))))

    def test_none_is_made_over_a_leap_of_time(self) -> None:
        assert silent().make(60_000) == ([], [])

    def test_a_track_of_which_more_is_due_than_may_be_made_has_stopped(self) -> None:
        silences = silent(IntakeLimits(silent_frames_max=60))
        tags, _ = silences.make(1000)
        assert silences.make(2000) == ([], [SOUND])
        assert SOUND not in silences
        assert len(tags) < 60

    def test_more_may_be_made_as_time_passes_up_to_the_limit(self) -> None:
        silences = silent(IntakeLimits(silent_frames_max=60))
        made = 0
        for ms in range(1000, 5000, 500):
            tags, ended = silences.make(ms)
            assert not ended
            made += len(tags)
            silences.allow(1000)
        assert made > 60
        assert silences.make(4500 + 1500) == ([], [SOUND])


class TestEnd:
    def test_sound_that_is_back_ends_it_and_what_is_missing_goes_before(self) -> None:
        silences = silent()
        silences.make(1000)
        tags = silences.give_way(SOUND, sound(1100))
        assert tags
        assert {tag.payload for tag in tags} == {AAC_SILENCE}
        assert SOUND not in silences
        assert silences.give_way(SOUND, sound(1121)) is None

    def test_our_own_frame_does_not_end_it(self) -> None:
        silences = silent()
        tags, _ = silences.make(1000)
        assert silences.give_way(SOUND, tags[0]) is None
        assert SOUND in silences

    def test_sound_that_is_back_is_let_through_where_no_more_may_be_made(self) -> None:
        assert silent(IntakeLimits(silent_frames_max=10)).give_way(SOUND, sound(2000)) == []

    def test_some_or_all(self) -> None:
        silences = silent()
        silences.begin(audio_header(track_id=3), 0, 1000, 800)
        silences.end([SOUND])
        assert len(silences.made) == 1
        silences.end_all()
        assert not silences.made

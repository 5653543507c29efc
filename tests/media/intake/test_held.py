from __future__ import annotations

import pytest

from streamd.media.intake.held import HeldFrames
from streamd.media.intake.limits import IntakeLimits
from tests.support.gate_media import OTHER_PICTURE, PICTURE, SOUND, inter, key, sound

STARTED = {PICTURE, OTHER_PICTURE, SOUND}


def held(limits: IntakeLimits | None = None) -> HeldFrames:
    frames = HeldFrames(limits or IntakeLimits())
    for track, tag in [(OTHER_PICTURE, key(0)), (SOUND, sound(0)), (SOUND, sound(400)), (PICTURE, key(400))]:
        frames.add(track, tag)
    return frames


class TestBounds:
    @pytest.mark.parametrize(("size", "is_full"), [(95, False), (96, True)])
    def test_bytes_of_payload(self, size: int, is_full: bool) -> None:
        frames = HeldFrames(IntakeLimits(opening_bytes_max=100))
        frames.add(PICTURE, key(0, size))
        assert frames.payload_bytes == size + 5
        assert frames.is_full is is_full

    def test_count_of_frames_of_no_size_to_speak_of(self) -> None:
        frames = HeldFrames(IntakeLimits(opening_tags_max=3))
        for count in range(1, 4):
            frames.add(SOUND, sound(0))
            assert frames.is_full is (count == 3)

    def test_what_names_a_frame_is_told_too(self) -> None:
        frames = held()
        assert frames.held_bytes > frames.payload_bytes + 4 * 100
        frames.forget_all()
        assert (len(frames), frames.held_bytes) == (0, 0)


class TestLettingGo:
    def test_all_are_taken_in_their_order(self) -> None:
        frames = held()
        assert frames.take_all() == [key(0), sound(0), sound(400), key(400)]
        assert (len(frames), frames.payload_bytes) == (0, 0)

    def test_one_tracks_frames_are_forgotten(self) -> None:
        frames = held()
        frames.forget(SOUND)
        assert frames.payload_bytes == 12
        assert frames.take_all() == [key(0), key(400)]

    def test_before_the_keyframe_sound_goes_and_so_does_a_track_that_began_well_before_it(self) -> None:
        frames = held()
        assert frames.drop_before(400, STARTED) == (2, {OTHER_PICTURE})
        assert frames.take_all() == [sound(400), key(400)]

    def test_keyframes_that_are_close_belong_together(self) -> None:
        frames = held()
        assert frames.drop_before(100, STARTED) == (1, set())
        assert frames.take_all() == [key(0), sound(400), key(400)]

    def test_pictures_of_a_track_that_has_not_begun_go(self) -> None:
        frames = held()
        assert frames.drop_before(50, STARTED - {OTHER_PICTURE}) == (2, set())
        assert frames.take_all() == [sound(400), key(400)]

    def test_nothing_goes_where_the_first_is_late_enough(self) -> None:
        assert held().drop_before(0, STARTED) == (0, set())
        assert HeldFrames(IntakeLimits()).drop_before(0, STARTED) == (0, set())


class TestTrimming:
    def test_sound_in_front_goes_up_to_the_time(self) -> None:
        frames = HeldFrames(IntakeLimits())
        for ms in (0, 20, 40, 60):
            frames.add(SOUND, sound(ms))
        assert frames.trim(40, {SOUND}) == (2, set())
        assert frames.payload_bytes == 6
        assert frames.take_all() == [sound(40), sound(60)]

    def test_a_picture_in_front_stays_while_its_keyframe_may_belong_to_the_next(self) -> None:
        frames = held()
        assert frames.trim(100, STARTED) == (0, set())
        assert len(frames) == 4

    def test_an_early_picture_in_front_goes_with_its_track(self) -> None:
        frames = HeldFrames(IntakeLimits())
        for track, tag in [
            (SOUND, sound(0)),
            (OTHER_PICTURE, key(10)),
            (OTHER_PICTURE, inter(390)),
            (SOUND, sound(450)),
        ]:
            frames.add(track, tag)
        assert frames.trim(400, STARTED) == (3, {OTHER_PICTURE})
        assert frames.take_all() == [sound(450)]

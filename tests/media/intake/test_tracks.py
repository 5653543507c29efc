from __future__ import annotations

from streamd.media.intake.track import TrackHeader, TrackKey
from streamd.media.intake.tracks import TrackSet
from tests.support.gate_media import OTHER_AVCC, OTHER_PICTURE, OTHER_SOUND, PICTURE, SOUND, audio_header, video_header


def headers() -> dict[TrackKey, TrackHeader]:
    return {each.key: each for each in (audio_header(), video_header(), audio_header(track_id=3))}


def opened(known: dict[TrackKey, TrackHeader]) -> TrackSet:
    tracks = TrackSet(known)
    for key in (OTHER_SOUND, SOUND, PICTURE):
        tracks.start(key)
    tracks.open()
    return tracks


class TestOpening:
    def test_video_comes_first_and_each_by_its_id(self) -> None:
        assert list(opened(headers()).opened) == [PICTURE, SOUND, OTHER_SOUND]

    def test_tracks_that_send_nothing_are_left_out(self) -> None:
        tracks = TrackSet(headers())
        tracks.start(SOUND)
        tracks.open()
        assert list(tracks.opened) == [SOUND]

    def test_behind_a_close_sound_goes_on_and_pictures_begin_with_a_keyframe(self) -> None:
        tracks = opened(headers())
        tracks.close()
        assert tracks.opened == {}
        assert tracks.started == {SOUND, OTHER_SOUND}


class TestDiffering:
    def test_they_are_as_they_were(self) -> None:
        assert not opened(headers()).differ()

    def test_a_track_that_stops_or_begins_makes_them_differ(self) -> None:
        known = headers()
        tracks = opened(known)
        tracks.stop(SOUND)
        assert tracks.differ()
        tracks.start(SOUND)
        assert not tracks.differ()
        known[OTHER_PICTURE] = video_header(track_id=1)
        assert not tracks.differ()
        tracks.start(OTHER_PICTURE)
        assert tracks.differ()

    def test_a_header_that_changes_and_changes_back(self) -> None:
        known = headers()
        tracks = opened(known)
        assert tracks.is_as_opened(PICTURE)
        known[PICTURE] = video_header(OTHER_AVCC)
        assert not tracks.is_as_opened(PICTURE)
        assert tracks.differ()
        known[PICTURE] = video_header()
        assert tracks.is_as_opened(PICTURE)
        assert not tracks.differ()

    def test_a_track_that_begins_anew_sends_nothing_yet(self) -> None:
        tracks = opened(headers())
        assert tracks.begin_anew(SOUND)
        assert not tracks.begin_anew(SOUND)
        assert tracks.differ()


class TestLead:
    def test_the_lowest_video_track_leads(self) -> None:
        known = headers() | {OTHER_PICTURE: video_header(track_id=1)}
        tracks = TrackSet(known)
        assert tracks.lead() == PICTURE
        del known[PICTURE]
        assert tracks.lead() == OTHER_PICTURE

    def test_one_that_has_stopped_leads_nobody_until_it_begins_anew(self) -> None:
        tracks = opened(headers())
        tracks.stop(PICTURE)
        assert tracks.lead() is None
        tracks.begin_anew(PICTURE)
        assert tracks.lead() == PICTURE

    def test_sound_does_not_lead(self) -> None:
        assert TrackSet({SOUND: audio_header()}).lead() is None


class TestCompleteness:
    def test_all_that_are_described_have_begun_or_stopped(self) -> None:
        tracks = TrackSet(headers())
        for key in (PICTURE, SOUND):
            tracks.start(key)
            assert not tracks.have_all_started()
        tracks.stop(OTHER_SOUND)
        assert tracks.have_all_started()

    def test_sound_is_described(self) -> None:
        assert TrackSet(headers()).has_sound()
        assert not TrackSet({PICTURE: video_header()}).has_sound()

"""The looks into pictures: how often there is one, and what it finds."""

from __future__ import annotations

import pytest

from streamd.media.packet import VIDEO_TIMESCALE, MediaPacket, Track, TrackKind
from streamd.services.live.picture_looks import (
    FRAMES_BEFORE_CAPTIONS,
    FRAMES_BESIDE_CAPTIONS,
    UNFLAGGED_MS,
    PictureLooks,
)
from tests.support.captions import HI_608, h264_captions

H264 = Track(1, TrackKind.VIDEO, "avc1.640028", VIDEO_TIMESCALE)
IDR, SLICE = (bytes((0, 0, 0, 2, head, 0x80)) for head in (0x65, 0x41))
# "HI" in the second field.
OTHER_LANGUAGE = (1, *HI_608[1:])


def frame(payload: bytes = SLICE) -> MediaPacket:
    return MediaPacket(1, 0, 0, True, payload, 0)


@pytest.fixture
def looks() -> PictureLooks:
    looks = PictureLooks()
    looks.start([H264])
    return looks


def test_tracks_of_pictures_are_counted(looks: PictureLooks) -> None:
    assert looks.tracks == 1
    looks.start([])
    assert looks.tracks == 0


def test_a_decoder_starts_with_what_says_so_itself(looks: PictureLooks) -> None:
    assert looks.can_start(frame(IDR))
    assert not looks.can_start(frame(SLICE))


def test_a_start_that_is_not_flagged_is_found_where_none_has_been_flagged_for_long(looks: PictureLooks) -> None:
    def at(ms: int, payload: bytes = IDR) -> MediaPacket:
        return MediaPacket(1, ms, ms, False, payload, 0)

    flagged = frame(IDR)
    assert looks.can_start(flagged)
    assert not looks.is_unflagged_start(at(UNFLAGGED_MS))
    assert not looks.is_unflagged_start(at(UNFLAGGED_MS + 1, SLICE))
    assert not looks.is_unflagged_start(at(UNFLAGGED_MS + 1, b""))
    assert looks.is_unflagged_start(at(UNFLAGGED_MS + 1))
    assert looks.is_unflagged_start(at(UNFLAGGED_MS + 40))


def test_the_first_frame_is_looked_into_and_then_one_of_some(looks: PictureLooks) -> None:
    captions = frame(h264_captions([HI_608]))
    assert not looks.finds_captions(frame())
    told = [number for number in range(1, 4 * FRAMES_BEFORE_CAPTIONS) if looks.finds_captions(captions)]
    assert told == [FRAMES_BEFORE_CAPTIONS + 1]
    assert looks.captions == {"CC1"}


def test_captions_of_another_language_are_told_of_too(looks: PictureLooks) -> None:
    assert looks.finds_captions(frame(h264_captions([HI_608])))
    more = frame(h264_captions([OTHER_LANGUAGE]))
    told = [number for number in range(1, 3 * FRAMES_BESIDE_CAPTIONS) if looks.finds_captions(more)]
    assert told == [FRAMES_BESIDE_CAPTIONS + 1]
    assert looks.captions == {"CC1", "CC3"}

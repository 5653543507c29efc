from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamd.formats.flv.tag import FlvTag, TagType
from streamd.formats.payload import SLAB_BYTES, PayloadLog
from streamd.media.intake.frame_table import FrameTable
from streamd.media.intake.limits import COMPOSITION_TIME_MAX_MS
from streamd.media.intake.missing import RollCall
from tests.support.gate_media import OTHER_SOUND, PICTURE, SOUND, audio_header, inter, key, sound, video_header

if TYPE_CHECKING:
    from streamd.media.intake.track import TrackKey

TRACKS = {header.key: header for header in (video_header(), audio_header(), audio_header(track_id=3))}


class Room:
    """A table of three open tracks, and who was heard of them."""

    def __init__(self) -> None:
        self.roll = RollCall()
        self.roll.begin(TRACKS, -1000)
        self.table = FrameTable()
        self.table.open(TRACKS, self.roll.presences)
        for presence in self.roll.presences.values():
            presence.passes = True

    def heard(self) -> dict[TrackKey, int | None]:
        return {key: self.roll.heard_ms(key) for key in TRACKS}


class TestLook:
    @pytest.mark.parametrize(
        ("tag", "track", "number", "is_keyframe", "body_at"),
        [
            (key(7), PICTURE, 1, True, 5),
            (inter(7), PICTURE, 1, False, 5),
            (FlvTag(TagType.VIDEO, 7, b"\x93avc1k"), PICTURE, 1, True, 5),
            (sound(7), SOUND, 2, True, 2),
            (FlvTag(TagType.AUDIO, 7, b"\x95\x01mp4a\x03a"), OTHER_SOUND, 3, True, 7),
        ],
    )
    def test_what_is_found_goes_with_the_tag(
        self, tag: FlvTag, track: TrackKey, number: int, is_keyframe: bool, body_at: int
    ) -> None:
        room = Room()
        assert room.table.look(tag) is room.roll.presences[track]
        head = tag.head
        assert head is not None
        assert (head.track_number, head.track_id, head.is_keyframe, head.body_at) == (
            number,
            track[1],
            is_keyframe,
            body_at,
        )
        assert tag.composition_time_ms == 0

    @pytest.mark.parametrize("composition_time_ms", [1, -1, 70_000, COMPOSITION_TIME_MAX_MS, -COMPOSITION_TIME_MAX_MS])
    def test_composition_time(self, composition_time_ms: int) -> None:
        tag = FlvTag(TagType.VIDEO, 7, b"\x27\x01" + composition_time_ms.to_bytes(3, "big", signed=True) + b"x")
        assert Room().table.look(tag) is not None
        assert tag.composition_time_ms == composition_time_ms

    @pytest.mark.parametrize(
        ("tag_type", "payload"),
        [
            (TagType.VIDEO, b""),
            (TagType.VIDEO, b"\x17"),
            (TagType.VIDEO, b"\x17\x01\x00\x00\x00"),
            (TagType.VIDEO, b"\x17\x00\x00\x00\x00x"),
            (TagType.VIDEO, b"\x57\x01\x00\x00\x00x"),
            (TagType.VIDEO, b"\xaf\x01x"),
            (TagType.AUDIO, b"\xad\x01x"),
            (TagType.SCRIPT, b"\xaf\x01x"),
            (TagType.VIDEO, b"\x91hvc1\x00\x00\x00x"),
            (TagType.VIDEO, b"\x27\x01" + (COMPOSITION_TIME_MAX_MS + 1).to_bytes(3, "big") + b"x"),
        ],
    )
    def test_nothing_is_found_in_what_is_no_frame_of_these_tracks(self, tag_type: int, payload: bytes) -> None:
        tag = FlvTag(tag_type, 7, payload)
        assert Room().table.look(tag) is None
        assert tag.head is None

    def test_nothing_is_known_before_tracks_are_open(self) -> None:
        assert FrameTable().look(key(0)) is None


class TestCounting:
    def test_frames_up_to_the_first_that_may_be_anything_else(self) -> None:
        room = Room()
        assert (
            room.table.count_frames([key(0), sound(5), inter(33), FlvTag(TagType.VIDEO, 40, b"\x57\x00"), key(66)]) == 3
        )
        assert room.heard() == {PICTURE: 33, SOUND: 5, OTHER_SOUND: -1000}

    def test_frames_of_a_track_that_has_to_be_looked_at_do_not_pass(self) -> None:
        room = Room()
        room.roll.presences[SOUND].passes = False
        assert room.table.count_frames([key(0), sound(5), inter(33)]) == 1
        assert room.heard()[SOUND] == -1000


class TestUsualBeginnings:
    """Payloads in slabs, whose usual beginnings are not looked up."""

    @staticmethod
    def in_slab(tag: FlvTag, before_end: int = 100) -> FlvTag:
        log = PayloadLog()
        log.append(bytes(SLAB_BYTES), 0, SLAB_BYTES - before_end, SLAB_BYTES)
        data = bytes(tag.payload)
        return FlvTag(tag.tag_type, tag.timestamp_ms, log.append(data, 0, len(data), len(data)))

    @pytest.mark.parametrize("before_end", [1, 3, 100])
    def test_the_answer_is_the_same_each_time(self, before_end: int) -> None:
        room = Room()
        seen = [
            key(7),
            inter(7),
            sound(7),
            FlvTag(TagType.VIDEO, 7, b"\x93avc1k"),
            FlvTag(TagType.AUDIO, 7, b"\x95\x01mp4a\x03a"),
            *(FlvTag(TagType.VIDEO, 7, bytes((kind << 4 | 7,)) + b"\x01\x00\x00\x00p") for kind in (1, 2, 3, 4)),
            FlvTag(TagType.VIDEO, 7, b"\x27\x01\xff\xff\xfex"),
        ]
        for tag in seen * 3:
            known, found = FlvTag(tag.tag_type, tag.timestamp_ms, tag.payload), self.in_slab(tag, before_end)
            assert room.table.look(found) is room.table.look(known)
            assert (found.head, found.composition_time_ms) == (known.head, known.composition_time_ms)
            assert found.head is not None

    @pytest.mark.parametrize(
        ("tag_type", "payload"),
        [
            (TagType.VIDEO, b"\x27\x01\x00\x00\x00"),
            (TagType.VIDEO, b"\x27\x01"),
            (TagType.VIDEO, b"\x27"),
            (TagType.VIDEO, b"\x27\x00\x00\x00\x00p"),
            (TagType.AUDIO, b"\x27\x01\x00\x00\x00p"),
            (TagType.VIDEO, b"\x27\x01" + (COMPOSITION_TIME_MAX_MS + 1).to_bytes(3, "big") + b"x"),
            (TagType.VIDEO, b"\xaf\x01a"),
        ],
    )
    def test_what_begins_alike_and_is_no_frame_is_none(self, tag_type: int, payload: bytes) -> None:
        room = Room()
        for tag in (inter(0), sound(0)):
            assert room.table.look(self.in_slab(tag)) is not None
        tag = self.in_slab(FlvTag(tag_type, 7, payload))
        assert room.table.look(tag) is None
        assert tag.head is None

    def test_they_are_forgotten_with_the_tracks(self) -> None:
        room = Room()
        assert room.table.look(self.in_slab(sound(0))) is not None
        room.table.open({PICTURE: TRACKS[PICTURE]}, room.roll.presences)
        assert room.table.look(self.in_slab(sound(0))) is None

from __future__ import annotations

import pytest

from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media.intake.actions import TagDropReason
from streamd.media.intake.drop_book import DropBook
from streamd.media.intake.header_reader import HEADERS_AT_ONCE_MAX, SEQUENCE_HEADER_BYTES_MAX, TAGS_PER_HEADER
from streamd.media.intake.headers import HeaderAnswer, TrackHeaders
from streamd.media.intake.share import Share, read_shares
from tests.support.gate_media import (
    ASC,
    AVCC,
    MP3_FRAME,
    OTHER_AVCC,
    OTHER_MP3_FRAME,
    PICTURE,
    SOUND,
    audio_header,
    key,
    sound,
    video_header,
)


def share_of(tag: FlvTag) -> Share:
    (share,) = read_shares(tag, 8)
    return share


def avc_header(record: bytes = AVCC, track_id: int = 0) -> Share:
    head = b"\x96\x00avc1" + bytes((track_id,)) if track_id else b"\x90avc1"
    return share_of(FlvTag(TagType.VIDEO, 0, head + record))


def mp3(frame: bytes = MP3_FRAME) -> Share:
    return share_of(FlvTag(TagType.AUDIO, 0, b"\x2f" + frame))


class Room:
    """The headers of one publisher, who has sent a thousand tags."""

    def __init__(self, tracks_max: int = 2) -> None:
        self.book = DropBook()
        self.headers = TrackHeaders(self.book, tracks_max)
        self.tags = 1000

    def receive(self, share: Share) -> HeaderAnswer:
        self.tags += 1
        return self.headers.receive(share, self.tags)

    def check(self, share: Share) -> HeaderAnswer:
        self.tags += 1
        return self.headers.check_frame(share, self.tags)

    def flood(self) -> None:
        """Read as many headers as may be read at once."""
        for number in range(HEADERS_AT_ONCE_MAX + self.tags // TAGS_PER_HEADER + 2):
            self.headers.receive(avc_header(AVCC + number.to_bytes(2, "big")), self.tags)


def reason(answer: HeaderAnswer) -> TagDropReason | None:
    return answer.drop.reason if answer.drop is not None else None


class TestHeader:
    def test_a_track_begins_anew_with_it(self) -> None:
        room = Room()
        assert room.receive(avc_header()) == (None, True)
        assert room.headers.known == {PICTURE: video_header()}
        assert room.receive(avc_header(OTHER_AVCC)) == (None, True)
        assert room.headers.known == {PICTURE: video_header(OTHER_AVCC)}

    def test_the_same_again_changes_nothing(self) -> None:
        room = Room()
        room.receive(avc_header())
        answer = room.receive(avc_header())
        assert (reason(answer), answer.is_changed) == (TagDropReason.REPEATED_HEADER, False)

    @pytest.mark.parametrize(
        ("broken", "expected"),
        [
            (avc_header(b"\x01"), TagDropReason.BAD_CODEC_CONFIG),
            (avc_header(bytes(SEQUENCE_HEADER_BYTES_MAX + 1)), TagDropReason.BAD_CODEC_CONFIG),
            (share_of(FlvTag(TagType.VIDEO, 0, b"\x90vp08\x01")), TagDropReason.UNSUPPORTED_CODEC),
        ],
    )
    def test_a_broken_one_ends_its_track(self, broken: Share, expected: TagDropReason) -> None:
        room = Room()
        answer = room.receive(broken)
        assert (reason(answer), answer.is_changed) == (expected, False)
        room.receive(avc_header())
        answer = room.receive(broken)
        assert (reason(answer), answer.is_changed) == (expected, True)
        assert room.headers.known == {}
        assert room.book.refusals == {PICTURE: answer.drop}

    def test_one_of_a_track_too_many_is_refused(self) -> None:
        room = Room(tracks_max=1)
        room.receive(avc_header())
        answer = room.receive(avc_header(track_id=1))
        assert (reason(answer), answer.is_changed) == (TagDropReason.EXTRA_TRACK, False)
        assert answer.drop is not None
        assert answer.drop.limit == "tracks_max"

    def test_one_for_a_codec_that_has_none_is_empty(self) -> None:
        answer = Room().receive(share_of(FlvTag(TagType.AUDIO, 0, b"\x90ac-3")))
        assert (reason(answer), answer.is_changed) == (TagDropReason.EMPTY, False)


class TestFrame:
    def test_it_is_taken_where_its_track_has_a_header_of_its_codec(self) -> None:
        room = Room()
        assert reason(room.check(share_of(key(0)))) is TagDropReason.NO_HEADER
        room.receive(avc_header())
        assert room.check(share_of(key(0))) == (None, False)
        other = share_of(FlvTag(TagType.VIDEO, 0, b"\x91hvc1\x00\x00\x00x"))
        assert reason(room.check(other)) is TagDropReason.NO_HEADER

    def test_it_has_bytes_and_a_codec_that_we_carry(self) -> None:
        room = Room()
        assert reason(room.check(share_of(FlvTag(TagType.AUDIO, 0, b"\xaf\x01")))) is TagDropReason.EMPTY
        assert reason(room.check(share_of(FlvTag(TagType.AUDIO, 0, b"\xb2x")))) is TagDropReason.UNSUPPORTED_CODEC

    def test_it_stands_for_the_header_where_its_codec_has_none(self) -> None:
        room = Room()
        assert room.check(mp3()) == (None, True)
        assert room.headers.known[SOUND].record == MP3_FRAME
        assert room.check(mp3(MP3_FRAME + b"more")) == (None, False)
        assert room.check(mp3(OTHER_MP3_FRAME)) == (None, True)

    def test_one_that_cannot_is_refused_and_the_track_goes_on(self) -> None:
        room = Room()
        room.check(mp3())
        answer = room.check(mp3(b"\xff\xf8\x00\x00"))
        assert (reason(answer), answer.is_changed) == (TagDropReason.BAD_CODEC_CONFIG, False)
        assert room.check(mp3()) == (None, False)
        assert room.book.refusals == {}


class TestLate:
    def test_the_last_of_a_flood_is_read_when_one_may_be(self) -> None:
        room = Room()
        room.flood()
        assert reason(room.headers.receive(avc_header(OTHER_AVCC), room.tags)) is TagDropReason.HEADER_FLOOD
        assert room.headers.late_bytes == len(OTHER_AVCC)
        assert reason(room.check(share_of(key(0)))) is TagDropReason.NO_HEADER
        room.tags += TAGS_PER_HEADER
        assert room.check(share_of(key(0))) == (None, True)
        assert room.headers.known == {PICTURE: video_header(OTHER_AVCC)}
        assert room.headers.late_bytes == 0

    def test_one_that_the_demuxer_would_not_take_is_none_either(self) -> None:
        room = Room()
        room.headers.refuse(video_header(OTHER_AVCC), "unfit")
        room.flood()
        room.headers.receive(avc_header(OTHER_AVCC), room.tags)
        room.tags += TAGS_PER_HEADER
        answer = room.check(share_of(key(0)))
        assert reason(answer) is TagDropReason.NO_HEADER
        assert PICTURE not in room.headers.known


class TestUnfit:
    def test_a_header_that_the_demuxer_does_not_take_is_not_tried_again(self) -> None:
        room = Room()
        room.receive(share_of(FlvTag(TagType.AUDIO, 0, b"\xaf\x00" + ASC)))
        drop = room.headers.refuse(audio_header(), "unfit")
        assert (drop.reason, drop.detail) == (TagDropReason.BAD_CODEC_CONFIG, "unfit")
        room.receive(share_of(FlvTag(TagType.AUDIO, 0, b"\xaf\x00" + ASC)))
        assert room.headers.known == {}
        assert room.book.refusals == {SOUND: drop}
        assert reason(room.check(share_of(sound(0)))) is TagDropReason.NO_HEADER

    def test_a_frame_of_that_kind_is_not_either_and_another_is(self) -> None:
        room = Room()
        room.check(mp3())
        room.headers.refuse(room.headers.known[SOUND], "unfit")
        assert reason(room.check(mp3())) is TagDropReason.BAD_CODEC_CONFIG
        assert room.check(mp3(OTHER_MP3_FRAME)) == (None, True)

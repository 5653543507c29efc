from __future__ import annotations

import pytest

from streamd.errors import FlvError
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media.intake.share import ShareKind, read_shares
from tests.support.gate_media import ASC, AVCC, OTHER_SOUND, PICTURE, SOUND, inter, key, sound


@pytest.mark.parametrize(
    ("tag_type", "payload", "kind"),
    [
        (TagType.VIDEO, b"\x17\x00\x00\x00\x00" + AVCC, ShareKind.HEADER),
        (TagType.VIDEO, b"\x17\x02\x00\x00\x00", ShareKind.SEQUENCE_END),
        (TagType.VIDEO, b"\x93avc1k", ShareKind.FRAME),
        (TagType.VIDEO, b"\x91avc1\x00\x00\x00k", ShareKind.FRAME),
        (TagType.VIDEO, b"\xd4avc1\x02\x00\x09colorInfo", ShareKind.METADATA),
        (TagType.VIDEO, b"\x95av01\x80", ShareKind.TRANSPORT_HEADER),
        (TagType.AUDIO, b"\xaf\x00" + ASC, ShareKind.HEADER),
        (TagType.AUDIO, b"\x91mp4aa", ShareKind.FRAME),
        (TagType.AUDIO, b"\x92mp4a", ShareKind.SEQUENCE_END),
        (TagType.AUDIO, b"\x94mp4a\x01\x02\x00\x00\x00\x03", ShareKind.METADATA),
    ],
)
def test_what_a_tag_brings(tag_type: int, payload: bytes, kind: ShareKind) -> None:
    (share,) = read_shares(FlvTag(tag_type, 7, payload), 8)
    assert share.kind is kind


class TestFrame:
    @pytest.mark.parametrize(("tag", "can_start"), [(key(7), True), (inter(7), False), (sound(7), True)])
    def test_it_says_whether_a_decoder_can_start_with_it(self, tag: FlvTag, can_start: bool) -> None:
        (share,) = read_shares(tag, 8)
        assert (share.key, share.can_start, share.body_bytes) == (
            (PICTURE if tag.tag_type == TagType.VIDEO else SOUND),
            can_start,
            1,
        )
        assert share.body() == bytes(tag.payload)[-1:]
        assert share.canonical() is tag

    def test_composition_time(self) -> None:
        (share,) = read_shares(FlvTag(TagType.VIDEO, 7, b"\x27\x01\xff\xff\xfex"), 8)
        assert share.composition_time_ms == -2

    def test_its_one_form_is_written_where_it_has_another(self) -> None:
        (share,) = read_shares(FlvTag(TagType.AUDIO, 7, b"\x95\x01mp4a\x00a"), 8)
        assert share.canonical() == sound(7)


class TestMultitrack:
    MESSAGE = b"\x95\x11mp4a\x03\x00\x00\x01b\x00\x00\x00\x02cd"

    def test_each_track_has_its_share(self) -> None:
        shares = read_shares(FlvTag(TagType.AUDIO, 7, self.MESSAGE), 8)
        assert [(share.key, share.codec, share.body()) for share in shares] == [
            (OTHER_SOUND, "mp4a", b"b"),
            (SOUND, "mp4a", b"cd"),
        ]
        assert shares[0].canonical() == FlvTag(TagType.AUDIO, 7, b"\x95\x01mp4a\x03b")

    def test_no_more_are_read_than_are_wanted(self) -> None:
        assert len(read_shares(FlvTag(TagType.AUDIO, 7, self.MESSAGE), 1)) == 1


def test_a_command_frame_has_none() -> None:
    assert read_shares(FlvTag(TagType.VIDEO, 7, b"\x57\x00"), 8) == []


@pytest.mark.parametrize("payload", [b"\x27\x01\x00", b"\x96\x13hvc1\x01\xff\xff\xffx"])
def test_a_tag_that_is_broken_is_an_error(payload: bytes) -> None:
    with pytest.raises(FlvError):
        read_shares(FlvTag(TagType.VIDEO, 7, payload), 8)

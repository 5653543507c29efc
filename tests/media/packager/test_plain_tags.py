from __future__ import annotations

import pytest

from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media.packager.plain_tags import PlainTags
from streamd.media.packet import Track, TrackKind

H264 = Track(1, TrackKind.VIDEO, "avc1.64001f", 90_000, b"avcC", width=1280, height=720)
HEVC = Track(1, TrackKind.VIDEO, "hvc1.1.6.L93.B0", 90_000, b"hvcC", width=1280, height=720)
AAC = Track(2, TrackKind.AUDIO, "mp4a.40.2", 48_000, b"\x11\x90", channels=2, frame_ticks=1024)
MP3 = Track(2, TrackKind.AUDIO, "mp4a.6B", 48_000, b"", channels=2, frame_ticks=1152)


class TestPlainTags:
    """FLV 10.1 E.4; Enhanced RTMP v2."""

    def test_each_track_has_its_header(self) -> None:
        assert PlainTags([H264, AAC]).headers == [
            (TagType.VIDEO, b"\x17\0\0\0\0avcC"),
            (TagType.AUDIO, b"\xaf\0\x11\x90"),
        ]
        assert PlainTags([HEVC, MP3]).headers == [(TagType.VIDEO, b"\x90hvc1hvcC")]

    @pytest.mark.parametrize(
        ("tracks", "tag_type", "came", "goes"),
        [
            ([H264, AAC], TagType.VIDEO, b"\x91avc1\0\0\x43 nal", b"\x17\x01\0\0\x43 nal"),
            ([H264, AAC], TagType.VIDEO, b"\x27\x01\0\0\0 nal", b"\x27\x01\0\0\0 nal"),
            ([H264, AAC], TagType.AUDIO, b"\xaf\x01 frame", b"\xaf\x01 frame"),
            ([H264, MP3], TagType.AUDIO, b"\x91.mp3 frame", b"\x2f frame"),
            ([HEVC, AAC], TagType.VIDEO, b"\x93hvc1 nal", b"\x93hvc1 nal"),
        ],
    )
    def test_frames_are_said_in_the_oldest_words(
        self, tracks: list[Track], tag_type: int, came: bytes, goes: bytes
    ) -> None:
        assert PlainTags(tracks).body(FlvTag(tag_type, 0, came)) == goes

    def test_metadata_is_ours(self) -> None:
        assert PlainTags([H264]).metadata["height"] == 720

from __future__ import annotations

from dataclasses import replace

import pytest

from streamd.formats.amf.amf0 import read_values
from streamd.formats.amf.values import EcmaArray
from streamd.formats.codecs.picture_format import SampleAspect
from streamd.formats.flv import video
from streamd.formats.flv.frame import FrameHead
from streamd.formats.flv.tag import FlvReader, FlvTag, TagType
from streamd.formats.rtmp.chunk import ChunkDecoder
from streamd.formats.rtmp.media_writer import MediaWriter
from streamd.formats.rtmp.message import Message
from streamd.media.packager.flv_writer import FlvWriter
from streamd.media.packet import Track, TrackKind
from tests.support.delivery import deliver
from tests.support.rtmp_wire import as_message

AVC_RECORD = b"\x01\x64\x00\x1f an avcC"
AUDIO_CONFIG = b"\x11\x90"
H264 = Track(1, TrackKind.VIDEO, "avc1.64001f", 90_000, AVC_RECORD, width=1280, height=720, frame_rate_hint=29.97)
AAC = Track(2, TrackKind.AUDIO, "mp4a.40.2", 48_000, AUDIO_CONFIG, channels=2, frame_ticks=1024)
HEVC = Track(1, TrackKind.VIDEO, "hvc1.1.6.L93.B0", 90_000, b"hvcC", width=1280, height=720)


def read(data: bytes) -> list[FlvTag]:
    return deliver(lambda: FlvReader().receive_data, data)


def metadata(tracks: list[Track]) -> EcmaArray:
    script = read(FlvWriter(tracks).head)[0]
    assert script.tag_type == TagType.SCRIPT
    name, values = read_values(bytes(script.payload))
    assert name == "onMetaData"
    assert isinstance(values, EcmaArray)
    return values


class TestHead:
    @pytest.mark.parametrize(("tracks", "flags"), [([H264, AAC], 5), ([H264], 1), ([AAC], 4)])
    def test_flv_header_says_which_tracks_there_are(self, tracks: list[Track], flags: int) -> None:
        # E.2, then PreviousTagSize0.
        assert FlvWriter(tracks).head.startswith(b"FLV\x01" + bytes((flags,)) + b"\0\0\0\x09" + bytes(4))

    def test_script_tag_describes_the_tracks(self) -> None:
        assert metadata([H264, AAC]) == {
            "hasVideo": True,
            "hasAudio": True,
            "width": 1280.0,
            "height": 720.0,
            "videocodecid": 7.0,
            "framerate": 29.97,
            "audiocodecid": 10.0,
            "audiosamplerate": 48_000.0,
            "stereo": True,
        }

    def test_script_tag_has_the_coded_size(self) -> None:
        values = metadata([replace(H264, width=1440, height=1080, aspect=SampleAspect(4, 3))])
        assert (values["width"], values["height"]) == (1440.0, 1080.0)

    def test_script_tag_says_what_is_missing(self) -> None:
        assert metadata([AAC])["hasVideo"] is False
        assert metadata([H264])["hasAudio"] is False

    def test_sequence_headers_follow_as_the_older_specification_has_them(self) -> None:
        tags = read(FlvWriter([H264, AAC]).head)[1:]
        assert tags == [
            FlvTag(TagType.VIDEO, 0, b"\x17\0\0\0\0" + AVC_RECORD),
            FlvTag(TagType.AUDIO, 0, b"\xaf\0" + AUDIO_CONFIG),
        ]

    def test_a_codec_that_the_older_specification_lacks_has_an_extended_header(self) -> None:
        assert read(FlvWriter([HEVC]).head)[1].payload == b"\x90hvc1hvcC"
        assert metadata([HEVC])["videocodecid"] == int.from_bytes(b"hvc1", "big")


class TestHeadAfter:
    def test_equal_tracks_need_nothing(self) -> None:
        assert FlvWriter([H264, AAC]).head_after(FlvWriter([H264, AAC])) == b""

    def test_changed_tracks_are_told_without_another_flv_header(self) -> None:
        before, after = FlvWriter([H264, AAC]), FlvWriter([HEVC, AAC])
        change = after.head_after(before)
        assert change is not None
        assert after.head.endswith(change)
        assert read(before.head + change)[3:] == read(after.head)

    @pytest.mark.parametrize(("before", "after"), [([H264], [H264, AAC]), ([H264, AAC], [AAC])])
    def test_a_track_that_comes_or_goes_ends_the_stream(self, before: list[Track], after: list[Track]) -> None:
        assert FlvWriter(after).head_after(FlvWriter(before)) is None


FRAMES = [
    ("keyframe", FlvTag(TagType.VIDEO, 40, b"\x17\x01\0\0\x00I"), True, True),
    ("inter frame", FlvTag(TagType.VIDEO, 80, b"\x27\x01\0\0\x50P"), True, False),
    ("extended keyframe", FlvTag(TagType.VIDEO, 40, b"\x91avc1\0\0\x00I"), True, True),
    ("audio", FlvTag(TagType.AUDIO, 40, b"\xaf\x01A"), False, False),
]


class TestTags:
    @pytest.mark.parametrize(
        ("tag", "is_video", "is_keyframe"), [row[1:] for row in FRAMES], ids=[r[0] for r in FRAMES]
    )
    def test_are_told_apart(self, tag: FlvTag, is_video: bool, is_keyframe: bool) -> None:
        writer = FlvWriter([H264, AAC])
        assert writer.is_video(tag) is is_video
        assert writer.is_keyframe(tag) is is_keyframe
        assert writer.time_ms(tag) == tag.timestamp_ms

    def test_viewers_begin_with_a_recovery_point_only_where_there_is_nothing_better(self) -> None:
        # Lengths of units take four bytes.
        tracks = [replace(H264, codec_config=b"\x01\x64\0\x28\xff"), AAC]
        idr, recovery_point = b"\0\0\0\x02\x65\0", b"\0\0\0\x02\x61\0"
        tags = []
        for ms in range(0, 20_000, 1_000):
            tag = FlvTag(TagType.VIDEO, ms, b"\x17\x01\0\0\0" + (idr if ms in (0, 4_000) else recovery_point))
            tag.head = FrameHead(5, 2, is_keyframe=True, track_id=0, track_number=0)
            tags.append(tag)
        writer = FlvWriter(tracks)
        starts = [tag.timestamp_ms for tag in tags if writer.is_keyframe(tag)]
        assert starts == [0, 4_000, *range(14_000, 20_000, 1_000)]
        assert FlvWriter(tracks).last_keyframe(tags[:8]) == 4

    @pytest.mark.parametrize(("rows", "place"), [([], -1), ([1, 3], -1), ([0], 0), ([0, 1, 2, 3], 2), ([1, 0, 0], 2)])
    def test_the_last_keyframe_is_found(self, rows: list[int], place: int) -> None:
        assert FlvWriter([H264, AAC]).last_keyframe([FRAMES[row][1] for row in rows]) == place

    def test_payloads_are_summed(self) -> None:
        tags = [row[1] for row in FRAMES]
        assert FlvWriter([H264, AAC]).payload_bytes(tags) == sum(len(tag.payload) for tag in tags)
        assert FlvWriter([H264, AAC]).payload_bytes([]) == 0

    def test_are_written_as_they_came(self) -> None:
        tags = [FRAMES[0][1], FRAMES[3][1], FRAMES[1][1]]
        writer = FlvWriter([H264, AAC])
        assert read(writer.head + writer.write(tags))[3:] == tags

    @pytest.mark.parametrize(
        ("timestamp_ms", "wire_ms"), [(0xFFFFFF, 0xFFFFFF), (1 << 24, 1 << 24), ((1 << 32) + 5, 5), (-1, 0xFFFFFFFF)]
    )
    def test_timestamps_are_sent_modulo_2_32(self, timestamp_ms: int, wire_ms: int) -> None:
        writer = FlvWriter([AAC])
        data = writer.head + writer.write([FlvTag(TagType.AUDIO, timestamp_ms, b"\xaf\x01A")])
        assert read(data)[-1].timestamp_ms == wire_ms

    @pytest.mark.parametrize(
        ("extended", "plain"),
        [
            (b"\x91avc1\x00\x00\x43 nal", b"\x17\x01\x00\x00\x43 nal"),
            (b"\xa1avc1\xff\xff\xff nal", b"\x27\x01\xff\xff\xff nal"),
            (b"\xa3avc1 nal", b"\x27\x01\x00\x00\x00 nal"),
        ],
        ids=["coded frames", "negative composition time", "coded frames x"],
    )
    def test_h264_with_an_extended_header_gets_the_older_one(self, extended: bytes, plain: bytes) -> None:
        writer = FlvWriter([H264])
        written = read(writer.head + writer.write([FlvTag(TagType.VIDEO, 7, extended)]))[-1]
        assert written == FlvTag(TagType.VIDEO, 7, plain)
        before, after = video.parse_video(extended)[0], video.parse_video(plain)[0]
        assert before.composition_time_ms == after.composition_time_ms
        assert before.frame_type == after.frame_type

    def test_another_codec_keeps_its_extended_header(self) -> None:
        writer = FlvWriter([HEVC])
        tag = FlvTag(TagType.VIDEO, 7, b"\x91hvc1\0\0\0 nal")
        assert read(writer.head + writer.write([tag]))[-1] == tag


class TestMessages:
    """The same tags as messages of RTMP (RTMP 1.0 section 7.1)."""

    def test_a_player_reads_what_a_reader_of_the_byte_stream_reads(self) -> None:
        tags = [FRAMES[0][1], FRAMES[3][1], FRAMES[1][1]]
        writer, flv = FlvWriter([H264, AAC], MediaWriter(1, 128)), FlvWriter([H264, AAC])
        received = ChunkDecoder().receive_data(writer.head + writer.write(tags))
        assert [FlvTag(*_parts(message)) for message in received] == read(flv.head + flv.write(tags))

    def test_the_head_has_no_header_of_a_file(self) -> None:
        assert b"FLV" not in FlvWriter([H264], MediaWriter()).head

    def test_viewers_of_other_tracks_get_their_headers_as_messages(self) -> None:
        before = FlvWriter([H264, AAC], MediaWriter())
        after = FlvWriter([HEVC, AAC], MediaWriter())
        assert after.head_after(before) == after.head


def _parts(message: Message | FlvTag) -> tuple[int, int, bytes]:
    message = as_message(message)
    return message.type_id, message.timestamp_ms, bytes(message.payload)

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import av
import pytest

from streamd.errors import DemuxError, LocalStateError
from streamd.flv.intake import Feed, Intake, Open
from streamd.flv.metadata import StreamMetadata
from streamd.flv.tag import FlvTag, TagType
from streamd.media import demux
from streamd.media.demux import FlvDemuxer
from streamd.media.packet import MediaPacket, Track, TrackKind
from tests.support.avc import sequence_parameter_set
from tests.support.flv_media import (
    AAC_FRAME_SAMPLES,
    HEIGHT,
    SAMPLE_RATE,
    WIDTH,
    aac_only,
    flv_bytes,
    h264_aac,
    h264_only,
    h264_with_scene_cut,
    to_flv,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def through_gate(tags: Iterable[FlvTag], metadata: StreamMetadata | None = None) -> tuple[Open, list[FlvTag]]:
    """What the gate opens with, and what it feeds from then on."""
    intake = Intake()
    intake.metadata = metadata or StreamMetadata()
    opening: Open | None = None
    fed: list[FlvTag] = []
    for tag in tags:
        action = intake.receive(tag)
        if isinstance(action, Open):
            assert opening is None
            opening = action
        elif isinstance(action, Feed):
            fed += action.tags
    assert opening is not None
    return opening, fed


def demux_all(tags: Iterable[FlvTag], batch: int = 8, metadata: StreamMetadata | None = None) -> list[MediaPacket]:
    opening, fed = through_gate(tags, metadata)
    demuxer = FlvDemuxer.open(opening)
    packets = list(demuxer.opening_packets)
    for start in range(0, len(fed), batch):
        packets += demuxer.demux(fed[start : start + batch])
    demuxer.close()
    return packets


def as_file(tags: tuple[FlvTag, ...]) -> list[tuple[str, int | None, int | None, bytes]]:
    """How libavformat reads the same tags from a file, with everything that it infers."""
    with av.open(io.BytesIO(to_flv(tags)), "r", format="flv") as container:
        return [
            (packet.stream.type, packet.dts, packet.pts, bytes(packet)) for packet in container.demux() if packet.size
        ]


def plain(packets: Iterable[MediaPacket], kinds: Sequence[str]) -> list[tuple[str, int, int, bytes]]:
    return [(kinds[packet.track_id - 1], packet.dts_ms, packet.pts_ms, packet.payload) for packet in packets]


def shifted(tags: Iterable[FlvTag], by_ms: int) -> list[FlvTag]:
    return [tag._replace(timestamp_ms=tag.timestamp_ms + by_ms) for tag in tags]


@pytest.fixture
def both() -> Iterator[FlvDemuxer]:
    """A demuxer of H.264 and AAC, open."""
    opening, _ = through_gate(h264_aac())
    demuxer = FlvDemuxer.open(opening)
    yield demuxer
    demuxer.close()


class TestPackets:
    @pytest.mark.parametrize("batch", [1, 8, 1000])
    @pytest.mark.parametrize("bframes", [0, 2])
    def test_equal_those_of_the_file(self, bframes: int, batch: int) -> None:
        tags = h264_aac(bframes=bframes)
        opening, fed = through_gate(tags)
        assert plain(demux_all(tags, batch), ("video", "audio")) == as_file((*opening.headers, *opening.tags, *fed))

    def test_equal_those_of_a_file_of_video_alone(self) -> None:
        assert plain(demux_all(h264_only(bframes=2)), ("video",)) == as_file(h264_only(bframes=2))

    def test_equal_those_of_a_file_of_audio_alone(self) -> None:
        assert plain(demux_all(aac_only()), ("audio",)) == as_file(aac_only())

    def test_every_frame_of_the_encoder_arrives(self) -> None:
        with av.open(io.BytesIO(flv_bytes(bframes=2)), "r") as container:
            frames = sum(packet.size > 0 for packet in container.demux())
        # The first keyframe is the first frame here.
        assert len(demux_all(h264_aac(bframes=2))) == frames

    def test_every_packet_of_a_batch_comes_with_it(self, both: FlvDemuxer) -> None:
        _, fed = through_gate(h264_aac())
        for tag in fed:
            (packet,) = both.demux([tag])
            assert packet.dts_ms == tag.timestamp_ms

    @pytest.mark.parametrize("frame_bytes", range(4_000, 4_140))
    def test_a_marker_is_whole_wherever_the_buffer_of_libavformat_ends(
        self, both: FlvDemuxer, frame_bytes: int
    ) -> None:
        """libavformat seeks back inside a script tag, which it can only within one filling of its buffer."""
        frame = b"\xaf\x01" + bytes(frame_bytes)
        for number in range(3):
            (packet,) = both.demux([FlvTag(TagType.AUDIO, 5_000 + number, frame)])
            assert packet.payload == frame[2:]

    def test_no_tags_give_no_packets(self, both: FlvDemuxer) -> None:
        assert both.demux([]) == []

    def test_payload_is_the_sample_as_mp4_wants_it(self) -> None:
        tags = h264_aac()
        video = next(tag for tag in tags if tag.tag_type == TagType.VIDEO and tag.payload[1] == 1)
        first = demux_all(tags)[0]
        assert first.payload == video.payload[5:]
        assert type(first.payload) is bytes

    def test_keyframes_are_those_that_the_encoder_names(self) -> None:
        tags = [tag for tag in h264_with_scene_cut() if tag.payload[1] == 1]
        expected = [tag.payload[0] >> 4 == 1 for tag in tags]
        packets = demux_all(h264_with_scene_cut(), metadata=StreamMetadata(lacks_audio=True))
        assert [packet.is_keyframe for packet in packets] == expected
        # libavcodec's parser takes the I picture of a scene cut for one; frames behind it may need frames before.
        with av.open(io.BytesIO(to_flv(h264_with_scene_cut())), "r") as container:
            parsed = [packet.is_keyframe for packet in container.demux() if packet.size]
        assert parsed.count(True) > expected.count(True)

    def test_audio_can_start_anywhere(self) -> None:
        assert all(packet.is_keyframe for packet in demux_all(aac_only()))


class TestTimestamps:
    @pytest.mark.parametrize(
        "start_ms",
        [-500, -(2**31), 2**24 - 500, 2**31 - 500, 2**31, 2**32 - 500, 2**32 - 1, 2**32, 2**33 + 5, 2**53],
    )
    def test_are_those_of_the_tags_beyond_32_bits(self, start_ms: int) -> None:
        tags = h264_aac(bframes=2)
        expected = [
            (kind, dts + start_ms, pts + start_ms, payload)
            for kind, dts, pts, payload in plain(demux_all(tags), ("video", "audio"))
        ]
        assert plain(demux_all(shifted(tags, start_ms)), ("video", "audio")) == expected

    def test_jumps_are_passed_through(self, both: FlvDemuxer) -> None:
        _, fed = through_gate(h264_aac())
        times = [0, 10**7, 5, -1, 2**40, 2**31, 2**24, 0, 0]
        tags = [tag._replace(timestamp_ms=ms) for tag, ms in zip(fed, times, strict=False)]
        assert [packet.dts_ms for packet in both.demux(tags)] == times

    @pytest.mark.parametrize("composition_time_ms", [-900_000, -61_000, -1, 0, 1, 900_000])
    def test_composition_time_may_be_negative(self, both: FlvDemuxer, composition_time_ms: int) -> None:
        offset = composition_time_ms.to_bytes(3, "big", signed=True)
        tags = [FlvTag(TagType.VIDEO, ms, b"\x27\x01" + offset + b"\x00\x00\x00\x01\x41") for ms in (0, 33, 2**32)]
        times = [(packet.dts_ms, packet.pts_ms) for packet in both.demux(tags)]
        assert times == [(tag.timestamp_ms, tag.timestamp_ms + composition_time_ms) for tag in tags]

    def test_numbering_of_tags_starts_again(self, both: FlvDemuxer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(demux, "_NUMBERS_END", 50)
        _, fed = through_gate(h264_aac())
        packets = [packet for start in range(0, len(fed), 7) for packet in both.demux(fed[start : start + 7])]
        assert [packet.dts_ms for packet in packets] == [tag.timestamp_ms for tag in fed]


class TestTracks:
    def test_video_and_audio(self) -> None:
        opening, _ = through_gate(h264_aac(bframes=2), StreamMetadata(frame_rate=29.97))
        demuxer = FlvDemuxer.open(opening)
        demuxer.close()
        video, audio = demuxer.tracks
        assert video == Track(
            1,
            TrackKind.VIDEO,
            "avc1.64000b",
            90_000,
            codec_config=opening.tracks[0].record,
            width=WIDTH,
            height=HEIGHT,
            frame_rate_hint=29.97,
        )
        assert audio == Track(
            2,
            TrackKind.AUDIO,
            "mp4a.40.2",
            SAMPLE_RATE,
            codec_config=opening.tracks[1].record,
            channels=2,
            frame_ticks=AAC_FRAME_SAMPLES,
        )

    @pytest.mark.parametrize(
        ("sample_rate", "layout", "channels"), [(44_100, "mono", 1), (22_050, "stereo", 2), (48_000, "5.1", 6)]
    )
    def test_audio_alone(self, sample_rate: int, layout: str, channels: int) -> None:
        opening, _ = through_gate(aac_only(2, sample_rate, layout))
        demuxer = FlvDemuxer.open(opening)
        demuxer.close()
        (audio,) = demuxer.tracks
        assert (audio.track_id, audio.timescale, audio.channels) == (1, sample_rate, channels)

    def test_audio_frame_of_a_few_bytes_opens(self) -> None:
        header = FlvTag(TagType.AUDIO, 0, b"\xaf\x00\x11\x90")
        silence = FlvTag(TagType.AUDIO, 0, b"\xaf\x01\x21\x10\x04\x60\x8c\x1c")
        opening, _ = through_gate([header, silence], StreamMetadata(lacks_video=True))
        demuxer = FlvDemuxer.open(opening)
        assert [packet.payload for packet in demuxer.opening_packets] == [silence.payload[2:]]
        assert [packet.payload for packet in demuxer.demux([silence] * 3)] == [silence.payload[2:]] * 3
        demuxer.close()


class TestBrokenInput:
    """What the gate keeps out must end in an error even so, and never in a crash, a hang or a lost step."""

    @pytest.mark.parametrize(
        "payload",
        [
            b"\xaf\x01\x21\x10\x04\x60\x8c\x1c",
            b"\x2f\xff\xfb\x90\x00",
            b"\x91Opus\xfc\xff\xfe",
        ],
        ids=["AAC", "MP3", "Opus"],
    )
    def test_track_that_was_not_opened(self, payload: bytes) -> None:
        opening, _ = through_gate(h264_only())
        demuxer = FlvDemuxer.open(opening)
        with pytest.raises(DemuxError):
            demuxer.demux([FlvTag(TagType.AUDIO, 40, payload)])
        demuxer.close()

    @pytest.mark.parametrize(
        ("tag_type", "payload"),
        [
            (TagType.AUDIO, b"\xad\x01\x21\x10\x04\x60\x8c\x1c"),
            (TagType.VIDEO, b"\x91hvc1\x00\x00\x00\x00\x00\x00\x01\x26"),
            (TagType.VIDEO, b"\xa6\x01avc1\x01\x00\x00\x00\x00\x00\x00\x01\x41"),
            (TagType.VIDEO, b"\xa6\x11avc1\x00\xff\xff\xffx"),
            (TagType.AUDIO, b"\x95\x11mp4a\x00\xff\xff\xffx"),
            (TagType.VIDEO, b"\x97\x04abc"),
            (TagType.SCRIPT, b"\x02\x00\x0aonMetaData\x03\x00\x00\x09"),
        ],
        ids=[
            "SoundSize",
            "another codec",
            "another track",
            "lying video",
            "lying audio",
            "lying ModEx",
            "script",
        ],
    )
    def test_tag_that_the_gate_keeps_out(self, both: FlvDemuxer, tag_type: int, payload: bytes) -> None:
        with pytest.raises(DemuxError):
            both.demux([FlvTag(tag_type, 40, payload)])
        with pytest.raises(DemuxError):
            both.demux([FlvTag(TagType.AUDIO, 40, b"\xaf\x01\x21")])

    @pytest.mark.parametrize(
        ("tag_type", "payload"),
        [
            (TagType.VIDEO, b""),
            (TagType.VIDEO, b"\x57\x00"),
            (TagType.VIDEO, b"\x17\x02\x00\x00\x00"),
            (TagType.AUDIO, b"\xaf\x01"),
        ],
    )
    def test_tag_without_media_keeps_step(self, both: FlvDemuxer, tag_type: int, payload: bytes) -> None:
        after = FlvTag(TagType.AUDIO, 60, b"\xaf\x01\x21\x10")
        assert [packet.dts_ms for packet in both.demux([FlvTag(tag_type, 40, payload), after])] == [60]

    def test_packet_without_a_timestamp_is_an_error(self, both: FlvDemuxer) -> None:
        # libavformat takes the timestamps off a frame with a composition time above a quarter of an hour.
        with pytest.raises(DemuxError, match="lost step"):
            both.demux([FlvTag(TagType.VIDEO, 40, b"\x27\x01\x7f\xff\xff\x00\x00\x00\x01\x41")])

    def test_more_tracks_announced_than_there_are(self) -> None:
        opening, _ = through_gate(h264_aac())
        with pytest.raises(DemuxError, match="for 2 tracks"):
            FlvDemuxer.open(Open(opening.tracks, opening.headers[:1], opening.tags[:1], 0.0))

    @pytest.mark.parametrize(
        "body",
        [
            b"\x00\x00\x00\x05\x65\x88\x84\x00\x10" + b"\xff" * 40,
            b"\x00\x00\x00\x0c" + sequence_parameter_set(16384 // 16, 16384 // 16) + b"\x00\x00\x00\x02\x65\x88",
        ],
        ids=["bad lengths", "another SPS, absurd"],
    )
    def test_first_keyframe_that_no_decoder_takes_opens_with_the_size_of_the_header(self, body: bytes) -> None:
        tags = [h264_only()[0], FlvTag(TagType.VIDEO, 0, b"\x17\x01\x00\x00\x00" + body)]
        opening, _ = through_gate(tags, StreamMetadata(lacks_audio=True))
        demuxer = FlvDemuxer.open(opening)
        demuxer.close()
        assert [(track.width, track.height) for track in demuxer.tracks] == [(WIDTH, HEIGHT)]
        assert [packet.payload for packet in demuxer.opening_packets] == [body]

    def test_picture_size_that_nobody_knows_is_an_error(self) -> None:
        opening, _ = through_gate(h264_only())
        config = replace(opening.tracks[0].config, width=0, height=0)
        track = replace(opening.tracks[0], config=config)
        keyframe = FlvTag(TagType.VIDEO, 0, b"\x17\x01\x00\x00\x00" + b"\xff" * 40)
        with pytest.raises(DemuxError, match="no picture size"):
            FlvDemuxer.open(Open((track,), opening.headers, (keyframe,), 0.0))

    def test_error_of_libavformat_at_open_becomes_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(demux, "_PROBE_BYTES_MIN", 0)
        with pytest.raises(DemuxError, match="cannot open the stream"):
            FlvDemuxer.open(Open((), (), (), 0.0))


class TestClose:
    def test_again_is_no_error(self, both: FlvDemuxer) -> None:
        both.close()
        both.close()

    def test_demuxing_afterwards_is_our_own_fault(self, both: FlvDemuxer) -> None:
        both.close()
        with pytest.raises(LocalStateError):
            both.demux([FlvTag(TagType.AUDIO, 0, b"\xaf\x01\x21")])

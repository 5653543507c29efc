from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import av
import pytest

from streamd.errors import DemuxError
from streamd.flv.intake import Intake, Open
from streamd.flv.metadata import StreamMetadata
from streamd.flv.tag import FlvTag, TagType
from streamd.media.demux import FlvDemuxer
from streamd.media.packet import MediaPacket
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.flv_media import aac_only, flv_bytes, h264_aac, h264_only, h264_with_scene_cut, to_flv

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def through_gate(tags: Iterable[FlvTag], metadata: StreamMetadata | None = None) -> tuple[Open, list[FlvTag]]:
    """What the gate opens with, and all that it lets through."""
    intake = Intake()
    intake.metadata = metadata or StreamMetadata()
    opening: Open | None = None
    frames: list[FlvTag] = []
    for tag in tags:
        match intake.receive(tag):
            case Open() as opening:
                frames += opening.tags
            case FlvTag() as frame:
                frames.append(frame)
            case _:
                pass
    assert opening is not None
    return opening, frames


def demux_all(tags: Iterable[FlvTag], metadata: StreamMetadata | None = None) -> list[MediaPacket]:
    opening, frames = through_gate(tags, metadata)
    return FlvDemuxer(opening.tracks).demux(frames)


def as_file(tags: tuple[FlvTag, ...]) -> list[tuple[str, int | None, int | None, bytes]]:
    """How libavformat reads the same tags from a file, with everything that it infers."""
    with av.open(io.BytesIO(to_flv(tags)), "r", format="flv") as container:
        return [
            (packet.stream.type, packet.dts, packet.pts, bytes(packet)) for packet in container.demux() if packet.size
        ]


def plain(packets: Iterable[MediaPacket], kinds: Sequence[str]) -> list[tuple[str, int, int, bytes]]:
    return [
        (kinds[packet.track_id - 1], packet.dts_ms, packet.pts_ms, bytes(packet.payload)[packet.body_at :])
        for packet in packets
    ]


def shifted(tags: Iterable[FlvTag], by_ms: int) -> list[FlvTag]:
    return [replace(tag, timestamp_ms=tag.timestamp_ms + by_ms) for tag in tags]


@pytest.fixture
def both() -> FlvDemuxer:
    """A demuxer of H.264 and AAC."""
    opening, _ = through_gate(h264_aac())
    return FlvDemuxer(opening.tracks)


class TestPackets:
    @pytest.mark.parametrize("bframes", [0, 2])
    def test_equal_those_of_the_file(self, bframes: int) -> None:
        tags = h264_aac(bframes=bframes)
        opening, frames = through_gate(tags)
        assert plain(demux_all(tags), ("video", "audio")) == as_file((*opening.headers, *frames))

    def test_equal_those_of_a_file_of_video_alone(self) -> None:
        assert plain(demux_all(h264_only(bframes=2)), ("video",)) == as_file(h264_only(bframes=2))

    def test_equal_those_of_a_file_of_audio_alone(self) -> None:
        assert plain(demux_all(aac_only()), ("audio",)) == as_file(aac_only())

    @pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
    def test_equal_those_of_a_file_of_any_video_codec(self, encoder: str) -> None:
        tags = encoded((VideoTrack(encoder),), (), 1)
        assert plain(demux_all(tags, StreamMetadata(lacks_audio=True)), ("video",)) == as_file(tags)

    @pytest.mark.parametrize("encoder", ["aac", "libopus", "flac", "ac3", "eac3", "libmp3lame"])
    def test_equal_those_of_a_file_of_any_audio_codec(self, encoder: str) -> None:
        tags = encoded((), (AudioTrack(encoder),), 1)
        assert plain(demux_all(tags, StreamMetadata(lacks_video=True)), ("audio",)) == as_file(tags)

    def test_equal_those_of_a_file_of_several_tracks(self) -> None:
        tags = encoded((VideoTrack(), VideoTrack("libx265")), (AudioTrack(), AudioTrack("libopus")), 1)
        opening, frames = through_gate(tags)
        kinds = [header.kind.name.lower() for header in opening.tracks]
        assert plain(FlvDemuxer(opening.tracks).demux(frames), kinds) == as_file((*opening.headers, *frames))

    def test_every_frame_of_the_encoder_arrives(self) -> None:
        with av.open(io.BytesIO(flv_bytes(bframes=2)), "r") as container:
            frames = sum(packet.size > 0 for packet in container.demux())
        # The first keyframe is the first frame here.
        assert len(demux_all(h264_aac(bframes=2))) == frames

    def test_no_tags_give_no_packets(self, both: FlvDemuxer) -> None:
        assert both.demux([]) == []

    def test_payload_is_the_sample_as_mp4_wants_it(self) -> None:
        tags = h264_aac()
        video = next(tag for tag in tags if tag.tag_type == TagType.VIDEO and bytes(tag.payload)[1] == 1)
        first = demux_all(tags)[0]
        assert first.payload is video.payload
        assert first.body_at == 5

    def test_keyframes_are_those_that_the_encoder_names(self) -> None:
        tags = [tag for tag in h264_with_scene_cut() if bytes(tag.payload)[1] == 1]
        expected = [bytes(tag.payload)[0] >> 4 == 1 for tag in tags]
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
        tags = [replace(tag, timestamp_ms=ms) for tag, ms in zip(fed, times, strict=False)]
        assert [packet.dts_ms for packet in both.demux(tags)] == times

    @pytest.mark.parametrize("composition_time_ms", [-900_000, -61_000, -1, 0, 1, 900_000])
    def test_composition_time_may_be_negative(self, both: FlvDemuxer, composition_time_ms: int) -> None:
        offset = composition_time_ms.to_bytes(3, "big", signed=True)
        tags = [FlvTag(TagType.VIDEO, ms, b"\x27\x01" + offset + b"\x00\x00\x00\x01\x41") for ms in (0, 33, 2**32)]
        times = [(packet.dts_ms, packet.pts_ms) for packet in both.demux(tags)]
        assert times == [(tag.timestamp_ms, tag.timestamp_ms + composition_time_ms) for tag in tags]


class TestContract:
    @pytest.mark.parametrize(
        ("tag_type", "payload"),
        [
            (TagType.AUDIO, b"\xad\x01\x21\x10\x04\x60\x8c\x1c"),
            (TagType.VIDEO, b"\x91hvc1\x00\x00\x00\x00\x00\x00\x01\x26"),
            (TagType.VIDEO, b"\xa6\x01avc1\x01\x00\x00\x00\x00\x00\x00\x01\x41"),
            (TagType.VIDEO, b"\x57\x00"),
            (TagType.VIDEO, b""),
            (TagType.SCRIPT, b"\x02\x00\x0aonMetaData\x03\x00\x00\x09"),
        ],
        ids=["SoundSize", "another codec", "another track", "command", "empty", "script"],
    )
    def test_tag_that_the_gate_keeps_out_is_an_error(self, both: FlvDemuxer, tag_type: int, payload: bytes) -> None:
        with pytest.raises(DemuxError, match="no frame of a track that is open"):
            both.demux([FlvTag(tag_type, 40, payload)])

"""The demuxers against each other, and against libavformat as it reads a file: equal packet for packet."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.formats.flv.metadata import StreamMetadata
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.formats.payload import HEAD_BYTES, SLAB_BYTES
from streamd.media.demux import DemuxerKind, open_demuxer
from streamd.media.intake.track import TrackHeader, frame_heads
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.flv_media import aac_only, flv_bytes, h264_aac, h264_only, h264_with_scene_cut, to_flv
from tests.support.gate import in_slabs, looked_at, through_gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from streamd.media.demux import Demuxer
    from streamd.media.intake.actions import Open
    from streamd.media.packet import MediaPacket

VIDEO_ENCODERS = ["libx264", "libx265", "libsvtav1", "libvpx-vp9"]
AUDIO_ENCODERS = ["aac", "libopus", "flac", "ac3", "eac3", "libmp3lame"]
WIRE_WRAP_MS = 2**32


@pytest.fixture(params=list(DemuxerKind), ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest) -> DemuxerKind:
    found: DemuxerKind = request.param
    return found


@pytest.fixture
def h264_and_aac() -> Open:
    """An opening with H.264 and AAC."""
    return through_gate(h264_aac())[0]


@pytest.fixture
def both_tracks(kind: DemuxerKind, h264_and_aac: Open) -> Iterator[Demuxer]:
    """A demuxer of H.264 and AAC."""
    demuxer = open_demuxer(kind, h264_and_aac)
    yield demuxer
    demuxer.close()


def demuxed(kind: DemuxerKind, opening: Open, frames: Sequence[FlvTag], batch: int = 1000) -> list[MediaPacket]:
    demuxer = open_demuxer(kind, opening)
    packets = [
        packet for start in range(0, len(frames), batch) for packet in demuxer.demux(frames[start : start + batch])
    ]
    demuxer.close()
    return packets


def demux_all(
    kind: DemuxerKind, tags: Iterable[FlvTag], metadata: StreamMetadata | None = None, batch: int = 1000
) -> list[MediaPacket]:
    return demuxed(kind, *through_gate(tags, metadata), batch)


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


class TestPackets:
    @pytest.mark.parametrize("batch", [1, 7, 1000])
    @pytest.mark.parametrize("bframes", [0, 2])
    def test_equal_those_of_the_file(self, kind: DemuxerKind, bframes: int, batch: int) -> None:
        tags = h264_aac(bframes=bframes)
        opening, frames = through_gate(tags)
        packets = demux_all(kind, tags, batch=batch)
        assert plain(packets, ("video", "audio")) == as_file((*opening.headers, *frames))

    def test_equal_those_of_a_file_of_video_alone(self, kind: DemuxerKind) -> None:
        assert plain(demux_all(kind, h264_only(bframes=2)), ("video",)) == as_file(h264_only(bframes=2))

    def test_equal_those_of_a_file_of_audio_alone(self, kind: DemuxerKind) -> None:
        assert plain(demux_all(kind, aac_only()), ("audio",)) == as_file(aac_only())

    @pytest.mark.parametrize("encoder", VIDEO_ENCODERS)
    def test_equal_those_of_a_file_of_any_video_codec(self, kind: DemuxerKind, encoder: str) -> None:
        tags = encoded((VideoTrack(encoder),), (), 1)
        assert plain(demux_all(kind, tags, StreamMetadata(lacks_audio=True)), ("video",)) == as_file(tags)

    @pytest.mark.parametrize("encoder", AUDIO_ENCODERS)
    def test_equal_those_of_a_file_of_any_audio_codec(self, kind: DemuxerKind, encoder: str) -> None:
        tags = encoded((), (AudioTrack(encoder),), 1)
        assert plain(demux_all(kind, tags, StreamMetadata(lacks_video=True)), ("audio",)) == as_file(tags)

    def test_equal_those_of_a_file_of_several_tracks(self, kind: DemuxerKind) -> None:
        tags = encoded((VideoTrack(), VideoTrack("libx265")), (AudioTrack(), AudioTrack("libopus")), 1)
        opening, frames = through_gate(tags)
        kinds = [header.kind.name.lower() for header in opening.tracks]
        assert plain(demuxed(kind, opening, frames), kinds) == as_file((*opening.headers, *frames))

    def test_every_frame_of_the_encoder_arrives(self, kind: DemuxerKind) -> None:
        with av.open(io.BytesIO(flv_bytes(bframes=2)), "r") as container:
            frames = sum(packet.size > 0 for packet in container.demux())
        # The first keyframe is the first frame here.
        assert len(demux_all(kind, h264_aac(bframes=2))) == frames

    def test_no_tags_give_no_packets(self, both_tracks: Demuxer) -> None:
        assert both_tracks.demux([]) == []

    @pytest.mark.parametrize("place", [list, in_slabs], ids=["bytes", "slabs"])
    def test_payload_is_the_very_object_of_the_tag(
        self, kind: DemuxerKind, place: Callable[[Iterable[FlvTag]], list[FlvTag]]
    ) -> None:
        opening, frames = through_gate(place(h264_aac()))
        packets = demuxed(kind, opening, frames)
        assert all(packet.payload is tag.payload for packet, tag in zip(packets, frames, strict=True))
        assert {(packet.track_id, packet.body_at) for packet in packets} == {(1, 5), (2, 2)}

    def test_keyframes_are_those_that_the_encoder_names(self, kind: DemuxerKind) -> None:
        tags = [tag for tag in h264_with_scene_cut() if bytes(tag.payload)[1] == 1]
        expected = [bytes(tag.payload)[0] >> 4 == 1 for tag in tags]
        packets = demux_all(kind, h264_with_scene_cut(), metadata=StreamMetadata(lacks_audio=True))
        assert [packet.is_keyframe for packet in packets] == expected
        # libavcodec's parser takes the I picture of a scene cut for one; frames behind it may need frames before.
        with av.open(io.BytesIO(to_flv(h264_with_scene_cut())), "r") as container:
            parsed = [packet.is_keyframe for packet in container.demux() if packet.size]
        assert parsed.count(True) > expected.count(True)

    def test_audio_can_start_anywhere(self, kind: DemuxerKind) -> None:
        assert all(packet.is_keyframe for packet in demux_all(kind, aac_only()))


class TestTimestamps:
    @pytest.mark.parametrize(
        "start_ms",
        [-500, -(2**31), 2**24 - 500, 2**31 - 500, 2**31, 2**32 - 500, 2**32 - 1, 2**32, 2**33 + 5, 2**53],
    )
    def test_are_those_of_the_tags_beyond_32_bits(self, kind: DemuxerKind, start_ms: int) -> None:
        tags = h264_aac(bframes=2)
        expected = [
            (name, dts + start_ms, pts + start_ms, payload)
            for name, dts, pts, payload in plain(demux_all(kind, tags), ("video", "audio"))
        ]
        assert plain(demux_all(kind, shifted(tags, start_ms)), ("video", "audio")) == expected

    def test_jumps_are_passed_through(self, both_tracks: Demuxer) -> None:
        opening, fed = through_gate(h264_aac())
        times = [0, 10**7, 5, -1, 2**40, 2**31, 2**24, 0, 0]
        tags = looked_at(opening, [replace(tag, timestamp_ms=ms) for tag, ms in zip(fed, times, strict=False)])
        assert [packet.dts_ms for packet in both_tracks.demux(tags)] == times

    @pytest.mark.parametrize("composition_time_ms", [-900_000, -61_000, -1, 0, 1, 900_000])
    def test_composition_time_may_be_negative(
        self, both_tracks: Demuxer, h264_and_aac: Open, composition_time_ms: int
    ) -> None:
        offset = composition_time_ms.to_bytes(3, "big", signed=True)
        tags = [FlvTag(TagType.VIDEO, ms, b"\x27\x01" + offset + b"\x00\x00\x00\x01\x41") for ms in (0, 33, 2**32)]
        packets = both_tracks.demux(looked_at(h264_and_aac, tags))
        times = [(packet.dts_ms, packet.pts_ms) for packet in packets]
        assert times == [(tag.timestamp_ms, tag.timestamp_ms + composition_time_ms) for tag in tags]


# -- any frames -----------------------------------------------------------------------------------

ALL_TRACKS = encoded(
    (VideoTrack(), VideoTrack("libx265"), VideoTrack("libsvtav1"), VideoTrack("libvpx-vp9")),
    tuple(AudioTrack(encoder) for encoder in ("aac", "libopus", "flac")),
    1,
)
# Around what libavformat reads at once, what a slab holds, and what lies with the header.
SIZES = st.sampled_from([1, 2, HEAD_BYTES - 1, HEAD_BYTES, 4080, 4096, 4097, 5000, SLAB_BYTES, SLAB_BYTES + 1, 200_000])
TIMES_MS = st.sampled_from([0, 1, 33, -1, 2**24 - 1, 2**31 - 1, 2**31, WIRE_WRAP_MS - 1, WIRE_WRAP_MS, 2**40]) | (
    st.integers(-(2**33), 2**53)
)
COMPOSITION_TIMES_MS = st.sampled_from([0, 1, -1, 66, -61_000, 900_000, -900_000])


@st.composite
def frames_of(draw: st.DrawFn, headers: Sequence[TrackHeader]) -> FlvTag:
    """A frame of one of the tracks as the gate lets it through, of any size and at any time."""
    header = draw(st.sampled_from(headers))
    first, head = draw(st.sampled_from(list(frame_heads(header).items())))
    body = draw(st.binary(min_size=1, max_size=4)) * draw(SIZES)
    payload = first[: head.body_at].ljust(head.body_at, b"\0")
    if head.composition_time_at:
        offset = draw(COMPOSITION_TIMES_MS).to_bytes(3, "big", signed=True)
        payload = payload[: head.composition_time_at] + offset + payload[head.composition_time_at + 3 :]
    return FlvTag(header.kind, draw(TIMES_MS), payload + body)


class TestAnyFrames:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(st.data())
    def test_both_demuxers_give_the_same_packets(self, data: st.DataObject) -> None:
        opening, _ = through_gate(ALL_TRACKS)
        demuxers = [open_demuxer(kind, opening) for kind in DemuxerKind]
        for _ in range(data.draw(st.integers(1, 3))):
            frames = data.draw(st.lists(frames_of(opening.tracks), min_size=1, max_size=12))
            batch = looked_at(opening, in_slabs(frames))
            first, second = (demuxer.demux(batch) for demuxer in demuxers)
            assert first == second
            assert len(first) == len(batch)
        for demuxer in demuxers:
            demuxer.close()

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from streamd.formats.codecs.codec import AUDIO_CODECS, VIDEO_CODECS
from streamd.formats.flv.tag import FlvReader, FlvTag, TagType, flv_header, serialise
from streamd.formats.flv.video import VideoPacketType, parse_video, single_track
from streamd.media.intake import intake
from streamd.media.intake.actions import Open
from streamd.media.intake.intake import Intake
from tests.support.delivery import pieces
from tests.support.flv_media import h264_aac

EDGE_TIMES = st.sampled_from([0, 2**24 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
TAGS = st.builds(FlvTag, st.sampled_from([*map(int, TagType), 0, 15, 31]), EDGE_TIMES, st.binary(max_size=300))
FOURCCS = st.sampled_from([b"avc1", b"hvc1", b"vvc1", b"av01", b"vp09"])
CODED_FRAMES = st.sampled_from([VideoPacketType.CODED_FRAMES, VideoPacketType.CODED_FRAMES_X])


@given(tags=st.lists(TAGS, max_size=8), size=st.integers(1, 400))
def test_what_is_written_reads_back_however_it_is_cut(tags: list[FlvTag], size: int) -> None:
    data = flv_header(has_video=True, has_audio=True) + b"".join(map(serialise, tags))
    reader = FlvReader()
    assert [tag for piece in pieces(data, size) for tag in reader.receive_data(piece)] == tags


def wrapped(fourcc: bytes, packet_type: int, body: bytes, mod_ex: bytes | None, track_id: int | None) -> bytes:
    """An inter frame behind every optional part of the extended header."""
    tail = fourcc + body
    next_type = packet_type
    if track_id is not None:
        tail = bytes([packet_type]) + fourcc + bytes([track_id]) + body
        next_type = VideoPacketType.MULTITRACK
    if mod_ex is None:
        return bytes([0xA0 | next_type]) + tail
    size = bytes([len(mod_ex) - 1]) if len(mod_ex) < 256 else b"\xff" + (len(mod_ex) - 1).to_bytes(2, "big")
    # ModExType 1 is not defined yet: its data is skipped.
    return b"\xa7" + size + mod_ex + bytes([0x10 | next_type]) + tail


@given(
    fourcc=FOURCCS,
    packet_type=CODED_FRAMES,
    body=st.binary(min_size=4, max_size=40),
    mod_ex=st.none() | st.binary(min_size=1, max_size=5) | st.binary(min_size=255, max_size=258),
    track_id=st.none() | st.integers(0, 255),
)
def test_unwrapped_video_tag_means_the_same(
    fourcc: bytes, packet_type: VideoPacketType, body: bytes, mod_ex: bytes | None, track_id: int | None
) -> None:
    payload = wrapped(fourcc, packet_type, body, mod_ex, track_id)
    (packet,) = parse_video(payload)
    plain = single_track(payload, packet)
    (again,) = parse_video(plain)
    assert packet.track_id == (track_id or 0)
    assert again._replace(track_id=packet.track_id, start=packet.start, end=packet.end) == packet
    assert plain[again.start : again.end] == payload[packet.start : packet.end]


OPENING = h264_aac(bframes=2)[:5]
FRAME_HEADS = st.sampled_from(
    [
        b"\x17\x01",
        b"\x27\x01",
        b"\x37\x01",
        b"\x17\x00",
        b"\x47\x01",
        b"\xaf\x01",
        b"\xaf\x00",
        b"\xa1avc1",
        b"\x91mp4a",
        b"",
    ]
)
FRAMES = st.builds(
    FlvTag,
    st.sampled_from([TagType.VIDEO, TagType.AUDIO]),
    st.integers(0, 100),
    st.builds(bytes.__add__, FRAME_HEADS, st.binary(max_size=8)),
)


@given(tags=st.lists(FRAMES, min_size=1, max_size=30), first=st.sampled_from([OPENING, OPENING[:1]]))
def test_short_way_through_the_gate_comes_to_the_same(tags: list[FlvTag], first: tuple[FlvTag, ...]) -> None:
    short, full = Intake(), Intake()
    with mock.patch.object(intake, "CODECS_WITHOUT_HEADER", {*AUDIO_CODECS, *VIDEO_CODECS}):
        opened = [full.receive(tag) for tag in first]
        expected = [full.receive(tag) for tag in tags]
    assert [short.receive(tag) for tag in first] == opened
    assert isinstance(opened[-1], Open) is (first is OPENING)
    assert [short.receive(tag) for tag in tags] == expected
    assert short.drops == full.drops

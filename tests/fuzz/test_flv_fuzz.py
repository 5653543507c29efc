"""Hostile bytes through the readers, the gate and the demuxer: values or our errors, in step, in bounded time."""

from __future__ import annotations

import contextlib
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.errors import CodecConfigError, DemuxError, FlvError, TrackRefusedError, UnsupportedCodecError
from streamd.flv.audio import parse_audio
from streamd.flv.audio import single_track as single_audio_track
from streamd.flv.codec import (
    AAC,
    AUDIO_CODECS,
    CODECS_WITHOUT_HEADER,
    H264,
    VIDEO_CODECS,
    canonical_record,
    parse_config,
)
from streamd.flv.intake import Drop, Feed, Intake, IntakeLimits, Open, Split
from streamd.flv.tag import FlvReader, FlvTag, TagType
from streamd.flv.video import parse_video
from streamd.flv.video import single_track as single_video_track
from streamd.media.demux import FlvDemuxer
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.flv_media import h264_aac

SEEDS = h264_aac(1, bframes=2)[:24]
VIDEO = tuple(VideoTrack(encoder) for encoder in ("libx265", "libsvtav1", "libvpx-vp9"))
AUDIO = tuple(AudioTrack(encoder) for encoder in ("libopus", "flac", "ac3", "eac3", "libmp3lame"))
CODED_FRAMES = 1
# Several tracks, of several codecs.
MANY = encoded((VideoTrack(), *VIDEO), (AudioTrack(), *AUDIO), 1)[:60]
LIMITS = IntakeLimits(reopen_tags_min=8)
HEADS = st.sampled_from(
    [
        b"\x17\x00\x00\x00\x00",
        b"\x17\x01\x00\x00\x00",
        b"\x27\x01\x80\x00\x00",
        b"\x57\x00",
        b"\x90avc1",
        b"\xa1avc1",
        b"\xa3hvc1",
        b"\x96\x01avc1\x00",
        b"\x96\x11avc1\x00\x00\x00",
        b"\x96\x21",
        b"\x97\x02\x00\x00\x00\x01avc1",
        b"\xaf\x00",
        b"\xaf\x01",
        b"\xa2\x01",
        b"\x2f",
        b"\x90mp4a",
        b"\x91mp4a",
        b"\x95\x11mp4a\x00\x00\x00",
        b"\x94Opus",
        b"\x96\x00av01\x01",
        b"\x96\x01vp09\x01",
        b"\x90hvc1",
        b"\x95\x01.mp3\x01\xff\xfb\x94\x64",
        b"\x91ac-3\x0b\x77",
        b"\x90fLaC",
        b"",
    ]
)
KINDS = st.sampled_from([TagType.VIDEO, TagType.AUDIO, TagType.SCRIPT])
TIMES = st.integers(-(2**33), 2**33)


@given(st.binary(max_size=200))
def test_reader_gives_tags_or_an_error(data: bytes) -> None:
    with contextlib.suppress(FlvError):
        FlvReader().receive_data(b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00" + data)


@given(st.builds(bytes.__add__, HEADS, st.binary(max_size=40)).filter(bool))
def test_headers_give_packets_inside_the_tag_or_an_error(payload: bytes) -> None:
    with contextlib.suppress(FlvError):
        for video in parse_video(payload):
            assert 0 < video.start <= video.end <= len(payload)
            single_video_track(payload, video)
    with contextlib.suppress(FlvError):
        for audio in parse_audio(payload):
            assert 0 < audio.start <= audio.end <= len(payload)
            single_audio_track(payload, audio)


def records() -> dict[str, bytes]:
    """A record of each codec, as an encoder wrote it; a frame, where it has none."""
    found = {H264: SEEDS[0].payload[5:], AAC: b"\x11\x90\x56\xe5\x00"}
    for tag in (*encoded(VIDEO, (), 1), *encoded((), AUDIO, 1)):
        packets = parse_video(tag.payload) if tag.tag_type == TagType.VIDEO else parse_audio(tag.payload)
        for packet in packets:
            if packet.packet_type == CODED_FRAMES if packet.codec in CODECS_WITHOUT_HEADER else packet.packet_type == 0:
                found.setdefault(packet.codec, tag.payload[packet.start : packet.end])
    return found


RECORDS = records()


@st.composite
def broken_records(draw: st.DrawFn) -> tuple[str, bytes]:
    """A codec and its record with some bytes changed, left out or put in, or one that is made up."""
    codec = draw(st.sampled_from(sorted(RECORDS)))
    record = RECORDS[codec][:400]
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(record)))
        end = draw(st.integers(start, min(len(record), start + 4)))
        record = record[:start] + draw(st.binary(max_size=4)) + record[end:]
    return codec, draw(st.just(record) | st.binary(max_size=60))


def test_there_is_a_record_of_every_codec() -> None:
    assert RECORDS.keys() == VIDEO_CODECS.keys() | AUDIO_CODECS.keys()
    for codec, record in RECORDS.items():
        parse_config(codec, canonical_record(codec, record))


@settings(max_examples=500)
@given(broken_records())
def test_configuration_records_give_values_or_an_error(broken: tuple[str, bytes]) -> None:
    codec, record = broken
    with contextlib.suppress(CodecConfigError, UnsupportedCodecError):
        config = parse_config(codec, canonical_record(codec, record))
        assert config.codec_string.isascii()
        assert config.width * config.height <= 139_264 * 256
        assert 0 <= config.sample_rate <= 192_000


@st.composite
def mutated_streams(draw: st.DrawFn, seeds: tuple[FlvTag, ...] = SEEDS) -> list[FlvTag]:
    """An encoder's tags with some changed, cut, repeated, moved in time or made up."""
    tags = list(seeds)
    for _ in range(draw(st.integers(1, 6))):
        index = draw(st.integers(0, len(tags) - 1))
        tag = tags[index]
        match draw(st.integers(0, 5)):
            case 0:
                offset = draw(st.integers(0, len(tag.payload)))
                noise = draw(st.binary(min_size=1, max_size=8))
                payload = tag.payload[:offset] + noise + tag.payload[offset + len(noise) :]
                tags[index] = tag._replace(payload=payload)
            case 1:
                tags[index] = tag._replace(payload=tag.payload[: draw(st.integers(0, len(tag.payload)))])
            case 2:
                tags.insert(index, tags[draw(st.integers(0, len(tags) - 1))])
            case 3:
                tags[index] = tag._replace(timestamp_ms=draw(TIMES))
            case 4:
                made_up = draw(HEADS) + draw(st.binary(max_size=30))
                tags.insert(index, FlvTag(draw(KINDS), draw(TIMES), made_up))
            case _:
                tags[index] = tag._replace(tag_type=draw(KINDS))
    return tags


@settings(max_examples=60, deadline=None)
@given(tags=mutated_streams() | mutated_streams(MANY), batch=st.integers(1, 5))
def test_gate_and_demuxer_give_packets_in_step_or_an_error(tags: list[FlvTag], batch: int) -> None:
    intake = Intake(LIMITS)
    demuxer: FlvDemuxer | None = None
    pending: list[FlvTag] = []

    def flush() -> None:
        if demuxer is None or not pending:
            return
        packets = demuxer.demux(pending)
        # A tag that came through the gate is a frame: one packet each, in order.
        assert [packet.dts_ms for packet in packets] == [tag.timestamp_ms for tag in pending]
        pending.clear()

    try:
        unread = deque(tags)
        while unread:
            match intake.receive(unread.popleft()):
                case Feed(fed):
                    pending += fed
                case Split(shares):
                    unread.extendleft(reversed(shares))
                case Open() as opening:
                    flush()
                    if demuxer is not None:
                        demuxer.close()
                    pending.clear()
                    try:
                        demuxer = None
                        demuxer = FlvDemuxer.open(opening)
                        demuxer.write_cmaf_header(demuxer.tracks)
                    except TrackRefusedError as exc:
                        intake.refuse(opening.tracks[exc.index])
                    except DemuxError:
                        intake.restart()
                case Drop(_, detail):
                    assert detail.isprintable()
                case _:
                    pass
            if len(pending) >= batch:
                flush()
        flush()
    finally:
        if demuxer is not None:
            demuxer.close()


@settings(max_examples=40, deadline=None)
@given(tags=mutated_streams())
def test_demuxer_without_the_gate_gives_packets_or_an_error(tags: list[FlvTag]) -> None:
    intake = Intake()
    opening = next(action for tag in SEEDS if isinstance(action := intake.receive(tag), Open))
    demuxer = FlvDemuxer.open(opening)
    with contextlib.suppress(DemuxError):
        times = {tag.timestamp_ms for tag in tags}
        assert {packet.dts_ms for packet in demuxer.demux(tags)} <= times
        assert demuxer.demux(SEEDS[8:10])[-1].dts_ms == SEEDS[9].timestamp_ms
    demuxer.close()

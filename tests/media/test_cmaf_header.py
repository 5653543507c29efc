from __future__ import annotations

import io
import itertools
import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from streamd.errors import DemuxError
from streamd.formats.cmaf.header import boxes
from streamd.formats.codecs.picture_format import NO_ASPECT, NO_COLOURS, Colours, SampleAspect
from streamd.formats.flv.metadata import StreamMetadata
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media import cmaf_header, flv_input
from streamd.media.cmaf_header import write_cmaf_header
from streamd.media.demux_native import NativeDemuxer
from streamd.media.intake.actions import Open
from streamd.media.intake.intake import Intake
from streamd.media.packet import Track, TrackKind
from streamd.media.probe import Probe
from tests.support import codec_media
from tests.support.codec_media import AudioTrack, VideoTrack
from tests.support.flv_media import SAMPLE_RATE, aac_only, h264_aac, h264_only
from tests.support.track_run import TrackRun, write_chunk

if TYPE_CHECKING:
    from collections.abc import Iterable


VPCC = bytes.fromhex("01000000000a820202020000")
"""Profile 0, level 1.0, 8 bits, 4:2:0."""


@dataclass(frozen=True)
class Form:
    """What an encoder is told of its pictures, and the boxes that say it."""

    aspect: SampleAspect = NO_ASPECT
    colours: Colours = NO_COLOURS
    pasp: bytes | None = None
    colr: bytes | None = None


FORMS = {
    "BT.709": Form(colours=Colours(1, 1, 1), colr=b"nclx" + struct.pack(">HHHB", 1, 1, 1, 0)),
    "BT.601": Form(colours=Colours(6, 6, 6), colr=b"nclx" + struct.pack(">HHHB", 6, 6, 6, 0)),
    "full range": Form(colours=Colours(1, 1, 1, is_full_range=True), colr=b"nclx" + struct.pack(">HHHB", 1, 1, 1, 128)),
    "PQ": Form(colours=Colours(9, 16, 9), colr=b"nclx" + struct.pack(">HHHB", 9, 16, 9, 0)),
    "HLG": Form(colours=Colours(9, 18, 9), colr=b"nclx" + struct.pack(">HHHB", 9, 18, 9, 0)),
    # libavformat writes no colr where a code point is unspecified.
    "range alone": Form(colours=Colours(is_full_range=True)),
    "4:3": Form(SampleAspect(4, 3), pasp=struct.pack(">II", 4, 3)),
    "of its own": Form(SampleAspect(1000, 999), pasp=struct.pack(">II", 1000, 999)),
    "square": Form(SampleAspect(1, 1), pasp=struct.pack(">II", 1, 1)),
}


@dataclass(frozen=True)
class Opened:
    tracks: tuple[Track, ...]
    cmaf_header: bytes


def opened(tags: Iterable[FlvTag], metadata: StreamMetadata | None = None) -> Opened:
    intake = Intake()
    intake.metadata = metadata or StreamMetadata()
    opening = next(action for tag in tags if isinstance(action := intake.receive(tag), Open))
    with Probe(opening) as probe:
        return Opened(probe.tracks, probe.write_cmaf_header(probe.tracks))


def find(data: bytes, *path: bytes) -> list[bytes]:
    """The contents of all boxes at a path."""
    contents = [data]
    for box_type in path:
        contents = [inner for content in contents for found, inner in boxes(content) if found == box_type]
    return contents


def sample_entries(header: bytes) -> list[bytes]:
    """The four-character codes of the sample entries, behind stsd's version, flags and count."""
    return [entry[12:16] for entry in find(header, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")]


def timescales(header: bytes) -> list[int]:
    # mdhd: version and flags, creation and modification time, timescale, duration.
    return [struct.unpack_from(">I", mdhd, 12)[0] for mdhd in find(header, b"moov", b"trak", b"mdia", b"mdhd")]


def track_ids(header: bytes) -> list[int]:
    return [struct.unpack_from(">I", tkhd, 12)[0] for tkhd in find(header, b"moov", b"trak", b"tkhd")]


class TestBoxes:
    """ISO/IEC 14496-12 section 8.2, ISO/IEC 23000-19 section 7.3."""

    def test_of_video_and_audio(self) -> None:
        header = opened(h264_aac(bframes=2)).cmaf_header
        assert [box_type for box_type, _ in boxes(header)] == [b"ftyp", b"moov"]
        assert [box_type for box_type, _ in boxes(find(header, b"moov")[0])] == [b"mvhd", b"trak", b"trak", b"mvex"]
        assert sample_entries(header) == [b"avc1", b"mp4a"]
        assert track_ids(header) == [1, 2]
        assert timescales(header) == [90_000, SAMPLE_RATE]
        trex = find(header, b"moov", b"mvex", b"trex")
        assert [struct.unpack_from(">II", entry, 4) for entry in trex] == [(1, 1), (2, 1)]
        assert find(header, b"moov", b"trak", b"edts") == []

    def test_of_one_track(self) -> None:
        video = opened(h264_only()).cmaf_header
        audio = opened(aac_only(2, 44_100, "mono")).cmaf_header
        assert (sample_entries(video), timescales(video), track_ids(video)) == ([b"avc1"], [90_000], [1])
        assert (sample_entries(audio), timescales(audio), track_ids(audio)) == ([b"mp4a"], [44_100], [1])

    def test_configuration_is_the_publishers(self) -> None:
        demuxer = opened(h264_aac())
        video, audio = demuxer.tracks
        assert b"avcC" + video.codec_config in demuxer.cmaf_header
        # esds, DecoderSpecificInfo: tag 5, a length of four bytes.
        length = struct.pack(">I", 0x80808000 | len(audio.codec_config))
        assert b"\x05" + length + audio.codec_config in demuxer.cmaf_header

    def test_audio_is_counted_as_the_track_is(self) -> None:
        # HE-AAC with explicit SBR: the core's rate is half of what the record announces.
        record = bytes.fromhex("2b118800")
        tags = [FlvTag(TagType.AUDIO, 0, b"\xaf\x00" + record), FlvTag(TagType.AUDIO, 0, b"\xaf\x01\x21\x10\x04")]
        demuxer = opened(tags, StreamMetadata(lacks_video=True))
        (audio,) = demuxer.tracks
        assert (audio.codec, audio.timescale, audio.frame_ticks) == ("mp4a.40.5", 48_000, 2048)
        assert timescales(demuxer.cmaf_header) == [48_000]


class TestPlayback:
    @pytest.mark.parametrize("bframes", [0, 2])
    def test_header_and_fragment_read_back(self, bframes: int) -> None:
        tags = h264_aac(bframes=bframes)
        intake = Intake()
        actions = [intake.receive(tag) for tag in tags]
        opening = next(action for action in actions if isinstance(action, Open))
        packets = NativeDemuxer().demux((*opening.tags, *tags[actions.index(opening) + 1 :]))
        with Probe(opening) as probe:
            header = probe.write_cmaf_header(probe.tracks)
        runs = []
        for track in probe.tracks:
            own = [packet for packet in packets if packet.track_id == track.track_id]
            is_video = track.kind is TrackKind.VIDEO
            starts = [packet.dts_ms * 90 for packet in own] if is_video else range(0, len(own) * 1024, 1024)
            runs.append(
                TrackRun(
                    track_id=track.track_id,
                    decode_ticks=starts[0],
                    durations=[after - before for before, after in itertools.pairwise(starts)] + [1024],
                    composition_offsets=[(packet.pts_ms - packet.dts_ms) * 90 if is_video else 0 for packet in own],
                    sync=[packet.is_keyframe for packet in own],
                    payloads=[bytes(packet.payload) for packet in own],
                    starts=[packet.body_at for packet in own],
                )
            )
        file = io.BytesIO(header + write_chunk(1, runs))
        with av.open(file, "r", format="mp4") as container:
            assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
            read = [packet for packet in container.demux() if packet.size]
            for kind, track in zip(("video", "audio"), probe.tracks, strict=True):
                own = [packet for packet in packets if packet.track_id == track.track_id]
                back = [packet for packet in read if packet.stream.type == kind]
                assert [bytes(packet) for packet in back] == [bytes(packet.payload)[packet.body_at :] for packet in own]
                assert [packet.is_keyframe for packet in back] == [packet.is_keyframe for packet in own]
                assert {packet.time_base for packet in back} == {Fraction(1, track.timescale)}
        file.seek(0)
        with av.open(file, "r", format="mp4") as container:
            frames = list(container.decode(video=0))
        assert len(frames) == sum(packet.track_id == 1 for packet in packets)


class TestWithoutADecoder:
    """No decoder looks at a publisher's frames, and the header is what it was with one."""

    @pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
    def test_video(self, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
        tags = codec_media.encoded((VideoTrack(codec),), (), 2)
        header = opened(tags).cmaf_header
        let_decode(monkeypatch)
        assert opened(tags).cmaf_header == header

    @pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
    @pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
    def test_shape_and_colours(self, codec: str, form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
        tags = codec_media.encoded((VideoTrack(codec, aspect=form.aspect, colours=form.colours),), (), 2)
        header = opened(tags).cmaf_header
        entries = boxes_of_entry(header)
        assert entries.get(b"colr") == form.colr
        # AV1 has no word for it in its sequence header.
        assert entries.get(b"pasp") == (form.pasp if codec != "libsvtav1" else None)
        let_decode(monkeypatch)
        assert opened(tags).cmaf_header == header

    @pytest.mark.parametrize("codec", ["aac", "libopus", "flac", "ac3", "eac3", "libmp3lame"])
    def test_audio(self, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
        tags = codec_media.encoded((VideoTrack(),), (AudioTrack(codec),), 2)
        header = opened(tags).cmaf_header
        let_decode(monkeypatch)
        assert opened(tags).cmaf_header == header

    @pytest.mark.parametrize(
        ("record", "form"),
        [
            (VPCC, b"\x00\x0a\x82"),
            (bytes.fromhex("01000000010a840202020000"), b"\x01\x0a\x84"),
            (bytes.fromhex("01000000030a a6 0202020000"), b"\x03\x0a\xa6"),
        ],
        ids=["4:2:0", "4:2:2", "4:4:4 of 10 bits"],
    )
    def test_pixels_of_vp9_are_those_of_its_record(self, record: bytes, form: bytes) -> None:
        with av.open(io.BytesIO(encoded("libvpx-vp9")), "r", options={"codec_whitelist": "none"}) as container:
            (stream,) = container.streams.video
            track = Track(1, TrackKind.VIDEO, "vp09.00.10.08", 90_000, record, width=160, height=96)
            header = write_cmaf_header([stream], [track])
        # The box is the record, but for its profile, which libavformat takes from the pixels, and its level.
        assert b"vpcC\x01\x00\x00\x00" in header
        box = header[header.index(b"vpcC") + 8 :]
        assert (box[0], box[2]) == (form[0] if form[0] < 2 else 3, form[2])

    def test_samples_of_flac_have_the_bits_of_its_record(self) -> None:
        tags = codec_media.encoded((), (AudioTrack("flac"),), 2)
        (audio,) = opened(tags, StreamMetadata(lacks_video=True)).tracks
        deep = bytearray(audio.codec_config)
        deep[12:14] = (int.from_bytes(deep[12:14], "big") & ~0x01F0 | 23 << 4).to_bytes(2, "big")
        header_tag = FlvTag(TagType.AUDIO, 0, b"\x90fLaC" + bytes(deep))
        entry = opened((header_tag, *tags[1:]), StreamMetadata(lacks_video=True)).cmaf_header
        assert entry[entry.index(b"dfLa") - 14 :][:2] == b"\x00\x18"


class TestPictures:
    """ISO/IEC 14496-12 sections 8.3.2, 12.1.4 and 12.1.5."""

    @pytest.mark.parametrize("codec", ["libx264", "libx265"])
    def test_track_is_as_wide_as_it_is_shown(self, codec: str) -> None:
        demuxer = opened(codec_media.encoded((VideoTrack(codec, aspect=SampleAspect(4, 3)),), (), 2))
        assert [(track.width, track.shown_width, track.height) for track in demuxer.tracks] == [(320, 427, 192)]
        (tkhd,) = find(demuxer.cmaf_header, b"moov", b"trak", b"tkhd")
        assert struct.unpack(">II", tkhd[-8:]) == (427 << 16, 192 << 16)
        (entry,) = find(demuxer.cmaf_header, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
        # 12.1.3.2: VisualSampleEntry has the coded size.
        assert struct.unpack_from(">HH", entry, 8 + 8 + 24) == (320, 192)

    def test_colours_of_vp9_are_those_of_its_record_and_its_frame(self) -> None:
        """VP Codec ISO Media File Format Binding: a frame says matrix and range alone; HDR is in the record."""
        tags = codec_media.encoded((VideoTrack("libvpx-vp9", colours=Colours(9, 16, 9)),), (), 2)
        (video,) = opened(tags).tracks
        assert video.colours == Colours(9, 16, 9)
        entries = boxes_of_entry(opened(tags).cmaf_header)
        assert entries[b"vpcC"] == video.codec_config
        assert entries[b"colr"] == b"nclx" + struct.pack(">HHHB", 9, 16, 9, 0)
        bare = replace(tags[0], payload=bytes(tags[0].payload).replace(b"\x09\x10\x09", b"\x02\x02\x02"))
        assert boxes_of_entry(opened((bare, *tags[1:])).cmaf_header)[b"vpcC"][7:10] == b"\x02\x02\x09"


def boxes_of_entry(header: bytes) -> dict[bytes, bytes]:
    """What stands in the sample entry of the first track, which is video: behind 8 + 78 bytes of its own."""
    entry = find(header, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")[0][8:]
    return dict(boxes(entry[8 + 78 :]))


def let_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let libavformat open decoders, and leave to them what they find."""

    def options(probe_bytes: int, streams_max: int) -> dict[str, str]:
        return {key: value for key, value in ours(probe_bytes, streams_max).items() if key != "codec_whitelist"}

    ours = flv_input._options
    monkeypatch.setattr(flv_input, "_options", options)
    monkeypatch.setattr(cmaf_header, "_say_what_a_decoder_would", lambda *_: None)
    monkeypatch.setattr(cmaf_header, "_with_sample_sizes", lambda movie, _: movie)


class TestOtherCodecs:
    """The same path carries what ``streamd.formats.codecs.codec`` has no entry for yet."""

    @pytest.mark.parametrize(
        ("encoder", "codec", "sample_entry"),
        [
            ("libx265", "hvc1.1.6.L30.90", b"hvc1"),
            ("libvpx-vp9", "vp09.00.10.08", b"vp09"),
            ("libopus", "opus", b"Opus"),
        ],
    )
    def test_sample_entry(self, encoder: str, codec: str, sample_entry: bytes) -> None:
        is_video = encoder != "libopus"
        with av.open(io.BytesIO(encoded(encoder)), "r") as container:
            (stream,) = container.streams
            assert isinstance(stream, VideoStream | AudioStream)
            kind, timescale = (TrackKind.VIDEO, 90_000) if is_video else (TrackKind.AUDIO, 48_000)
            record = VPCC if encoder == "libvpx-vp9" else b""
            header = write_cmaf_header([stream], [Track(1, kind, codec, timescale, record, width=160, height=96)])
        assert sample_entries(header) == [sample_entry]
        assert timescales(header) == [timescale]

    def test_a_first_frame_of_ac3_that_libavformat_cannot_read_is_an_error(self) -> None:
        # ETSI TS 102 366, 4.4.1.4: frmsizecod is at most 37. The rest of the frame says what a good one would.
        frame = bytes.fromhex("0b77 0000 3f 40 40") + bytes(64)
        # Enhanced RTMP: SoundFormat 9, packet type 1, coded frames.
        tags = [FlvTag(TagType.AUDIO, time_ms, b"\x91ac-3" + frame) for time_ms in range(0, 320, 32)]
        with pytest.raises(DemuxError, match="CMAF header"):
            opened(tags, StreamMetadata(lacks_video=True))

    def test_codec_without_a_sample_entry_is_an_error(self) -> None:
        output = io.BytesIO()
        with av.open(output, "w", format="flv") as container:
            audio = container.add_stream("adpcm_swf", rate=44_100)
            audio.layout = "stereo"
            container.mux(audio.encode(silence("s16", 44_100, samples=4096)))
        with av.open(io.BytesIO(output.getvalue()), "r") as container:
            (stream,) = container.streams.audio
            track = Track(1, TrackKind.AUDIO, "adpcm", 44_100)
            with pytest.raises(DemuxError, match="CMAF header"):
                write_cmaf_header([stream], [track])


def silence(sample_format: str, sample_rate: int, samples: int = 960) -> av.AudioFrame:
    frame = av.AudioFrame(format=sample_format, layout="stereo", samples=samples)
    frame.sample_rate, frame.pts, frame.time_base = sample_rate, 0, Fraction(1, sample_rate)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    return frame


def encoded(encoder: str) -> bytes:
    """One frame in an FLV file with Enhanced RTMP's header."""
    output = io.BytesIO()
    with av.open(output, "w", format="flv") as container:
        if encoder == "libopus":
            audio = container.add_stream("libopus", rate=48_000)
            audio.layout = "stereo"
            container.mux(audio.encode(silence("flt", 48_000)) + audio.encode(None))
        else:
            video = container.add_stream(encoder, rate=30)
            assert isinstance(video, VideoStream)
            video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
            # With B-frames, x265 makes up the decode time of a stream of one frame, now and then above its own.
            video.options = {"x265-params": "log-level=none:bframes=0"} if encoder == "libx265" else {}
            frame = av.VideoFrame(160, 96, "yuv420p")
            frame.pts, frame.time_base = 0, Fraction(1, 30)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(video.encode(frame) + video.encode(None))
    return output.getvalue()

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from streamd.errors import DemuxError
from streamd.formats.flv.metadata import StreamMetadata
from streamd.formats.flv.tag import FlvTag, TagType
from streamd.media import flv_input
from streamd.media.intake.actions import Open
from streamd.media.intake.intake import Intake
from streamd.media.packet import Track, TrackKind
from streamd.media.probe import Probe
from tests.support.avc import sequence_parameter_set
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.flv_media import AAC_FRAME_SAMPLES, HEIGHT, SAMPLE_RATE, WIDTH, aac_only, h264_aac, h264_only

if TYPE_CHECKING:
    from collections.abc import Iterable


def opening_of(tags: Iterable[FlvTag], metadata: StreamMetadata | None = None) -> Open:
    intake = Intake()
    intake.metadata = metadata or StreamMetadata()
    return next(action for tag in tags if isinstance(action := intake.receive(tag), Open))


def tracks_of(opening: Open) -> tuple[Track, ...]:
    with Probe(opening) as probed:
        return probed.tracks


class TestTracks:
    def test_video_and_audio(self) -> None:
        opening = opening_of(h264_aac(bframes=2), StreamMetadata(frame_rate=29.97))
        video, audio = tracks_of(opening)
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
        opening = opening_of(aac_only(2, sample_rate, layout))
        (audio,) = tracks_of(opening)
        assert (audio.track_id, audio.timescale, audio.channels) == (1, sample_rate, channels)

    def test_audio_frame_of_a_few_bytes_opens(self) -> None:
        header = FlvTag(TagType.AUDIO, 0, b"\xaf\x00\x11\x90")
        silence = FlvTag(TagType.AUDIO, 0, b"\xaf\x01\x21\x10\x04\x60\x8c\x1c")
        opening = opening_of([header, silence], StreamMetadata(lacks_video=True))
        (audio,) = tracks_of(opening)
        assert audio.codec == "mp4a.40.2"


class TestNoDecoder:
    """Nothing of a publisher's is decoded in the server's process."""

    @pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
    def test_none_is_opened_for_pictures(self, codec: str) -> None:
        tags = encoded((VideoTrack(codec),), (), 2)
        with Probe(opening_of(tags)) as probed:
            (stream,) = probed._streams
            assert isinstance(stream, VideoStream)
            assert stream.codec_context.pix_fmt is None, "a decoder would have said"
            assert not stream.codec_context.is_open
            assert [(track.width, track.height) for track in probed.tracks] == [(320, 192)]

    @pytest.mark.parametrize("codec", ["aac", "libopus", "flac", "ac3", "eac3", "libmp3lame"])
    def test_none_is_opened_for_sound(self, codec: str) -> None:
        with Probe(opening_of(encoded((), (AudioTrack(codec),), 2), StreamMetadata(lacks_video=True))) as probed:
            (stream,) = probed._streams
            assert isinstance(stream, AudioStream)
            assert getattr(stream.codec_context, "format", "") is None, "a decoder would have said"
            assert [(track.timescale, track.channels) for track in probed.tracks] == [(48_000, 2)]

    def test_picture_size_of_av1_is_read_in_the_keyframe_where_the_record_has_none(self) -> None:
        header, *frames = encoded((VideoTrack("libsvtav1"),), (), 2)
        bare = replace(header, payload=bytes(header.payload)[: 5 + 4])
        opening = opening_of([bare, *frames])
        assert opening.tracks[0].config.picture is None
        assert [(track.width, track.height) for track in tracks_of(opening)] == [(320, 192)]

    def test_layout_of_many_channels_is_that_of_its_record(self) -> None:
        (audio,) = tracks_of(opening_of(aac_only(2, 48_000, "5.1"), StreamMetadata(lacks_video=True)))
        assert audio.channels == 6


class TestBrokenInput:
    """What the gate keeps out must end in an error even so, and never in a crash or a hang."""

    def test_more_tracks_announced_than_there_are(self) -> None:
        opening = opening_of(h264_aac())
        with pytest.raises(DemuxError, match="for 2 tracks"):
            Probe(Open(opening.tracks, opening.headers[:1], opening.tags[:1], 0.0))

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
        opening = opening_of(tags, StreamMetadata(lacks_audio=True))
        assert [(track.width, track.height) for track in tracks_of(opening)] == [(WIDTH, HEIGHT)]

    def test_picture_size_that_nobody_knows_is_an_error(self) -> None:
        opening = opening_of(h264_only())
        config = replace(opening.tracks[0].config, picture=None)
        track = replace(opening.tracks[0], config=config)
        keyframe = FlvTag(TagType.VIDEO, 0, b"\x17\x01\x00\x00\x00" + b"\xff" * 40)
        with pytest.raises(DemuxError, match="no picture size"):
            Probe(Open((track,), opening.headers, (keyframe,), 0.0))

    def test_error_of_libavformat_at_open_becomes_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(flv_input, "PROBE_BYTES_MIN", 0)
        with pytest.raises(DemuxError, match="cannot open the stream"):
            Probe(Open((), (), (), 0.0))

"""Every codec and track of Enhanced RTMP through a real server: what its playlists say, and what players read."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import av
import pytest

from streamd.formats.flv.tag import FlvTag, TagType
from tests.support import playback
from tests.support.avc import sequence_parameter_set
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until
from tests.support.tag_publisher import TagPublisher, publishing, repeated
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

SECONDS = 8
H264, HEVC, AV1, VP9 = (VideoTrack(encoder) for encoder in ("libx264", "libx265", "libsvtav1", "libvpx-vp9"))
AAC, OPUS, FLAC, AC3, EAC3, MP3 = (
    AudioTrack(encoder) for encoder in ("aac", "libopus", "flac", "ac3", "eac3", "libmp3lame")
)

Tracks = tuple[tuple[VideoTrack, ...], tuple[AudioTrack, ...]]

CODECS: list[tuple[str, Tracks, str, list[str]]] = [
    ("hevc", ((HEVC,), (AAC,)), "hvc1.1.6.L60.90,mp4a.40.2", ["aac", "hevc"]),
    ("av1", ((AV1,), (OPUS,)), "av01.0.00M.08,Opus", ["av1", "opus"]),
    ("vp9", ((VP9,), (OPUS,)), "vp09.00.11.08,Opus", ["opus", "vp9"]),
    ("flac", ((H264,), (FLAC,)), "avc1.42c00d,fLaC", ["flac", "h264"]),
    ("ac3", ((H264,), (AC3,)), "avc1.42c00d,ac-3", ["ac3", "h264"]),
    ("eac3", ((H264,), (EAC3,)), "avc1.42c00d,ec-3", ["eac3", "h264"]),
    ("mp3", ((H264,), (MP3,)), "avc1.42c00d,mp4a.6B", ["h264", "mp3"]),
    ("opus-alone", ((), (OPUS,)), "Opus", ["opus"]),
    ("flac-alone", ((), (FLAC,)), "fLaC", ["flac"]),
    ("ac3-alone", ((), (AC3,)), "ac-3", ["ac3"]),
    ("mp3-alone", ((), (MP3,)), "mp4a.6B", ["mp3"]),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    # All of a broadcast stays in its playlist.
    with run_server(tmp_path_factory.mktemp("server"), hls__window_segments=20) as running:
        yield running


def probe(url: str) -> dict[str, int]:
    """How many packets of each codec ffprobe reads from three seconds of a presentation."""
    require("ffprobe")
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_entries", "stream=codec_name,nb_read_packets"]
    command += ["-read_intervals", "%+3", "-count_packets", url]
    run = subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_S)
    streams = json.loads(run.stdout)["streams"]
    # ffprobe counts nothing of a stream of which no packet came in that time.
    return {stream["codec_name"]: int(stream.get("nb_read_packets", 0)) for stream in streams}


def variants(playlist: str) -> list[tuple[str, str]]:
    """CODECS and URI of each variant, in order."""
    return re.findall(r'#EXT-X-STREAM-INF:.*CODECS="([^"]*)".*\n(.*)', playlist)


def durations(server: LiveServer, name: str, rendition: str) -> list[float]:
    text = server.get(f"/live/{name}/{rendition}.m3u8")[2].decode()
    return [float(found) for found in re.findall(r"#EXTINF:([\d.]+)", text)]


def dropped(server: LiveServer, reason: str) -> int:
    text = server.admin_get("/metrics")
    found = re.search(rf'^streamd_tags_dropped_total{{reason="{reason}"}} (\d+)', text, re.MULTILINE)
    return int(found[1]) if found else 0


class TestOneTrackEach:
    @pytest.mark.parametrize(("name", "tracks", "codecs", "found"), CODECS, ids=[case[0] for case in CODECS])
    def test_plays_with_its_codecs_named(
        self, server: LiveServer, name: str, tracks: Tracks, codecs: str, found: list[str]
    ) -> None:
        tags = encoded(*tracks, SECONDS)
        with TagPublisher(server.rtmp_port, server.issue_key(name)) as publisher:
            publisher.send(tags)
            assert variants(server.wait_until_playable(name))[0] == (codecs, "main.m3u8")
            assert json.loads(server.get(f"/api/v1/streams/{name}")[2])["push_codecs"] == codecs
            packets = probe(server.playlist_url(name))
            assert sorted(packets) == found
            assert all(count >= 25 for count in packets.values()), packets
            assert publisher.is_open
        followed = playback.follow(server.playlist_url(name), SECONDS, PATIENCE_S)
        assert (followed.gaps, followed.faults, followed.discontinuities) == ([], [], 0)
        played = playback.play(server.playlist_url(name), 3)
        assert played.steps_back == []
        assert (played.pictures > 60) is bool(tracks[0])
        assert played.sounds > 20

    @pytest.mark.parametrize("name", ["ac3", "mp3"])
    def test_sound_that_browsers_do_not_decode_leaves_them_the_picture(self, server: LiveServer, name: str) -> None:
        (tracks,) = (case[1] for case in CODECS if case[0] == name)
        tags = encoded(*tracks, SECONDS)
        with TagPublisher(server.rtmp_port, server.issue_key(f"silent-{name}")) as publisher:
            publisher.send(tags)
            listed = variants(server.wait_until_playable(f"silent-{name}"))
        assert len(listed) == 2
        assert listed[-1] == ("avc1.42c00d", "main.m3u8")


SMALL = VideoTrack("libx264", 160, 96)


class TestMultitrack:
    def test_video_tracks_are_variants_whose_segments_start_together(self, server: LiveServer) -> None:
        tags = encoded((H264, SMALL, HEVC), (AAC,), SECONDS)
        with TagPublisher(server.rtmp_port, server.issue_key("ladder")) as publisher:
            publisher.send(tags)
            listed = variants(server.wait_until_playable("ladder"))
            assert listed == [
                ("avc1.42c00d,mp4a.40.2", "main.m3u8"),
                ("avc1.42c00d,mp4a.40.2", "video1.m3u8"),
                ("hvc1.1.6.L60.90,mp4a.40.2", "video2.m3u8"),
            ]
            names = ["main", "video1", "video2"]
            texts = [server.get(f"/live/ladder/{name}.m3u8")[2].decode() for name in names]
            for name in names:
                followed = playback.follow(server.playlist_url("ladder", name), SECONDS - 2, PATIENCE_S)
                assert (followed.gaps, followed.faults) == ([], [])
        # The first one is short, so that there is something to play within a second.
        assert {tuple(durations(server, "ladder", name))[:3] for name in names} == {(0.767, 2.233, 2.0)}
        for name, text in zip(names, texts, strict=True):
            reported = re.findall(r'#EXT-X-RENDITION-REPORT:URI="(\w+)\.m3u8"', text)
            assert sorted([name, *reported]) == names
        assert len({tuple(re.findall(r"TARGETDURATION:\d+|PART-TARGET=[\d.]+", text)) for text in texts}) == 1

    def test_audio_tracks_are_renditions_to_choose_from(self, server: LiveServer) -> None:
        tags = encoded((H264, SMALL), (AAC, AudioTrack("aac", 880), OPUS), SECONDS)
        with TagPublisher(server.rtmp_port, server.issue_key("languages")) as publisher:
            publisher.send(tags)
            text = server.wait_until_playable("languages")
            packets = probe(server.playlist_url("languages"))
            for name in ("main", "audio0", "audio1", "audio2"):
                followed = playback.follow(server.playlist_url("languages", name), SECONDS - 3, PATIENCE_S)
                assert (followed.gaps, followed.faults) == ([], [])
        media = re.findall(r'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="([^"]*)",.*DEFAULT=(\w+).*URI="(\w+)\.m3u8"', text)
        assert media == [
            ("audio-mp4a.40.2", "YES", "audio0"),
            ("audio-mp4a.40.2", "NO", "audio1"),
            ("audio-Opus", "YES", "audio2"),
        ]
        assert [codecs for codecs, _ in variants(text)] == [
            "avc1.42c00d,mp4a.40.2",
            "avc1.42c00d,mp4a.40.2",
            "avc1.42c00d,Opus",
            "avc1.42c00d,Opus",
        ]
        assert packets.keys() == {"h264", "aac", "opus"}

    def test_http_flv_and_mp4_carry_the_first_track_of_each(self, server: LiveServer) -> None:
        media = repeated(encoded((H264, SMALL), (AAC, OPUS), 4), 4_000)
        with TagPublisher(server.rtmp_port, server.issue_key("direct")) as publisher, publishing(publisher, media):
            server.wait_until_playable("direct")
            for suffix in ("flv", "mp4"):
                with av.open(f"{server.http_url}/live/direct.{suffix}", timeout=PATIENCE_S) as container:
                    assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
                    packets = itertools.islice(container.demux(), 200)
                    assert sum(packet.stream.type == "video" for packet in packets) > 50


def is_audio(tag: FlvTag) -> bool:
    return tag.tag_type == TagType.AUDIO


def is_header(tag: FlvTag) -> bool:
    """Of the older header."""
    return bytes(tag.payload)[1] == 0


MEDIA_S = 20
LATE_MS = 10_000

V, A, BOTH = {"vide"}, {"soun"}, {"vide", "soun"}
SHAPES: list[tuple[str, Callable[[FlvTag], bool], dict[str, set[str]], set[str]]] = [
    # What is left out of a broadcast, what each of its renditions has, and what there is of it at last.
    ("phantom-audio", lambda tag: is_audio(tag), {"main": V}, V),
    ("audio-header-alone", lambda tag: is_audio(tag) and not is_header(tag), {"main": V}, V),
    ("phantom-video", lambda tag: not is_audio(tag), {"main": A}, A),
    ("late-audio", lambda tag: is_audio(tag) and tag.timestamp_ms < LATE_MS, {"main": V, "audio0": A}, BOTH),
    ("late-video", lambda tag: not is_audio(tag) and tag.timestamp_ms < LATE_MS, {"main": A, "video0": V}, BOTH),
    # Silence goes on in its place.
    ("audio-stops", lambda tag: is_audio(tag) and tag.timestamp_ms >= LATE_MS, {"main": BOTH}, BOTH),
    ("audio-pauses", lambda tag: is_audio(tag) and 5_000 <= tag.timestamp_ms < 12_000, {"main": BOTH}, BOTH),
    ("video-stops", lambda tag: not is_audio(tag) and tag.timestamp_ms >= LATE_MS, {"main": BOTH, "audio0": A}, A),
]


class TestTracksThatComeAndGo:
    @pytest.mark.parametrize(("name", "is_left_out", "renditions", "last"), SHAPES, ids=[shape[0] for shape in SHAPES])
    def test_each_rendition_has_what_it_began_with(
        self,
        server: LiveServer,
        name: str,
        is_left_out: Callable[[FlvTag], bool],
        renditions: Mapping[str, set[str]],
        last: set[str],
    ) -> None:
        metadata = {"videocodecid": 7.0, "audiocodecid": 10.0, "width": 320.0, "height": 192.0}
        tags = [tag for tag in encoded((H264,), (AAC,), MEDIA_S) if not is_left_out(tag)]
        with TagPublisher(server.rtmp_port, server.issue_key(name), metadata) as publisher:
            # Headers come again with a track that is late, as encoders send them then.
            publisher.send(with_headers(tags))
            server.wait_until_playable(name)
            for rendition in renditions:
                wait_until(
                    lambda rendition=rendition: "#EXTINF" in playlist(server, name, rendition), PATIENCE_S, rendition
                )
            text = server.wait_until_playable(name)
            assert publisher.is_open
        for rendition, kinds in renditions.items():
            wait_until(
                lambda rendition=rendition: "#EXT-X-ENDLIST" in playlist(server, name, rendition),
                PATIENCE_S,
                f"the end of {rendition}",
            )
            ended = playlist(server, name, rendition)
            (header,) = re.findall(r'#EXT-X-MAP:URI="([^"]*)"', ended)
            assert set(re.findall(rb"vide|soun", server.get(f"/live/{name}/{header}")[2])) == {
                kind.encode() for kind in kinds
            }
        seconds = LATE_MS / 1000 if name == "video-stops" else MEDIA_S
        followed = playback.follow(server.playlist_url(name, "main"), seconds, PATIENCE_S)
        assert followed.gaps == []
        # The multivariant playlist is of what there was last.
        ((codecs, _),) = variants(text)
        assert ("avc1" in codecs, "mp4a" in codecs) == ("vide" in last, "soun" in last)

    def test_sound_that_stops_and_has_no_silence_is_left_out(self, server: LiveServer) -> None:
        with TagPublisher(server.rtmp_port, server.issue_key("flac-stops")) as publisher:
            tags = encoded((H264,), (FLAC,), MEDIA_S)
            publisher.send(tag for tag in tags if not (is_audio(tag) and tag.timestamp_ms >= LATE_MS))
            server.wait_until_playable("flac-stops")
        wait_until(lambda: "#EXT-X-ENDLIST" in playlist(server, "flac-stops"), 5, "the end of the playlist")
        for rendition, kinds in (("main", {b"vide", b"soun"}), ("picture0", {b"vide"})):
            (header,) = re.findall(r'#EXT-X-MAP:URI="([^"]*)"', playlist(server, "flac-stops", rendition))
            assert set(re.findall(rb"vide|soun", server.get(f"/live/flac-stops/{header}")[2])) == kinds

    @pytest.mark.parametrize("late", [AC3, EAC3, MP3], ids=lambda track: track.encoder)
    def test_sound_that_browsers_do_not_decode_may_come_late(self, server: LiveServer, late: AudioTrack) -> None:
        name = f"late-{late.encoder}"
        tags = encoded((H264,), (late,), MEDIA_S)
        with TagPublisher(server.rtmp_port, server.issue_key(name)) as publisher:
            publisher.send(tag for tag in tags if not (is_audio(tag) and tag.timestamp_ms < LATE_MS))
            server.wait_until_playable(name)
            wait_until(lambda: len(variants(server.wait_until_playable(name))) == 2, PATIENCE_S, "the sound")
            assert len(probe(server.playlist_url(name))) == 2
        for rendition, seconds in (("main", MEDIA_S), ("audio0", MEDIA_S - LATE_MS // 1000 - 1)):
            followed = playback.follow(server.playlist_url(name, rendition), seconds, PATIENCE_S)
            assert followed.gaps == []
        assert not [record for record in server.log_events("stream.dropping") if record["stream"] == name]


def playlist(server: LiveServer, name: str, rendition: str = "main") -> str:
    return server.get(f"/live/{name}/{rendition}.m3u8")[2].decode()


def with_headers(tags: Sequence[FlvTag]) -> Iterator[FlvTag]:
    """Tags, each kind's first frame behind its sequence header."""
    headers = {tag.tag_type: tag for tag in encoded((H264,), (AAC,), MEDIA_S)[:4] if is_header(tag)}
    for tag in tags:
        header = headers.pop(tag.tag_type, None)
        if header is not None and not is_header(tag):
            yield replace(header, timestamp_ms=tag.timestamp_ms)
        yield tag


def video(payload: bytes) -> FlvTag:
    return FlvTag(TagType.VIDEO, 0, payload)


def audio(payload: bytes) -> FlvTag:
    return FlvTag(TagType.AUDIO, 0, payload)


HUGE_SPS = sequence_parameter_set(1_000_000 // 16, 1_000_000 // 16)


def avcc(sps: bytes) -> bytes:
    """An avcC with this SPS, and a PPS (ISO/IEC 14496-15, 5.3.3.1.2)."""
    return b"\x01" + sps[1:4] + b"\xff\xe1" + len(sps).to_bytes(2, "big") + sps + b"\x01\x00\x04\x68\xcb\x83\xcb"


BAD_TAGS: list[tuple[str, FlvTag, str]] = [
    ("no byte", video(b""), "empty"),
    ("an unknown codec", video(b"\x22\x00\x00"), "unsupported_codec"),
    ("an unknown FourCC", video(b"\x91\xff\x00zz\x00\x00\x00x"), "unsupported_codec"),
    ("VVC", video(b"\x90vvc1\x00"), "unsupported_codec"),
    ("video in an audio tag", audio(b"\x90hvc1\x01"), "unsupported_codec"),
    ("an unknown packet type", video(b"\x99avc1\x00"), "malformed"),
    ("a truncated avcC", video(b"\x17\x00\x00\x00\x00\x01\x64\x00"), "bad_codec_config"),
    ("an SPS of a million by a million", video(b"\x96\x00avc1\x05" + avcc(HUGE_SPS)), "bad_codec_config"),
    ("a truncated hvcC", video(b"\x96\x00hvc1\x05\x01\x01"), "bad_codec_config"),
    ("a lying av1C", video(b"\x96\x00av01\x05\x81\x00\x0c\x00\x0a\x7f"), "bad_codec_config"),
    ("an OpusHead of 200 channels", audio(b"\x95\x00Opus\x05OpusHead\x01\xc8" + bytes(9)), "bad_codec_config"),
    ("AC-3 that is none", audio(b"\x95\x01ac-3\x05nothing of it"), "bad_codec_config"),
    ("a track longer than its tag", video(b"\x96\x11avc1\x01\xff\xff\xffx"), "malformed"),
    ("tracks without an end", audio(b"\x95\x11mp4a" + b"\x01\x00\x00\x00" * 1000), "malformed"),
    ("an endless chain of ModEx", video(b"\xa7" + b"\x00\x00\x07" * 100), "malformed"),
    ("ModEx of 2 ms", video(b"\xa7\x02\x1e\x84\x80\x01avc1\x00\x00\x00x"), "malformed"),
    ("metadata of anything", video(b"\xd4avc1" + bytes(range(256))), "metadata"),
]  # fmt: skip


class TestBadTags:
    def test_each_is_dropped_and_counted_and_the_stream_goes_on(self, server: LiveServer) -> None:
        tags = encoded((H264,), (AAC,), SECONDS)
        # The one with the broken header of track 0 comes last: what follows is dropped until there is a good one.
        bad = sorted(BAD_TAGS, key=lambda case: case[0] == "a truncated avcC")
        before = {reason: dropped(server, reason) for _, _, reason in bad}
        with TagPublisher(server.rtmp_port, server.issue_key("bad-tags")) as publisher:
            good = iter(tags)
            publisher.send(itertools.islice(good, 20))
            for index, (_, tag, _) in enumerate(bad):
                publisher.send([replace(tag, timestamp_ms=tags[19 + index].timestamp_ms), next(good)])
            publisher.send([replace(tags[0], timestamp_ms=tags[40].timestamp_ms), *good])
            server.wait_until_playable("bad-tags")
            assert publisher.is_open
            for reason, count in before.items():
                assert dropped(server, reason) - count == sum(each == reason for _, _, each in bad), reason
        followed = playback.follow(server.playlist_url("bad-tags"), SECONDS - 2, PATIENCE_S)
        assert followed.gaps == []
        told = {record["reason"] for record in server.log_events("stream.dropping") if record["stream"] == "bad-tags"}
        assert told == {"unsupported_codec", "bad_codec_config"}

    def test_codec_that_changes_on_every_frame_ends_nothing(self, server: LiveServer) -> None:
        """Past what is read of sequence headers the tracks are left out; the one that stays is read when it may be."""
        h264, hevc = encoded((H264,), (), 4), encoded((HEVC,), (), 4)
        after = encoded((H264,), (AAC,), SECONDS)
        flapping = [tag for pair in zip(h264, hevc, strict=False) for tag in pair]
        headers = [h264[0], next(tag for tag in hevc if bytes(tag.payload)[0] == 0x90)]
        with TagPublisher(server.rtmp_port, server.issue_key("flapping")) as publisher:
            for index, tag in enumerate(flapping):
                publisher.send([replace(headers[index % 2], timestamp_ms=tag.timestamp_ms), tag])
            publisher.send(replace(tag, timestamp_ms=tag.timestamp_ms + 5_000) for tag in after)
            server.wait_until_playable("flapping")
            assert publisher.is_open
        told = {record["reason"] for record in server.log_events("stream.dropping") if record["stream"] == "flapping"}
        assert "header_flood" in told

"""The shape and the colours of a picture through a real server: viewers are told what the encoder was told."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from streamd.formats.codecs.picture_format import NO_ASPECT, Colours, SampleAspect
from tests.support.clients import Command, running
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server
from tests.support.tag_publisher import TagPublisher, publishing, repeated
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

MEDIA_S = 4
ENTRIES = "width,height,sample_aspect_ratio,color_range,color_space,color_transfer,color_primaries"
FULL_709 = {
    "color_range": "pc",
    "color_space": "bt709",
    "color_transfer": "bt709",
    "color_primaries": "bt709",
}
PQ = {
    "color_range": "tv",
    "color_space": "bt2020nc",
    "color_transfer": "smpte2084",
    "color_primaries": "bt2020",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with run_server(tmp_path_factory.mktemp("server")) as running_server:
        yield running_server


def picture_of(url: str) -> dict[str, object]:
    """What ffprobe says of the first picture."""
    require("ffprobe")
    command = ["ffprobe", "-v", "error", "-of", "json", "-select_streams", "v:0"]
    run = subprocess.run(
        [*command, "-show_entries", f"stream={ENTRIES}", url], capture_output=True, check=True, timeout=PATIENCE_S
    )
    found: dict[str, object] = json.loads(run.stdout)["streams"][0]
    return found


def boxes_with_pictures(server: LiveServer, name: str) -> set[bytes]:
    """Which of the boxes for shape and colours the CMAF header has."""
    playlist = server.get(f"/live/{name}/main.m3u8")[2].decode()
    (header,) = set(re.findall(r'#EXT-X-MAP:URI="([^"]*)"', playlist))
    content = server.get(f"/live/{name}/{header}")[2]
    return {box for box in (b"colr", b"pasp") if box in content}


def ffmpeg(server: LiveServer, stream_key: str) -> Command:
    """FFmpeg with a picture of full range whose samples are 4:3."""
    require("ffmpeg")
    command = "ffmpeg -hide_banner -nostdin -loglevel warning -re -f lavfi -i testsrc2=size=320x192:rate=30 -t 60"
    command += " -vf setsar=4/3 -c:v libx264 -preset ultrafast -g 30 -pix_fmt yuv420p -color_primaries bt709"
    command += " -color_trc bt709 -colorspace bt709 -color_range pc -f flv"
    return Command("ffmpeg", (*command.split(), f"{server.rtmp_url}/{stream_key}"), stream_key)


def test_ffmpeg_of_full_range_with_samples_of_4_to_3(server: LiveServer) -> None:
    with running(ffmpeg(server, server.issue_key("ffmpeg"))):
        playlist = server.wait_until_playable("ffmpeg")
        assert "RESOLUTION=427x192" in playlist
        assert json.loads(server.get("/api/v1/streams/ffmpeg")[2])["variants"][0]["resolution"] == "427x192"
        assert boxes_with_pictures(server, "ffmpeg") == {b"colr", b"pasp"}
        expected = {"width": 320, "height": 192, "sample_aspect_ratio": "4:3", **FULL_709}
        for url in (
            server.playlist_url("ffmpeg"),
            f"{server.http_url}/live/ffmpeg.mp4",
            f"{server.http_url}/live/ffmpeg.flv",
        ):
            assert picture_of(url) == expected


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
def test_every_codec_of_hdr(server: LiveServer, encoder: str) -> None:
    name = f"hdr-{encoder}"
    # AV1 and VP9 have no shape of a sample in what they begin with.
    aspect = SampleAspect(16, 11) if encoder in ("libx264", "libx265") else NO_ASPECT
    track = VideoTrack(encoder, aspect=aspect, colours=Colours(9, 16, 9))
    media = repeated(encoded((track,), (AudioTrack(),), MEDIA_S), 1000 * MEDIA_S)
    with TagPublisher(server.rtmp_port, server.issue_key(name)) as publisher, publishing(publisher, media):
        playlist = server.wait_until_playable(name)
        assert f"RESOLUTION={465 if aspect.width else 320}x192" in playlist
        assert boxes_with_pictures(server, name) == ({b"colr", b"pasp"} if aspect.width else {b"colr"})
        for url in (server.playlist_url(name), f"{server.http_url}/live/{name}.mp4"):
            found = picture_of(url)
            if aspect.width:
                assert found["sample_aspect_ratio"] == "16:11"
            assert found.items() >= {"width": 320, "height": 192, **PQ}.items()

"""Recordings of every codec and track that is taken: what a strict reader finds in the files, over HLS and as MP4."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from streamd.services.recording.folder import RecordingFolder
from streamd.services.recording.verify import verify
from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

SECONDS = 4
RECORDED_S = 4
H264, AAC, OPUS = VideoTrack(), AudioTrack(), AudioTrack("libopus")
PORTRAIT = VideoTrack(width=192, height=320)

Tracks = tuple[tuple[VideoTrack, ...], tuple[AudioTrack, ...]]

# What is broadcast, and what each variant of the recording is to have: the codec and the size of its picture.
KINDS: dict[str, tuple[Tracks, dict[str, set[tuple[str, int, int]]]]] = {
    "hevc": (((VideoTrack("libx265"),), (AAC,)), {"main": {("hevc", 320, 192), ("aac", 0, 0)}}),
    "av1-opus": (((VideoTrack("libsvtav1"),), (OPUS,)), {"main": {("av1", 320, 192), ("opus", 0, 0)}}),
    "vp9": (((VideoTrack("libvpx-vp9"),), (OPUS,)), {"main": {("vp9", 320, 192), ("opus", 0, 0)}}),
    "sound-alone": (((), (AAC,)), {"main": {("aac", 0, 0)}}),
    "picture-alone": (((H264,), ()), {"main": {("h264", 320, 192)}}),
    "portrait": (((PORTRAIT,), (AAC,)), {"main": {("h264", 192, 320), ("aac", 0, 0)}}),
    "ladder": (
        ((H264, VideoTrack(width=160, height=96)), (AAC, AudioTrack(frequency_hz=880))),
        {
            "main": {("h264", 320, 192)},
            "video1": {("h264", 160, 96)},
            "audio0": {("aac", 0, 0)},
            "audio1": {("aac", 0, 0)},
        },
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with run_server(tmp_path_factory.mktemp("server"), recording__mode="all", recording__min_free_bytes=0) as running:
        yield running


def recording_of(server: LiveServer, name: str, state: str, at_least_s: float = 0) -> dict[str, Any]:
    """The newest recording of a channel, once it is in a state and has so much media."""

    def look() -> dict[str, Any] | None:
        found = server.admin("GET", f"/api/v1/recordings?user={name}")["recordings"]
        newest = found[0] if found else None
        return newest if newest and newest["state"] == state and newest["duration_s"] >= at_least_s else None

    found: dict[str, Any] = wait_until(look, PATIENCE_S, f"a recording of {name} that is {state}")
    return found


def streams(url: str) -> set[tuple[str, int, int]]:
    """The codec and the size of each stream, once all of it has been decoded without a complaint."""
    require("ffprobe")
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-of", "json",
         "-show_entries", "stream=codec_name,width,height,nb_read_frames", url],
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    found = json.loads(done.stdout)["streams"]
    # A frame of sound is shorter than one of the picture.
    assert all(int(each["nb_read_frames"]) >= 25 * RECORDED_S for each in found), found
    return {(each["codec_name"], each.get("width", 0), each.get("height", 0)) for each in found}


def record(server: LiveServer, name: str, *kinds: Tracks) -> dict[str, Any]:
    """Broadcast one kind of media after the other, and wait for the recording."""
    media = [encoded(*tracks, SECONDS) for tracks in kinds]
    with ChangingBroadcast(server.rtmp_port, server.issue_key(name), media[0], 1000 * SECONDS) as broadcast:
        for number, following in enumerate(media):
            if number:
                broadcast.change(following)
            recording_of(server, name, "recording", RECORDED_S * (number + 1))
        server.admin("POST", f"/api/v1/streams/{name}/kick")
    done = recording_of(server, name, "ready")
    assert verify(RecordingFolder(server.data_dir / "recordings" / done["path"])) == []
    return done


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_broadcast_is_in_it(server: LiveServer, kind: str) -> None:
    tracks, expected = KINDS[kind]
    done = record(server, kind, tracks)
    url = f"{server.http_url}/vod/{done['id']}"
    for variant, wanted in expected.items():
        assert streams(f"{url}/{variant}.m3u8") == wanted, variant
        assert streams(f"{url}.mp4?variant={variant}") == wanted, variant
    master = server.get(f"/vod/{done['id']}/index.m3u8")[2].decode()
    assert {name for name in expected if f"{name}.m3u8" in master} == set(expected)


def sizes(urls: Sequence[str]) -> list[set[tuple[str, int, int]]]:
    return [streams(url) for url in urls]


def test_a_picture_that_changes_its_size_has_a_file_for_each(server: LiveServer) -> None:
    name = "turned"
    done = record(server, name, ((H264,), (AAC,)), ((PORTRAIT,), (AAC,)))
    url = f"{server.http_url}/vod/{done['id']}"
    assert sizes([f"{url}.mp4?run=0", f"{url}.mp4?run=1"]) == [
        {("h264", 320, 192), ("aac", 0, 0)},
        {("h264", 192, 320), ("aac", 0, 0)},
    ]
    playlist = server.get(f"/vod/{done['id']}/main.m3u8")[2].decode()
    assert playlist.count("#EXT-X-MAP:") == 2
    assert playlist.count("#EXT-X-DISCONTINUITY\n") == 1

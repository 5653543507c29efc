"""Broadcasts that a real server records: played and fetched by real clients, over crashes, stops and full disks."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from streamd.services.recording.folder import RecordingFolder
from streamd.services.recording.playlist_file import parse_playlist
from streamd.services.recording.verify import verify
from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until
from tests.support.small_disk import small_disk
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

MEDIA_S = 2
H264 = encoded((VideoTrack(keyframe_interval=60),), (AudioTrack(),), MEDIA_S)
NAME = "demo"
LITTLE = {"recording__mode": "all", "recording__min_free_bytes": 0}


def recordings(server: LiveServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.admin("GET", "/api/v1/recordings")["recordings"]
    return found


def in_state(server: LiveServer, state: str, at_least_s: float = 0) -> Callable[[], dict[str, Any] | None]:
    """The newest recording, once it is in a state and has so much media."""

    def look() -> dict[str, Any] | None:
        newest = next(iter(recordings(server)), None)
        return newest if newest and newest["state"] == state and newest["duration_s"] >= at_least_s else None

    return look


def recorded(server: LiveServer, state: str = "ready", at_least_s: float = 0) -> dict[str, Any]:
    found: dict[str, Any] = wait_until(in_state(server, state, at_least_s), PATIENCE_S, f"a recording that is {state}")
    return found


def folder_of(server: LiveServer, recording: dict[str, Any]) -> RecordingFolder:
    return RecordingFolder(server.data_dir / "recordings" / recording["path"])


def probed_s(url: str) -> float:
    """How long ffprobe finds it."""
    require("ffprobe")
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "json", url],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return float(json.loads(done.stdout)["format"]["duration"])


def decoded_frames(url: str) -> int:
    """How many pictures ffmpeg decodes, without a complaint."""
    require("ffmpeg")
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v", "-show_entries", "stream=nb_read_frames",
         "-of", "json", url],
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return int(json.loads(done.stdout)["streams"][0]["nb_read_frames"])


def fetched(url: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, Any, bytes]:
    request = urllib.request.Request(url, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def starts_at(url: str) -> dict[str, float]:
    """Where ffprobe finds the beginning of each kind of track, seconds."""
    require("ffprobe")
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "stream=codec_type,start_time", "-of", "json", url],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return {each["codec_type"]: float(each["start_time"]) for each in json.loads(done.stdout)["streams"]}


def test_a_broadcast_can_be_seen_again(tmp_path: Path) -> None:
    with run_server(tmp_path, **LITTLE) as server:
        key = server.issue_key(NAME)
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            running = recorded(server, "recording", at_least_s=3)
            # It can be played while it goes on.
            _, _, text = server.get(running["playlist"])
            assert b"main.m3u8" in text
            playlist = server.get(f"/vod/{running['id']}/main.m3u8")[2].decode()
            assert "#EXT-X-PLAYLIST-TYPE:EVENT" in playlist
            assert "ENDLIST" not in playlist
            server.admin("POST", f"/api/v1/streams/{NAME}/kick")
            server.wait_for_log("stream.ended")
        done = recorded(server)
        assert done["id"] == running["id"]
        folder = folder_of(server, done)
        assert verify(folder) == []

        url = f"{server.http_url}/vod/{done['id']}"
        assert probed_s(f"{url}/index.m3u8") == pytest.approx(done["duration_s"], abs=0.1)
        frames = decoded_frames(f"{url}.mp4")
        assert frames == decoded_frames(f"{url}/index.m3u8")
        assert frames / done["duration_s"] == pytest.approx(30, abs=1.5)

        media = sorted(folder.variant("main").glob("*.m4s"))
        header = (folder.variant("main") / "init0.mp4").read_bytes()
        recorded_media = b"".join(each.read_bytes() for each in media)
        status, headers, whole = fetched(f"{url}.mp4")
        assert (status, whole[-len(recorded_media) :]) == (200, recorded_media)
        # The header has an edit list for each track, by which players show it from 0 on.
        assert len(whole) == len(header) + 2 * 44 + len(recorded_media)
        assert all(0 <= start < 0.1 for start in starts_at(f"{url}.mp4").values())
        assert headers["Content-Disposition"].startswith(f'attachment; filename="{NAME} ')
        assert int(headers["Content-Length"]) == len(whole)
        status, headers, body = fetched(f"{url}.mp4", {"Range": "bytes=1000-5000"})
        assert (status, headers["Content-Range"], body) == (206, f"bytes 1000-5000/{len(whole)}", whole[1000:5001])
        assert fetched(f"{url}.mp4", {"Range": "bytes=-10"})[2] == whole[-10:]
        assert fetched(f"{url}.mp4", {"Range": f"bytes={len(whole)}-"})[0] == 416
        assert fetched(f"{url}.mp4", {"Range": "bytes=5-2"})[0] == 200
        assert fetched(f"{url}.mp4", {"Range": ",".join(["bytes=0-1"] * 40)})[0] == 200
        assert fetched(f"{url}.mp4", method="HEAD")[2] == b""
        segment = parse_playlist(folder.playlist("main").read_text()).segments[-1]
        asked = {"Range": f"bytes={segment.offset}-{segment.end - 1}"}
        status, _, body = fetched(f"{url}/main/{segment.file_number:06d}.m4s", asked)
        assert (status, len(body)) == (206, segment.size_bytes)

        for path in (
            "/vod/rec_../index.m3u8",
            f"/vod/{done['id']}/..%2f..%2fevents/recording-ended.json",
            f"/vod/{done['id']}/main/..%2fplaylist.m3u8",
            "/vod/rec_01aryz6s41tsv4rrffq69g5fav/index.m3u8",
        ):
            assert server.get(path)[0] == 404, path

        server.admin("PATCH", f"/api/v1/recordings/{done['id']}", {"title": "The first", "visibility": "private"})
        wait_until(lambda: server.get(done["playlist"])[0] == 404, PATIENCE_S, "a private recording")
        deleted = server.admin("DELETE", f"/api/v1/recordings/{done['id']}?reason=unwanted")
        assert (deleted["state"], deleted["reason"], deleted["title"]) == ("deleted", "unwanted", "The first")
        assert not folder.path.exists()
        assert recordings(server) == []


def test_one_that_is_taken_down_is_gone_at_once(tmp_path: Path) -> None:
    with run_server(tmp_path, **LITTLE) as server:
        key = server.issue_key(NAME)
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            running = recorded(server, "recording", at_least_s=1)
            assert server.get(running["playlist"])[0] == 200
            server.admin("PATCH", f"/api/v1/users/{NAME}", {"state": "suspended", "reason": "test"})
            for path in (running["playlist"], f"/vod/{running['id']}/main/000000.m4s", f"/vod/{running['id']}.mp4"):
                assert server.get(path)[0] == 410
            recorded(server)


def test_a_server_that_is_killed_loses_two_seconds_at_most(tmp_path: Path) -> None:
    with run_server(tmp_path, **LITTLE) as first:
        key = first.issue_key(NAME)
        with ChangingBroadcast(first.rtmp_port, key, H264, 1000 * MEDIA_S) as broadcast:
            before = recorded(first, "recording", at_least_s=3)
            live = first.get(f"/live/{NAME}/main.m3u8")[2].decode()
            first.kill()
            kept = parse_playlist(folder_of(first, before).playlist("main").read_text())
            # Every segment that is complete in the live playlist is on the disk.
            assert len(kept.segments) >= live.count("#EXTINF") - 1
            with run_server(tmp_path, **LITTLE, **first.listening()) as second:
                assert second.get(before["playlist"])[0] == 200
                broadcast.drop()
                broadcast.come_back(H264)
                second.wait_for_log("stream.resumed")
                recorded(second, "recording", at_least_s=before["duration_s"] + 2)
                second.admin("POST", f"/api/v1/streams/{NAME}/kick")
                done = recorded(second)
                assert done["id"] == before["id"]
                assert verify(folder_of(second, done)) == []
                assert decoded_frames(f"{second.http_url}/vod/{done['id']}/index.m3u8") > 30 * (
                    before["duration_s"] + 1
                )


def test_a_server_that_stops_leaves_it_to_the_next(tmp_path: Path) -> None:
    with run_server(tmp_path, **LITTLE) as first:
        key = first.issue_key(NAME)
        with ChangingBroadcast(first.rtmp_port, key, H264, 1000 * MEDIA_S):
            before = recorded(first, "recording", at_least_s=3)
            first.process.send_signal(signal.SIGTERM)
            assert first.process.wait(PATIENCE_S) == 0
    with run_server(tmp_path, **LITTLE, **first.listening(), live__reconnect_window_s=1) as second:
        # Its publisher does not come back.
        done = recorded(second)
        assert done["id"] == before["id"]
        assert done["duration_s"] >= before["duration_s"]
        assert verify(folder_of(second, done)) == []


def test_a_full_disk_ends_the_recording_and_not_the_broadcast(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 40) as disk:
        settings = LITTLE | {"recording__dir": disk.path / "recordings"}
        with run_server(tmp_path, **settings) as server:
            key = server.issue_key(NAME)
            with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
                recorded(server, "recording", at_least_s=1)
                disk.fill()
                failed = recorded(server, "failed")
                assert failed["reason"] == "No space left on device"

                def is_told() -> bool:
                    findings = server.admin("GET", f"/api/v1/streams/{NAME}")["health"]["findings"]
                    return "output_interrupted" in [each["code"] for each in findings]

                wait_until(is_told, PATIENCE_S, "the finding")
                assert b"ENDLIST" not in server.get(f"/live/{NAME}/main.m3u8")[2]
                disk.clear()
                # The next one begins when there is space again.
                after = recorded(server, "recording", at_least_s=1)
                assert after["id"] != failed["id"]
                assert [each["state"] for each in recordings(server)] == ["recording", "failed"]
            assert "Traceback" not in server.log_text()

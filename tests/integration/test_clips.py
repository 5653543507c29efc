"""Clips of a real server: made of a broadcast that goes on, played by real clients, and gone with what they are of."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from streamd.services.recording.playlist_file import parse_playlist
from tests.integration.test_recording import (
    H264,
    LITTLE,
    MEDIA_S,
    NAME,
    decoded_frames,
    folder_of,
    probed_s,
    recorded,
    starts_at,
)
from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.codec_media import AudioTrack, VideoTrack, encoded
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

VIEWERS = {**LITTLE, "clips__who": "viewers", "clips__per_address_per_hour": 3}


def asked(url: str, body: dict[str, Any] | bytes, token: str = "") -> tuple[int, dict[str, Any]]:
    """The answer to a POST of JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, data, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def by_operator(server: LiveServer, body: dict[str, Any] | bytes) -> tuple[int, dict[str, Any]]:
    return asked(f"{server.admin_url}/api/v1/clips", body, server.admin_token)


def test_a_clip_of_a_broadcast_can_be_watched_at_once(tmp_path: Path) -> None:
    with run_server(tmp_path, **VIEWERS) as server:
        key = server.issue_key(NAME)
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            running = recorded(server, "recording", at_least_s=8)
            status, clip = by_operator(server, {"stream": NAME, "last_s": 4, "title": "<i>now</i>"})
            assert (status, clip["state"], clip["recording"]) == (201, "ready", running["id"])
            assert 4 <= clip["duration_s"] <= 4 + 2 * MEDIA_S
            url = f"{server.http_url}/vod/{clip['id']}"
            assert probed_s(f"{url}/index.m3u8") == pytest.approx(clip["duration_s"], abs=0.1)
            assert probed_s(f"{url}.mp4") == pytest.approx(clip["duration_s"], abs=0.1)
            # The middle of a broadcast, whose times begin at 0.
            assert clip["start_actual"] > 1
            assert all(0 <= start < 0.1 for start in starts_at(f"{url}.mp4").values())
            frames = decoded_frames(f"{url}.mp4")
            assert frames == decoded_frames(f"{url}/index.m3u8")
            assert frames / clip["duration_s"] == pytest.approx(30, abs=1.5)
            # By the instants of the pictures that a viewer's player shows.
            playlist = server.get(f"/vod/{running['id']}/main.m3u8")[2].decode()
            dates = [line.partition(":")[2] for line in playlist.splitlines() if "PROGRAM-DATE-TIME" in line]
            shown = datetime.fromisoformat(dates[2])
            viewed = {"start": shown.isoformat(), "end": (shown + timedelta(seconds=1)).isoformat()}
            status, own = asked(f"{server.http_url}/api/v1/clips", {"stream": NAME, "title": "mine", **viewed})
            assert status == 201
            assert own.keys() & {"recording", "created_by", "bytes", "reason"} == set()
            assert datetime.fromisoformat(own["started_at"]) == shown
            assert own["start_actual"] == own["start"]
            media = server.get(f"/vod/{own['id']}/main.m3u8")[2].decode()
            assert media.count("#EXTINF") == 1
            assert "ENDLIST" in media
            assert running["id"] not in media
        done = recorded(server)
        segments = parse_playlist(folder_of(server, done).playlist("main").read_text()).segments
        assert own["duration_s"] == pytest.approx(segments[2].duration_us / 1e6, abs=0.002)
        header = (folder_of(server, done).variant("main") / "init0.mp4").read_bytes()
        with (folder_of(server, done).variant("main") / "000000.m4s").open("rb") as file:
            file.seek(segments[2].offset)
            recorded_bytes = file.read(segments[2].size_bytes)
        assert server.get(f"/vod/{own['id']}/main/clip0.mp4")[2] == header + recorded_bytes
        status, _, body = server.get(own["mp4"])
        assert (status, len(body)) == (200, len(header) + len(recorded_bytes))
        # The recording goes, and its clips with it, at once.
        server.admin("DELETE", f"/api/v1/recordings/{done['id']}")
        for made in (clip, own):
            for path in (made["playlist"], made["mp4"], f"/vod/{made['id']}/main.m3u8", f"/api/v1/clips/{made['id']}"):
                assert server.get(path)[0] == 410, path
        assert server.admin("GET", "/api/v1/clips")["clips"] == []
        assert len(server.admin("GET", "/api/v1/clips?state=deleted")["clips"]) == 2


def test_what_cannot_be_a_clip_is_told(tmp_path: Path) -> None:
    with run_server(tmp_path, **VIEWERS) as server:
        key = server.issue_key(NAME)
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            running = recorded(server, "recording", at_least_s=4)
            unfit: list[Any] = [
                {"start": 2, "end": 2},
                {"start": 3, "end": 1},
                {"start": -1, "end": 2},
                {"start": 0, "end": 1e6},
                {"start": 1e9, "end": 1e9 + 5},
                {"start": "2020-01-01T00:00:00Z", "end": 3},
                {"start": 0, "end": "2120-01-01T00:00:00Z"},
                {"start": "2026-01-01T00:00:00", "end": 3},
                {"start": "0", "end": "3"},
                {"start": True, "end": 3},
                {"start": "2026-13-41T25:61:61Z", "end": 3},
                {"start": 0},
                {"last_s": 0},
                {"last_s": -5},
                {"last_s": 91},
                {"last_s": 5, "start": 0, "end": 1},
                {"last_s": 5, "title": "x" * 201},
                {"last_s": "5"},
            ]
            for times in unfit:
                status, problem = by_operator(server, {"recording": running["id"], **times})
                assert status == 422, (times, problem)
            for raw in (b"NaN", b"1e309", b"-Infinity", b"1" + b"0" * 5000):
                body = b'{"recording": "' + running["id"].encode() + b'", "start": 0, "end": ' + raw + b"}"
                assert by_operator(server, body)[0] in (400, 422), raw
            for place in (
                {"recording": "rec_../../etc/passwd"},
                {"recording": running["id"], "stream": NAME},
                {},
                {"stream": "../x"},
            ):
                assert by_operator(server, {**place, "last_s": 5})[0] == 422, place
            assert by_operator(server, {"recording": "rec_01aryz6s41tsv4rrffq69g5fav", "last_s": 5})[0] == 404
            assert by_operator(server, {"stream": "nobody", "last_s": 5})[0] == 409
            for path in (
                "/vod/clip_../index.m3u8",
                "/vod/clip_01aryz6s41tsv4rrffq69g5fav/index.m3u8",
                "/vod/clip_01aryz6s41tsv4rrffq69g5fav.mp4",
                "/clip/clip_..%2f..",
                "/api/v1/clips/..%2f..",
            ):
                assert server.get(path)[0] == 404, path
            # Viewers have a share of an hour; who is refused for another reason has spent none of it.
            url = f"{server.http_url}/api/v1/clips"
            statuses = [asked(url, {"stream": NAME, "last_s": 1})[0] for _ in range(4)]
            assert statuses == [201, 201, 201, 429]
            # A page of another site makes none.
            request = urllib.request.Request(
                url, b"{}", {"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, method="POST"
            )
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(request, timeout=PATIENCE_S)
        server.assert_no_secret_is_seen()


def test_clips_of_a_suspended_user_are_gone_at_once(tmp_path: Path) -> None:
    with run_server(tmp_path, **LITTLE) as server:
        key = server.issue_key(NAME)
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            running = recorded(server, "recording", at_least_s=4)
            clip = server.admin("POST", "/api/v1/clips", {"recording": running["id"], "last_s": 2})
            paths = (clip["playlist"], clip["mp4"], f"/vod/{clip['id']}/main/clip0.mp4", f"/api/v1/clips/{clip['id']}")
            assert [server.get(path)[0] for path in paths] == [200] * 4
            # Viewers make none here.
            assert asked(f"{server.http_url}/api/v1/clips", {"stream": NAME, "last_s": 2})[0] == 403
            server.admin("PATCH", f"/api/v1/users/{NAME}", {"state": "suspended"})
            assert [server.get(path)[0] for path in paths] == [410] * 4
            server.admin("PATCH", f"/api/v1/users/{NAME}", {"state": "active"})
            assert [server.get(path)[0] for path in paths] == [200] * 4
            server.admin("DELETE", f"/api/v1/clips/{clip['id']}?reason=unwanted")
            assert [server.get(path)[0] for path in paths] == [410] * 4
        acts = [each["action"] for each in server.admin("GET", "/api/v1/audit?limit=200")["entries"]]
        assert {"clip.created", "clip.deleted"} <= set(acts)


def test_a_clip_over_a_change_of_tracks_has_both(tmp_path: Path) -> None:
    """The encoder turns from 320 x 180 to 180 x 320, in the middle."""
    other = encoded((VideoTrack(width=192, height=320, keyframe_interval=60),), (AudioTrack(),), MEDIA_S)
    with run_server(tmp_path, **LITTLE) as server:
        key = server.issue_key(NAME)
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S) as broadcast:
            recorded(server, "recording", at_least_s=4)
            broadcast.change(other)
            before = recorded(server, "recording", at_least_s=10)
            clip = server.admin("POST", "/api/v1/clips", {"stream": NAME, "start": 0, "end": 10})
            playlist = server.get(f"/vod/{clip['id']}/main.m3u8")[2].decode()
            runs = playlist.count("#EXT-X-MAP")
            assert runs >= 2
            assert playlist.count("#EXT-X-DISCONTINUITY") >= runs - 1
            assert server.get(clip["mp4"])[0] == 409
            frames = sum(decoded_frames(f"{server.http_url}{clip['mp4']}?run={number}") for number in range(runs))
            assert frames / clip["duration_s"] == pytest.approx(30, abs=2)
            assert server.get(f"{clip['mp4']}?run={runs}")[0] == 409
            assert before["id"] == clip["recording"]

"""The main job over real sockets: serve, issue, publish, watch, revoke; and how the server starts and stops."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.llhls_checker import PlaylistFollower
from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration


def streamd(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamd", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=os.environ | (env or {}),
        check=False,
    )


class TestTheMainJob:
    def test_issue_publish_watch_revoke(self, live_server: LiveServer) -> None:
        data_dir = ["--data-dir", str(live_server.data_dir)]
        issued = streamd("keys", "issue", "alice", "--json", *data_dir)
        assert issued.returncode == 0, issued.stderr
        key = json.loads(issued.stdout)
        with publish(live_server.rtmp_url, key["stream_key"]) as publisher:
            multivariant = live_server.wait_until_playable("alice")
            assert re.search(r'CODECS="avc1\.[0-9a-f]{6},mp4a\.40\.2"', multivariant)
            for attribute in ("BANDWIDTH=", "AVERAGE-BANDWIDTH=", "RESOLUTION=640x360", "FRAME-RATE=30.000"):
                assert attribute in multivariant

            follower = PlaylistFollower()
            msn, part = self._edge(live_server)
            for _ in range(8):
                # As a player does: each part as soon as it is there.
                status, headers, body = live_server.get(f"/live/alice/main.m3u8?_HLS_msn={msn}&_HLS_part={part}")
                assert status == 200
                assert headers["access-control-allow-origin"] == "*"
                assert follower.reload(body) == []
                msn, part = self._edge(live_server)

            second = streamd("keys", "issue", "alice", "--json", *data_dir)
            with publish(live_server.rtmp_url, json.loads(second.stdout)["stream_key"]) as other:
                assert other.wait() != 0
            assert live_server.wait_for_log("publish.refused", code="NetStream.Publish.BadName")

            revoked = streamd("keys", "revoke", key["id"], "--reason", "test", "--json", *data_dir)
            assert revoked.returncode == 0, revoked.stderr
            assert json.loads(revoked.stdout)["closed"] == ["alice"]
            assert publisher.wait() != 0
            assert b"#EXT-X-ENDLIST" in live_server.get("/live/alice/main.m3u8")[2]

        with publish(live_server.rtmp_url, key["stream_key"]) as again:
            assert again.wait() != 0
        assert live_server.wait_for_log("publish.refused", code="NetStream.Publish.Denied", reason="revoked")
        assert key["stream_key"].rsplit("_", 1)[1] not in live_server.log_text()

    @staticmethod
    def _edge(server: LiveServer) -> tuple[int, int]:
        """The media sequence number and part index that the playlist's next part will have."""
        text = server.get("/live/alice/main.m3u8")[2].decode()
        first = re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)
        assert first is not None
        complete = len(re.findall(r"^#EXTINF", text, re.MULTILINE))
        open_parts = text.rpartition("#EXTINF")[2].count("#EXT-X-PART:")
        return int(first[1]) + complete, open_parts

    @pytest.mark.parametrize("track", ["video", "audio"])
    def test_one_track_alone_plays(self, live_server: LiveServer, track: str) -> None:
        stream_key = live_server.issue_key("alice")
        order = {"has_audio": False} if track == "video" else {"has_video": False}
        with publish(live_server.rtmp_url, stream_key, **order):
            multivariant = live_server.wait_until_playable("alice")
        assert ("avc1" in multivariant, "mp4a" in multivariant) == (track == "video", track == "audio")

    def test_a_stream_that_ends_is_listed_for_its_duration_and_then_gone(self, live_server: LiveServer) -> None:
        with publish(live_server.rtmp_url, live_server.issue_key("alice"), duration_s=4.5) as publisher:
            live_server.wait_until_playable("alice")
            assert publisher.wait() == 0
        live_server.wait_for_log("stream.ended", reason="goodbye")
        status, _, body = live_server.get("/live/alice/main.m3u8")
        assert (status, b"#EXT-X-ENDLIST" in body) == (200, True)
        wait_until(lambda: live_server.get("/live/alice/main.m3u8")[0] == 404, 10, "the end of the playlist")

    def test_a_publisher_that_drops_and_comes_back_goes_on_in_the_same_playlist(self, live_server: LiveServer) -> None:
        stream_key = live_server.issue_key("alice")
        with publish(live_server.rtmp_url, stream_key) as publisher:
            live_server.wait_until_playable("alice")
            before = live_server.get("/live/alice/main.m3u8")[2].decode()
            publisher.kill()
        live_server.wait_for_log("stream.reconnecting", stream="alice")
        with publish(live_server.rtmp_url, stream_key):
            live_server.wait_for_log("stream.resumed", stream="alice")

            def resumed() -> str | None:
                text = live_server.get("/live/alice/main.m3u8")[2].decode()
                return text if "#EXT-X-DISCONTINUITY\n" in text else None

            after = wait_until(resumed, 10, "a discontinuity")
        assert set(re.findall(r"seg\d+", before)) <= set(re.findall(r"seg\d+", after))
        assert len(live_server.log_events("stream.playable")) == 1

    def test_a_publisher_that_does_not_come_back_ends_the_stream(self, tmp_path: Path) -> None:
        with (
            run_server(tmp_path, live__reconnect_window_s=1) as server,
            publish(server.rtmp_url, server.issue_key("alice")) as publisher,
        ):
            server.wait_until_playable("alice")
            publisher.kill()
            server.wait_for_log("stream.ended", reason="connection_lost")
            assert b"#EXT-X-ENDLIST" in server.get("/live/alice/main.m3u8")[2]


class TestStartAndStop:
    def test_sigterm_tells_publishers_and_exits_0(self, tmp_path: Path) -> None:
        with run_server(tmp_path) as server:
            with publish(server.rtmp_url, server.issue_key("alice")) as publisher:
                server.wait_until_playable("alice")
                assert server.stop() == 0
                assert publisher.wait() != 0
            assert not server.log_events("stream.ended")
            assert server.log_events("stream.reconnecting")[0]["stream"] == "alice"
            assert server.log_events("server.stopped")

    def test_media_sequence_numbers_go_on_after_a_restart(self, tmp_path: Path) -> None:
        numbers = []
        for _ in range(2):
            with run_server(tmp_path) as server, publish(server.rtmp_url, server.issue_key("alice")):
                server.wait_until_playable("alice")
                text = server.get("/live/alice/main.m3u8")[2].decode()
                numbers += [int(number) for number in re.findall(r"seg(\d+)\.m4s", text)]
        assert numbers == sorted(set(numbers))

    @pytest.mark.parametrize("section", ["rtmp", "http", "admin"])
    def test_a_port_in_use_is_one_clear_line_and_exit_2(self, tmp_path: Path, section: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            env = {f"STREAMD_{name}__LISTEN": "127.0.0.1:0" for name in ("RTMP", "HTTP", "ADMIN")}
            env[f"STREAMD_{section.upper()}__LISTEN"] = address
            done = streamd("serve", "--data-dir", str(tmp_path / "data"), env=env)
        assert done.returncode == 2
        lines = [line for line in done.stderr.splitlines() if "Traceback" in line or address in line]
        assert len(lines) == 1
        assert section in lines[0]
        assert "in use" in lines[0]

    def test_an_unusable_data_dir_is_one_clear_line_and_exit_2(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a directory")
        done = streamd("serve", "--data-dir", str(tmp_path / "file"))
        assert done.returncode == 2
        assert len(done.stderr.strip().splitlines()) == 1
        assert "data directory" in done.stderr

    def test_a_second_server_on_the_same_data_dir_is_refused(self, live_server: LiveServer) -> None:
        done = streamd("serve", "--data-dir", str(live_server.data_dir), env=live_server.env)
        assert done.returncode == 2
        assert "another streamd server" in done.stderr


class TestDemo:
    def test_the_demo_prints_what_a_new_user_needs(self) -> None:
        done = streamd("demo", "--duration", "5", "--no-browser")
        assert done.returncode == 0, done.stderr
        assert re.search(r"http://127\.0\.0\.1:\d+/watch/demo", done.stdout)
        assert re.search(r"Server +rtmp://127\.0\.0\.1:\d+/live", done.stdout)
        assert re.search(r"Stream Key +sk_\w+", done.stdout)
        assert re.search(r"streamd keys revoke \w+ --data-dir", done.stdout)
        assert "Traceback" not in done.stderr

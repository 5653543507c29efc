"""HTTP-FLV and the endless MP4 from a real server: heads, playback, the end, and readers that do not read."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import urllib.request
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import av
import pytest

from streamd.clock import SystemClock
from streamd.formats.flv.tag import FlvReader, TagType
from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

CLOCK = SystemClock()
FORMATS = ("flv", "mp4")
MEDIA_TYPES = {"flv": "video/x-flv", "mp4": "video/mp4"}
# Three seconds, so that a keyframe and the merging of live frames are in it.
FRAMES = 90


@contextlib.contextmanager
def asked(server: LiveServer, path: str, method: str = "GET") -> Iterator[http.client.HTTPResponse]:
    """A response whose body is still to be read, closed at the end."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=PATIENCE_S)
    try:
        connection.request(method, path)
        # The response owns the socket: it has to live as long as the block.
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


def read_to_end(response: http.client.HTTPResponse) -> bytes:
    """What is left of a stream, which must end within the time that a test has."""
    return response.read()


@pytest.fixture(scope="module")
def broadcasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server on which ``demo`` is live with B-frames, as OBS sends them, for the tests that only watch."""
    with (
        run_server(tmp_path_factory.mktemp("push")) as server,
        publish(server.rtmp_url, server.issue_key("demo"), b_frames=2),
    ):
        server.wait_until_playable("demo")
        yield server


def viewers(server: LiveServer, name: str = "demo") -> dict[str, int]:
    return cast("dict[str, int]", server.admin("GET", f"/api/v1/streams/{name}")["viewers"])


class TestHead:
    @pytest.mark.parametrize("extension", FORMATS)
    def test_get_and_head_say_the_same(self, broadcasting: LiveServer, extension: str) -> None:
        for method in ("GET", "HEAD"):
            with asked(broadcasting, f"/live/demo.{extension}?token=1", method) as response:
                assert response.status == 200
                assert response.headers["Content-Type"] == MEDIA_TYPES[extension]
                assert response.headers["Cache-Control"] == "no-store"
                assert response.headers["Access-Control-Allow-Origin"] == "*"
                assert response.headers["Content-Length"] is None
                assert response.headers["Transfer-Encoding"] is None
                if method == "HEAD":
                    assert response.read() == b""
        with asked(broadcasting, f"/live/demo.{extension}", "OPTIONS") as response:
            assert response.status == 204
            assert "GET" in response.headers["Access-Control-Allow-Methods"]
        with asked(broadcasting, f"/live/demo.{extension}", "POST") as response:
            assert response.status == 405

    @pytest.mark.parametrize("extension", FORMATS)
    def test_what_is_not_live_is_not_found_and_who_is_suspended_is_gone(
        self, live_server: LiveServer, extension: str
    ) -> None:
        path = f"/live/demo.{extension}"
        assert live_server.get(path)[0] == 404
        with publish(live_server.rtmp_url, live_server.issue_key("demo")) as broadcast:
            live_server.wait_until_playable("demo")
            broadcast.stop()
        # Its playlist is still there, but there is nothing to follow.
        assert live_server.get("/live/demo/main.m3u8")[0] == 200
        status, headers, _ = live_server.get(path)
        assert status == 404
        assert headers["access-control-allow-origin"] == "*"
        live_server.admin("PATCH", "/api/v1/users/demo", {"state": "suspended"})
        assert live_server.get(path)[0] == 410

    def test_what_is_called_live_can_be_followed_at_once(self, live_server: LiveServer) -> None:
        def live() -> dict[str, Any] | None:
            status, _, body = live_server.get("/api/v1/streams/demo")
            return json.loads(body) if status == 200 else None

        with publish(live_server.rtmp_url, live_server.issue_key("demo")):
            # Before its first segment is complete, which the variants wait for.
            stream = wait_until(live, PATIENCE_S, "the stream's being live")
            assert stream["push_codecs"] == "avc1.42c01e,mp4a.40.2"
            for extension in FORMATS:
                with asked(live_server, f"/live/demo.{extension}") as response:
                    assert response.status == 200


class TestPlayback:
    @pytest.mark.parametrize("extension", FORMATS)
    def test_pyav_plays_from_a_keyframe_on_without_a_gap(self, broadcasting: LiveServer, extension: str) -> None:
        times: dict[str, list[float]] = {"video": [], "audio": []}
        with av.open(f"{broadcasting.http_url}/live/demo.{extension}", timeout=PATIENCE_S) as container:
            for packet in container.demux():
                assert packet.dts is not None
                if not times["video"] and packet.stream.type == "video":
                    assert packet.is_keyframe
                times[packet.stream.type].append(float(packet.dts * packet.time_base))
                if len(times["video"]) >= FRAMES:
                    break
        for name, interval_s in (("video", 1 / 30), ("audio", 1024 / 48_000)):
            steps = [later - earlier for earlier, later in pairwise(times[name])]
            assert steps
            # FLV rounds to a millisecond.
            assert all(abs(step - interval_s) < 0.0015 for step in steps), name

    @pytest.mark.parametrize("extension", FORMATS)
    def test_ffprobe_decodes_it_without_a_complaint(self, broadcasting: LiveServer, extension: str) -> None:
        require("ffprobe")
        done = subprocess.run(
            [
                *("ffprobe", "-v", "warning", "-read_intervals", "%+3", "-show_entries", "frame=media_type"),
                *("-of", "csv=p=0", f"{broadcasting.http_url}/live/demo.{extension}"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0
        assert done.stderr == ""
        frames = done.stdout.split()
        assert frames.count("video") > 60
        assert frames.count("audio") > 100

    def test_every_flv_viewer_gets_the_same_bytes(self, live_server: LiveServer) -> None:
        with (
            publish(live_server.rtmp_url, live_server.issue_key("demo"), duration_s=6.0) as broadcast,
            contextlib.ExitStack() as stack,
        ):
            live_server.wait_until_playable("demo")
            responses = [stack.enter_context(asked(live_server, "/live/demo.flv")) for _ in range(3)]
            broadcast.wait()
            tags = [FlvReader().receive_data(read_to_end(response)) for response in responses]
        kinds = [TagType(tag.tag_type).name for tag in tags[0][:4]]
        assert kinds == ["SCRIPT", "VIDEO", "AUDIO", "VIDEO"]
        # Each may have begun in another GOP; from there on they are the same to the last tag.
        shortest = min(len(each) for each in tags) - 3
        assert shortest > 30
        assert all(each[-shortest:] == tags[0][-shortest:] for each in tags)


class TestTheEnd:
    @pytest.mark.parametrize("extension", FORMATS)
    def test_a_goodbye_ends_the_stream_with_all_of_it_sent(self, live_server: LiveServer, extension: str) -> None:
        with publish(live_server.rtmp_url, live_server.issue_key("demo")) as broadcast:
            live_server.wait_until_playable("demo")
            with asked(live_server, f"/live/demo.{extension}") as response:
                broadcast.stop()
                assert len(read_to_end(response)) > 10_000

    @pytest.mark.parametrize("extension", FORMATS)
    def test_a_revoked_key_ends_it_at_once(self, live_server: LiveServer, extension: str) -> None:
        key = live_server.admin("POST", "/api/v1/keys", {"user": "demo"})
        with publish(live_server.rtmp_url, key["stream_key"]):
            live_server.wait_until_playable("demo")
            with asked(live_server, f"/live/demo.{extension}") as response:
                live_server.revoke(key["id"])
                read_to_end(response)
            assert live_server.get(f"/live/demo.{extension}")[0] == 404

    def test_the_server_stops_without_waiting_for_viewers(self, live_server: LiveServer) -> None:
        with publish(live_server.rtmp_url, live_server.issue_key("demo")):
            live_server.wait_until_playable("demo")
            with asked(live_server, "/live/demo.flv"):
                assert live_server.stop() == 0


class TestViewers:
    def test_are_counted_by_protocol_while_they_are_there(self, broadcasting: LiveServer) -> None:
        def pushed() -> tuple[int, int]:
            counts = viewers(broadcasting)
            return counts["flv"], counts["mp4"]

        # Those of other tests are found to have left at the next frame.
        wait_until(lambda: pushed() == (0, 0), PATIENCE_S, "nobody watching")
        with (
            asked(broadcasting, "/live/demo.flv"),
            asked(broadcasting, "/live/demo.flv"),
            asked(broadcasting, "/live/demo.mp4"),
        ):
            wait_until(lambda: pushed() == (2, 1), PATIENCE_S, "three viewers")
        wait_until(lambda: pushed() == (0, 0), PATIENCE_S, "the viewers' leaving")

    def test_one_that_never_reads_is_closed_and_others_are_untouched(self, live_server: LiveServer) -> None:
        with (
            # A keyframe a second and a high bit rate, so that the kernel's buffers fill within seconds.
            publish(
                live_server.rtmp_url, live_server.issue_key("demo"), keyframe_interval_s=1.0, video_bitrate=8_000_000
            ),
            socket.socket() as slow,
        ):
            live_server.wait_until_playable("demo")
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", live_server.http_port))
            slow.sendall(b"GET /live/demo.flv HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_until(lambda: viewers(live_server)["flv"] == 1, PATIENCE_S, "the slow viewer")
            with av.open(f"{live_server.http_url}/live/demo.mp4", timeout=PATIENCE_S) as container:
                deadline = CLOCK.monotonic() + 60
                for packet in container.demux(video=0):
                    assert packet.dts is not None
                    if viewers(live_server)["flv"] == 0:
                        break
                    assert CLOCK.monotonic() < deadline, "the slow viewer is still there"


def test_an_operators_look_ends_with_their_token(broadcasting: LiveServer) -> None:
    token = broadcasting.admin("POST", "/api/v1/operators", {"name": "carol", "role": "moderator"})["token"]
    preview = urllib.request.Request(
        f"{broadcasting.admin_url}/api/v1/streams/demo/preview",
        method="POST",
        headers={"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(preview, timeout=PATIENCE_S) as answer:
        ticket = json.loads(answer.read())["mp4"]
    broadcasting.admin("PATCH", "/api/v1/users/demo", {"playback": "signed"})
    try:
        with asked(broadcasting, ticket) as looking:
            assert looking.read(100_000)[4:8] == b"ftyp"
            broadcasting.admin("POST", "/api/v1/operators/carol/revoke", {})
            # Its end comes, and not the time limit.
            while looking.read(100_000):
                pass
        assert broadcasting.get(ticket)[0] == 401
    finally:
        broadcasting.admin("PATCH", "/api/v1/users/demo", {"playback": "public"})


def test_an_operators_look_counts_as_no_viewer(broadcasting: LiveServer) -> None:
    def counted() -> int:
        return int(broadcasting.admin("GET", "/api/v1/streams/demo")["viewers"]["mp4"])

    wait_until(lambda: counted() == 0, PATIENCE_S, "the end of other viewers")
    ticket = broadcasting.admin("POST", "/api/v1/streams/demo/preview")["mp4"]
    with asked(broadcasting, ticket) as looking:
        assert looking.read(100_000)[4:8] == b"ftyp"
        assert counted() == 0
        with asked(broadcasting, "/live/demo.mp4?preview=123-made-up") as watching:
            assert watching.read(100)[4:8] == b"ftyp"
            assert counted() == 1
        # A connection that aiohttp has got for something else first.
        connection = http.client.HTTPConnection("127.0.0.1", broadcasting.http_port, timeout=PATIENCE_S)
        connection.request("GET", "/api/v1/streams/demo")
        connection.getresponse().read()
        wait_until(lambda: counted() == 0, PATIENCE_S, "the end of the viewer")
        connection.request("GET", ticket)
        with connection.getresponse() as response:
            assert response.read(100)[4:8] == b"ftyp"
            assert counted() == 0
        connection.close()

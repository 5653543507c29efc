"""The past of live streams: served while the broadcast goes on, and after it, over stops and crashes."""

from __future__ import annotations

import gzip
import json
import re
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from streamd.clock import SystemClock
from tests.integration.test_recording import H264, MEDIA_S, NAME, fetched, probed_s
from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

CLOCK = SystemClock()
DVR = {"dvr__window_s": 3600, "recording__min_free_bytes": 0}


def playlist(server: LiveServer, query: str = "") -> str:
    status, _, body = fetched(f"{server.http_url}/live/{NAME}/dvr/main.m3u8{query}")
    return body.decode() if status == 200 else ""


def with_segments(server: LiveServer, count: int) -> str:
    """The playlist, once there are so many segments."""

    def look() -> str | None:
        text = playlist(server)
        return text if text.count("#EXTINF") >= count else None

    found: str = wait_until(look, PATIENCE_S, f"a past of {count} segments")
    return found


def number(text: str, tag: str) -> int:
    found = re.search(rf"#EXT-X-{tag}:(\d+)", text)
    assert found is not None, text
    return int(found[1])


def media(server: LiveServer, text: str, at: int) -> tuple[int, bytes]:
    """The answer to a request for a segment, which a range names."""
    size, offset, uri = re.findall(r"#EXT-X-BYTERANGE:(\d+)@(\d+)\n(.+)", text)[at]
    url = f"{server.http_url}/live/{NAME}/dvr/{uri}"
    status, _, body = fetched(url, {"Range": f"bytes={offset}-{int(offset) + int(size) - 1}"})
    assert status != 206 or len(body) == int(size)
    return status, body


@pytest.mark.parametrize("mode", ["off", "all"])
def test_viewers_go_back_while_it_goes_on(tmp_path: Path, mode: str) -> None:
    with run_server(tmp_path, **DVR, recording__mode=mode) as server:
        key = server.issue_key(NAME)
        assert fetched(f"{server.http_url}/live/{NAME}/dvr/index.m3u8")[0] == 404
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            text = with_segments(server, 3)
            assert b"main.m3u8" in fetched(f"{server.http_url}/live/{NAME}/dvr/index.m3u8")[2]
            status, body = media(server, text, 0)
            assert (status, body[4:8]) == (206, b"moof")
            # The live playlist is as it always is.
            assert "/dvr/" not in server.get(f"/live/{NAME}/main.m3u8")[2].decode()
            last = number(text, "MEDIA-SEQUENCE") + text.count("#EXTINF") - 1
            begun = CLOCK.monotonic()
            newer = playlist(server, f"?_HLS_msn={last + 1}")
            assert number(newer, "MEDIA-SEQUENCE") + newer.count("#EXTINF") - 1 == last + 1
            assert CLOCK.monotonic() - begun < 3 * number(text, "TARGETDURATION")
            url = f"{server.http_url}/live/{NAME}/dvr/main.m3u8"
            packed = fetched(url, {"Accept-Encoding": "gzip"})[2]
            assert gzip.decompress(packed).decode().startswith("#EXTM3U")
            for query in (f"?_HLS_msn={last + 9}", "?_HLS_part=1", "?_HLS_msn=x", "?_HLS_skip=NO"):
                assert fetched(url + query)[0] == 400, query
            for path in ("dvr/rec_../main/000000.m4s", "dvr/other.m3u8", "dvr/x/main/000000.m4s", "dvr/../main.m3u8"):
                assert fetched(f"{server.http_url}/live/{NAME}/{path}")[0] == 404, path
            server.admin("POST", f"/api/v1/streams/{NAME}/kick")
            server.wait_for_log("stream.ended")
        ended = wait_until(
            lambda: text if "#EXT-X-ENDLIST" in (text := playlist(server)) else None, PATIENCE_S, "the end of the past"
        )
        # Viewers come to the end.
        assert media(server, ended, -1)[0] == 206
        assert probed_s(f"{server.http_url}/live/{NAME}/dvr/index.m3u8") > MEDIA_S
        assert len(server.admin("GET", "/api/v1/recordings")["recordings"]) == (mode == "all")


def test_a_suspension_makes_the_past_dark(tmp_path: Path) -> None:
    with run_server(tmp_path, **DVR) as server:
        key = server.issue_key(NAME)
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            text = with_segments(server, 1)
            server.admin("PATCH", f"/api/v1/users/{NAME}", {"state": "suspended", "reason": "a test"})
            assert media(server, text, 0)[0] == 410
            for path in ("index.m3u8", "main.m3u8"):
                assert fetched(f"{server.http_url}/live/{NAME}/dvr/{path}")[0] == 410
            server.admin("DELETE", f"/api/v1/users/{NAME}")
        past = server.data_dir / "recordings" / ".past"
        assert past.is_dir()
        wait_until(lambda: not any(past.glob("*/*/*/*/*")), PATIENCE_S, "the files to go")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_the_past_goes_on_behind_a_restart(tmp_path: Path, signum: int) -> None:
    settings: dict[str, Any] = {**DVR, "live__reconnect_window_s": 60}
    with run_server(tmp_path, **settings) as server:
        key = server.issue_key(NAME)
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            before = with_segments(server, 2)
            # The state of live streams is on the disk.
            time.sleep(1.5)
            server.process.send_signal(signum)
            server.process.wait(PATIENCE_S)
    with run_server(tmp_path, **settings) as server, ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
        count = before.count("#EXTINF")
        text = with_segments(server, count + 2)
        assert number(text, "MEDIA-SEQUENCE") == number(before, "MEDIA-SEQUENCE")
        assert "#EXT-X-DISCONTINUITY\n" in text
        assert media(server, text, 0)[0] == media(server, text, -1)[0] == 206


def test_a_locked_channel_has_a_locked_past(tmp_path: Path) -> None:
    with run_server(tmp_path, **DVR) as server:
        key = server.issue_key(NAME)
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            text = with_segments(server, 2)
            url = f"{server.http_url}/live/{NAME}/dvr"
            server.admin("POST", "/api/v1/playback-keys", {})
            server.admin("PATCH", f"/api/v1/users/{NAME}", {"playback": "signed"})
            assert media(server, text, 0)[0] == 401
            last = number(text, "MEDIA-SEQUENCE") + text.count("#EXTINF")
            for path in ("index.m3u8", "main.m3u8", f"main.m3u8?_HLS_msn={last}"):
                assert fetched(f"{url}/{path}")[0] == 401, path
            for path in ("~x/main.m3u8", "~x/index.m3u8"):
                assert fetched(f"{url}/{path}")[0] == 403, path
            said = json.loads(server.get(f"/api/v1/streams/{NAME}")[2])
            assert said["past"] is None
            token = server.admin("POST", "/api/v1/playback-tokens", {"channel": NAME, "ttl_s": 60})["token"]
            index = fetched(f"{url}/index.m3u8?token={token}")[2].decode()
            (variant,) = re.findall(r"^~.+\.m3u8$", index, re.MULTILINE)
            listed = fetched(f"{url}/{variant}")
            assert (listed[0], listed[1]["Cache-Control"]) == (200, "private, max-age=1")
            size, offset, uri = re.findall(r"#EXT-X-BYTERANGE:(\d+)@(\d+)\n(.+)", listed[2].decode())[0]
            asked = {"Range": f"bytes={offset}-{int(offset) + int(size) - 1}"}
            ticket = variant.partition("/")[0]
            assert fetched(f"{url}/{ticket}/{uri}", asked)[0] == 206
            # The page has the ticket behind the channel's name.
            assert fetched(f"{server.http_url}/live/{NAME}/{ticket}/dvr/index.m3u8")[0] == 200
            assert fetched(f"{server.http_url}/live/{NAME}/{ticket}/dvr/{uri}", asked)[0] == 206
            live_alone = server.admin("POST", "/api/v1/playback-tokens", {"channel": NAME, "dvr": False})["token"]
            assert fetched(f"{url}/index.m3u8?token={live_alone}")[0] == 403
            # What stands in the answer says why, should it be another one.
            live = fetched(f"{server.http_url}/live/{NAME}/index.m3u8?token={live_alone}")
            assert (live[0], live[2][:7]) == (200, b"#EXTM3U"), live

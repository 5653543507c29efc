"""Poster pictures of real broadcasts, drawn by the server's worker process."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.media.test_picture import read_jpeg
from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration


def test_a_live_channel_has_a_picture_until_it_is_taken_down(live_server: LiveServer) -> None:
    assert live_server.get("/live/demo/poster.jpg")[0] == 404
    with publish(live_server.rtmp_url, live_server.issue_key("demo"), width=1280, height=720):
        live_server.wait_until_playable("demo")
        stream = json.loads(live_server.get("/api/v1/streams/demo")[2])
        status, headers, jpeg = live_server.get(stream["poster"])
        assert status == 200
        assert headers["content-type"] == "image/jpeg"
        assert read_jpeg(jpeg)[:2] == (960, 540)
        assert live_server.get(stream["poster"])[2] == jpeg
        assert 'streamd_posters_total{result="drawn"} 1.0' in live_server.admin_get("/metrics")
        (worker,) = worker_pids(live_server)
        held_by = Path(f"/proc/{worker}/status").read_text()
        assert re.search(r"^NoNewPrivs:\t1$", held_by, re.MULTILINE)
        assert re.search(r"^CapEff:\t0+$", held_by, re.MULTILINE)
        assert re.search(r"^Uid:\t0\t", held_by, re.MULTILINE) is None
        # Root alone may read it: the worker is nobody's to look into, its own user's neither.
        with contextlib.suppress(PermissionError):
            names = {entry.partition(b"=")[0] for entry in Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")}
            assert not [name for name in names if name.startswith(b"STREAMD_")]
        live_server.admin("PATCH", "/api/v1/users/demo", {"state": "suspended"})
        assert live_server.get(stream["poster"])[0] == 410
    live_server.stop()
    wait_until(lambda: not Path(f"/proc/{worker}").exists(), PATIENCE_S, "the end of the worker")


def worker_pids(server: LiveServer) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    if not children.exists():
        pytest.skip("the kernel does not list the children of a process")
    return [int(pid) for pid in children.read_text().split()]


def test_sound_alone_has_none(live_server: LiveServer) -> None:
    with publish(live_server.rtmp_url, live_server.issue_key("demo"), has_video=False):
        live_server.wait_until_playable("demo")
        assert json.loads(live_server.get("/api/v1/streams/demo")[2])["poster"] is None
        assert live_server.get("/live/demo/poster.jpg")[0] == 404


def test_they_can_be_turned_off(tmp_path: Path) -> None:
    with (
        run_server(tmp_path, http__posters="false") as server,
        publish(server.rtmp_url, server.issue_key("demo")),
    ):
        server.wait_until_playable("demo")
        assert json.loads(server.get("/api/v1/streams/demo")[2])["poster"] is None
        assert server.get("/live/demo/poster.jpg")[0] == 404

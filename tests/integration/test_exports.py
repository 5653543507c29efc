"""Recordings of a real server as one progressive MP4: asked for, watched while it is made, and fetched."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.test_recording import H264, LITTLE, MEDIA_S, NAME, decoded_frames, folder_of, probed_s, recorded
from tests.support.changing_broadcast import ChangingBroadcast
from tests.support.patience import PATIENCE_S
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration


def fetched(server: LiveServer, path: str, **headers: str) -> tuple[int, Any, bytes]:
    fields = {"Authorization": f"Bearer {server.admin_token}", **headers}
    try:
        request = urllib.request.Request(server.admin_url + path, headers=fields)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def test_a_recording_becomes_a_file_for_every_player(tmp_path: Path) -> None:
    with run_server(tmp_path, **LITTLE) as server:
        key = server.issue_key(NAME)
        with ChangingBroadcast(server.rtmp_port, key, H264, 1000 * MEDIA_S):
            running = recorded(server, "recording", at_least_s=4)
            one = f"/api/v1/recordings/{running['id']}/export"
            with pytest.raises(urllib.error.HTTPError, match="409"):
                server.admin("POST", one, {})
        done = recorded(server)
        assert fetched(server, one)[0] == fetched(server, f"{one}.mp4")[0] == 404
        # The command asks, waits and fetches.
        target = tmp_path / "out" / "broadcast.mp4"
        target.parent.mkdir()
        assert str(target) in server.command("recordings", "export", done["id"], "--to", str(target))
        data = target.read_bytes()
        assert data[4:8] == b"ftyp"
        ftyp_bytes = int.from_bytes(data[:4], "big")
        assert data[ftyp_bytes + 4 : ftyp_bytes + 8] == b"moov"
        assert probed_s(str(target)) == pytest.approx(done["duration_s"], abs=0.1)
        assert decoded_frames(str(target)) == decoded_frames(f"{server.http_url}/vod/{done['id']}.mp4")
        assert [path.name for path in target.parent.iterdir()] == [target.name]

        export = server.admin("GET", one)
        assert (export["state"], export["bytes"], export["file"]) == ("ready", len(data), f"{one}.mp4")
        status, headers, body = fetched(server, f"{one}.mp4", Range="bytes=100-299")
        assert (status, headers["Content-Range"], body) == (206, f"bytes 100-299/{len(data)}", data[100:300])
        assert headers["Content-Disposition"].startswith(f'attachment; filename="{NAME} ')
        assert fetched(server, f"{one}.mp4", Range=f"bytes={len(data)}-")[0] == 416
        # Nobody but operators gets it.
        assert server.get(f"{one}.mp4")[0] == 404
        assert fetched(server, f"{one}.mp4", Authorization="Bearer wrong")[0] == 401
        for recording_id in ("rec_..%2f..", "..", "rec_01aryz6s41tsv4rrffq69g5fav"):
            assert fetched(server, f"/api/v1/recordings/{recording_id}/export.mp4")[0] == 404

        # The file goes with the recording.
        files = folder_of(server, done).path.parents[4] / ".exports"
        assert [path.name for path in files.rglob("*.*")] == [f"{done['id']}.mp4"]
        server.admin("DELETE", f"/api/v1/recordings/{done['id']}")
        assert fetched(server, f"{one}.mp4")[0] == 404
        wait_until(lambda: not [*files.rglob("*.*")], PATIENCE_S, "the end of the export")
        server.assert_no_secret_is_seen()

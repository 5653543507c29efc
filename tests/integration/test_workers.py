"""A server of two workers, asked from outside: publishers are spread, every worker serves every stream, and an act
holds in all of them before its call returns.

One server does for all of it; the worker that is killed, and the end, are last.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.llhls_checker import check_playlist
from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import LiveServer, run_server, wait_until

pytestmark = pytest.mark.integration

SMALL: dict[str, object] = {
    "width": 160,
    "height": 96,
    "video_bitrate": 60_000,
    "duration_s": 600.0,
    "keyframe_interval_s": 1.0,
}
STATEMENT = {
    "decision_ground": "ILLEGAL_CONTENT",
    "illegal_content_legal_ground": "Penal code, section 131",
    "illegal_content_explanation": "It shows somebody being hurt.",
    "decision_facts": "Seen live.",
    "category": "VIOLENCE",
}
NAMES = ("alice", "bob", "carol", "dora")
# Connections among which surely one is each worker's: the kernel chooses by the viewer's port.
CONNECTIONS = 24


class Viewers:
    """Connections to the server, with one to each worker among them."""

    def __init__(self, server: LiveServer) -> None:
        self._connections = [
            http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=PATIENCE_S) for _ in range(CONNECTIONS)
        ]

    def get_all(self, path: str) -> list[tuple[int, str]]:
        """What each connection is answered."""
        answers = []
        for connection in self._connections:
            connection.request("GET", path)
            response = connection.getresponse()
            answers.append((response.status, response.read().decode("latin-1")))
        return answers

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


class House:
    """The server, its broadcasts, and what is known of the workers."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.key_ids: dict[str, str] = {}

    def worker_of(self, name: str) -> int:
        """The worker that has a stream, by its log."""
        found: dict[str, Any] = {}
        for record in self.server.log_events("channel.claimed"):
            if record["stream"] == name:
                found = record
        return int(found["worker"])

    def pids(self) -> dict[int, int]:
        """Process ids by worker, of those that were started last."""
        return {record["worker"]: record["pid"] for record in self.server.log_events("worker.started")}

    def streams(self) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in self.server.admin("GET", "/api/v1/streams")["streams"]}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            run_server(
                tmp_path_factory.mktemp("workers"),
                server__workers=2,
                hls__segment_target_ms=1000,
                moderation__enabled="true",
            )
        )
        house = House(server)
        for name in NAMES:
            key = server.issue_key(name)
            house.key_ids[name] = key.split("_")[1]
            stack.enter_context(publish(server.rtmp_url, key, **SMALL))
            # One after the other, so that it is known who is where.
            server.wait_until_playable(name)
        yield house


@pytest.fixture
def viewers(house: House) -> Iterator[Viewers]:
    viewers = Viewers(house.server)
    yield viewers
    viewers.close()


def test_publishers_are_spread(house: House) -> None:
    workers = [house.worker_of(name) for name in NAMES]
    assert sorted(workers) == [0, 0, 1, 1]


def test_every_worker_serves_every_stream(house: House, viewers: Viewers) -> None:
    for name in NAMES:
        answers = viewers.get_all(f"/live/{name}/main.m3u8")
        assert {status for status, _ in answers} == {200}
        for _, text in answers:
            assert check_playlist(text.encode()) == []
    opened = {(record["stream"], record["worker"]) for record in house.server.log_events("feed.opened")}
    assert opened >= {(name, 1 - house.worker_of(name)) for name in NAMES}


def test_media_has_the_same_bytes_at_every_worker(house: House, viewers: Viewers) -> None:
    playlist = viewers.get_all("/live/alice/main.m3u8")[0][1]
    header = re.search(r'EXT-X-MAP:URI="([^"]+)"', playlist)
    assert header is not None
    segments = re.findall(r"^[^#\s]+$", playlist, re.MULTILINE)
    for path in (header[1], segments[-1]):
        assert len(set(viewers.get_all(f"/live/alice/{path}"))) == 1


def test_a_blocked_reload_is_answered_by_every_worker(house: House, viewers: Viewers) -> None:
    playlist = viewers.get_all("/live/bob/main.m3u8")[0][1]
    msn = first_number(playlist) + len(re.findall(r"^#EXTINF", playlist, re.MULTILINE)) + 1
    answers = viewers.get_all(f"/live/bob/main.m3u8?_HLS_msn={msn}")
    assert {status for status, _ in answers} == {200}
    assert all(check_playlist(text.encode()) == [] for _, text in answers)


def test_pages_are_answered_whichever_worker_is_reached(house: House, viewers: Viewers) -> None:
    assert {status for status, _ in viewers.get_all("/")} == {200}
    assert {status for status, _ in viewers.get_all("/nothing/here")} == {404}


def test_operators_see_all_streams_and_all_viewers(house: House, viewers: Viewers) -> None:
    def all_seen() -> bool:
        viewers.get_all("/live/carol/main.m3u8")
        streams = house.streams()
        return set(streams) == set(NAMES) and sum(streams["carol"]["viewers"].values()) >= 2

    wait_until(all_seen, PATIENCE_S, "a list of all streams, with a viewer of each worker")


def test_metrics_of_all_workers_are_on_one_page(house: House) -> None:
    page = house.server.admin_get("/metrics")
    for worker in (0, 1):
        assert f'streamd_streams_live{{worker="{worker}"}} 2.0' in page
        assert f'streamd_cluster_nodes{{worker="{worker}"}} 2.0' in page
    assert page.count("# TYPE streamd_streams_live ") == 1


def test_a_stream_of_any_worker_is_kicked(house: House) -> None:
    wait_until(lambda: set(house.streams()) == set(NAMES), PATIENCE_S, "a list of all streams")
    assert {house.worker_of(name) for name in ("alice", "bob")} == {0, 1}
    for name in ("alice", "bob"):
        kicked = house.server.admin("POST", f"/api/v1/streams/{name}/kick", {"reason": "test"})
        assert kicked["kicked"] is True, kicked


def test_what_is_revoked_is_dark_in_every_worker_when_the_call_returns(house: House, viewers: Viewers) -> None:
    for name in ("carol", "dora"):
        assert {status for status, _ in viewers.get_all(f"/live/{name}/main.m3u8")} == {200}
        answer = house.server.revoke(house.key_ids[name])
        texts = viewers.get_all(f"/live/{name}/main.m3u8")
        assert all(status in (404, 410) or "#EXT-X-ENDLIST" in text for status, text in texts), name
        assert answer["nodes"] == {"w0": "done", "w1": "done"}
    wait_until(lambda: not {"carol", "dora"} & set(house.streams()), PATIENCE_S, "a list without them")


def test_what_is_taken_down_or_suspended_is_dark_in_every_worker_when_the_call_returns(
    house: House, viewers: Viewers
) -> None:
    server = house.server
    with contextlib.ExitStack() as stack:
        for name in ("nina", "otto"):
            stack.enter_context(publish(server.rtmp_url, server.issue_key(name), **SMALL))
            server.wait_until_playable(name)
        assert {house.worker_of(name) for name in ("nina", "otto")} == {0, 1}
        for name in ("nina", "otto"):
            assert {status for status, _ in viewers.get_all(f"/live/{name}/main.m3u8")} == {200}
        taken = server.admin("POST", "/api/v1/takedowns", {"target": f"{server.http_url}/watch/nina", **STATEMENT})
        assert {status for status, _ in viewers.get_all("/live/nina/main.m3u8")} == {410}
        assert taken["nodes"] == {"w0": "done", "w1": "done"}
        suspended = server.admin("PATCH", "/api/v1/users/otto", {"state": "suspended", "reason": "test"})
        assert {status for status, _ in viewers.get_all("/live/otto/main.m3u8")} == {410}
        assert suspended["nodes"] == {"w0": "done", "w1": "done"}


def test_a_configuration_that_is_read_again_is_taken_by_every_worker(house: House) -> None:
    before = len(house.server.log_events("config.reloaded"))
    house.server.process.send_signal(signal.SIGHUP)
    wait_until(
        lambda: len(house.server.log_events("config.reloaded")) == before + 2, PATIENCE_S, "a reload of both workers"
    )


def test_a_worker_that_dies_takes_only_its_own_streams_along(house: House, viewers: Viewers) -> None:
    server = house.server
    with contextlib.ExitStack() as stack:
        keys = {name: server.issue_key(name) for name in ("erik", "fritz")}
        for name, key in keys.items():
            stack.enter_context(publish(server.rtmp_url, key, **SMALL))
            server.wait_until_playable(name)
        owners = {house.worker_of(name): name for name in keys}
        assert set(owners) == {0, 1}
        dying, staying = owners[1], owners[0]
        numbers = {name: first_number(viewers.get_all(f"/live/{name}/main.m3u8")[0][1]) for name in keys}
        old = house.pids()
        os.kill(old[1], signal.SIGKILL)
        wait_until(lambda: house.pids()[1] != old[1], PATIENCE_S, "a new worker")
        assert server.wait_for_log("worker.died", worker=1)["exit_code"] == -signal.SIGKILL
        assert house.pids()[0] == old[0]
        # A publisher comes back as encoders do: with the same key, to whichever worker takes it.
        stack.enter_context(publish(server.rtmp_url, keys[dying], **SMALL))
        wait_until(lambda: house.streams().get(dying, {}).get("bitrate_bps"), PATIENCE_S, "the stream again")
        again = Viewers(server)
        try:
            for name in (staying, dying):
                answers = again.get_all(f"/live/{name}/main.m3u8")
                assert {status for status, _ in answers} == {200}
                for _, text in answers:
                    assert check_playlist(text.encode()) == []
                    assert "#EXT-X-ENDLIST" not in text
                    assert first_number(text) >= numbers[name]
        finally:
            again.close()
        # The one who stayed was never asked to come back.
        claims = [each["stream"] for each in server.log_events("channel.claimed")]
        assert claims.count(staying) == 1
        assert claims.count(dying) == 2


def first_number(playlist: str) -> int:
    found = re.search(r"EXT-X-MEDIA-SEQUENCE:(\d+)", playlist)
    assert found is not None
    return int(found[1])


def test_no_secret_is_in_any_workers_command_line(house: House) -> None:
    for pid in house.pids().values():
        title = Path(f"/proc/{pid}/cmdline").read_text()
        assert not any(secret in title for secret in house.server.secrets)


def test_it_ends_well_and_leaves_no_process(house: House) -> None:
    pids = house.pids()
    assert house.server.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values())
    assert [record for record in house.server.log_events("server.stopped") if "worker" not in record]

"""Three nodes, NATS and PostgreSQL: one service. Started once; the tests are in the order in which they run."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from streamd.clock import SystemClock
from tests.support.edge_viewer import EdgeViewer
from tests.support.nodes import LEASE_S, run_cluster
from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.nodes import Cluster
    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration
CLOCK = SystemClock()


class House:
    """The cluster, with three nodes that tests may end and start again."""

    def __init__(self, cluster: Cluster, stack: contextlib.ExitStack) -> None:
        self.cluster = cluster
        self._stack = stack
        self.nodes: dict[str, LiveServer] = {}

    def start(self, *names: str) -> None:
        """Start nodes, side by side."""
        found: dict[str, contextlib.AbstractContextManager[LiveServer]] = {n: self.cluster.node(n) for n in names}
        failures: list[BaseException] = []

        def enter(name: str) -> None:
            try:
                self.nodes[name] = found[name].__enter__()
            except BaseException as exc:  # noqa: BLE001  # raised below
                failures.append(exc)

        threads = [threading.Thread(target=enter, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name in names:
            if name in self.nodes:
                self._stack.push(found[name].__exit__)
        assert not failures, failures[0]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with run_cluster(tmp_path_factory.mktemp("cluster")) as cluster, contextlib.ExitStack() as stack:
        house = House(cluster, stack)
        house.start("a")
        house.start("b", "c")
        yield house


def revoke(node: LiveServer, stream_key: str) -> tuple[dict[str, Any], float]:
    began_at = CLOCK.monotonic()
    answer = node.admin("POST", f"/api/v1/keys/{stream_key.split('_')[1]}/revoke", {"reason": "test"})
    return answer, CLOCK.monotonic() - began_at


def events(node: LiveServer, event: str, **fields: object) -> list[dict[str, Any]]:
    return [
        record for record in node.log_events(event) if all(record.get(name) == value for name, value in fields.items())
    ]


def text_of(node: LiveServer, name: str) -> bytes:
    return node.get(f"/live/{name}/main.m3u8")[2]


class TestNodes:
    def test_an_edge_shows_the_same_bytes(self, house: House) -> None:
        a, b, c = (house.nodes[name] for name in "abc")
        key = a.issue_key("anna")
        with publish(a.rtmp_url, key):
            a.wait_until_playable("anna")
            for edge in (b, c):
                edge.wait_until_playable("anna")

            def are_equal() -> bytes | None:
                texts = {text_of(node, "anna") for node in (a, b, c)}
                return texts.pop() if len(texts) == 1 else None

            text = wait_until(are_equal, PATIENCE_S, "the same playlist at all nodes").decode()
            segment = re.findall(r"main/seg\d+\.m4s", text)[-1]
            part = re.findall(r"main/part\d+\.m4s", text)[-2]
            header = re.findall(r"main/init\d+\.mp4", text)[0]
            for name in (segment, part, header):
                bodies = {node.get(f"/live/anna/{name}")[2] for node in (a, b, c)}
                assert len(bodies) == 1
                assert len(bodies.pop()) > 100
            answer, seconds = revoke(b, key)
            assert answer["nodes"] == {"a": "done", "b": "done", "c": "done"}
            for node in (a, b, c):
                assert text_of(node, "anna").endswith(b"#EXT-X-ENDLIST\n")
            assert seconds < LEASE_S

    def test_two_publishers_in_the_same_moment_are_one(self, house: House) -> None:
        a, b = house.nodes["a"], house.nodes["b"]
        key = a.issue_key("berta")
        with publish(a.rtmp_url, key), publish(b.rtmp_url, key):

            def both() -> bool:
                accepted = [
                    n for n in (a, b) if [e for e in n.log_events("publish.accepted") if e["stream"] == "berta"]
                ]
                refused = [e for n in (a, b) for e in n.log_events("publish.refused") if e.get("user") == "berta"]
                assert len(accepted) < 2
                return len(accepted) == 1 and bool(refused)

            wait_until(both, PATIENCE_S, "one accepted and one refused")
        refused = [each for node in (a, b) for each in events(node, "publish.refused", user="berta")]
        assert {event["reason"] for event in refused} == {"busy"}

    def test_a_stopped_node_is_named_and_reads_what_it_missed(self, house: House) -> None:
        a, b, c = (house.nodes[name] for name in "abc")
        key = a.issue_key("carla")
        with publish(a.rtmp_url, key):
            a.wait_until_playable("carla")
            c.wait_until_playable("carla")
            os.kill(c.process.pid, signal.SIGSTOP)
            try:
                answer, seconds = revoke(b, key)
            finally:
                os.kill(c.process.pid, signal.SIGCONT)
            assert answer["nodes"] == {"a": "done", "b": "done", "c": "unreachable"}
            assert seconds < LEASE_S + 1.5
            # From its first answer on.
            status, _, body = c.get("/live/carla/main.m3u8")
            assert status in (404, 503) or body.endswith(b"#EXT-X-ENDLIST\n")
            c.wait_for_log("node.standing", standing="leased", before="none")

            def is_dark() -> bool:
                status, _, body = c.get("/live/carla/main.m3u8")
                return status == 404 or body.endswith(b"#EXT-X-ENDLIST\n")

            wait_until(is_dark, PATIENCE_S, "carla dark at c")

    def test_viewers_play_on_when_the_owner_dies(self, house: House) -> None:
        a, b, c = (house.nodes[name] for name in "abc")
        key = a.issue_key("dora")
        with publish(a.rtmp_url, key) as first:
            a.wait_until_playable("dora")
            viewer = EdgeViewer(c, "dora")
            c.wait_until_playable("dora")
            viewer.start()
            wait_until(lambda: viewer.reloads > 3, PATIENCE_S, "reloads")
            a.kill()
            first.kill()
            before = viewer.last_msn
        with publish(b.rtmp_url, key):
            wait_until(lambda: viewer.last_msn > before + 3, LEASE_S + PATIENCE_S, "media of the next owner")
            assert viewer.faults == []
            assert not viewer.has_ended
            assert viewer.discontinuities >= 1
            assert b.log_events("channel.claimed")[-1]["goes_on"]
            # The lease, the wait of whoever claims, and a segment.
            assert viewer.longest_s < LEASE_S + 8
        viewer.stop()
        house.start("a")

    def test_nats_may_be_down_for_a_while(self, house: House) -> None:
        a, b = house.nodes["a"], house.nodes["b"]
        key = a.issue_key("emma")
        with publish(a.rtmp_url, key):
            a.wait_until_playable("emma")
            viewer = EdgeViewer(a, "emma")
            viewer.start()
            house.cluster.nats.stop()
            a.wait_for_log("node.standing", standing="database", timeout_s=LEASE_S + PATIENCE_S)
            before = viewer.last_msn
            wait_until(lambda: viewer.last_msn > before + 1, PATIENCE_S, "a playlist that goes on")
            # Revocations hold everywhere all the same: nodes are told at their own addresses.
            other = a.issue_key("frida")
            answer, _ = revoke(b, other)
            assert answer["nodes"] == {"a": "done", "b": "done", "c": "done"}
            house.cluster.nats.start()

            def is_leased() -> bool:
                return bool(a.log_events("node.standing")[-1]["standing"] == "leased")

            wait_until(is_leased, PATIENCE_S, "a lease again")
            assert viewer.faults == []
            b.wait_until_playable("emma")
        viewer.stop()

    def test_a_wrong_proof_opens_nothing(self, house: House) -> None:
        address = house.nodes["a"].env["STREAMD_CLUSTER__ADVERTISE"]
        for headers in ({}, {"Authorization": f"Streamd-Node b {int(CLOCK.now().timestamp())} {'0' * 64}"}):
            request = urllib.request.Request(f"{address}/feed/v1/emma?from=0", headers=headers)
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=PATIENCE_S)
            assert caught.value.code == 401
            caught.value.close()

    def test_a_stream_of_another_node_is_kicked_from_here(self, house: House) -> None:
        a, c = house.nodes["a"], house.nodes["c"]
        with publish(a.rtmp_url, a.issue_key("gerda")):
            a.wait_until_playable("gerda")
            kick = c.admin("POST", "/api/v1/streams/gerda/kick", {"reason": "test"})
            assert (kick["kicked"], set(kick["nodes"].values())) == (True, {"done"})
            assert events(a, "stream.kicked", stream="gerda")

    def test_a_drained_node_gives_its_streams_to_the_others(self, house: House) -> None:
        a, b, c = (house.nodes[name] for name in "abc")
        key = a.issue_key("hilda")
        with publish(b.rtmp_url, key):
            b.wait_until_playable("hilda")
            # At the very node.
            viewer = EdgeViewer(b, "hilda")
            viewer.start()
            wait_until(lambda: viewer.reloads > 2, PATIENCE_S, "reloads")
            assert c.admin("POST", "/api/v1/nodes/b/drain") == {"node": "b", "drained": True}
        with pytest.raises(urllib.error.HTTPError) as caught:
            b.admin_get("/readyz")
        assert caught.value.code == 503
        caught.value.close()
        before = viewer.last_msn
        with publish(a.rtmp_url, key):
            wait_until(lambda: viewer.last_msn > before + 2, PATIENCE_S, "media of the next owner")
            nodes = {node["node"]: node for node in a.admin("GET", "/api/v1/nodes")["nodes"]}
            assert nodes.keys() == {"a", "b", "c"}
            assert nodes["b"]["draining"]
            assert nodes["a"]["is_this"]
            assert viewer.faults == []
            assert not viewer.has_ended
        viewer.stop()

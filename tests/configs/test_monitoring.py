"""What Prometheus and Grafana are given: it loads, and every metric that it names is there."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from streamd.services.live.health import HealthCode
from streamd.services.metrics import LIMITS
from tests.support.server import wait_until
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import LiveServer

CONFIGS = Path(__file__).parents[2] / "configs"
RULES = CONFIGS / "streamd.rules.yml"
DASHBOARD = CONFIGS / "grafana-dashboard.json"
TIMEOUT_S = 60.0


def expressions() -> list[str]:
    """Every PromQL expression of the dashboard, as Grafana sends it."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [expr.replace("$__rate_interval", "1m").replace("$instance", ".*") for expr in found]


def promtool(*arguments: object) -> None:
    require("promtool")
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class TestFiles:
    def test_promtool_accepts_the_rules_and_each_fires_when_it_has_to(self) -> None:
        promtool("check", "rules", RULES)
        promtool("test", "rules", Path(__file__).parent / "streamd.rules.test.yml")

    def test_promtool_accepts_the_configuration(self) -> None:
        promtool("check", "config", "--syntax-only", CONFIGS / "prometheus.yml")

    def test_every_alert_is_tested(self) -> None:
        alerts = re.findall(r"alert: (\w+)", RULES.read_text())
        tests = (Path(__file__).parent / "streamd.rules.test.yml").read_text()
        assert alerts
        for alert in alerts:
            assert f'alertname="{alert}"' in tests

    def test_values_of_labels_are_those_that_the_server_gives(self) -> None:
        text = RULES.read_text()
        for label, known in (("limit", set(LIMITS)), ("code", {code.value for code in HealthCode})):
            named = {value for found in re.findall(rf'[{{ ]{label}=~?"([^"]+)"', text) for value in found.split("|")}
            assert named
            assert named <= known

    def test_panels_lie_beside_each_other_and_have_ids_of_their_own(self) -> None:
        panels = json.loads(DASHBOARD.read_text())["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        taken: set[tuple[int, int]] = set()
        for place in (panel["gridPos"] for panel in panels):
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert max(x for x, _ in cells) < 24
            assert not cells & taken
            taken |= cells


@pytest.mark.integration
class TestRunning:
    def test_every_metric_that_is_named_is_there_and_named_as_it_should_be(self, live_server: LiveServer) -> None:
        text = live_server.admin_get("/metrics")
        there = set()
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
            there |= {name, *(f"{name}_{suffix}" for suffix in ("bucket", "sum", "count") if kind == "histogram")}
        for source in (RULES.read_text(), *expressions()):
            named = set(re.findall(r"\bstreamd_[a-z_]+\b", source))
            assert named <= there
        require("promtool")
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        # The client library's own gauges say when each counter began.
        said = [line for line in (done.stdout + done.stderr).splitlines() if "_created" not in line]
        assert said == []

    def test_prometheus_scrapes_it_and_answers_every_panel(self, live_server: LiveServer, tmp_path: Path) -> None:
        with prometheus(live_server, tmp_path) as query:
            wait_until(lambda: query('up{job="streamd"} == 1'), TIMEOUT_S, "a scrape")
            assert [s["value"][1] for s in query("streamd_streams_live")] == ["0"]
            for expression in expressions():
                query(expression)
            names = set(re.findall(r"alert: (\w+)", RULES.read_text()))
            assert {rule["name"] for group in query.rules()["groups"] for rule in group["rules"]} == names


class Query:
    """Asks a Prometheus over its HTTP API."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def __call__(self, expression: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self._get(f"query?{urllib.parse.urlencode({'query': expression})}")["result"]
        return result

    def rules(self) -> dict[str, Any]:
        return self._get("rules")

    def is_up(self) -> bool:
        try:
            self._get("status/buildinfo")
        except OSError:
            return False
        return True

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self._url}/{path}", timeout=TIMEOUT_S) as response:
            data: dict[str, Any] = json.load(response)["data"]
            return data


@contextlib.contextmanager
def prometheus(server: LiveServer, directory: Path) -> Iterator[Query]:
    """Run Prometheus with the committed files, this server's address and its token."""
    require("prometheus")
    config = (CONFIGS / "prometheus.yml").read_text()
    for theirs, ours in (
        ("127.0.0.1:8081", f"127.0.0.1:{server.admin_port}"),
        ("/etc/prometheus/streamd-token", str(server.data_dir / "admin-token")),
        ("streamd.rules.yml", str(RULES)),
        ("_interval: 15s", "_interval: 1s"),
    ):
        assert theirs in config
        config = config.replace(theirs, ours)
    (directory / "prometheus.yml").write_text(config)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as unused:
        port: int = unused.getsockname()[1]
    options = {
        "config.file": directory / "prometheus.yml",
        "storage.tsdb.path": directory / "tsdb",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    with (directory / "prometheus.log").open("wb") as log:
        command = ["prometheus", *(f"--{name}={value}" for name, value in options.items())]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        query = Query(port)
        wait_until(query.is_up, TIMEOUT_S, "the start of Prometheus")
        yield query
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)

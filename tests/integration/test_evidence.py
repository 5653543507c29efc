"""From a report to evidence on the disk, by a real server: how long it takes, and that it is whole."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.publisher import publish
from tests.support.server import run_server, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import LiveServer

pytestmark = pytest.mark.integration

# The bound of the issue; the server's own measure, for a machine of tests has other things to do.
WHOLE_WITHIN_S = 3.0


def test_a_report_leaves_evidence_within_three_seconds_and_the_public_counts_it(tmp_path: Path) -> None:
    settings = {"moderation__enabled": "true", "moderation__contact_email": "dsa@example.org"}
    with run_server(tmp_path, **settings) as server, publish(server.rtmp_url, server.issue_key("demo")):
        server.wait_until_playable("demo")
        # Some seconds of it, as a viewer has seen when they report.
        time.sleep(6)
        report = {"stream": "demo", "category": "VIOLENCE", "explanation": "A fight.", "good_faith": True}
        request = urllib.request.Request(
            f"{server.http_url}/api/v1/reports", json.dumps(report).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            assert response.status == 202
            server.secrets.add(json.load(response)["status_token"])
        pieces = wait_until(
            lambda: server.admin("GET", "/api/v1/evidence")["evidence"], PATIENCE_S, "a piece of evidence"
        )
        (piece,) = pieces
        assert (piece["channel"], piece["category"], piece["restricted"]) == ("demo", "VIOLENCE", False)
        assert piece["media_s"] >= 4
        assert piece["has_picture"]
        facts = server.admin("GET", f"/api/v1/evidence/{piece['id']}")["facts"]
        took = datetime.fromisoformat(facts["kept_at"]) - datetime.fromisoformat(facts["reported_at"])
        assert took.total_seconds() < WHOLE_WITHIN_S
        folder = server.data_dir / "evidence" / piece["id"]
        done = subprocess.run(
            ["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "The evidence is whole: 1 pieces" in server.command("evidence", "verify")
        reads = server.admin("GET", "/api/v1/audit?action=evidence.read")["entries"]
        assert [row["subject"] for row in reads] == [piece["case_id"]]

        def counted() -> bool:
            status, _, body = server.get("/transparency")
            assert status == 200
            return b"violence" in body

        wait_until(counted, PATIENCE_S, "the report in the public's counts")
        found = json.loads(server.command("transparency"))
        assert found["total"]["reports"]["total"] == 1
        (day,) = found["days"]
        shown = json.loads(server.get(f"/transparency/{day['date']}.json")[2])
        assert shown["reports"] == day["reports"]
        assert b"dsa@example.org" in server.get("/legal")[2]


def test_a_server_without_moderation_has_none_of_it(live_server: LiveServer) -> None:
    for path in ("/transparency", "/transparency.csv", "/legal"):
        assert live_server.get(path)[0] == 404
    assert not (live_server.data_dir / "evidence").exists()

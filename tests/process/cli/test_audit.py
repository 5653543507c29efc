from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest

from streamd.process.account import account_name
from streamd.process.cli import EXIT_FAILED, EXIT_USAGE
from streamd.services.audit.anchor import ANCHOR_NAME
from tests.support.cli import issue, run
from tests.support.live_streams import Streams


class TestAudit:
    @pytest.mark.parametrize("has_server", [True, False])
    def test_the_latest_rows_come_first_and_page_by_page(
        self, data_dir: Path, has_server: bool, request: pytest.FixtureRequest
    ) -> None:
        if has_server:
            request.getfixturevalue("server")
        key = issue(data_dir)
        run("keys", "revoke", key["id"], "--reason", "leaked", data_dir=data_dir)
        first = run("audit", "--limit", "2", data_dir=data_dir)
        # The account, and not the token that every account of the machine has.
        actor = re.escape(f"cli/{account_name({})}")
        assert re.search(rf"^3 .* {actor} .* key\.revoked +alice +{key['id']} .* 1 +leaked", first.stdout, re.MULTILINE)
        assert "user.created" not in first.stdout
        assert "streamd audit --after 2" in first.stderr
        rest = run("audit", "--after", "2", data_dir=data_dir)
        assert re.search(r"^1 .* user\.created", rest.stdout, re.MULTILINE)
        assert "older rows" not in rest.stderr
        page = json.loads(run("audit", "--json", data_dir=data_dir).stdout)
        assert [row["sequence"] for row in page["entries"]] == [3, 2, 1]
        assert page["next_after"] is None
        assert key["stream_key"] not in first.output + rest.output + json.dumps(page)

    def test_an_empty_log_is_said(self, data_dir: Path) -> None:
        issue(data_dir)
        assert "no rows before number 1" in run("audit", "--after", "1", data_dir=data_dir).stderr


class TestVerifying:
    def test_a_whole_log_is_said_to_be_with_what_proves_it_later(self, data_dir: Path) -> None:
        issue(data_dir)
        result = run("audit", "verify", data_dir=data_dir)
        assert result.exit_code == 0, result.output
        assert "The audit log is whole: 2 rows." in result.stdout
        anchor = result.stdout.split("--anchor ")[1].strip()
        issue(data_dir)
        assert run("audit", "verify", "--anchor", anchor, data_dir=data_dir).exit_code == 0
        verdict = json.loads(run("audit", "verify", "--json", data_dir=data_dir).stdout)
        assert (verdict["ok"], verdict["rows"], verdict["faults"]) == (True, 3, [])

    def test_also_while_a_server_runs(self, data_dir: Path, server: Streams) -> None:
        issue(data_dir)
        assert "2 rows" in run("audit", "verify", data_dir=data_dir).stdout

    def test_a_changed_row_is_named_and_fails(self, data_dir: Path) -> None:
        issue(data_dir)
        with sqlite3.connect(data_dir / "streamd.db") as database:
            database.execute("DROP TRIGGER audit_refuses_update")
            database.execute("UPDATE audit SET actor = 'mallory' WHERE sequence = 2")
        result = run("audit", "verify", data_dir=data_dir)
        assert result.exit_code == EXIT_FAILED
        assert result.stdout.strip() == "row 2 does not fit its hash and the row before it"
        assert "1 fault in 2 rows" in result.stderr
        verdict = json.loads(run("audit", "verify", "--json", data_dir=data_dir).stdout)
        assert verdict["ok"] is False

    def test_an_end_that_was_cut_off_with_its_trace_is_found_by_the_file_of_the_server(self, data_dir: Path) -> None:
        issue(data_dir)
        anchor = run("audit", "verify", data_dir=data_dir).stdout.split("--anchor ")[1].strip()
        number, digest = anchor.split(":")
        (data_dir / ANCHOR_NAME).write_text(json.dumps({"sequence": int(number), "hash": digest}))
        with sqlite3.connect(data_dir / "streamd.db") as database:
            database.execute("DROP TRIGGER audit_refuses_delete")
            database.execute("DELETE FROM audit WHERE sequence = 2")
            (last,) = database.execute("SELECT hash FROM audit WHERE sequence = 1").fetchone()
            database.execute("UPDATE audit_chain SET end_sequence = 1, end_hash = ?", (last,))
        result = run("audit", "verify", data_dir=data_dir)
        assert result.exit_code == EXIT_FAILED
        assert result.stdout.strip() == "row 2, which was noted before, is missing"

    @pytest.mark.parametrize("anchor", ["", "2", "2:abc", "x:" + "0" * 64, "-1:" + "0" * 64])
    def test_an_anchor_that_is_none_is_refused(self, data_dir: Path, anchor: str) -> None:
        assert run("audit", "verify", "--anchor", anchor, data_dir=data_dir).exit_code == EXIT_USAGE

    def test_a_log_that_is_not_there_is_said_to_be(self, data_dir: Path) -> None:
        result = run("audit", "verify", data_dir=data_dir)
        assert result.exit_code == EXIT_FAILED
        assert "there is no key store" in result.stderr

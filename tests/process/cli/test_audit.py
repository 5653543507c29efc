from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from streamd.process.account import account_name
from tests.support.cli import issue, run


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

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from streamd.process.cli import EXIT_FAILED, EXIT_NOT_FOUND
from streamd.process.data_dir import TOKEN_NAME
from streamd.services.keys.stream_key import StreamKey
from tests.support.cli import issue, run
from tests.support.live_streams import Streams, summary


class TestKeysOnTheStore:
    """Where no server runs."""

    def test_a_key_is_issued_shown_once_and_listed_without_its_secret(self, data_dir: Path) -> None:
        result = run("keys", "issue", "alice", "--label", "main [b]", data_dir=data_dir)
        assert result.exit_code == 0
        found = re.search(r"sk_\w+", result.stdout)
        assert found is not None
        key = StreamKey.parse(found[0])
        assert key is not None
        assert "rtmp://localhost/live" in result.stdout
        assert f"streamd keys revoke {key.key_id}" in result.stdout
        assert "working on the key store itself" in result.stderr
        listed = run("keys", "list", data_dir=data_dir)
        assert re.search(rf"{key.key_id} +alice +main \[b\] +active", listed.stdout)
        assert key.secret not in listed.output

    @pytest.mark.parametrize(("public_url", "is_said"), [("", True), ("https://live.example.org", False)])
    def test_localhost_is_said_to_be_no_name_for_others(self, data_dir: Path, public_url: str, is_said: bool) -> None:
        environment = {"STREAMD_HTTP__PUBLIC_URL": public_url}
        result = run("keys", "issue", "alice", data_dir=data_dir, env=environment)
        assert ("this machine's name for localhost" in result.stdout) is is_said

    def test_json_is_all_that_stdout_has(self, data_dir: Path) -> None:
        key = issue(data_dir, "alice", "--expires", "30d")
        assert set(key) == {
            *("id", "user", "label", "state", "user_state", "stream_key", "rtmp_url", "rtmp_urls", "created_at"),
            *("expires_at", "replaces", "replaced_works_until", "closed"),
        }
        lifetime = datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"])
        assert abs(lifetime.total_seconds() - 30 * 86_400) < 60
        (listed,) = json.loads(run("keys", "list", "--json", "--user", "alice", data_dir=data_dir).stdout)
        assert (listed["id"], listed["state"], listed["created_by"]) == (key["id"], "active", "cli")
        assert json.loads(run("keys", "list", "--json", "--user", "bob", data_dir=data_dir).stdout) == []

    def test_revoking_by_id_or_by_the_whole_key(self, data_dir: Path) -> None:
        key = issue(data_dir)
        for name in (key["id"], key["stream_key"]):
            result = run("keys", "revoke", name, "--reason", "leaked", data_dir=data_dir)
            assert result.exit_code == 0
            assert f"Key {key['id']} was revoked" in result.stdout
            assert key["stream_key"] not in result.output

    def test_rotating_prints_the_new_key(self, data_dir: Path) -> None:
        key = issue(data_dir)
        result = run("keys", "rotate", key["id"], "--overlap", "10m", "--json", data_dir=data_dir)
        new = json.loads(result.stdout)
        assert new["id"] != key["id"]
        again = run("keys", "rotate", key["id"], data_dir=data_dir)
        assert (again.exit_code, f"already rotated, to {new['id']}" in again.stderr) == (EXIT_FAILED, True)

    def test_no_keys_is_said_and_not_a_failure(self, data_dir: Path) -> None:
        issue(data_dir)
        result = run("keys", "list", "--user", "bob", data_dir=data_dir)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "There are no keys" in result.stderr


class TestKeysOnTheServer:
    def test_it_is_the_server_that_issues(self, server: Streams, data_dir: Path) -> None:
        result = run("keys", "issue", "alice", "--label", "main", data_dir=data_dir)
        assert "rtmp://live.example.org/live" in result.stdout
        assert result.stderr == ""
        assert re.search(r"alice +main +active", run("keys", "list", data_dir=data_dir).stdout)

    def test_revoking_cuts_the_stream(self, server: Streams, data_dir: Path) -> None:
        key = issue(data_dir)
        server.live["alice"] = summary("alice", key["id"])
        result = run("keys", "revoke", key["id"], data_dir=data_dir)
        assert "Stream alice was closed." in result.stdout
        assert server.live == {}
        again = run("keys", "revoke", key["id"], "--json", data_dir=data_dir)
        assert json.loads(again.stdout)["closed"] == ["alice"]

    def test_rotating_and_its_refusals(self, server: Streams, data_dir: Path) -> None:
        key = issue(data_dir)
        assert run("keys", "rotate", key["id"], data_dir=data_dir).exit_code == 0
        again = run("keys", "rotate", key["id"], data_dir=data_dir)
        assert (again.exit_code, "revoked" in again.stderr) == (EXIT_FAILED, True)
        unknown = run("keys", "revoke", "0000000000", data_dir=data_dir)
        assert (unknown.exit_code, "no stream key has id" in unknown.stderr) == (EXIT_NOT_FOUND, True)

    def test_a_wrong_token_is_said_and_the_store_is_left_alone(self, server: Streams, data_dir: Path) -> None:
        (data_dir / TOKEN_NAME).write_text("another-token-another\n")
        result = run("keys", "issue", "alice", data_dir=data_dir)
        assert result.exit_code == EXIT_FAILED
        assert "does not accept this data directory's admin token" in result.stderr

    def test_long_lists_are_fetched_whole(
        self, server: Streams, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("streamd.process.admin_client.PAGE_LIMIT_MAX", 2)
        ids = [issue(data_dir)["id"] for _ in range(5)]
        assert [key["id"] for key in json.loads(run("keys", "list", "--json", data_dir=data_dir).stdout)] == ids

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from streamd.process.account import account_name
from streamd.process.cli import EXIT_FAILED, EXIT_NOT_FOUND, EXIT_USAGE
from streamd.process.data_dir import TOKEN_NAME
from streamd.services.keys.foreign_key import KEYS_MAX
from streamd.services.keys.stream_key import StreamKey
from tests.support.certificates import ONE
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
        assert (listed["id"], listed["state"], listed["created_by"]) == (key["id"], "active", f"cli/{account_name({})}")
        assert json.loads(run("keys", "list", "--json", "--user", "bob", data_dir=data_dir).stdout) == []

    def test_revoking_by_id_or_by_the_whole_key(self, data_dir: Path) -> None:
        key = issue(data_dir)
        for name in (key["id"], key["stream_key"]):
            result = run("keys", "revoke", name, "--reason", "leaked", data_dir=data_dir)
            assert result.exit_code == 0
            assert f"Key {key['id']} was revoked" in result.stdout
            assert key["stream_key"] not in result.output

    def test_deleting_asks_first_and_leaves_no_key(self, data_dir: Path) -> None:
        key = issue(data_dir)
        assert run("keys", "delete", key["id"], data_dir=data_dir, stdin="n\n").exit_code != 0
        assert json.loads(run("keys", "list", "--json", data_dir=data_dir).stdout)
        result = run("keys", "delete", key["id"], "--yes", "--reason", "asked", data_dir=data_dir)
        assert (result.exit_code, result.stdout) == (0, f"Key {key['id']} is deleted.\n")
        assert json.loads(run("keys", "list", "--json", data_dir=data_dir).stdout) == []
        assert run("keys", "delete", key["id"], "--yes", data_dir=data_dir).exit_code == EXIT_NOT_FOUND

    def test_rotating_prints_the_new_key(self, data_dir: Path) -> None:
        key = issue(data_dir)
        result = run("keys", "rotate", key["id"], "--overlap", "10m", "--json", data_dir=data_dir)
        new = json.loads(result.stdout)
        assert new["id"] != key["id"]
        again = run("keys", "rotate", key["id"], data_dir=data_dir)
        assert (again.exit_code, f"already rotated, to {new['id']}" in again.stderr) == (EXIT_FAILED, True)

    def test_revoking_again_with_another_reason_says_which_stays(self, data_dir: Path) -> None:
        key = issue(data_dir)
        once = run("keys", "revoke", key["id"], "--reason", "leaked", data_dir=data_dir)
        assert re.match(rf"Key {key['id']} was revoked at \S+ \S+\.\n$", once.stdout)
        again = run("keys", "revoke", key["id"], "--reason", "by mistake", data_dir=data_dir)
        assert (again.exit_code, "was revoked before, at" in again.stdout) == (0, True)
        assert 'given then stays in the audit log: "leaked".' in again.stdout

    @pytest.mark.parametrize("has_server", [True, False])
    def test_a_long_label_and_a_long_reason_are_said_in_words(
        self, data_dir: Path, has_server: bool, request: pytest.FixtureRequest
    ) -> None:
        if has_server:
            request.getfixturevalue("server")
        key = issue(data_dir)
        long = run("keys", "issue", "alice", "--label", "x" * 120, data_dir=data_dir)
        assert (long.exit_code, "label has 120 characters, 100 are allowed" in long.stderr) == (EXIT_USAGE, True)
        reason = run("keys", "revoke", key["id"], "--reason", "x" * 501, data_dir=data_dir)
        assert (reason.exit_code, "reason has 501 characters, 500 are allowed" in reason.stderr) == (EXIT_USAGE, True)

    def test_rotating_says_what_became_of_the_old_key(self, data_dir: Path) -> None:
        key = issue(data_dir)
        kept = run("keys", "rotate", key["id"], "--overlap", "10m", data_dir=data_dir)
        assert re.search(rf"The old key {key['id']} works until \d{{4}}-\S+ \S+Z\.", kept.stdout)
        other = issue(data_dir)
        dead = run("keys", "rotate", other["id"], data_dir=data_dir)
        assert f"The old key {other['id']} is dead." in dead.stdout

    @pytest.mark.parametrize("has_server", [True, False])
    def test_a_key_for_a_suspended_user_says_so(
        self, data_dir: Path, has_server: bool, request: pytest.FixtureRequest
    ) -> None:
        if has_server:
            request.getfixturevalue("server")
        assert "alice is suspended" not in run("keys", "issue", "alice", data_dir=data_dir).output
        run("users", "suspend", "alice", data_dir=data_dir)
        result = run("keys", "issue", "alice", data_dir=data_dir)
        assert (result.exit_code, "alice is suspended: the key opens no stream until" in result.stderr) == (0, True)

    def test_every_way_in_is_shown(self, data_dir: Path, tmp_path: Path) -> None:
        (tmp_path / "pem").write_text(ONE.cert + ONE.key)
        tls = {"TLS_LISTEN": ":443", "TLS_CERT": str(tmp_path / "pem"), "TLS_KEY": str(tmp_path / "pem")}
        env = {f"STREAMD_RTMP__{key}": value for key, value in tls.items()}
        env["STREAMD_HTTP__PUBLIC_URL"] = "https://live.example.org"
        shown = run("keys", "issue", "alice", data_dir=data_dir, env=env).stdout
        assert "  Server      rtmps://live.example.org/live\n  or          rtmp://live.example.org/live\n" in shown
        asked = run("obs-config", "alice", data_dir=data_dir, env=env).stderr
        assert "rtmps://live.example.org/live, or rtmp://live.example.org/live" in asked

    def test_no_keys_is_said_and_not_a_failure(self, data_dir: Path) -> None:
        issue(data_dir)
        result = run("keys", "list", "--user", "bob", data_dir=data_dir)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "There are no keys" in result.stderr


SECRET = "Xk29sQm4Tz81LdRw"
OTHER = "Yk29sQm4Tz81LdRv"


class TestImport:
    """Keys from elsewhere, on the store and on a server alike."""

    @pytest.fixture(params=["store", "server"], autouse=True)
    def _desk(self, request: pytest.FixtureRequest) -> None:
        if request.param == "server":
            request.getfixturevalue("server")

    def test_a_file_is_imported_and_importing_again_changes_nothing(self, data_dir: Path, tmp_path: Path) -> None:
        file = tmp_path / "keys.csv"
        file.write_text(f"user,secret,label,expires\nalice,{SECRET},studio,2099-01-31\nbob,{OTHER},,\n")
        first, again = [run("keys", "import", str(file), data_dir=data_dir) for _ in range(2)]
        assert first.stdout == "2 keys were imported, for 2 users in the file.\n"
        assert "0 keys were imported" in again.stdout
        assert "2 keys here before, and unchanged." in again.stdout
        listed = json.loads(run("keys", "list", "--json", data_dir=data_dir).stdout)
        assert [(key["user"], key["label"], key["expires_at"]) for key in listed] == [
            ("alice", "studio", "2099-01-31T00:00:00Z"),
            ("bob", "", None),
        ]
        assert SECRET not in first.output + again.output

    def test_standard_input_and_hashes(self, data_dir: Path) -> None:
        digest = hashlib.sha256(SECRET.encode()).hexdigest()
        line = json.dumps({"user": "alice", "secret_sha256": digest})
        result = run("keys", "import", "-", "--json", data_dir=data_dir, stdin=line)
        assert result.exit_code == 0, result.output
        answer = json.loads(result.stdout)
        assert (answer["imported"], answer["known"], answer["keys"][0]["outcome"]) == (1, 0, "imported")
        known = json.loads(run("keys", "import", "-", "--json", data_dir=data_dir, stdin=f"alice,{SECRET}").stdout)
        assert known["keys"] == [{"id": answer["keys"][0]["id"], "user": "alice", "outcome": "known"}]

    def test_every_fault_names_its_line_and_nothing_is_imported(self, data_dir: Path) -> None:
        text = f"alice,{SECRET}\nBob,{OTHER}\ncarol,hunter2\n"
        result = run("keys", "import", "-", data_dir=data_dir, stdin=text)
        assert result.exit_code == EXIT_USAGE
        assert re.search(r"^streamd: line 2: a user name is", result.stderr, re.MULTILINE)
        assert re.search(r"^streamd: line 3: the secret is too short", result.stderr, re.MULTILINE)
        assert result.stderr.endswith("streamd: nothing was imported\n")
        assert not re.search(rf"{SECRET}|{OTHER}|hunter2", result.output)
        assert json.loads(run("keys", "list", "--json", data_dir=data_dir).stdout) == []

    def test_what_only_the_store_knows_is_found_before_anything_is_written(self, data_dir: Path) -> None:
        """More keys than fit into one call, the last of which belongs to another user."""
        run("keys", "import", "-", data_dir=data_dir, stdin=f"alice,{SECRET}")
        lines = [f"user{number},{OTHER}{number}" for number in range(KEYS_MAX)] + [f"bob,{SECRET}"]
        result = run("keys", "import", "-", data_dir=data_dir, stdin="\n".join(lines))
        assert result.exit_code == EXIT_USAGE
        assert f"line {KEYS_MAX + 1}: the secret is that of key" in result.stderr
        assert len(json.loads(run("keys", "list", "--json", data_dir=data_dir).stdout)) == 1

    def test_a_file_of_many_keys_is_imported_whole(self, data_dir: Path) -> None:
        lines = [f"user{number},{OTHER}{number}" for number in range(KEYS_MAX + 1)]
        result = run("keys", "import", "-", data_dir=data_dir, stdin="\n".join(lines))
        assert result.stdout == f"{KEYS_MAX + 1} keys were imported, for {KEYS_MAX + 1} users in the file.\n"

    def test_a_weak_secret_is_taken_where_it_is_said(self, data_dir: Path) -> None:
        result = run("keys", "import", "-", "--allow-weak", data_dir=data_dir, stdin="alice,hunter2")
        assert (result.exit_code, "hunter2" in result.output) == (0, False)

    def test_a_check_changes_nothing(self, data_dir: Path) -> None:
        there = issue(data_dir, "bob")
        result = run("keys", "import", "-", "--check", data_dir=data_dir, stdin=f"alice,{SECRET}")
        assert result.stdout == "1 key would be imported, for 1 user in the file.\n"
        listed = json.loads(run("keys", "list", "--json", data_dir=data_dir).stdout)
        assert [key["id"] for key in listed] == [there["id"]]


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
        monkeypatch.setattr("streamd.process.remote_keys.PAGE_LIMIT_MAX", 2)
        ids = [issue(data_dir)["id"] for _ in range(5)]
        assert [key["id"] for key in json.loads(run("keys", "list", "--json", data_dir=data_dir).stdout)] == ids

"""``streamd takedown`` and ``streamd blocks``, over the admin API of a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamd.process.cli import EXIT_NOT_FOUND, EXIT_USAGE
from tests.support.cli import run
from tests.support.live_streams import Streams, summary


class TestTakedown:
    def test_something_is_taken_down_and_shown_again(self, server: Streams, data_dir: Path) -> None:
        server.live["anna"] = summary("anna")
        done = run("takedown", "anna", "--ground", "StGB 131", "--reason", "It hurts somebody.", data_dir=data_dir)
        assert done.exit_code == 0, done.stderr
        assert "Stream anna was closed." in done.stdout
        assert server.live == {}
        (takedown,) = json.loads(run("takedown", "--list", "--json", data_dir=data_dir).stdout)
        assert takedown["statement"]["illegal_content_legal_ground"] == "StGB 131"
        assert takedown["statement"]["decision_facts"] == "It hurts somebody."
        again = run("takedown", takedown["id"], "--restore", "--reason", "an error", data_dir=data_dir)
        assert "channel anna is shown again." in again.stdout
        assert run("takedown", takedown["id"], "--restore", data_dir=data_dir).exit_code != 0
        assert "Nothing is taken down." in run("takedown", "--list", data_dir=data_dir).stderr

    @pytest.mark.parametrize("ground", ["illegal", "rules", "ILLEGAL_CONTENT", "Rule 4 of ours"])
    def test_a_ground_in_one_word_or_as_the_law(self, server: Streams, data_dir: Path, ground: str) -> None:
        said = run("takedown", "anna", "--ground", ground, "--reason", "Seen.", "--json", data_dir=data_dir)
        statement = json.loads(said.stdout)["statement"]
        is_rule = ground == "rules"
        assert statement["decision_ground"].endswith("INCOMPATIBLE_CONTENT" if is_rule else "ILLEGAL_CONTENT")
        assert server.live == {}

    def test_it_has_a_last_day_or_some_countries(self, server: Streams, data_dir: Path) -> None:
        law = ("--ground", "illegal", "--reason", "Seen.")
        run("takedown", "anna", *law, "--until", "2099-12-31", data_dir=data_dir)
        (takedown,) = json.loads(run("takedown", "--list", "--json", data_dir=data_dir).stdout)
        assert takedown["statement"]["end_date_visibility_restriction"] == "2099-12-31"
        past = run("takedown", "bert", *law, "--until", "2020-01-01", data_dir=data_dir)
        assert "it ends before it begins" in past.stderr
        server.live["bert"] = summary("bert")
        there = run("takedown", "bert", *law, "--country", "DE", "--country", "fr", data_dir=data_dir)
        assert "channel bert is dark in DE, FR" in there.stdout
        assert run("takedown", "bert", *law, "--country", "XX", data_dir=data_dir).exit_code != 0
        assert [*server.live] == ["bert"]

    def test_what_it_cannot_do_is_said(self, server: Streams, data_dir: Path) -> None:
        assert run("takedown", "anna", data_dir=data_dir).exit_code == EXIT_USAGE
        assert run("takedown", data_dir=data_dir).exit_code == EXIT_USAGE
        law = ("--ground", "illegal", "--reason", "Seen.")
        elsewhere = run("takedown", "https://elsewhere.example/watch/anna", *law, data_dir=data_dir)
        assert "another site" in elsewhere.stderr
        gone = run("takedown", "rec_01j00000000000000000000000", *law, data_dir=data_dir)
        assert gone.exit_code == EXIT_NOT_FOUND
        assert server.live == {}


class TestBlocks:
    def test_they_are_added_listed_and_removed(self, server: Streams, data_dir: Path) -> None:
        server.live["anna"] = summary("anna")
        added = run("blocks", "add", "channel", "anna", "--for", "30d", "--reason", "a farm", data_dir=data_dir)
        assert "Stream anna was closed." in added.stdout
        (block,) = json.loads(run("blocks", "list", "--json", data_dir=data_dir).stdout)
        assert (block["value"], block["reason"]) == ("anna", "a farm")
        assert block["until"] is not None
        assert run("blocks", "remove", block["id"], data_dir=data_dir).exit_code == 0
        assert run("blocks", "remove", block["id"], data_dir=data_dir).exit_code == EXIT_NOT_FOUND
        assert "Nothing is blocked." in run("blocks", "list", data_dir=data_dir).stderr

    def test_the_whole_world_is_asked_about(self, server: Streams, data_dir: Path) -> None:
        refused = run("blocks", "add", "network", "0.0.0.0/0", data_dir=data_dir)
        assert refused.exit_code != 0
        assert "--yes-all" in refused.stderr
        assert run("blocks", "add", "network", "0.0.0.0/0", "--yes-all", data_dir=data_dir).exit_code == 0
        assert server.live == {}

    def test_a_list_is_looked_at_then_taken(self, server: Streams, data_dir: Path, tmp_path: Path) -> None:
        server.live["anna"] = summary("anna")
        path = tmp_path / "names.jsonl"
        path.write_text('{"value": "anna"}\n{"value": "bert"}\n')
        looked = run("blocks", "import", str(path), "--dry-run", data_dir=data_dir)
        assert looked.stdout == "2 would be blocked, 0 are already; 1 of them are live.\n"
        assert [*server.live] == ["anna"]
        taken = run("blocks", "import", str(path), data_dir=data_dir)
        assert taken.stdout == "2 are blocked, 0 were already; 1 streams were closed.\n"
        assert server.live == {}
        path.write_text("carl\nB ad\n")
        for arguments in (("--dry-run",), ()):
            faulty = run("blocks", "import", str(path), *arguments, data_dir=data_dir)
            assert faulty.exit_code != 0
            assert "line 2" in faulty.stderr
        assert "carl" not in run("blocks", "list", data_dir=data_dir).stdout

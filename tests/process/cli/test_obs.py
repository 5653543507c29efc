from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamd.process.cli import EXIT_FAILED, EXIT_USAGE
from tests.support.cli import issue, run
from tests.support.go_live import read_go_live_config


class TestObsConfig:
    def test_obs_reads_what_is_printed_and_no_key_is_in_it(self, data_dir: Path) -> None:
        key = issue(data_dir, "alice")
        result = run("obs-config", "alice", data_dir=data_dir)
        assert result.exit_code == 0
        document = json.loads(result.stdout)
        read_go_live_config(document)
        assert [each["height"] for each in document["encoder_configurations"]] == [1080, 720, 480]
        # OBS writes what is pasted to its log.
        assert key["stream_key"] not in result.output
        assert f"Server                  {key['rtmp_url']}" in result.stderr
        assert "has no key" not in result.stderr

    def test_the_canvas_may_be_another(self, data_dir: Path) -> None:
        result = run("obs-config", "alice", "--canvas", "720x1280", data_dir=data_dir)
        sizes = [(each["width"], each["height"]) for each in json.loads(result.stdout)["encoder_configurations"]]
        assert sizes == [(720, 1280), (480, 854)]
        assert run("obs-config", "alice", "--canvas", "big", data_dir=data_dir).exit_code == EXIT_USAGE

    @pytest.mark.parametrize("has_server", [True, False])
    def test_what_the_user_may_not_send_is_left_out(
        self, data_dir: Path, has_server: bool, request: pytest.FixtureRequest
    ) -> None:
        if has_server:
            request.getfixturevalue("server")
        issue(data_dir, "alice")
        run("users", "limit", "alice", "--bitrate-kbps-max", "5300", data_dir=data_dir)
        result = run("obs-config", "alice", data_dir=data_dir)
        assert [each["height"] for each in json.loads(result.stdout)["encoder_configurations"]] == [720, 480]
        assert "left out, for it is more than alice may send: 1920x1080 at 6000 kb/s" in result.stderr
        run("users", "limit", "alice", "--bitrate-kbps-max", "800", data_dir=data_dir)
        result = run("obs-config", "alice", data_dir=data_dir)
        assert (result.exit_code, result.stdout) == (EXIT_FAILED, "")
        assert "no rung of obs.ladder is within what alice may send, 800 kb/s with the sound" in result.stderr

    def test_what_everybody_may_send_holds_for_who_is_not_there_yet(self, data_dir: Path) -> None:
        result = run("obs-config", "nobody", data_dir=data_dir, env={"STREAMD_LIMITS__BITRATE_KBPS_MAX": "5300"})
        assert [each["height"] for each in json.loads(result.stdout)["encoder_configurations"]] == [720, 480]

    def test_who_has_no_key_is_told_to_get_one(self, data_dir: Path) -> None:
        result = run("obs-config", "nobody", data_dir=data_dir)
        assert "streamd keys issue nobody" in result.stderr

    def test_without_a_ladder_there_is_nothing_to_print(self, data_dir: Path) -> None:
        result = run("obs-config", "alice", data_dir=data_dir, env={"STREAMD_OBS__LADDER": ""})
        assert (result.exit_code, result.stdout) == (EXIT_FAILED, "")
        assert "obs.ladder is empty" in result.stderr

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from streamd.process.cli import EXIT_USAGE
from streamd.process.config import Config
from tests.support.cli import run


class TestServeAndDemo:
    def test_serve_runs_the_server_with_the_configuration_and_its_exit_code(
        self, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Config] = []
        is_final_seen: list[bool] = []

        def fake_run(config: Config, read_again: Callable[[], Config], *, is_final: bool) -> int:
            seen.extend((config, read_again()))
            is_final_seen.append(is_final)
            return 7

        monkeypatch.setattr("streamd.process.run.run", fake_run)
        assert run("serve", data_dir=data_dir).exit_code == 7
        assert [config.data_dir for config in seen] == [data_dir, data_dir], "and what SIGHUP reads"
        assert run("serve", "--final", data_dir=data_dir).exit_code == 7
        assert is_final_seen == [False, True]

    def test_a_faulty_configuration_starts_nothing(self, data_dir: Path) -> None:
        result = run("serve", data_dir=data_dir, env={"STREAMD_RTMP__LISTEN": "x"})
        assert (result.exit_code, "STREAMD_RTMP__LISTEN: rtmp.listen" in result.stderr) == (EXIT_USAGE, True)

    def test_demo_is_given_its_options(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[float | None, bool]] = []

        def fake_demo(duration_s: float | None, *, open_browser: bool) -> int:
            seen.append((duration_s, open_browser))
            return 0

        monkeypatch.setattr("streamd.process.demo.run_demo", fake_demo)
        assert run("demo").exit_code == 0
        assert run("demo", "--duration", "5", "--no-browser").exit_code == 0
        assert seen == [(None, True), (5.0, False)]

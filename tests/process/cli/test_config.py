from __future__ import annotations

from pathlib import Path

from streamd.process.cli import EXIT_USAGE
from tests.support.cli import run


class TestConfig:
    def test_check_tells_every_fault_with_its_place(self, tmp_path: Path) -> None:
        file = tmp_path / "bad.toml"
        file.write_text('[rtmp]\nlisten = "1935"\n[hls]\nlow_latency = 1\n')
        result = run("config", "check", str(file))
        assert result.exit_code == EXIT_USAGE
        assert [line.partition(" rtmp")[0].partition(" hls")[0] for line in result.stderr.splitlines()] == [
            f"streamd: {file}:2:",
            f"streamd: {file}:4:",
        ]

    def test_check_says_so_where_all_is_well(self, tmp_path: Path) -> None:
        file = tmp_path / "good.toml"
        file.write_text("[hls]\nlow_latency = false\n")
        assert run("config", "check", str(file)).output == f"{file}: no faults\n"

    def test_show_masks_secrets(self, data_dir: Path) -> None:
        env = {"STREAMD_ADMIN__TOKEN": "t0ken-t0ken-t0ken-t0ken", "STREAMD_HLS__PART_TARGET_MS": "333"}
        result = run("config", "show", data_dir=data_dir, env=env)
        assert result.exit_code == 0
        assert "part_target_ms = 333" in result.stdout
        assert f'data_dir = "{data_dir}"' in result.stdout
        assert "t0ken" not in result.output

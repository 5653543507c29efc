from __future__ import annotations

import sys
from pathlib import Path

import pytest

from streamd.process.cli import EXIT_USAGE, config_files
from streamd.process.cli.config_files import FILES, text_of
from streamd.process.config import default_config_text, load_config
from tests.support.cli import run

CONFIGS = Path(__file__).parents[3] / "configs"
# Files that build from the source tree are of no use beside a wheel.
OF_THE_SOURCE_TREE = {"Containerfile", "compose.yaml"}


class TestWhatThereIs:
    def test_is_every_file_of_configs_that_needs_no_source_tree(self) -> None:
        assert {path.name for path in CONFIGS.iterdir()} - OF_THE_SOURCE_TREE == set(FILES)

    @pytest.mark.parametrize("name", FILES)
    def test_is_written_as_it_is_in_the_repository(self, name: str) -> None:
        text = (CONFIGS / name).read_text("utf-8")
        program = Path(sys.prefix) / "bin" / "streamd"
        assert text_of(name) == (text.replace("/opt/streamd/bin/streamd", str(program)) if program.exists() else text)

    def test_is_listed(self, tmp_path: Path) -> None:
        result = run("config", "init", "--list", "--directory", str(tmp_path))
        assert result.exit_code == 0
        assert all(name in result.stdout for name in FILES)
        assert list(tmp_path.iterdir()) == []


class TestWriting:
    def test_without_a_name_the_configuration_is_written(self, tmp_path: Path) -> None:
        result = run("config", "init", "--directory", str(tmp_path / "etc"))
        assert result.exit_code == 0
        file = tmp_path / "etc/streamd.toml"
        assert file.read_text("utf-8") == default_config_text()
        assert f"wrote {file}" in result.stdout
        assert f"streamd config check {file}" in result.stderr

    def test_those_that_are_named_are_written_once_each(self, tmp_path: Path) -> None:
        result = run("config", "init", "nginx.conf", "streamd.service", "nginx.conf", "--directory", str(tmp_path))
        assert result.exit_code == 0
        assert {path.name for path in tmp_path.iterdir()} == {"nginx.conf", "streamd.service"}

    @pytest.mark.parametrize("directory", ["/var/lib/streamd", 'C:\\a "b"', "/srv/überall"])
    def test_the_data_directory_is_what_was_said(self, tmp_path: Path, directory: str) -> None:
        assert run("config", "init", "--directory", str(tmp_path), "--data-dir", directory).exit_code == 0
        config = load_config(tmp_path / "streamd.toml", environ={})
        assert config.data_dir == tmp_path / directory

    def test_a_file_that_is_there_is_left_and_nothing_is_written(self, tmp_path: Path) -> None:
        (tmp_path / "streamd.toml").write_text("# mine\n", "utf-8")
        result = run("config", "init", "nginx.conf", "streamd.toml", "--directory", str(tmp_path))
        assert result.exit_code == EXIT_USAGE
        assert f"{tmp_path / 'streamd.toml'} is there already; nothing was written" in result.stderr
        assert (tmp_path / "streamd.toml").read_text("utf-8") == "# mine\n"
        assert [path.name for path in tmp_path.iterdir()] == ["streamd.toml"]

    def test_a_directory_that_cannot_be_made_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("", "utf-8")
        result = run("config", "init", "--directory", str(tmp_path / "file/etc"))
        assert result.exit_code == EXIT_USAGE
        assert result.stderr.startswith("streamd: ")
        assert len(result.stderr.splitlines()) == 1

    @pytest.mark.parametrize(
        "arguments", [["--data-dir", "/d", "nginx.conf"], ["passwd"]], ids=["nowhere to put it", "unknown"]
    )
    def test_what_makes_no_sense_is_refused(self, tmp_path: Path, arguments: list[str]) -> None:
        assert run("config", "init", *arguments, "--directory", str(tmp_path)).exit_code == EXIT_USAGE
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(("home", "is_said"), [("/home/alice/venv", True), ("/opt/streamd", False)])
    def test_a_unit_for_a_program_in_a_home_directory_says_that_it_cannot_work(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str, is_said: bool
    ) -> None:
        monkeypatch.setattr(config_files, "this_program", lambda: Path(home) / "bin/streamd")
        result = run("config", "init", "streamd.service", "--directory", str(tmp_path))
        assert ("ProtectHome" in result.stderr) == is_said
        assert f"ExecStart={home}/bin/streamd serve" in (tmp_path / "streamd.service").read_text("utf-8")

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.process.config import (
    ListenAddress,
    find_config,
    load_config,
)
from tests.support.config import faults
from tests.support.receiver import SECRET


class TestSources:
    def test_the_environment_beats_the_file_and_the_command_line_beats_both(self, file: Path) -> None:
        file.write_text('[server]\ndata_dir = "a"\n[hls]\npart_target_ms = 300\nlow_latency = true\n')
        environ = {"STREAMD_HLS__LOW_LATENCY": "false", "STREAMD_SERVER__DATA_DIR": "/b"}
        config = load_config(file, environ=environ)
        assert (config.hls.part_target_ms, config.hls.low_latency) == (300, False)
        assert config.data_dir == Path("/b")
        assert load_config(file, environ=environ, data_dir=Path("/c")).data_dir == Path("/c")

    def test_paths_in_the_file_start_at_the_file(self, file: Path) -> None:
        file.write_text('[server]\ndata_dir = "state"\n')
        assert load_config(file, environ={}).data_dir == file.parent / "state"

    def test_home_is_expanded(self, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
        monkeypatch.setenv("HOME", "/home/ann")
        assert load_config(None, environ={}).data_dir == Path("/home/ann/.local/share/streamd")

    @pytest.mark.parametrize(
        ("variable", "text", "value"),
        [
            ("LIVE__RECONNECT_WINDOW_S", "12.5", 12.5),
            ("LIMITS__STREAMS_MAX", " 7 ", 7),
            ("HLS__LOW_LATENCY", "0", False),
            ("ADMIN__HOSTS", "a.example, b.example", ["a.example", "b.example"]),
            ("RTMP__LISTEN", "[::1]:1936", ListenAddress("::1", 1936)),
            ("ADMIN__LISTEN", "", None),
            ("LOG__LEVEL", "debug", "debug"),
        ],
    )
    def test_every_type_can_be_given_in_the_environment(self, variable: str, text: str, value: object) -> None:
        config = load_config(None, environ={f"STREAMD_{variable}": text})
        section, key = variable.lower().split("__")
        assert getattr(getattr(config, section), key) == value

    def test_a_list_of_tables_is_json_in_the_environment(self) -> None:
        text = f'[{{"url": "https://a.example/", "secret": "{SECRET}", "events": ["stream.started"]}}]'
        (endpoint,) = load_config(None, environ={"STREAMD_WEBHOOKS__ENDPOINTS": text}).webhooks.endpoints
        assert (endpoint.origin, endpoint.events) == ("https://a.example", ["stream.started"])
        assert len(faults(STREAMD_WEBHOOKS__ENDPOINTS="https://a.example/")) == 1

    def test_variables_of_others_are_left_alone(self) -> None:
        load_config(None, environ={"STREAMD_PORT": "tcp://10.0.0.1:80", "STREAMDX__Y": "1", "PATH": "/bin"})

    def test_the_file_is_named_or_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert find_config({"STREAMD_CONFIG": "/x.toml"}) == Path("/x.toml")
        Path("streamd.toml").touch()
        assert find_config({}) == Path("streamd.toml")

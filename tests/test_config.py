from __future__ import annotations

import contextlib
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.config import (
    MASK,
    Config,
    HttpConfig,
    ListenAddress,
    RtmpConfig,
    config_text,
    default_config_text,
    find_config,
    load_config,
    secrets_of,
)
from streamd.errors import ConfigError

REPOSITORY = Path(__file__).parents[1]


def faults(path: Path | None = None, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ=environ)
    return caught.value.faults


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "streamd.toml"


class TestListenAddress:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            (":1935", "", 1935),
            ("127.0.0.1:8081", "127.0.0.1", 8081),
            ("localhost:0", "localhost", 0),
            ("[::1]:443", "::1", 443),
            ("live.example.org:65535", "live.example.org", 65535),
        ],
    )
    def test_it_is_read_and_written(self, text: str, host: str, port: int) -> None:
        address = ListenAddress.parse(text)
        assert address == ListenAddress(host, port)
        assert str(address) == text

    @pytest.mark.parametrize(
        "text", ["", "1935", ":", ":65536", "::1:80", "[::1]", "h:80/x", "http://h:80", "h h:80", ":-1"]
    )
    def test_what_is_not_one_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="write host:port"):
            ListenAddress.parse(text)

    @given(st.text())
    def test_any_text_is_an_address_or_refused(self, text: str) -> None:
        try:
            address = ListenAddress.parse(text)
        except ValueError:
            return
        assert ListenAddress.parse(str(address)) == address


class TestDefaults:
    def test_the_shipped_file_is_what_the_program_would_write(self) -> None:
        assert (REPOSITORY / "configs" / "streamd.toml").read_text() == default_config_text()

    def test_the_shipped_file_has_every_key_at_its_default(self) -> None:
        tables = tomllib.loads(default_config_text())
        assert {section: set(table) for section, table in tables.items()} == {
            section: set(type(getattr(Config(), section)).model_fields) for section in Config.model_fields
        }
        assert Config.model_validate(tables) == Config()

    def test_every_key_is_explained(self) -> None:
        for section in Config.model_fields:
            for key, field in type(getattr(Config(), section)).model_fields.items():
                assert field.description, f"{section}.{key}"

    def test_every_number_has_its_unit_in_its_name(self) -> None:
        for section in Config.model_fields:
            for key, field in type(getattr(Config(), section)).model_fields.items():
                if field.annotation in (int, float):
                    assert re.search(r"_(ms|s|max|segments)$", key), key

    def test_the_contracts_defaults_hold(self) -> None:
        config = load_config(None, environ={"HOME": "/nonexistent"})
        assert (str(config.rtmp.listen), str(config.http.listen), str(config.admin.listen)) == (
            ":1935", ":8080", "127.0.0.1:8081",
        )  # fmt: skip
        assert (config.hls.part_target_ms, config.hls.segment_target_ms, config.hls.window_segments) == (500, 2000, 7)
        assert (config.hls.low_latency, config.live.reconnect_window_s) == (True, 30)
        assert config.database_url == f"sqlite+aiosqlite:///{config.data_dir}/streamd.db"
        assert config.data_dir.is_absolute()


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

    def test_variables_of_others_are_left_alone(self) -> None:
        load_config(None, environ={"STREAMD_PORT": "tcp://10.0.0.1:80", "STREAMDX__Y": "1", "PATH": "/bin"})

    def test_the_file_is_named_or_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert find_config({"STREAMD_CONFIG": "/x.toml"}) == Path("/x.toml")
        Path("streamd.toml").touch()
        assert find_config({}) == Path("streamd.toml")


class TestFaults:
    def test_all_are_told_at_once_each_with_its_line_and_what_to_write(self, file: Path) -> None:
        file.write_text(
            """\
            stray = 1
            [rtmp]
            lisen = ":1935"
            listen = "1935"
            [hls]
            part_target_ms = 5          # too short
            low_latency = "yes"
            [limits]
            streams_max = 2.5
            [nope]
            x = 1
            """
        )
        assert [fault.replace(str(file), "F") for fault in faults(file, STREAMD_LOG__LEVEL="loud")] == [
            "F:1: stray is unknown: write one of server, rtmp, http, admin, hls, live, keys, log, limits",
            "F:3: rtmp.lisen is unknown: did you mean listen?",
            "F:10: [nope] is unknown: write one of server, rtmp, http, admin, hls, live, keys, log, limits",
            'F:4: rtmp.listen = "1935": write host:port, for example "127.0.0.1:8080", or ":8080" for all interfaces',
            "F:6: hls.part_target_ms = 5: write 100 or more",
            'F:7: hls.low_latency = "yes": write true or false',
            "STREAMD_LOG__LEVEL: log.level = \"loud\": write one of 'debug', 'info', 'warning' or 'error'",
            "F:9: limits.streams_max = 2.5: write a whole number",
        ]

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("hls.window_segments = 1", 1),
            ("hls = { window_segments = 1 }", 1),
            ("\n[ hls ]\n'window_segments' = 1", 3),
            ('# [hls]\n[rtmp]\nlisten = ":1"\n[hls]\n"window_segments"=1', 5),
        ],
    )
    def test_a_key_is_found_however_it_is_written(self, file: Path, text: str, line: int) -> None:
        file.write_text(text)
        assert faults(file) == [f"{file}:{line}: hls.window_segments = 1: write 4 or more"]

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("[hls\n", r":1: is not TOML"),
            ("a = 1\na = 2\n", r"is not TOML"),
            ("hls = 5\n", r":1: hls is a table: write \[hls\]"),
            ('[http]\nlisten = ""\n', r":2: http.listen = \"\": write host:port"),
            ('[rtmp]\nlisten = ""\n', r":2: rtmp.listen = \"\": write an address here or in rtmp.tls_listen"),
            ('[rtmp]\ntls_listen = ":443"\ntls_cert = "no.pem"\n', r":3: rtmp.tls_cert = .*: there is no such file"),
            ('[http]\ntls_key = "no.pem"\n', r"http.tls_cert: write the path of a PEM file"),
            ('[http]\nlisten = "127.0.0.1:1935"\n', r":2: http.listen = .*: port 1935 is taken by rtmp.listen"),
            ('[http]\npublic_url = "live.example.org"\n', r":2: http.public_url = .*: write the address that viewers"),
            ("[limits]\nheld_bytes_max = 70000\n", r":2: limits.held_bytes_max = 70000: write at least"),
            (
                "[hls]\npart_target_ms = 2000\nsegment_target_ms = 1000\n",
                r":2: hls.part_target_ms = 2000: write at most",
            ),
            ("[live]\nreconnect_window_s = inf\n", r":2: live.reconnect_window_s = Infinity: write a finite number"),
            ('[server]\ndata_dir = ""\n', r":2: server.data_dir = \"\": write something"),
            ("[server]\ndata_dir = 7\n", r":2: server.data_dir = 7: write text in quotes"),
            ('[admin]\nhosts = "x"\n', r":2: admin.hosts = \"x\": write a list"),
        ],
    )
    def test_each_says_what_to_write(self, file: Path, text: str, fault: str) -> None:
        file.write_text(text)
        assert any(re.search(fault, found) for found in faults(file))

    def test_a_fault_does_not_hide_a_contradiction_elsewhere(self, file: Path) -> None:
        file.write_text('[rtmp]\nlisten = "x"\n[http]\nlisten = ":8081"\n')
        assert len(faults(file)) == 2

    def test_a_port_may_be_shared_by_two_addresses(self) -> None:
        environ = {"STREAMD_HTTP__LISTEN": "192.0.2.1:8081"}
        assert load_config(None, environ=environ).http.listen.port == 8081

    def test_a_file_that_cannot_be_read_is_one_fault(self, file: Path, tmp_path: Path) -> None:
        assert faults(file) == [f"{file}: cannot be read: No such file or directory"]
        assert faults(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]
        file.write_bytes(b"\xff")
        assert faults(file) == [f"{file}: is not UTF-8 text"]

    def test_unknown_variables_of_our_shape_are_faults(self) -> None:
        assert faults(STREAMD_HLS__PART_TARGET="1", STREAMD_FOO__BAR="1") == [
            "STREAMD_FOO__BAR: section foo is unknown: write one of "
            "server, rtmp, http, admin, hls, live, keys, log, limits",
            "STREAMD_HLS__PART_TARGET: hls.part_target is unknown: did you mean part_target_ms?",
        ]

    @given(st.text())
    def test_any_file_is_a_configuration_or_faults(self, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
        path = tmp_path_factory.getbasetemp() / "any.toml"
        path.write_text(text, encoding="utf-8", errors="replace")
        with contextlib.suppress(ConfigError):
            load_config(path, environ={})


class TestSecrets:
    TOKEN = "t0ken-t0ken-t0ken-t0ken"
    PASSWORD = "hunter22"
    URL = f"postgresql+asyncpg://ann:{PASSWORD}@db.example.org/streamd"

    def config(self) -> Config:
        environ = {"STREAMD_ADMIN__TOKEN": self.TOKEN, "STREAMD_KEYS__DATABASE_URL": self.URL}
        return load_config(None, environ=environ)

    def test_what_is_shown_is_masked(self) -> None:
        text = config_text(self.config())
        assert f'token = "{MASK}"' in text
        assert 'database_url = "postgresql+asyncpg://ann:***@db.example.org/streamd"' in text
        for shown in (text, repr(self.config()), str(self.config())):
            assert self.TOKEN not in shown
            assert self.PASSWORD not in shown

    def test_what_is_shown_is_a_configuration(self) -> None:
        tables = tomllib.loads(config_text(load_config(None, environ={})))
        assert Config.model_validate(tables).hls == Config().hls

    def test_faults_do_not_quote_secrets(self, file: Path) -> None:
        file.write_text(f'[admin]\ntoken = "hunter22"\n[keys]\ndatabase_url = "mysql://a:{self.PASSWORD}@h/d"\n')
        found = faults(file)
        assert len(found) == 2
        assert self.PASSWORD not in " ".join(found)

    def test_the_log_is_told_of_them(self) -> None:
        assert secrets_of(self.config()) == [self.TOKEN, self.PASSWORD]
        assert secrets_of(Config()) == []

    def test_the_store_gets_the_real_url(self) -> None:
        assert self.config().database_url == self.URL


class TestUrls:
    @pytest.mark.parametrize(
        ("config", "rtmp_url", "public_url"),
        [
            (Config(), "rtmp://localhost/live", "http://localhost:8080"),
            (
                Config(http=HttpConfig(public_url="https://live.example.org/")),
                "rtmp://live.example.org/live",
                "https://live.example.org",
            ),
            (
                Config(
                    rtmp=RtmpConfig(listen=ListenAddress("::1", 1936)),
                    http=HttpConfig(listen=ListenAddress("192.0.2.1", 80)),
                ),
                "rtmp://[::1]:1936/live",
                "http://192.0.2.1",
            ),
            (
                Config(rtmp=RtmpConfig(listen=None, tls_listen=ListenAddress("", 443))),
                "rtmps://localhost/live",
                "http://localhost:8080",
            ),
        ],
    )
    def test_they_are_what_people_type(self, config: Config, rtmp_url: str, public_url: str) -> None:
        assert (config.rtmp_url, config.public_url) == (rtmp_url, public_url)

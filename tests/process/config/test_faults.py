from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import ConfigError
from streamd.process.config import (
    load_config,
)
from tests.support.config import faults
from tests.support.receiver import SECRET

SECTIONS = (
    "server, rtmp, http, admin, ingest, hls, live, recording, clips, dvr, storage, playback, moderation, keys, "
    "cluster, obs, webhooks, publish_hook, restream, secrets, privacy, log, metrics, limits"
)


class TestFaults:
    def test_all_are_told_at_once_each_with_its_line_and_what_to_write(self, file: Path) -> None:
        file.write_text(
            """\
            lonely = 1
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
            f"F:1: lonely is unknown: write one of {SECTIONS}",
            "F:3: rtmp.lisen is unknown: did you mean listen?",
            f"F:10: [nope] is unknown: write one of {SECTIONS}",
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
            ('[webhooks]\nallow_networks = ["10.0.0.1/8"]\n', r":2: webhooks.allow_networks = .*has host bits set"),
            ('[webhooks]\nendpoints = ["http://a/"]\n', r":2: webhooks.endpoints: number 1: write a table"),
            ('[publish_hook]\nurl = "https://a.example/"\n', r"publish_hook.secret: write the secret that the hook"),
            (
                '[publish_hook]\nformat = "mediamtx"\n',
                r":2: publish_hook.format = .*: is the form of a hook",
            ),
            ("[publish_hook]\ndecides = true\n", r"publish_hook.url: write the URL of the service that decides"),
            (
                '[publish_hook]\ndecides = true\nformat = "nginx-rtmp"\nurl = "http://a.example/"\n',
                r":4: publish_hook.url = .*: write https://, or an address of this machine; stream keys go there",
            ),
            (
                f'[publish_hook]\ndecides = true\non_failure = "allow"\nurl = "https://a.example/"\n'
                f'secret = "{SECRET}"\n',
                r":3: publish_hook.on_failure = .*: write deny; where the hook decides alone",
            ),
            ('[publish_hook]\nurl = "ftp://a.example/"\n', r":2: publish_hook.url = .*: write a URL without user"),
            (
                '[publish_hook]\nurl = "https://a:b@a.example/"\n',
                r":2: publish_hook.url = .*: write a URL without user",
            ),
            ('[publish_hook]\nsecret = "whsec_c2hvcnQ="\n', r":2: publish_hook.secret: write whsec_ and 24 to 64"),
        ],
    )
    def test_each_says_what_to_write(self, file: Path, text: str, fault: str) -> None:
        file.write_text(text)
        assert any(re.search(fault, found) for found in faults(file))

    def test_of_a_list_of_tables_it_is_said_which_and_what_in_it(self, file: Path) -> None:
        good = f'url = "https://a.example/"\nsecret = "{SECRET}"\n'
        file.write_text(
            f'[[webhooks.endpoints]]\n{good}[[webhooks.endpoints]]\n{good}events = ["stream.begun"]\nsecrets = 1\n'
        )
        first, second = faults(file)
        assert first.startswith(
            f"{file}:1: webhooks.endpoints: number 2, events, number 1: write one of 'stream.started',"
        )
        assert second == f"{file}:1: webhooks.endpoints: number 2, secrets: is unknown"
        file.write_text('[webhooks]\nendpoints = [{ url = "https://a.example/", secret = "hunter22" }]\n')
        (fault,) = faults(file)
        assert fault.startswith(f"{file}:2: webhooks.endpoints: number 1, secret: write whsec_")
        file.write_text('[[webhooks.endpoints]]\nurl = "https://a.example/"\n')
        assert faults(file) == [f"{file}:1: webhooks.endpoints: number 1, secret: is missing"]

    def test_every_fault_of_every_webhook_is_told(self, file: Path) -> None:
        file.write_text(
            f"""\
            [[webhooks.endpoints]]
            url = "http://10.0.0.1:99999/"
            secret = "x"
            [[webhooks.endpoints]]
            url = "http://10.0.0.2/"
            secret = "{SECRET}"
            [[webhooks.endpoints]]
            secret = "{SECRET}"
            events = ["stream.begun", "key.lost"]
            """
        )
        told = [fault.partition("webhooks.endpoints: ")[2] for fault in faults(file)]
        assert [fault.partition(": ")[0] for fault in told] == [
            *("number 1, url", "number 1, secret"),
            *("number 3, url", "number 3, events, number 1", "number 3, events, number 2"),
            *("number 1, url", "number 2, url"),
        ]
        assert "10.0.0.2 is not on the internet" in told[-1]
        assert "a port from 1 to 65535" in told[0]

    @pytest.mark.parametrize(
        "host", ["*", "*.example.org", "admin:8081", "https://admin.example.org", "", "a b", "é.fr"]
    )
    def test_what_is_no_host_name_is_said(self, file: Path, host: str) -> None:
        file.write_text(f'[admin]\nhosts = ["admin.example.org", "{host}"]\n', encoding="utf-8")
        (fault,) = faults(file)
        assert f'"{host}" is no host name: write whole names without port' in fault

    @pytest.mark.parametrize(
        ("variable", "meant"),
        [
            ("STREAMD_RTMP_LISTEN", "STREAMD_RTMP__LISTEN"),
            ("STREAMD_PUBLISH_HOOK_URL", "STREAMD_PUBLISH_HOOK__URL"),
            ("STREAMD_HTTP_PUBLICURL", "STREAMD_HTTP__PUBLIC_URL"),
            ("STREAMD_LIMITS_STREAMS_MAX", "STREAMD_LIMITS__STREAMS_MAX"),
        ],
    )
    def test_an_underscore_too_few_is_said(self, variable: str, meant: str) -> None:
        assert faults(None, **{variable: ":1"}) == [
            f"{variable}: has no effect: did you mean {meant}, with two underscores?"
        ]

    def test_variables_of_the_build_and_of_kubernetes_are_left_alone(self) -> None:
        names = ("COMPILE", "REQUIRE_PLAYER", "SERVICE_HOST", "PORT_1935_TCP", "RTMP_SERVICE_PORT", "HTTP_PORT_80_TCP")
        load_config(None, environ={f"STREAMD_{name}": "1" for name in names})

    def test_a_private_address_is_named_twice_or_not_asked(self, file: Path) -> None:
        text = f'[publish_hook]\nurl = "http://[::1]:9000/"\nsecret = "{SECRET}"\n'
        text += f'[[webhooks.endpoints]]\nurl = "http://127.0.0.1/"\nsecret = "{SECRET}"\n'
        file.write_text(text)
        assert [fault.partition(": ")[2] for fault in faults(file)] == [
            "webhooks.endpoints: number 1, url: 127.0.0.1 is not on the internet; "
            "name its network in webhooks.allow_networks",
            'publish_hook.url = "http://[::1]:9000/": ::1 is not on the internet; '
            "name its network in webhooks.allow_networks",
        ]
        load_config(file, environ={"STREAMD_WEBHOOKS__ALLOW_NETWORKS": "127.0.0.0/8, ::1/128"})

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
            f"STREAMD_FOO__BAR: section foo is unknown: write one of {SECTIONS}",
            "STREAMD_HLS__PART_TARGET: hls.part_target is unknown: did you mean part_target_ms?",
        ]

    def test_a_variable_that_is_no_text_is_a_fault(self) -> None:
        # As Python reads the byte 0x80 of an environment.
        assert faults(STREAMD_ADMIN__HOSTS="a,\udc80") == ["STREAMD_ADMIN__HOSTS: is not UTF-8 text"]

    @given(st.text())
    def test_any_file_is_a_configuration_or_faults(self, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
        path = tmp_path_factory.getbasetemp() / "any.toml"
        path.write_text(text, encoding="utf-8", errors="replace")
        with contextlib.suppress(ConfigError):
            load_config(path, environ={})

"""Ports of the loopback interface, bound for real."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from streamd.process.config import Config, ListenAddress, load_config
from streamd.process.data_dir import RunningServer
from streamd.process.doctor.check_result import CheckResult, Verdict
from streamd.process.doctor.ports import check_ports

# Of the loopback network; no other program of this machine's takes a port of it meanwhile.
OWN_ADDRESS = "127.9.8.7"
SERVER = RunningServer(1, "127.0.0.1", 1)


@pytest.fixture
def taken() -> Iterator[int]:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


def unused_port() -> int:
    with contextlib.closing(socket.create_server((OWN_ADDRESS, 0))) as listener:
        port: int = listener.getsockname()[1]
        return port


def config(http: str) -> Config:
    names = {"RTMP__LISTEN": "127.0.0.1:0", "HTTP__LISTEN": http, "ADMIN__LISTEN": ""}
    return load_config(None, environ={f"STREAMD_{name}": value for name, value in names.items()})


def check(http: str, server: RunningServer | None = None) -> CheckResult:
    (finding,) = check_ports(config(http), server)
    assert finding.check == "http.listen"
    return finding


def test_a_free_port_is_free_and_stays_so() -> None:
    address = (OWN_ADDRESS, unused_port())
    assert check("{}:{}".format(*address)).verdict is Verdict.OK
    socket.create_server(address).close()


def test_one_that_is_taken_is_said_with_how_to_find_by_whom(taken: int) -> None:
    for address in (f"127.0.0.1:{taken}", f":{taken}"):
        finding = check(address)
        assert (finding.verdict, "ss -ltnp" in finding.advice) == (Verdict.FAILED, True)


@pytest.mark.parametrize(
    ("rtmp", "public_url", "is_said"),
    [(":0", "", True), ("127.0.0.1:0", "", False), (":0", "https://live.example.org", False)],
    ids=["to all, without a name", "to this machine alone", "with a name"],
)
def test_a_name_is_missed_that_broadcasters_can_use(rtmp: str, public_url: str, is_said: bool) -> None:
    names = {"RTMP__LISTEN": rtmp, "HTTP__LISTEN": ":0", "HTTP__PUBLIC_URL": public_url, "ADMIN__LISTEN": ""}
    found = check_ports(load_config(None, environ={f"STREAMD_{name}": value for name, value in names.items()}), None)
    assert [(each.check, each.verdict) for each in found] == [("http.public_url", Verdict.WARNING)] * is_said


def test_an_address_that_is_not_ours() -> None:
    finding = check("192.0.2.1:8080")
    assert (finding.verdict, "address of this machine" in finding.advice) == (Verdict.FAILED, True)


def test_a_name_that_is_none() -> None:
    assert check("nowhere.invalid:8080").verdict is Verdict.FAILED


def test_where_a_server_runs_its_ports_answer(taken: int) -> None:
    assert check(f"127.0.0.1:{taken}", SERVER).verdict is Verdict.OK
    assert check(f"{OWN_ADDRESS}:{unused_port()}", SERVER).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("host", "warns"), [("127.0.0.1", False), ("localhost", False), ("::1", False), ("", True), ("0.0.0.0", True)]
)
def test_an_admin_api_that_others_can_reach_is_told(host: str, warns: bool) -> None:
    text = str(ListenAddress(host, 0))
    environ = {"STREAMD_RTMP__LISTEN": "127.0.0.1:0", "STREAMD_HTTP__LISTEN": ":0", "STREAMD_ADMIN__LISTEN": text}
    findings = list(check_ports(load_config(None, environ=environ), None))
    assert [finding.verdict for finding in findings] == [Verdict.WARNING] * warns

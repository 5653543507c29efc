from __future__ import annotations

import socket
from pathlib import Path

import pytest

from streamd.process.service_manager import ServiceManager


@pytest.mark.parametrize("is_abstract", [False, True])
def test_it_is_told_what_we_do(tmp_path: Path, is_abstract: bool) -> None:
    name = f"@{tmp_path}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0"))
        manager = ServiceManager(name)
        for tell in (manager.ready, manager.alive, manager.reloading, manager.stopping):
            tell()
        told = [sock.recv(100) for _ in range(4)]
    assert told == [b"READY=1", b"WATCHDOG=1", b"RELOADING=1", b"STOPPING=1"]


@pytest.mark.parametrize("address", ["", "/nobody/listens/here"])
def test_where_there_is_none_nothing_happens(address: str) -> None:
    ServiceManager(address).ready()


def test_the_environment_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        ServiceManager().ready()
        assert sock.recv(100) == b"READY=1"

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamd.process import readiness
from streamd.process.readiness import Readiness


class Server:
    """A server that is ready in every respect, until a test takes one away."""

    def __init__(self, data_dir: Path) -> None:
        self.closing: str | None = None
        self.rtmp = SimpleNamespace(is_accepting=True, is_full_of_publishers=False)
        self.registry = SimpleNamespace(is_full=False)
        self.memory = SimpleNamespace(is_full=False)
        self.sweeper = SimpleNamespace(has_failed=False)
        self.takedowns: list[object] = []
        services: Any = SimpleNamespace(
            registry=self.registry,
            machine=SimpleNamespace(memory=self.memory),
            key_sweeper=self.sweeper,
            keys=SimpleNamespace(takedowns=self.takedowns),
        )
        rtmp: Any = self.rtmp
        self.readiness = Readiness(services, rtmp, data_dir, lambda: self.closing)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_nothing_speaks_against_it(server: Server) -> None:
    assert server.readiness.why_not() is None


def test_why_it_closes_is_told_first(server: Server) -> None:
    server.closing = "the server is stopping"
    server.rtmp.is_accepting = False
    assert server.readiness.why_not() == "the server is stopping"


def test_what_keeps_a_broadcaster_out_is_told(server: Server) -> None:
    server.memory.is_full = True
    assert "limits.memory_bytes_max" in (server.readiness.why_not() or "")
    server.registry.is_full = True
    assert "limits.streams_max" in (server.readiness.why_not() or "")
    server.rtmp.is_full_of_publishers = True
    assert "limits.connections_max" in (server.readiness.why_not() or "")
    server.rtmp.is_accepting = False
    assert server.readiness.why_not() == "no listener for broadcasters is open"


def test_without_a_descriptor_nobody_is_let_in(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> int:
        raise OSError(24, os.strerror(24))

    monkeypatch.setattr("os.open", none_left)
    assert server.readiness.why_not() == "no file descriptor is left"


@pytest.mark.asyncio
async def test_what_should_not_last_is_a_warning(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await server.readiness.warnings() == []
    server.takedowns.append(object())
    server.sweeper.has_failed = True
    monkeypatch.setattr(readiness, "FREE_BYTES_MIN", 2**63)
    assert [text.split()[0] for text in await server.readiness.warnings()] == ["revocations", "the", "the"]
    assert server.readiness.why_not() is None

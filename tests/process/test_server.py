from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from streamd.clock import SystemClock
from streamd.process import compiled
from streamd.process.binding import StartError
from streamd.process.data_dir import find_server
from streamd.process.server import Server
from tests.support.built_server import config_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streamd.process.config import Config

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("logging_as_it_was")]


@contextlib.asynccontextmanager
async def started(config: Config) -> AsyncIterator[Server]:
    server = Server(config, SystemClock())
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


async def test_it_says_where_it_is_found_while_it_runs(tmp_path: Path) -> None:
    async with started(config_of(tmp_path)) as server:
        found = find_server(tmp_path)
        assert found is not None
        assert f"{found.admin_host}:{found.admin_port}" == server.addresses.admin
    assert find_server(tmp_path) is None


async def test_its_beginning_and_its_end_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with started(config_of(tmp_path)) as server:
        (record,) = (each for each in caplog.records if each.getMessage() == "server.started")
        assert record.__dict__["http"] == server.addresses.http
        assert record.__dict__["compiled"] in (True, False, "partly")
    assert events(caplog)[-1] == "server.stopped"


@pytest.mark.parametrize("is_fault", [True, False])
async def test_a_compilation_that_failed_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, is_fault: bool
) -> None:
    caplog.set_level(logging.INFO)
    found = compiled.Compiled("partly", ("streamd.media.packet",), "no compiler", is_fault)
    monkeypatch.setattr(compiled, "look", lambda: found)
    async with started(config_of(tmp_path)):
        records = {each.getMessage(): each.__dict__ for each in caplog.records}
    assert records["server.started"]["compiled"] == "partly"
    assert records["server.started"]["compiled_why"] == "no compiler"
    assert ("compilation.failed" in records) == is_fault


async def test_a_second_one_on_the_same_directory_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    async with started(config):
        with pytest.raises(StartError, match="another streamd server"):
            await Server(config, SystemClock()).start()
        assert find_server(tmp_path) is not None


async def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        # RTMP is bound last: all the others are open then.
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartError, match=r"rtmp\.listen"):
            await Server(config_of(tmp_path, rtmp={"listen": listen}), SystemClock()).start()
    async with started(config_of(tmp_path)):
        pass


async def test_a_reload_takes_what_it_can_and_says_what_it_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with started(config_of(tmp_path)) as server:
        new = config_of(tmp_path, limits={"streams_max": 1}, http={"posters": False})
        server.reload(new)
        # Logging is configured anew, and so writes to stderr from here on.
        told = {line["event"]: line for line in map(json.loads, capsys.readouterr().err.splitlines())}
        assert told["config.reloaded"]["changed"] == ["limits.streams_max"]
        assert told["config.restart_needed"]["not_changed"] == ["http.posters"]
        assert (server.config.limits.streams_max, server.config.http.posters) == (1, True)


async def test_a_server_without_viewers_and_streams_waits_for_nobody_when_it_stops(tmp_path: Path) -> None:
    clock = SystemClock()
    async with started(config_of(tmp_path)):
        since = clock.monotonic()
    assert clock.monotonic() - since < config_of(tmp_path).limits.drain_timeout_s / 2


@pytest.mark.parametrize("watching", [0, 1])
async def test_a_stream_is_waited_for_only_where_somebody_watches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watching: int
) -> None:
    channel = SimpleNamespace(viewers={"hls": watching}, presentation=SimpleNamespace(target_duration_s=3600))
    server = Server(config_of(tmp_path, limits={"drain_timeout_s": 3600}), SystemClock())
    await server.start()
    monkeypatch.setattr(server.services.registry, "channels", lambda: [channel])
    stopping = asyncio.create_task(server.stop())
    if watching:
        finished, _ = await asyncio.wait({stopping}, timeout=0.2)
        assert finished == set()
        # Once for viewers who wait for the next server, once for those who see the end.
        server.insist()
        server.insist()
    # Far less than what a viewer would be given.
    async with asyncio.timeout(60):
        await stopping

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from streamd.clock import SystemClock
from streamd.data_dir import RunningServer, ServerLock, admin_token
from streamd.keys.service import KeyService
from streamd.keys.store import KeyStore
from streamd.keys.verifier import KeyVerifier
from streamd.web.admin import admin_app
from tests.support.console import console_of
from tests.support.live_streams import Streams
from tests.support.patience import PATIENCE_S


@pytest.fixture(autouse=True)
def _logging_as_it_was(logging_as_it_was: None) -> None:
    """A command owns its process, and so configures the logging."""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(data_dir: Path) -> Iterator[Streams]:
    """A server's key service and admin API, in a thread of its own, on ``data_dir``."""
    data_dir.mkdir(mode=0o700)
    streams = Streams()
    started, stopped = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        store = KeyStore(f"sqlite+aiosqlite:///{data_dir / 'streamd.db'}")
        with ServerLock(data_dir) as lock:
            await store.start()
            clock = SystemClock()
            verifier = KeyVerifier(store, clock)
            verifier.attach(streams)
            keys = KeyService(store, clock, verifier)
            app = admin_app(
                keys=keys,
                streams=streams,
                metrics=CollectorRegistry(),
                token=admin_token(data_dir),
                rtmp_url="rtmp://live.example.org/live",
                console=console_of(keys, streams),
            )
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            lock.announce(RunningServer(1, *runner.addresses[0][:2]))
            started.set()
            await stopped.wait()
            await runner.cleanup()
            await store.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(PATIENCE_S)
    yield streams
    loops[0].call_soon_threadsafe(stopped.set)
    thread.join(PATIENCE_S)

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd.process.data_dir import RunningServer, ServerLock, admin_token
from tests.support.admin_server import run_admin_server
from tests.support.live_streams import Streams


@pytest.fixture(autouse=True)
def _logging_as_it_was(logging_as_it_was: None) -> None:
    """A command owns its process, and so configures the logging."""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(data_dir: Path, request: pytest.FixtureRequest) -> Iterator[Streams]:
    """A server's key service and admin API, in a thread of its own, on ``data_dir``.

    Under ``reported``, somebody has reported something.
    """
    data_dir.mkdir(mode=0o700)
    streams = Streams()
    is_reported = request.node.get_closest_marker("reported") is not None
    with (
        ServerLock(data_dir) as lock,
        run_admin_server(
            data_dir, streams, admin_token(data_dir), "rtmp://live.example.org/live", is_reported=is_reported
        ) as address,
    ):
        lock.announce(RunningServer(1, *address))
        yield streams

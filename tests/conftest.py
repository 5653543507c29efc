"""Fixtures that more than one room's tests use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.server import run_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.server import LiveServer


@pytest.fixture
def live_server(tmp_path: Path) -> Iterator[LiveServer]:
    """A real server with the default configuration, on free loopback ports."""
    with run_server(tmp_path) as server:
        yield server

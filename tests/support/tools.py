"""Programs that a test needs and pip does not bring, and ports for them."""

from __future__ import annotations

import os
import shutil
import socket

import pytest


def require(*programs: str) -> None:
    """Skip the test where a program is missing; fail it where ``CI=true`` says that all are installed."""
    missing = ", ".join(program for program in programs if shutil.which(program) is None)
    if not missing:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"not on PATH: {missing}; .ci/run installs them")
    pytest.skip(f"not on PATH: {missing}")


def free_port() -> int:
    """A TCP port that was free a moment ago: for programs that do not tell which one they took if they may choose."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port

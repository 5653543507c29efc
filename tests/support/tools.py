"""Programs that a test needs and pip does not bring."""

from __future__ import annotations

import os
import shutil

import pytest


def require(*programs: str) -> None:
    """Skip the test where a program is missing; fail it where ``CI=true`` says that all are installed."""
    missing = ", ".join(program for program in programs if shutil.which(program) is None)
    if not missing:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"not on PATH: {missing}; .ci/run installs them")
    pytest.skip(f"not on PATH: {missing}")

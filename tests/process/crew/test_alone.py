"""A server that is one process loads nothing of what several need."""

from __future__ import annotations

import subprocess
import sys

LOADED = """
import sys
import streamd.process.run
print(*sorted(name for name in sys.modules if name.startswith(("streamd.process.crew", "streamd.process.supervisor"))))
"""


def test_nothing_of_the_workers_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

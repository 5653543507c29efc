"""A disk of a few megabytes that a test can fill up: a tmpfs."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.tools import require

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = bytes(4096)


class SmallDisk:
    """A mounted disk.

    Args:
        path: Where.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave no block free."""
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(BLOCK):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def clear(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount an empty disk until the block is left; the test is skipped where that is not allowed, and fails in CI.

    Args:
        path: Where; made here.
        megabytes: Its size.
    """
    require("mount", "umount")
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode:
        why = f"a tmpfs cannot be mounted, which needs root: {done.stderr.strip()}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    try:
        yield SmallDisk(path)
    finally:
        # Lazily: what has failed may have left somebody there.
        subprocess.run(["umount", "--lazy", str(path)], timeout=PATIENCE_S, check=True)

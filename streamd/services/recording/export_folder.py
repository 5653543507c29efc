"""The folder of a server's exports, among those of other servers on the same directory of recordings.

Each server has one of its own, which it holds a lock on: what an earlier server has left is told from what another one
is making, and two that export the same recording write two files.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from typing import TYPE_CHECKING

from streamd.services.recording.folder import FolderTakenError, claim_folder, make_folder

if TYPE_CHECKING:
    from pathlib import Path

# Between being made and being claimed a folder looks like one that was left, and another server may remove it.
_TRIES = 10


class ExportFolder:
    """One server's folder. Calls wait for the disk, one at a time.

    Args:
        directory: That of all of them.

    Attributes:
        path: The folder's path, once it is open.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / secrets.token_hex(8)
        self._directory = directory
        self._claim: int | None = None

    def open(self) -> None:
        """Remove what servers have left that are not there any more, and have the folder; again changes nothing.

        Raises:
            OSError: The disk does not take it.
        """
        if self._claim is not None:
            return
        make_folder(self._directory)
        for found in self._directory.iterdir():
            _remove_left(found)
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError, FolderTakenError):
                make_folder(self.path)
                claim = claim_folder(self.path)
                if os.fstat(claim).st_nlink:
                    self._claim = claim
                    return
                os.close(claim)
        raise OSError("the folder of exports is removed as often as it is made")

    def close(self) -> None:
        """Have it no more; the next server removes it."""
        claim, self._claim = self._claim, None
        if claim is not None:
            os.close(claim)


def _remove_left(path: Path) -> None:
    """Remove what no server has; where the disk does not let us, the next server tries again."""
    try:
        claim = claim_folder(path)
    except NotADirectoryError:
        # Exports had no folders once.
        with contextlib.suppress(OSError):
            path.unlink()
        return
    except (FolderTakenError, OSError):
        return
    try:
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(claim)

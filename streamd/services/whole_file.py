"""A file that is replaced as a whole: whoever reads it finds what was in it or what is."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def hand_to_owner(descriptor: int, directory: Path) -> None:
    """Give a file that was just made to the owner of its directory, where root has made it in somebody else's.

    An operator's first command as root would otherwise leave files that the service cannot open.

    Args:
        descriptor: Of the file, which nobody else can have put there (``O_EXCL``).
        directory: Where it lies.
    """
    if os.geteuid() == 0:
        owner = directory.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def make_file(path: Path) -> None:
    """Make an empty file that its owner alone may read, if there is none; the owner is the directory's.

    Raises:
        OSError: It cannot be made.
    """
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            hand_to_owner(descriptor, path.parent)
        finally:
            os.close(descriptor)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file that nobody but us may read, beside the old one, and put it in its place.

    Raises:
        OSError: The disk does not take it; the old one stays.
    """
    beside = path.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        hand_to_owner(file.fileno(), path.parent)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)

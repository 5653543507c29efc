"""The files of a piece of evidence: a folder of its own, written as a whole and never changed.

```
evidence/{evidence_id}/
  facts.json  keyframe.jpg  blurred.jpg  main-0.mp4 …
  SHA256SUMS       of all of those: "sha256sum -c SHA256SUMS" verifies the folder
  chain.json       its link of the chain
  timestamp.tsr    the answer of an authority that stamped SHA256SUMS with the time
```

It is written under another name and renamed, so that a folder with its name is whole. Nobody but the server's account
can read it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from typing import TYPE_CHECKING, Final

from streamd.services.whole_file import hand_to_owner, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FACTS_NAME: Final = "facts.json"
PICTURE_NAME: Final = "keyframe.jpg"
BLURRED_NAME: Final = "blurred.jpg"
SUMS_NAME: Final = "SHA256SUMS"
CHAIN_NAME: Final = "chain.json"
STAMP_NAME: Final = "timestamp.tsr"
# Files over the sums, and so not in them.
BESIDE: Final = frozenset({SUMS_NAME, CHAIN_NAME, STAMP_NAME})
UNFINISHED: Final = ".new"
# A folder has some ten files; a line has 67 characters and a name.
SUMS_BYTES_MAX: Final = 64 * 1024
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9_-][A-Za-z0-9._-]{0,99})")


class FolderWriter:
    """Writes the folder of a piece; in threads, one file at a time.

    Args:
        path: The folder, with its name when it is whole.

    Raises:
        OSError: The disk does not take it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = path.with_name(path.name + UNFINISHED)
        self._new.mkdir(mode=0o700, parents=True)
        self.files: dict[str, tuple[int, str]] = {}
        """Size and SHA-256 of each file so far, by name."""

    def add(self, name: str, copy: Callable[[Callable[[bytes | memoryview], object]], object]) -> None:
        """Write a file.

        Args:
            name: Its name.
            copy: Gets what writes; called once.

        Raises:
            OSError: The disk does not take it, or what is copied cannot be read.
        """
        digest, size = hashlib.sha256(), 0
        path = self._new / name
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            hand_to_owner(file.fileno(), path.parent)

            def write(data: bytes | memoryview) -> None:
                nonlocal size
                digest.update(data)
                size += len(data)
                file.write(data)

            copy(write)
            file.flush()
            os.fsync(file.fileno())
        self.files[name] = size, digest.hexdigest()

    @property
    def size_bytes(self) -> int:
        """Of all files so far."""
        return sum(size for size, _ in self.files.values())

    def seal(self) -> bytes:
        """Write the hashes, and give the folder its name: it is whole.

        Returns:
            The SHA-256 of ``SHA256SUMS``.

        Raises:
            OSError: The disk does not take it.
        """
        sums = "".join(f"{digest}  {name}\n" for name, (_, digest) in self.files.items()).encode()
        replace_file(self._new / SUMS_NAME, sums)
        self._new.rename(self._path)
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return hashlib.sha256(sums).digest()

    def abandon(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self._new, ignore_errors=True)


def read_sums(path: Path) -> tuple[bytes, dict[str, str]]:
    """The hashes of a folder.

    Args:
        path: The folder.

    Returns:
        The SHA-256 of ``SHA256SUMS``, and that of each file in hexadecimal digits, by name.

    Raises:
        OSError: It cannot be read.
        ValueError: It has another form.
    """
    with (path / SUMS_NAME).open("rb") as file:
        data = file.read(SUMS_BYTES_MAX + 1)
    text = data.decode()
    lines = text.splitlines()
    found = {match[2]: match[1] for line in lines if (match := _LINE.fullmatch(line)) is not None}
    if len(data) > SUMS_BYTES_MAX or len(found) != len(lines):
        raise ValueError(f"{SUMS_NAME} has lines that are none of ours")
    return hashlib.sha256(data).digest(), found


def check_folder(path: Path, sums: bytes) -> list[str]:
    """Read every file of a piece against its hash; in a thread.

    Args:
        path: The folder.
        sums: What the database has as the SHA-256 of its ``SHA256SUMS``.

    Returns:
        What is wrong; empty where nothing is.
    """
    try:
        digest, listed = read_sums(path)
    except FileNotFoundError:
        return [f"{SUMS_NAME} is missing"]
    except (OSError, ValueError) as exc:
        return [f"{SUMS_NAME} cannot be read: {getattr(exc, 'strerror', None) or exc}"]
    faults = [] if digest == sums else [f"{SUMS_NAME} is not what was written"]
    for name, expected in listed.items():
        try:
            with (path / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            faults.append(f"{name} cannot be read: {exc.strerror}")
            continue
        if found != expected:
            faults.append(f"{name} is not what was written")
    with contextlib.suppress(OSError):
        faults += [
            f"{entry.name} was added"
            for entry in sorted(path.iterdir())
            if entry.name not in listed and entry.name not in BESIDE
        ]
    return faults


def folder_bytes(path: Path) -> int:
    """Bytes of the files in a folder of folders; 0 where there is none."""
    total = 0
    for place, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
    return total

"""Acts that the store does not have yet, kept over a restart in a file whose room is taken beforehand.

A full disk is a reason for which the store takes no act, and the same disk has no room for a file then. So the file has
its size from the start of the server on, and is overwritten in place: that needs no block of most file systems (of
those that copy on write, Btrfs and ZFS, it does).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from streamd.services.whole_file import make_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

log = logging.getLogger(__name__)

# Some three hundred acts of 200 bytes; one with a reason as long as it may be has 2.3 kB.
RESERVED_BYTES = 64 * 1024


class KeyActKind(StrEnum):
    """The kind of an act."""

    REVOCATION = "revocation"
    """A key was revoked."""
    SUSPENSION = "suspension"
    """A user was suspended."""


@dataclass(frozen=True, slots=True)
class KeyAct:
    """A revocation or a suspension, as it is to be written."""

    kind: KeyActKind
    subject: str
    """Id of the key, or name of the user."""
    at: datetime
    """Wall time at which it was done, aware."""
    actor: str
    address: str
    """IP address that it was asked for from; empty where it came over no network."""
    reason: str
    closed: tuple[str, ...] = ()
    """Names of the streams that it closed."""

    @property
    def place(self) -> tuple[KeyActKind, str]:
        """By which it is found; a second act on the same subject is the same."""
        return self.kind, self.subject


_Act = TypeVar("_Act")


class Journal(Generic[_Act]):
    """The file of the acts of one kind that wait.

    Args:
        path: Where it is.
        kind: Their type, which pydantic writes as JSON.
        reserved_bytes: The room that is taken beforehand.
    """

    def __init__(self, path: Path, kind: type[_Act], reserved_bytes: int) -> None:
        self.path = path
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        self._reserved_bytes = reserved_bytes
        self._used_bytes = 0
        # A save that takes long must not be overtaken by the next.
        self._turn = asyncio.Lock()

    def open(self) -> list[_Act]:
        """Read the acts of the server before this one, and take the room for those of this one.

        A line that is no act is left out and said: the machine may have stopped while it was written.
        """
        data = b""
        try:
            make_file(self.path)
            with self.path.open("r+b") as file:
                data = file.read()
                if len(data) < self._reserved_bytes:
                    # Written, not only set aside: a block that was never written needs more of the disk's books.
                    file.write(bytes(self._reserved_bytes - len(data)))
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as exc:
            log.warning("acts.unwritable", extra={"path": str(self.path), "reason": exc.strerror})
        acts = []
        self._used_bytes = len(data.rstrip(b"\0"))
        for line in data.replace(b"\0", b"").splitlines():
            try:
                acts.append(self._adapter.validate_json(line))
            except ValidationError:
                log.warning("acts.unreadable", extra={"path": str(self.path)})
        return acts

    async def save(self, acts: Callable[[], Iterable[_Act]]) -> bool:
        """Have the file hold just the acts that wait.

        Args:
            acts: Tells which; asked when it is this call's turn.

        Returns:
            Whether they outlive this process; the log says why not.
        """
        async with self._turn:
            data = b"".join(self._adapter.dump_json(act) + b"\n" for act in acts())
            try:
                await asyncio.to_thread(self._write, data)
            except OSError as exc:
                log.warning("acts.unwritable", extra={"path": str(self.path), "reason": exc.strerror})
                return False
        return True

    def _write(self, data: bytes) -> None:
        with contextlib.ExitStack() as stack:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, descriptor)
            padded = data.ljust(self._used_bytes, b"\0")
            written = 0
            while written < len(padded):
                written += os.pwrite(descriptor, padded[written:], written)
            os.fsync(descriptor)
            self._used_bytes = len(data)


class ActJournal(Journal[KeyAct]):
    """The file of the revocations and suspensions that wait.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, KeyAct, RESERVED_BYTES)

"""The data directory: the lock of its running server, and the admin token in it.

The server holds a lock on it for as long as it lives; that is how a second server is refused and
how the command line knows whom to ask. A lock of the kernel's ends with its process, whatever
became of that, so there is nothing stale to clean up.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from streamd.errors import DataDirError
from streamd.services.whole_file import hand_to_owner, make_file

LOCK_NAME = "server.lock"
# Longer than what a server says of itself; the rest is blanks, which JSON passes over.
LOCK_BYTES = 512
TOKEN_NAME = "admin-token"  # noqa: S105  # the name of the file
# 256 bits: it is kept in a file, so nobody types it.
TOKEN_BYTES = 32
# ``find_server`` holds the lock for microseconds; a server that starts just then tries once more after this.
LOOK_S_MAX = 0.1


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A running server's word to the command line on the same machine."""

    pid: int
    admin_host: str
    """Where its admin API is bound; empty where it has none."""
    admin_port: int


def prepare_data_dir(data_dir: Path) -> None:
    """Make the directory if it is not there, for nobody but us, and see that we can write to it, and strangers cannot.

    Raises:
        DataDirError: It cannot be made or written to, or another user can put files in place of ours.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise DataDirError(f"data directory {data_dir} cannot be made: {exc.strerror}") from exc
    if is_read_only(data_dir):
        raise DataDirError(
            f"data directory {data_dir} is on a disk that is mounted read-only; mount it for writing, or name another"
        )
    if not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        raise DataDirError(f"data directory {data_dir} cannot be written to; check its owner and permissions")
    if advice := advice_against_strangers(data_dir):
        raise DataDirError(f"others can change what is in data directory {data_dir}; run: {advice}")


def is_read_only(path: Path) -> bool:
    """Whether a file or directory is on a disk that nobody can write to."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def advice_against_strangers(data_dir: Path) -> str | None:
    """Return the command after which no other user of the machine can replace the database or the admin token.

    sshd and PostgreSQL refuse such directories too. A group that may write is the operator's choice: Kubernetes makes
    volumes so (fsGroup). So is whose the directory is, for root, who keeps commands of a service's in order.

    Returns:
        A command; None where all is well.
    """
    status = data_dir.stat()
    if status.st_mode & stat.S_IWOTH:
        return f"chmod 700 {data_dir}"
    if os.geteuid() and status.st_uid not in (0, os.geteuid()):
        return f"chown {os.geteuid()} {data_dir}"
    for parent in data_dir.resolve().parents:
        mode = parent.stat().st_mode
        # A user who may write to it may put another directory in place of ours, unless only owners rename (as in /tmp).
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"chmod o-w {parent}"
    return None


class ServerLock:
    """Held by the server that runs on a data directory, until its process ends or it is released.

    Args:
        data_dir: The directory, prepared.

    Raises:
        DataDirError: Another server runs on it.
    """

    def __init__(self, data_dir: Path) -> None:
        path = data_dir / LOCK_NAME
        try:
            make_file(path)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as exc:
            raise DataDirError(f"{path} cannot be opened: {exc.strerror}") from exc
        if not (self._try_lock() or self._try_lock(after_s=LOOK_S_MAX)):
            os.close(self._descriptor)
            raise DataDirError(f"another streamd server runs on data directory {data_dir}")
        try:
            self._write(b"")
        except OSError as exc:
            os.close(self._descriptor)
            raise DataDirError(f"{path} cannot be written: {exc.strerror}") from exc

    def _try_lock(self, after_s: float = 0) -> bool:
        time.sleep(after_s)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def announce(self, server: RunningServer) -> None:
        """Say where the server is, once its listeners are bound."""
        self._write(json.dumps(asdict(server)).encode())

    def _write(self, data: bytes) -> None:
        # Over what is there, and never shorter: a server starts on a full disk, where it holds what it could not write.
        os.pwrite(self._descriptor, data.ljust(LOCK_BYTES), 0)

    def release(self) -> None:
        """Give the directory free."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def find_server(data_dir: Path) -> RunningServer | None:
    """The server that runs on a data directory.

    Returns:
        Its word of itself (no admin address while it is still starting), or None where no
        server runs.

    Raises:
        DataDirError: The lock file cannot be read.
    """
    path = data_dir / LOCK_NAME
    try:
        with path.open("rb") as file:
            try:
                # A shared lock is refused exactly while the server holds its own.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                with contextlib.suppress(ValueError, TypeError):
                    return RunningServer(**json.load(file))
                return RunningServer(pid=0, admin_host="", admin_port=0)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise DataDirError(f"{path} cannot be read: {exc.strerror}") from exc
    return None


def admin_token(data_dir: Path, *, makes: bool = True) -> str:
    """The admin token of a data directory.

    Args:
        data_dir: The directory.
        makes: Make one, for the directory's owner alone, where there is none. A command makes none, for its server has
            it or another one: then it is empty.

    Raises:
        DataDirError: It cannot be read or made, or others can read it.
    """
    path = data_dir / TOKEN_NAME
    if not makes and not path.exists():
        return ""
    try:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                hand_to_owner(descriptor, data_dir)
                file.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")
        with path.open(encoding="ascii") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise DataDirError(f"{path} can be read by others; run: chmod 600 {path}")
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise DataDirError(f"admin token {path} cannot be read or made: {exc}") from exc
    if not token:
        raise DataDirError(f"admin token {path} is empty; remove it and a new one is made")
    return token

"""The data directory: whose it is, who else can read it, and how much room there is."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from streamd.process.data_dir import TOKEN_NAME, advice_against_strangers, is_read_only
from streamd.process.doctor.check_result import CheckResult, failed, ok, warning

# Without it a revocation cannot be written. The database of 10,000 keys and a million audit rows is about 150 MB.
FREE_BYTES_MIN = 50 * 1024 * 1024
FREE_BYTES_GOOD = 500 * 1024 * 1024


def check_data_directory(data_dir: Path) -> Iterator[CheckResult]:
    """Look at the directory, or at the one in which it will be made."""
    check = "server.data_dir"
    if not data_dir.exists():
        parent = next(path for path in data_dir.parents if path.exists())
        if is_read_only(parent):
            yield _read_only(check, parent)
            return
        if not os.access(parent, os.W_OK | os.X_OK):
            yield failed(
                check,
                f"{data_dir} is not there, and you may not make it in {parent}",
                f"make it as root, for the user who runs streamd: install -d -m 700 -o USER {data_dir}",
            )
            return
        yield ok(check, f"{data_dir} will be made at the first start")
        yield _room(parent)
        return
    if is_read_only(data_dir):
        yield _read_only(check, data_dir)
        return
    if not data_dir.is_dir() or not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        yield failed(check, f"{data_dir} is not a directory that you may write to", f"chown USER {data_dir}")
        return
    if advice := advice_against_strangers(data_dir):
        yield failed(check, f"others can change what is in {data_dir}, and the server refuses it", advice)
    elif data_dir.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield warning(check, f"{data_dir} can be entered by others", f"chmod 700 {data_dir}")
    else:
        yield ok(check, f"{data_dir} is yours alone")
    token = data_dir / TOKEN_NAME
    if token.exists() and token.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield failed("admin token", f"{token} can be read by others, and the server refuses it", f"chmod 600 {token}")
    yield _room(data_dir)


def _read_only(check: str, path: Path) -> CheckResult:
    return failed(
        check,
        f"{path} is on a disk that is mounted read-only",
        "mount it for writing (a container: a volume without :ro), or name another directory in server.data_dir",
    )


def _room(path: Path) -> CheckResult:
    free = shutil.disk_usage(path).free
    message = f"{free / 1e9:.1f} GB are free at {path}"
    if free < FREE_BYTES_MIN:
        return failed("disk", message, "make room: without it no key can be issued or revoked")
    if free < FREE_BYTES_GOOD:
        return warning("disk", message, "make room before it is used up: keys and the audit log are written there")
    return ok("disk", message)

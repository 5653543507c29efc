"""The directory of recordings: whether it can be written, and for how long it has room."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from streamd.process.data_dir import is_read_only
from streamd.process.doctor.check_result import CheckResult, failed, ok, warning
from streamd.process.options import recorder_options
from streamd.services.recording.folder import free_bytes
from streamd.services.recording.records import RecordingMode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamd.process.config import Config

# A broadcast of 6 Mb/s, as OBS's guides advise for 1080p.
HOUR_BYTES = 6_000_000 // 8 * 3600
# With less the oldest recordings go within a day of one broadcast.
HOURS_GOOD = 24


def check_recordings(config: Config) -> Iterator[CheckResult]:
    """Look at the directory, where anything is recorded."""
    options = recorder_options(config)
    # A user may be recorded where the server's rule is "off": then the directory is there.
    if options.mode is RecordingMode.OFF and not options.directory.exists():
        return
    check = "recording.dir"
    path = options.directory
    made_in = next(each for each in (path, *path.parents) if each.exists())
    if is_read_only(made_in):
        yield failed(check, f"{made_in} is on a disk that is mounted read-only", "mount it for writing")
        return
    if not made_in.is_dir() or not os.access(made_in, os.W_OK | os.X_OK):
        yield failed(
            check,
            f"{path} is not a directory that you may write to",
            f"as root, for the user who runs streamd: install -d -m 700 -o USER {path}",
        )
        return
    yield _room(path, options.writer.min_free_bytes)


def _room(path: Path, min_free_bytes: int) -> CheckResult:
    check = "recording.dir"
    free = free_bytes(path)
    hours = (free - min_free_bytes) / HOUR_BYTES
    if hours <= 0:
        return failed(
            check,
            f"{free / 1e9:.1f} GB are free at {path}, and recording.min_free_bytes keeps {min_free_bytes / 1e9:.1f} GB",
            "make room, or name another disk in recording.dir: until then every recording fails",
        )
    message = f"{path} has room for {hours:.0f} hours at 6 Mb/s"
    if hours < HOURS_GOOD:
        return warning(
            check, message, "then the oldest recordings go; recording.keep_days and max_bytes say what stays"
        )
    return ok(check, message)

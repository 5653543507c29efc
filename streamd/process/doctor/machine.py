"""The operating system's part: open files, and a clock that is right."""

from __future__ import annotations

import ctypes
import resource
from typing import TYPE_CHECKING

from streamd.process.doctor.check_result import CheckResult, ok, warning
from streamd.process.machine import advice_on_descriptors, wanted_descriptors

if TYPE_CHECKING:
    from streamd.process.config import Config
    from streamd.process.data_dir import RunningServer

# <sys/timex.h>: what adjtimex returns where nothing keeps the clock right, and more than its structure is long.
TIME_ERROR = 5
TIMEX_BYTES = 512


def check_open_files(config: Config, server: RunningServer | None) -> CheckResult:
    """Compare the limit of open files with the connections that the configuration allows.

    Args:
        config: How many connections.
        server: The server that runs on the data directory; its limit counts, and else ours.
    """
    check = "open files"
    needed = wanted_descriptors(config)
    try:
        limit, _ = resource.prlimit(server.pid if server is not None else 0, resource.RLIMIT_NOFILE)
    except (PermissionError, ProcessLookupError):
        return warning(check, "the server's limit cannot be read", "run this as the user who runs the server, or root")
    if limit != resource.RLIM_INFINITY and limit < needed:
        return warning(
            check,
            f"{limit} are allowed, and limits.connections_max and viewer_connections_max may need {needed}",
            advice_on_descriptors(needed),
        )
    return ok(check, f"{limit} are allowed, {needed} may be needed")


def check_clock() -> CheckResult:
    """Ask the kernel whether something keeps the clock right."""
    check = "clock"
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "adjtimex"):
        return ok(check, "this system does not say whether its clock is kept right")
    # Modes 0: nothing is set, and nothing has to be allowed.
    if libc.adjtimex(ctypes.create_string_buffer(TIMEX_BYTES)) == TIME_ERROR:
        return warning(
            check,
            "nothing keeps the clock right, as far as the kernel knows",
            "run chrony or systemd-timesyncd: keys expire, and viewers' dates are told, by this clock",
        )
    return ok(check, "is kept right")

"""A wall clock of a server's own, which a test steps while it runs.

libfaketime cannot leave the monotonic clock alone: where it is told to, version 0.9.10 has sleeps fail with EINVAL.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.patience import PATIENCE_S
from tests.support.tools import require

# Stands before libc's: what asks for the time of day, as Python does, gets it so many seconds off as the file says.
SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile const long long *offset_s;

__attribute__((constructor)) static void map_offset(void) {
    int fd = open(getenv("STEPPED_CLOCK"), O_RDONLY);
    offset_s = mmap(NULL, sizeof *offset_s, PROT_READ, MAP_SHARED, fd, 0);
    if (offset_s == MAP_FAILED) abort();
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int result = syscall(SYS_clock_gettime, clock, at);
    if (result == 0 && clock == CLOCK_REALTIME) at->tv_sec += *offset_s;
    return result;
}
"""


class SteppedClock:
    """The clock.

    Args:
        directory: For what is built, and for the file that says how far the clock is off.
    """

    def __init__(self, directory: Path) -> None:
        require("cc")
        library, self._offset = directory / "stepped_clock.so", directory / "stepped_clock"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(library)],
            input=SOURCE,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        )
        self._offset.write_bytes(bytes(8))
        self.prefix = ("env", f"LD_PRELOAD={library}", f"STEPPED_CLOCK={self._offset}")
        """Command to run a server under."""

    def step_to(self, offset_s: int) -> None:
        """Have the clock be off by so many seconds from now on."""
        with self._offset.open("r+b") as file:
            file.write(offset_s.to_bytes(8, "little", signed=True))

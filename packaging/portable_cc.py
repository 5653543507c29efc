"""A C compiler for wheels that are published: Zig's, with flags and C library of our own choice.

setuptools calls it, as ``CC``, with what a Python's packager compiled Python with; of that it takes what names files
and macros alone, so that a wheel does not depend on the machine that it is built on. ``STREAMD_TARGET`` is
``x86_64-linux-gnu.2.28`` or of another processor: Zig brings the C library's headers and stubs of each version.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

# As setuptools has them with CPython's own: -fwrapv is what Cython's integers count on.
FLAGS = ("-O2", "-g0", "-fPIC", "-fwrapv", "-fno-strict-aliasing", "-DNDEBUG", "-Wno-everything")
LINKER_FLAGS = ("-Wl,--strip-debug", "-Wl,-z,relro", "-Wl,-z,now")


def arguments_for_zig(arguments: Sequence[str], target: str) -> list[str]:
    """What Zig's compiler is called with.

    Args:
        arguments: What setuptools calls a compiler or a linker with.
        target: Processor, system, and version of the C library.
    """
    kept = list(_kept(arguments))
    linker_flags = LINKER_FLAGS if "-shared" in kept else ()
    return ["cc", "-target", target, *FLAGS, *linker_flags, *kept]


def _kept(arguments: Sequence[str]) -> Iterator[str]:
    given = iter(arguments)
    for argument in given:
        if argument in ("-o", "-I", "-D", "-U"):
            yield argument
            yield next(given)
        elif argument in ("-c", "-shared") or argument.startswith(("-I", "-D", "-U")) or not argument.startswith("-"):
            yield argument


if __name__ == "__main__":
    command = [sys.executable, "-m", "ziglang", *arguments_for_zig(sys.argv[1:], os.environ["STREAMD_TARGET"])]
    sys.exit(subprocess.run(command, check=False).returncode)  # noqa: S603 - setuptools' arguments, no shell

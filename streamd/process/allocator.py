"""How glibc's allocator keeps what Python does not: media, sockets' buffers, and what C libraries ask for.

Each thread would get a heap of its own. Ours have little to do, a look-up in the database, the probing of a track, and
each leaves its heap with holes that no other thread uses: after a quarter of an hour of broadcasts that come and go
that was 9 MB, and it still grew; with one heap for all nothing does (bench/README.md, Under fire). Threads that use it
at the same moment wait for each other, which is too seldom to be measured.
"""

from __future__ import annotations

import ctypes
import os

# mallopt(3), malloc_trim(3).
_M_MXFAST = 1
_M_ARENA_MAX = -8


def use_one_heap() -> None:
    """Have all threads share one heap, without lists of small free pieces, unless the operator's environment differs.

    Called before there are threads. Where the C library is another one, nothing is done.
    """
    if "MALLOC_ARENA_MAX" in os.environ or "glibc.malloc.arena_max" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # Windows, macOS, musl
        return
    mallopt(_M_ARENA_MAX, 1)
    # libavformat asks for small pieces and one of a frame's size with each packet. Small free pieces wait in lists,
    # and a request for a large piece goes through all of them: without the lists a packet costs a twentieth less.
    mallopt(_M_MXFAST, 0)


def give_back_free_memory() -> None:
    """Give the heap's free pages back to the machine; some milliseconds a gigabyte.

    glibc keeps what is free between what is used, and it counts as the size of the process. Where the C library is
    another one, nothing is done.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # Windows, macOS, musl
        return
    trim(0)

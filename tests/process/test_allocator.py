from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys

import pytest

from streamd.process import allocator

# malloc_info(3) lists the heaps; each of the threads has one that it asks for memory, if it may.
HEAPS = """
import ctypes, threading
from streamd.process.allocator import use_one_heap

use_one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
meeting = threading.Barrier(3)

def ask():
    libc.malloc(ctypes.c_size_t(5000))
    meeting.wait()

threads = [threading.Thread(target=ask) for _ in range(2)]
for thread in threads:
    thread.start()
meeting.wait()
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w")))
libc.fflush(None)
"""

# Small pieces that are free: each size has seven places of the thread's own (glibc's tcache), before there are lists.
FREED = """
import ctypes
from streamd.process.allocator import use_one_heap

use_one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.fopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
# The file's buffer is a large piece: it is asked for here.
libc.fputs(b"<!-- -->", out)
pieces = [libc.malloc(ctypes.c_size_t(64)) for _ in range(1000)]
for piece in pieces:
    libc.free(ctypes.c_void_p(piece))
libc.malloc_info(0, out)
libc.fflush(None)
"""


def malloc_info(script: str, **environment: str) -> str:
    env = {name: value for name, value in os.environ.items() if name not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env | environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def heaps(**environment: str) -> int:
    return malloc_info(HEAPS, **environment).count("<heap nr=")


def pieces_in_lists(**environment: str) -> int:
    found = re.findall(r'<total type="fast" count="(\d+)"', malloc_info(FREED, **environment))
    if not found:
        pytest.skip("this glibc has no such lists")
    # The last one is of all heaps.
    return int(found[-1])


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="this C library is not glibc")
def test_threads_share_one_heap_unless_the_operator_says_otherwise() -> None:
    assert heaps() == 1
    assert heaps(MALLOC_ARENA_MAX="4") > 1
    assert heaps(GLIBC_TUNABLES="glibc.malloc.arena_max=4") > 1


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="this C library is not glibc")
def test_small_free_pieces_are_in_no_list_unless_the_operator_says_otherwise() -> None:
    assert pieces_in_lists() == 0
    assert pieces_in_lists(MALLOC_ARENA_MAX="1") > 0


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    allocator.use_one_heap()

from __future__ import annotations

import ctypes
import os
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


def heaps(**environment: str) -> int:
    env = {name: value for name, value in os.environ.items() if name not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")}
    done = subprocess.run(
        [sys.executable, "-c", HEAPS], env=env | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="this C library is not glibc")
def test_threads_share_one_heap_unless_the_operator_says_otherwise() -> None:
    assert heaps() == 1
    assert heaps(MALLOC_ARENA_MAX="4") > 1
    assert heaps(GLIBC_TUNABLES="glibc.malloc.arena_max=4") > 1


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    allocator.use_one_heap()

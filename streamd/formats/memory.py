"""Steps in memory on the way of a frame that Python cannot express, or only in more steps than the machine takes.

Compiled modules have ``memory_c.pxd`` in the place of this one: the same functions in C.
"""

from __future__ import annotations


def new_slab(size: int) -> bytearray:
    """Make room for so many bytes, with any content."""
    return bytearray(size)


def give_back(slab: bytearray) -> None:
    """Keep the memory of a slab for the next one, as nobody uses it any more.

    Compiled, so many as ``memory_c.pxd`` says are kept, those that are still shown somewhere excepted. Here, the
    interpreter has it back.
    """


def kept_bytes() -> int:
    """Return how many bytes of slabs are kept for the next ones."""
    return 0


def let_go() -> None:
    """Give the slabs that are kept back to the interpreter."""


def copy(target: bytearray, at: int, source: bytes | bytearray, start: int, size: int) -> None:
    """Copy bytes into a place of the same size.

    Args:
        target: Where to.
        at: Offset in it.
        source: Where from.
        start: Offset in it.
        size: How many.
    """
    target[at : at + size] = source[start : start + size]


def cut(source: bytes | bytearray, start: int, size: int) -> bytes:
    """Return a copy of so many bytes."""
    return bytes(source[start : start + size])


def starts_with(source: bytes | bytearray, start: int, first: bytes) -> int:
    """Say whether these bytes stand at a place: 1 or 0."""
    return int(source[start : start + len(first)] == first)


def read_u24(source: bytes | bytearray, start: int) -> int:
    """Read the number of three bytes at a place, the highest first."""
    assert start + 3 <= len(source), "beyond the end of the bytes"
    return int.from_bytes(source[start : start + 3], "big")


def untrack(thing: object) -> None:
    """Tell the garbage collector that an object is in no circle of references.

    It would otherwise look at all frames of all windows: half a second, with 400 streams. Python's own objects cannot
    be excluded.
    """

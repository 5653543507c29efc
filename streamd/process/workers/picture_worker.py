"""Draws pictures in processes of their own.

It is ``python -m streamd.process.workers.picture_worker``, and ``posters.picture_process`` starts it.

Orders come on standard input, answers go to standard output; the process ends with its standard input. It decodes
nothing itself: each picture is drawn by a copy of it, which has one end of a pipe, may make no system call but those of
computing, and is gone with its picture. So a publisher whose bytes break a decoder has the time and the memory of one
picture, and nothing of the next one's; and a copy costs a hundredth of a start.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

from streamd.errors import PictureError
from streamd.media.picture import ANSWER, ORDER, PICTURE_BYTES_MAX, PictureKind, draw_own_picture, draw_picture
from streamd.media.pixels import PIXELS_BYTES_MAX, draw_own_pixels, draw_pixels
from streamd.media.storyboard import CellSize, draw_cell, draw_own_storyboard, draw_sheet
from streamd.services.sandbox import Layer, Sandbox

# Decoding a picture of the largest size takes: 8K in 10 bits is 200 MB a frame, of which a decoder holds two or
# three; Python and libav are 150 MB of addresses.
ADDRESS_SPACE_BYTES_MAX = 1024 * 1024 * 1024
# Processor time of one picture; 8K takes under one second. Less than what is waited for it (PictureProcess), so that a
# keyframe made to take for ever ends the copy that draws it, and not what copies are made of.
CPU_SECONDS_MAX = 4
# Standard input, output and error, a pipe, and a ruleset for a moment.
OPEN_FILES_MAX = 8
# Behind everything that is about live media.
NICENESS = 10
# Where memory runs out, the kernel ends what has the highest score: a picture, and not the server (man 5 proc).
OOM_SCORE_ADJ = Path("/proc/self/oom_score_adj")
OOM_SCORE_ADJ_MAX = "1000"
# A pipe holds so much, as Linux makes them.
READ_BYTES = 64 * 1024

_STDIN, _STDOUT, _STDERR = 0, 1, 2


def main() -> None:
    """Answer orders until there are none."""
    os.chdir("/")
    os.umask(0o077)
    with contextlib.suppress(OSError):
        OOM_SCORE_ADJ.write_text(OOM_SCORE_ADJ_MAX, encoding="ascii")
    draw_own_picture()
    draw_own_storyboard()
    draw_own_pixels()
    # Only now: a request waits for the first picture, and a start takes 0.3 s of a processor.
    os.nice(NICENESS)
    Sandbox(memory_bytes=ADDRESS_SPACE_BYTES_MAX, open_files=OPEN_FILES_MAX, may_fork=True).lock()
    while head := _read(_STDIN, ORDER.size):
        kind, width, height, header_bytes, fragment_bytes = ORDER.unpack(head)
        cmaf_header, fragment = _read(_STDIN, header_bytes), _read(_STDIN, fragment_bytes)
        bytes_max = PIXELS_BYTES_MAX if kind == PictureKind.PIXELS else PICTURE_BYTES_MAX
        draw = partial(_draw, kind, CellSize(width, height), cmaf_header, fragment)
        layers, picture = _draw_in_a_copy(draw, bytes_max)
        _write(_STDOUT, ANSWER.pack(layers, len(picture)) + picture)


def _draw(kind: int, size: CellSize, cmaf_header: bytes, fragment: bytes) -> bytes:
    """Draw what an order asks for.

    Raises:
        PictureError: There is no picture.
    """
    match kind:
        case PictureKind.CELL:
            return draw_cell(cmaf_header, fragment, size)
        case PictureKind.SHEET:
            return draw_sheet(fragment, size)
        case PictureKind.PIXELS:
            return draw_pixels(cmaf_header, fragment, size.width, size.height)
        case _:
            return draw_picture(cmaf_header, fragment)


def _draw_in_a_copy(draw: Callable[[], bytes], bytes_max: int) -> tuple[Layer, bytes]:
    """Have a copy of this process draw a picture, and end.

    Args:
        draw: Draws, and raises ``PictureError`` where there is no picture.
        bytes_max: A longer answer is no picture.

    Returns:
        The layers that held the copy while it drew, and the picture, empty where there is none.
    """
    answers, answer = os.pipe()
    parent = os.getpid()
    if os.fork() == 0:
        os.close(answers)
        _draw_and_end(draw, answer, parent)
    os.close(answer)
    # One byte before the picture, and one more than a picture has.
    said = _read(answers, 1 + bytes_max + 1)
    os.close(answers)
    # A copy that goes on is ended by its processor time, or with this process by its caller.
    os.wait()
    picture = said[1:]
    return Layer(said[0] if said else 0), picture if len(picture) <= bytes_max else b""


def _draw_and_end(draw: Callable[[], bytes], answer: int, parent: int) -> NoReturn:
    """The life of a copy: its pipe is its standard output, and all that it has."""
    try:
        os.dup2(answer, _STDOUT)
        for descriptor in (_STDIN, _STDERR):
            os.close(descriptor)
        layers = _limit()
        # Said before anything is decoded, so that no decoder has a say in it.
        _write(_STDOUT, bytes([layers]))
        # A copy that lost its parent before it was tied to it has no reader for its picture.
        if os.getppid() == parent:
            _write(_STDOUT, draw())
    except (PictureError, MemoryError, OSError):
        pass
    finally:
        os._exit(0)


def _limit() -> Layer:
    """Take from this process all that drawing a picture does not need, for good.

    Returns:
        The layers that hold it from now on.
    """
    return Sandbox(memory_bytes=ADDRESS_SPACE_BYTES_MAX, cpu_s=CPU_SECONDS_MAX).lock()


def _read(descriptor: int, count: int) -> bytes:
    """``count`` bytes, or fewer where they end before."""
    parts = []
    while count and (part := os.read(descriptor, min(count, READ_BYTES))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


if __name__ == "__main__":
    main()

"""Draws pictures in a process of its own: ``python -m streamd.picture_worker``, started by ``live.picture_process``.

A decoder that a publisher's bytes bring down, hang or make greedy takes this process with it and nothing else: no
stream key, token, socket or file of the server is here. Orders come on standard input, answers go to standard output;
the process ends with its standard input.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import BinaryIO

from streamd.errors import PictureError
from streamd.media.picture import ANSWER, ORDER, draw_picture

# What decoding a picture of the largest size takes: 8K in 10 bits is 200 MB a frame, of which a decoder holds two or
# three; Python and libav are 150 MB of addresses.
ADDRESS_SPACE_BYTES_MAX = 1024 * 1024 * 1024
# Processor time of one picture; 8K takes under one second. Whoever waits gives up sooner (PictureProcess), but may be
# gone by then.
CPU_SECONDS_MAX = 10
# Behind everything that is about live media.
NICENESS = 10


def main() -> None:
    """Answer orders until there are none."""
    _limit()
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    while head := orders.read(ORDER.size):
        picture = _draw(head, orders)
        answers.write(ANSWER.pack(len(picture)) + picture)
        answers.flush()


def _draw(head: bytes, orders: BinaryIO) -> bytes:
    header_bytes, fragment_bytes = ORDER.unpack(head)
    cmaf_header, fragment = orders.read(header_bytes), orders.read(fragment_bytes)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS_MAX
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, resource.RLIM_INFINITY))
    try:
        return draw_picture(cmaf_header, fragment)
    except PictureError:
        return b""


def _limit() -> None:
    """Take from this process what it does not need."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES_MAX, ADDRESS_SPACE_BYTES_MAX))
    # It writes no file, a dump of its memory included.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()

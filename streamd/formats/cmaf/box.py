"""ISO BMFF boxes: the length-and-type frame around everything in a CMAF file.

ISO/IEC 14496-12 (2022) section 4.2.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BOX = struct.Struct(">I4s")

# Section 4.2.2: a 32-bit size. The 64-bit form is for files; parts stay far below it.
BOX_BYTES_MAX = 0xFFFF_FFFF
# Before a fragment's ``mdat`` are ``moof``, and sometimes ``styp``, ``prft``, ``sidx`` and events.
FRAGMENT_BOXES_MAX = 16


def box(box_type: bytes, *content: bytes) -> bytes:
    """Write a whole box around the joined ``content``.

    Spec: ISO/IEC 14496-12 section 4.2.2, Box.
    """
    size = _BOX.size + sum(map(len, content))
    assert size <= BOX_BYTES_MAX, "no header needs largesize"
    return b"".join((_BOX.pack(size, box_type), *content))


def first_fragment_bytes(read: Callable[[int, int], bytes], size_bytes: int) -> int:
    """The length of the first fragment: all boxes up to the end of the first ``mdat``.

    Args:
        read: Gives bytes from a place on, so many or fewer.
        size_bytes: Of all there is.

    Returns:
        Bytes; 0 where there is no whole fragment among the first ``FRAGMENT_BOXES_MAX`` boxes.

    Spec: ISO/IEC 14496-12 sections 4.2.2 and 8.8.4.
    """
    end = 0
    for _ in range(FRAGMENT_BOXES_MAX):
        head = read(end, _BOX.size)
        if len(head) < _BOX.size:
            return 0
        length: int
        length, box_type = _BOX.unpack(head)
        end += length
        if length < _BOX.size or end > size_bytes:
            return 0
        if box_type == b"mdat":
            return end
    return 0

"""ISO BMFF boxes: the length-and-type frame around everything in a CMAF file.

ISO/IEC 14496-12 (2022) section 4.2.
"""

from __future__ import annotations

import struct

_BOX = struct.Struct(">I4s")

# Section 4.2.2: a 32-bit size. The 64-bit form is for files; parts stay far below it.
BOX_BYTES_MAX = 0xFFFF_FFFF


def box(box_type: bytes, *content: bytes) -> bytes:
    """Write a whole box around the joined ``content``.

    Spec: ISO/IEC 14496-12 section 4.2.2, Box.
    """
    size = _BOX.size + sum(map(len, content))
    assert size <= BOX_BYTES_MAX, "no header needs largesize"
    return b"".join((_BOX.pack(size, box_type), *content))

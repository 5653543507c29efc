"""ISO BMFF boxes: the length-and-type frame around everything in a CMAF file.

ISO/IEC 14496-12 (2022) section 4.2.
"""

from __future__ import annotations

import struct

_BOX = struct.Struct(">I4s")
_FULL_BOX = struct.Struct(">I4sI")

# Section 4.2.2: a 32-bit size; the 64-bit form exists for files, no part of ours comes near it.
BOX_BYTES_MAX = 0xFFFF_FFFF


def box_header(box_type: bytes, content_bytes: int) -> bytes:
    """Write the 8 bytes before ``content_bytes`` of content that the caller appends itself.

    Args:
        box_type: Four-character code.
        content_bytes: Bytes that follow the header.

    Returns:
        ``size`` and ``type``, 8 bytes.

    Spec: ISO/IEC 14496-12 section 4.2.2, Box.
    """
    assert content_bytes <= BOX_BYTES_MAX - _BOX.size, "a part never needs largesize"
    return _BOX.pack(_BOX.size + content_bytes, box_type)


def box(box_type: bytes, *content: bytes) -> bytes:
    """Write a whole box around the joined ``content``.

    Spec: ISO/IEC 14496-12 section 4.2.2, Box.
    """
    body = b"".join(content)
    return box_header(box_type, len(body)) + body


def full_box(box_type: bytes, version: int, flags: int, content: bytes) -> bytes:
    """Write a whole box whose content starts with a version (8 bits) and flags (24 bits).

    Spec: ISO/IEC 14496-12 section 4.2.2, FullBox.
    """
    return _FULL_BOX.pack(_FULL_BOX.size + len(content), box_type, version << 24 | flags) + content

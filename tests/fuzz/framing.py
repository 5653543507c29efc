"""Tags as one string of bytes, so that a fuzzer that knows only bytes can change, cut and repeat them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from streamd.formats.flv.tag import FlvTag

if TYPE_CHECKING:
    from collections.abc import Iterable

# Tag type, timestamp (unwrapped, and so of either sign), length.
_TAG = struct.Struct(">BqI")
_TIMESTAMP_MS = 2**40


def write_tags(tags: Iterable[FlvTag]) -> bytes:
    return b"".join(
        _TAG.pack(tag.tag_type, tag.timestamp_ms, len(bytes(tag.payload))) + bytes(tag.payload) for tag in tags
    )


def read_tags(data: bytes) -> list[FlvTag]:
    """The tags in any bytes: a length beyond their end stands for what is left."""
    tags: list[FlvTag] = []
    offset = 0
    while offset + _TAG.size <= len(data):
        tag_type, timestamp_ms, size = _TAG.unpack_from(data, offset)
        offset += _TAG.size
        timestamp_ms = (timestamp_ms + _TIMESTAMP_MS) % (2 * _TIMESTAMP_MS) - _TIMESTAMP_MS
        tags.append(FlvTag(tag_type, timestamp_ms, data[offset : offset + size]))
        offset += size
    return tags

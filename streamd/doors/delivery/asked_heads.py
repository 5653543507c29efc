"""Reads requests off the beginning of bytes, each crowd's request once.

Spec: RFC 9112 sections 2.2 and 3.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from streamd.doors.delivery.answer import METHODS, MediaRequest
from streamd.doors.delivery.http_request import DEFAULT_HEAD_LIMITS, HeadLimits, HeadParser, find_head, skip_empty_line
from streamd.doors.delivery.media_path import parse_media_path
from streamd.doors.delivery.push_path import parse_push_path

if TYPE_CHECKING:
    from streamd.doors.delivery.http_request import RequestHead
    from streamd.doors.delivery.push_path import PushPath

# Viewers ask for the same few names at a time, the edge of every stream, and those with the same browser in the same
# bytes: a crowd's request is read once. With the limit below, 2 MB at the most.
HEADS_REMEMBERED = 1024
# A browser's head without cookies has about 600 bytes.
REMEMBERED_HEAD_BYTES_MAX = 1024


class ReadRequest(NamedTuple):
    """A request's head, and the media or pushed stream that it asks for; neither where the request is aiohttp's."""

    head: RequestHead
    media: MediaRequest | None
    push: PushPath | None
    start: int
    """Offset of its first byte in the bytes that it was read from."""
    end: int
    """Offset of the byte after its head."""


class AskedHeads:
    """Finds and reads the first request in the bytes of a connection.

    Args:
        limits: How much a request may say.
    """

    def __init__(self, limits: HeadLimits = DEFAULT_HEAD_LIMITS) -> None:
        self.configure(limits)

    def configure(self, limits: HeadLimits) -> None:
        """Take other limits, and forget the heads that were read under the old ones."""
        self._limits = limits
        self._parse = HeadParser(limits).parse
        self._read_once = lru_cache(HEADS_REMEMBERED)(self._read)

    def read(self, data: bytes) -> ReadRequest | None:
        """Read the first request.

        Args:
            data: Bytes that have been sent and are not answered.

        Returns:
            The request; None where its head is not whole.

        Raises:
            MalformedRequestError: It cannot be read.
        """
        return self._read_once(data) if len(data) <= REMEMBERED_HEAD_BYTES_MAX else self._read(data)

    def _read(self, data: bytes) -> ReadRequest | None:
        start = skip_empty_line(data, 0)
        end = find_head(data, start, self._limits)
        if end < 0:
            return None
        head = self._parse(data[start:end])
        media: MediaRequest | None = None
        push: PushPath | None = None
        if head.is_plain and head.method in METHODS:
            path = parse_media_path(head.path)
            if path is None:
                push = parse_push_path(head.path)
            else:
                media = MediaRequest(
                    head.method, path, head.query, head.accept_encoding, head.if_none_match, head.if_range, head.range
                )
        return ReadRequest(head, media, push, start, end)

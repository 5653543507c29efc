"""Tickets in paths: ``/live/{name}/~{ticket}/…`` and ``/live/~{ticket}/{name}.flv``, and the paths without them.

Everything relative to such a path has the ticket too, in every player, and a cache in front leaves it out of the name
under which it keeps an answer. A ``~`` is unreserved (RFC 3986 section 2.3): none of ours is percent-encoded.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from streamd.services.playback.ticket import TICKET_CHARS_MAX

# ``GET /live/`` and the longest name.
_BEFORE_CHARS_MAX: Final = 96
_TICKET = rf"(/~([A-Za-z0-9._-]{{1,{TICKET_CHARS_MAX}}}))/"
_TEXT = re.compile(rf"[A-Za-z0-9._-]{{1,{TICKET_CHARS_MAX}}}".encode())
_BEFORE = re.compile(rb"[A-Z]{3,8} /live(?:/[a-z0-9][a-z0-9_-]{1,63})?")
# The text before tickets: a method and a channel, 200 bytes each.
BEGINNINGS_REMEMBERED: Final = 1024
# Tickets that were asked with lately, as text: 500 bytes each. Reading one anew takes 0.4 µs.
TEXTS_REMEMBERED: Final = 8192
_IN_PATH = re.compile(rf"/(?:live|vod)(?:/[A-Za-z0-9][A-Za-z0-9_-]{{1,63}})?{_TICKET}")


class Opening(NamedTuple):
    """How a request with a ticket begins."""

    whole: bytes
    """All of it, as far as the ``/`` behind the ticket."""
    before: bytes
    """What of it stands before the ticket: a method, and the path as far as the channel. All connections share it."""
    ticket: str
    end: int
    """Offset of the byte after the ticket: of the ``/`` behind it."""

    def cut(self, data: bytes) -> bytes:
        """A request that begins so, without the ticket."""
        return self.before + data[self.end :]

    @property
    def shorter_by(self) -> int:
        """How many bytes fewer that are."""
        return self.end - len(self.before)


def find_opening(data: bytes) -> Opening | None:
    """Find the ticket in the first line of a request.

    Args:
        data: From the first byte of the request.

    Returns:
        How it begins; None where there is no ticket.
    """
    start = data.find(b"/~", 0, _BEFORE_CHARS_MAX)
    if start < 0:
        return None
    end = data.find(b"/", start + 2, start + 3 + TICKET_CHARS_MAX)
    if end < 0 or not (ticket := _text(data[start + 2 : end])) or not (before := _beginning(data[:start])):
        return None
    return Opening(data[: end + 1], before, ticket, end)


@lru_cache(maxsize=TEXTS_REMEMBERED)
def _text(data: bytes) -> str:
    """A ticket as text; empty where it cannot be one."""
    return data.decode("ascii") if _TEXT.fullmatch(data) is not None else ""


@lru_cache(maxsize=BEGINNINGS_REMEMBERED)
def _beginning(before: bytes) -> bytes:
    """What stands before a ticket, the same object for all; nothing where none can follow."""
    return before if _BEFORE.fullmatch(before) is not None else b""


def cut_path(path: str) -> tuple[str, str]:
    """Take the ticket out of a path.

    Args:
        path: As sent, without the query.

    Returns:
        The path without it, and the ticket; the path as it is, and nothing, where there is none.
    """
    found = _IN_PATH.match(path) if "/~" in path else None
    if found is None:
        return path, ""
    start, end = found.span(1)
    return path[:start] + path[end:], found[2]

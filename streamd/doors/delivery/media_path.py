"""The paths of media over HTTP, read strictly.

Paths are compared as they were sent: none of ours holds a character that anyone has reason to percent-encode, so an
encoded slash, dot or NUL is simply another path, and not ours.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

# A channel is named like its user (the public contract).
_NAME = r"[a-z0-9][a-z0-9_-]{1,63}"
_VARIANT = r"[a-z0-9][a-z0-9_-]{0,63}"
# Between variant and file in the names of a locked channel's media (``services/playback/ticket.py``): 128 bits.
_WORD = r"[0-9a-v]{26}"
# One spelling for each number, and none above 2**53, which every player's arithmetic holds.
_NUMBER = r"0|[1-9][0-9]{0,15}"

_PATH = re.compile(
    rf"/live/(?P<name>{_NAME})/(?P<variant>{_VARIANT})"
    rf"(?:\.m3u8|(?:/(?P<word>{_WORD}))?/(?P<file>init|seg|part)(?P<number>{_NUMBER})\.(?P<suffix>mp4|m4s))"
)

# Longer than the longest path that matches: a longer one is not searched.
PATH_CHARS_MAX = 224

MULTIVARIANT_NAME = "index"


class MediaKind(enum.Enum):
    """The kinds of media that a path names."""

    MULTIVARIANT = "index.m3u8"
    PLAYLIST = "m3u8"
    INIT = "init"
    SEGMENT = "seg"
    PART = "part"


@dataclass(frozen=True, slots=True)
class MediaPath:
    """A path under ``/live/`` that names a playlist or a piece of media."""

    name: str
    """The channel."""
    kind: MediaKind
    variant: str = ""
    """The rendition; empty for the multivariant playlist."""
    number: int = 0
    """Of the init section, segment or part; 0 for playlists."""
    word: str = ""
    """In the name of a locked channel's media; empty elsewhere."""


_FILES = {
    ("init", "mp4"): MediaKind.INIT,
    ("seg", "m4s"): MediaKind.SEGMENT,
    ("part", "m4s"): MediaKind.PART,
}


def parse_media_path(path: str) -> MediaPath | None:
    """Read a path.

    Args:
        path: The path of the request target as sent: not decoded, without the query.

    Returns:
        The media that it names, or ``None`` if it is not a path of media.
    """
    if len(path) > PATH_CHARS_MAX:
        return None
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    name, variant, word, file, number, suffix = match.groups()
    if file is None:
        if variant == MULTIVARIANT_NAME:
            return MediaPath(name, MediaKind.MULTIVARIANT)
        return MediaPath(name, MediaKind.PLAYLIST, variant)
    kind = _FILES.get((file, suffix))
    if kind is None or variant == MULTIVARIANT_NAME:
        return None
    return MediaPath(name, kind, variant, int(number), word or "")

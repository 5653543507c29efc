"""The place of the stream key in a publisher's URL.

Not in any specification: this is how encoders cut the URL that people type.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Signs that come along when a key is copied from a page, a chat or a mail: blanks, quotes of several scripts, spaces
# that are not broken, byte order marks, and signs without a width that say where a line may break or which way it
# runs. U+FFFD stands for bytes that are no UTF-8: a space of Latin-1, for one.
_AROUND_A_KEY = (
    " \t\n\v\f\r\x85\xa0\xad'\"`\xab\xbb\ufeff\ufffd"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
    "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2028\u2029"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069"
    "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a"
)
_BETWEEN_PARTS = re.compile(r"[/?&=#;]")
# Parts that are looked at, of each text: a URL that a person typed has fewer than ten.
_PARTS_MAX = 32


def find_stream_key(app: str, stream_name: str, tc_url: str, has_form: Callable[[str], bool]) -> str:
    """Find the stream key in the words of ``connect`` and ``publish``.

    The key is taken wherever it stands alone: as the stream name, as the last part of the server's path or its only one
    (``rtmp://host/KEY``), before a query, behind one (``live?x=1/KEY``) or in one. Blanks and quotes around it are left
    out.

    Where nothing has the form of a key it is the text in the usual place: the last part of the stream name; where that
    is empty (``rtmp://host/live/KEY`` typed as the server, and no key), of the app after its first part, and at last of
    the path of ``tcUrl``.

    Args:
        app: As in ``connect``.
        stream_name: As in ``publish``; the key, in the usual case.
        tc_url: As in ``connect``.
        has_form: Whether a text has the form of a stream key.

    Returns:
        The key, not checked in any way; empty where there is none.
    """
    places = (stream_name, app, path_of(tc_url))
    for place in places:
        for part in _BETWEEN_PARTS.split(place, _PARTS_MAX):
            if has_form(key := trim_slips(part)):
                return key
    if name_parts := _path_parts(stream_name):
        return name_parts[-1]
    for place in places[1:]:
        _, *rest = _path_parts(place) or [""]
        if rest:
            return rest[-1]
    return ""


def path_of(url: str) -> str:
    """The path after the host: ``live/KEY`` of ``rtmp://host:1935/live/KEY``; empty where there is no host."""
    return url.partition("://")[2].partition("/")[2]


def _path_parts(path: str) -> list[str]:
    path = path.partition("?")[0]
    return [part for part in map(trim_slips, path.split("/")) if part]


def trim_slips(text: str) -> str:
    """Take off what came along when a key was copied: blanks, quotes, signs without a width."""
    return text.strip(_AROUND_A_KEY)

"""Where in a publisher's URL the stream key is.

Not in any specification: this is how encoders cut the URL that people type.
"""

from __future__ import annotations


def find_stream_key(app: str, stream_name: str, tc_url: str = "") -> str:
    """Find the stream key in what ``connect`` and ``publish`` said.

    It is the last part of the stream name; where that is empty (``rtmp://host/live/KEY`` typed as the
    server, and no key), of the app after its first part, and at last of the path of ``tcUrl``. A query is left
    out, and so are the blanks and quotes that come along when a key is copied.

    Args:
        app: As in ``connect``.
        stream_name: As in ``publish``; the key, in the usual case.
        tc_url: As in ``connect``.

    Returns:
        The key, not checked in any way; empty where there is none.
    """
    if name_parts := _path_parts(stream_name):
        return name_parts[-1]
    for path in (app, path_of(tc_url)):
        _, *rest = _path_parts(path) or [""]
        if rest:
            return rest[-1]
    return ""


def path_of(url: str) -> str:
    """What stands after the host: ``live/KEY`` of ``rtmp://host:1935/live/KEY``; empty where there is no host."""
    return url.partition("://")[2].partition("/")[2]


def _path_parts(path: str) -> list[str]:
    path = path.partition("?")[0]
    return [part for part in (raw.strip(" \t\r\n'\"") for raw in path.split("/")) if part]

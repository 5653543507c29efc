"""The stream key in what an encoder says, wherever it stands: a key, or none, and never in any text of ours."""

from __future__ import annotations

from streamd.formats.rtmp.events import PublishRequested
from streamd.services.keys.stream_key import StreamKey, is_key_id

KEY = "sk_" + "a" * 10 + "_" + "B" * 32


def seeds() -> list[bytes]:
    """Lines: stream name, app, tcUrl."""
    lines = (
        ("KEY?x=y", "live", "rtmp://host/live"),
        ("", "live/KEY", ""),
        ("", "live", "rtmp://host:1935/live/KEY"),
        (" 'KEY'\r", "", "rtmp://"),
        ("../../x", "a/../b", "rtmp://[::1]:x/../.."),
        ("", "KEY?user=", "rtmp://host/KEY"),
        ("", "live?x=1/KEY", ""),
        ("\u201cKEY\u201d\xa0", "live", "\ufeff"),
        ("\0", "?" * 300, "//" * 300),
    )
    return ["\n".join(each).replace("KEY", KEY).encode() for each in lines]


def run(data: bytes) -> None:
    """Args: data: The lines of ``seeds``; what is left out is empty."""
    lines = data.decode("utf-8", "replace").split("\n", 2)
    name, app, tc_url = lines + [""] * (3 - len(lines))
    request = PublishRequested(name, app, tc_url, "live")
    found = request.find_key(StreamKey.has_form)
    assert "/" not in found
    assert "?" not in found
    key = StreamKey.parse(found)
    if key is not None:
        assert is_key_id(key.key_id)
        assert key.reveal() == found
        assert key.secret not in repr(key) + repr(request)
    is_key_id(found)

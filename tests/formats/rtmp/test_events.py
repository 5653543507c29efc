from __future__ import annotations

from streamd.formats.flv.tag import FlvTag
from streamd.formats.rtmp.capabilities import ClientCapabilities
from streamd.formats.rtmp.events import Connected, PublishRequested

SECRET = "sk_0123_secret"


def test_no_repr_shows_the_key() -> None:
    events = [
        Connected(f"live/{SECRET}", f"rtmp://host/live/{SECRET}", "FMLE/3.0", 0, ClientCapabilities()),
        PublishRequested(SECRET, f"live/{SECRET}", f"rtmp://host/live/{SECRET}", "live"),
    ]
    assert all(SECRET not in repr(event) and SECRET not in f"{event}" for event in events)


def test_the_key_is_found_in_what_was_asked() -> None:
    for requested in (
        PublishRequested(f"{SECRET}?x=y", "live", "", "live"),
        PublishRequested("", SECRET, "", "live"),
        PublishRequested("", "", f"rtmp://host/{SECRET}", "live"),
    ):
        assert requested.find_key(SECRET.__eq__) == SECRET


def test_the_repr_of_media_is_short() -> None:
    assert repr(FlvTag(9, 40, bytes(100_000))) == "FlvTag(9, 40 ms, 100000 bytes)"

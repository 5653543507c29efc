from __future__ import annotations

import pytest

from streamd.services.keys.shown_publish import ShownPublish


def shown(app: str, stream_name: str) -> ShownPublish:
    return ShownPublish.of(
        app=app,
        stream_name=stream_name,
        tc_url="rtmp://host/live",
        publishing_type="live",
        address="192.0.2.7",
        encoder="FMLE/3.0",
    )


@pytest.mark.parametrize(
    ("app", "stream_name", "path", "query"),
    [
        ("live", "alice", "live/alice", ""),
        ("live", "alice?key=s", "live/alice", "key=s"),
        ("live?key=s", "alice", "live/alice", "key=s"),
        ("live?a=1", "alice?b=2", "live/alice", "a=1&b=2"),
        ("live/alice?key=s", "", "live/alice", "key=s"),
        ("alice", "", "alice", ""),
        ("live/", " /alice'", "live/alice", ""),
        ("live", "\u201calice?key=s\u201d", "live/alice", "key=s"),
        ("live", "\ufeffalice\u200b", "live/alice", ""),
        ("live", "a/b", "live/a/b", ""),
        ("", "alice", "alice", ""),
        ("", "", "", ""),
    ],
)
def test_app_name_and_query_wherever_the_encoder_put_them(app: str, stream_name: str, path: str, query: str) -> None:
    found = shown(app, stream_name)
    assert (found.path, found.query) == (path, query)
    assert found.last_name == path.rpartition("/")[2]


def test_nothing_of_it_is_in_its_repr() -> None:
    assert "sec" not in repr(shown("sec1", "sec2?sec3"))

from __future__ import annotations

import pytest

from streamd.formats.rtmp.stream_name import find_stream_key, path_of


@pytest.mark.parametrize(
    ("app", "stream_name", "tc_url", "key"),
    [
        ("live", "KEY", "rtmp://host/live", "KEY"),
        ("live", "KEY?token=x&y=/z", "", "KEY"),
        ("live?vhost=a", "KEY", "", "KEY"),
        ("live/KEY", "", "rtmp://host/live/KEY", "KEY"),
        ("live/KEY?x=y", "", "", "KEY"),
        ("live/KEY", "other", "", "other"),
        ("live", "live/KEY", "", "KEY"),
        ("live", "/KEY/", "", "KEY"),
        ("live", " KEY\r\n", "", "KEY"),
        ("live", "'KEY'", "", "KEY"),
        ("live", "", "rtmp://host:1935/live/KEY", "KEY"),
        ("", "", "rtmp://host/live/KEY?x=y", "KEY"),
        ("", "KEY", "", "KEY"),
        ("live", "", "rtmp://host/live", ""),
        ("live", "?x=y", "", ""),
        ("live/", " / ", "", ""),
        ("", "", "", ""),
        ("", "", "nonsense", ""),
        ("live", "../../etc/passwd", "", "passwd"),
    ],
)
def test_the_key_is_found_wherever_the_encoder_put_it(app: str, stream_name: str, tc_url: str, key: str) -> None:
    assert find_stream_key(app, stream_name, tc_url) == key


@pytest.mark.parametrize(
    ("url", "path"),
    [("rtmp://host/live/KEY", "live/KEY"), ("rtmp://host:1935/live", "live"), ("rtmp://host", ""), ("live", "")],
)
def test_the_path_is_what_stands_after_the_host(url: str, path: str) -> None:
    assert path_of(url) == path

from __future__ import annotations

import pytest

from streamd.errors import RestreamError
from streamd.services.restream.place import check_stream_key, hint_of, read_place


class TestReadPlace:
    @pytest.mark.parametrize(
        ("url", "host", "port", "is_tls", "app", "shown"),
        [
            ("rtmps://a.rtmps.youtube.com:443/live2", "a.rtmps.youtube.com", 443, True, "live2", "rtmps://a.rtmps.youtube.com/live2"),
            ("rtmp://live.twitch.tv/app", "live.twitch.tv", 1935, False, "app", "rtmp://live.twitch.tv/app"),
            ("rtmps://live-api-s.facebook.com:443/rtmp/", "live-api-s.facebook.com", 443, True, "rtmp", "rtmps://live-api-s.facebook.com/rtmp"),
            (" rtmp://[2001:db8::1]:1936/a/b?x=1 ", "2001:db8::1", 1936, False, "a/b?x=1", "rtmp://[2001:db8::1]:1936/a/b?x=1"),
        ],
    )  # fmt: skip
    def test_the_forms_of_the_large_services(
        self, url: str, host: str, port: int, is_tls: bool, app: str, shown: str
    ) -> None:
        place = read_place(url)
        assert (place.host, place.port, place.is_tls, place.app, place.url) == (host, port, is_tls, app, shown)
        assert place.address("key").tc_url == shown

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("", "is no address"),
            ("http://a.example/live", "is no address"),
            ("rtmp:///live", "is no address"),
            ("rtmp://a.example", "no application"),
            ("rtmp://a.example/", "no application"),
            ("rtmp://u:p@a.example/live", "a user"),
            ("rtmp://a.example/live#x", "fragment"),
            ("rtmp://a.example:0/live", "a port that cannot be"),
            ("rtmp://a.example:99999/live", "a port that cannot be"),
            ("rtmp://[::1/live", "is no address"),
            ("rtmp://a.example/?x=1", "no application"),
            ("rtmp://a.example:/live", "a port that cannot be"),
            ("rtmp://a.example/li ve", "a space"),
            ("rtmp://a.example/li\x00ve", "a space or a sign"),
            ("rtmp://ä.example/live", "a space or a sign"),
            ("rtmp://a.example/" + "x" * 2000, "1024 allowed"),
            (f"rtmp://{'a' * 64}.example/live", "a host that no server can have"),
            ("rtmp://" + "a." * 127 + "example/live", "a host that no server can have"),
            ("rtmp://a..example/live", "a host that no server can have"),
            ("rtmp://.example/live", "a host that no server can have"),
        ],
    )
    def test_what_is_no_place_is_said(self, url: str, why: str) -> None:
        with pytest.raises(RestreamError, match=why):
            read_place(url)


class TestStreamKey:
    def test_spaces_around_are_left_out(self) -> None:
        assert check_stream_key(" abc?x=1\n") == "abc?x=1"

    @pytest.mark.parametrize("key", ["", "  ", "a b", "k" * 2048, "schlüssel"])
    def test_what_is_no_key_is_said_without_it(self, key: str) -> None:
        with pytest.raises(RestreamError) as caught:
            check_stream_key(key)
        assert not key.strip() or key.strip() not in str(caught.value)

    def test_the_hint_of_a_short_key_is_nothing_of_it(self) -> None:
        assert hint_of("live_123456_abcx9f2") == "…x9f2"
        assert hint_of("short") == "…"

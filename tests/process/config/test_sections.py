from __future__ import annotations

import pytest

from streamd.process.config import (
    Config,
    HttpConfig,
    ListenAddress,
    RtmpConfig,
)


class TestUrls:
    @pytest.mark.parametrize(
        ("config", "rtmp_url", "public_url"),
        [
            (Config(), "rtmp://localhost/live", "http://localhost:8080"),
            (
                Config(http=HttpConfig(public_url="https://live.example.org/")),
                "rtmp://live.example.org/live",
                "https://live.example.org",
            ),
            (
                Config(
                    rtmp=RtmpConfig(listen=ListenAddress("::1", 1936)),
                    http=HttpConfig(listen=ListenAddress("192.0.2.1", 80)),
                ),
                "rtmp://[::1]:1936/live",
                "http://192.0.2.1",
            ),
            (
                Config(rtmp=RtmpConfig(listen=None, tls_listen=ListenAddress("", 443))),
                "rtmps://localhost/live",
                "http://localhost:8080",
            ),
        ],
    )
    def test_they_are_what_people_type(self, config: Config, rtmp_url: str, public_url: str) -> None:
        assert (config.rtmp_url, config.public_url) == (rtmp_url, public_url)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.process.config import (
    Config,
    ListenAddress,
)


class TestListenAddress:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            (":1935", "", 1935),
            ("127.0.0.1:8081", "127.0.0.1", 8081),
            ("localhost:0", "localhost", 0),
            ("[::1]:443", "::1", 443),
            ("live.example.org:65535", "live.example.org", 65535),
        ],
    )
    def test_it_is_read_and_written(self, text: str, host: str, port: int) -> None:
        address = ListenAddress.parse(text)
        assert address == ListenAddress(host, port)
        assert str(address) == text

    @pytest.mark.parametrize(
        "text", ["", "1935", ":", ":65536", "::1:80", "[::1]", "h:80/x", "http://h:80", "h h:80", ":-1"]
    )
    def test_what_is_not_one_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="write host:port"):
            ListenAddress.parse(text)

    @given(st.text())
    def test_any_text_is_an_address_or_refused(self, text: str) -> None:
        try:
            address = ListenAddress.parse(text)
        except ValueError:
            return
        assert ListenAddress.parse(str(address)) == address


class TestLadder:
    @pytest.mark.parametrize("ladder", [[], ["1080p@6000"], [f"{lines}p@500" for lines in range(100, 116, 2)]])
    def test_a_ladder_is_read(self, ladder: list[str]) -> None:
        assert Config.model_validate({"obs": {"ladder": ladder}}).obs.ladder == ladder

    @pytest.mark.parametrize(
        ("ladder", "advice"), [(["1080p"], "write lines and kb/s"), (["720p@3000"] * 9, "write at most 8")]
    )
    def test_a_fault_in_it_is_told(self, ladder: list[str], advice: str) -> None:
        with pytest.raises(ValueError, match=advice):
            Config.model_validate({"obs": {"ladder": ladder}})

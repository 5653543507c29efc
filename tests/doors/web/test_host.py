from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from streamd.doors.web.host import authority, host_name, is_address, is_host, is_of_another_site


class TestHost:
    """RFC 9112 section 3.2."""

    @pytest.mark.parametrize(
        "text", ["", "x", "live.example.org", "x:80", "127.0.0.1:8080", "[::1]", "[::1]:8080", "a_b"]
    )
    def test_names_and_addresses_are_hosts(self, text: str) -> None:
        assert is_host(text)

    @pytest.mark.parametrize(
        "text",
        ["[", "]", "[::1", "a b", "a@b", "x/y", "x:y", "x:999999", "\udcff", 'x"><script>', "[v1.x]", "x,y", "ü"],
    )
    def test_anything_else_is_none(self, text: str) -> None:
        assert not is_host(text)

    @pytest.mark.parametrize(
        ("text", "name"), [("X.Example:80", "x.example"), ("[::1]:80", "::1"), ("", ""), ("[", ""), ("[x]", "")]
    )
    def test_the_name_is_read_or_empty(self, text: str, name: str) -> None:
        assert host_name(text) == name

    @pytest.mark.parametrize(
        ("origin", "found"), [("https://X.example:8", "x.example:8"), ("null", ""), ("http://[", ""), ("", "")]
    )
    def test_an_origin_has_an_authority_or_none(self, origin: str, found: str) -> None:
        assert authority(origin) == found

    def test_addresses_are_told_from_names(self) -> None:
        assert is_address("127.0.0.1")
        assert is_address("::1")
        assert not is_address("localhost")


class TestAnotherSite:
    @pytest.mark.parametrize(
        ("headers", "is_foreign"),
        [
            ({}, False),
            ({"Sec-Fetch-Site": "same-origin"}, False),
            ({"Sec-Fetch-Site": "none"}, False),
            ({"Sec-Fetch-Site": "same-site"}, True),
            ({"Sec-Fetch-Site": "cross-site"}, True),
            ({"Sec-Fetch-Site": "who knows"}, True),
            # What no page can forge goes before what a proxy may have made another of.
            ({"Sec-Fetch-Site": "same-origin", "Origin": "https://live.example.org"}, False),
            ({"Sec-Fetch-Site": "cross-site", "Origin": "http://x"}, True),
            ({"Origin": "http://x"}, False),
            ({"Origin": "http://X"}, False),
            ({"Origin": "https://public.example"}, False),
            ({"Origin": "http://evil.example"}, True),
            ({"Origin": "null"}, True),
            ({"Origin": "http://["}, True),
        ],
    )
    def test_a_browser_says_so(self, headers: dict[str, str], is_foreign: bool) -> None:
        request = make_mocked_request("POST", "/", headers={"Host": "x", **headers})
        assert is_of_another_site(request, {"public.example", ""}) is is_foreign

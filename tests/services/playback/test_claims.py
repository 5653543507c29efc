"""Claims: every one, and every form in which one must not be believed."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import PlaybackRefusedError
from streamd.services.playback.claims import (
    ID_CHARS_MAX,
    NETWORKS_MAX,
    NUMERIC_DATE_MAX,
    VIEWERS_MAX,
    Audience,
    Claims,
    allows_host,
    read_claims,
    read_object,
)

WHOLE: dict[str, Any] = {"sub": "demo", "exp": 1_700_000_000}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def read(**claims: Any) -> Claims:
    return read_claims(WHOLE | claims)


class TestWhatIsRead:
    def test_the_least(self) -> None:
        assert read() == Claims("demo", 1_700_000_000.0)

    def test_the_most(self) -> None:
        claims = read(
            nbf=1, iat=2.5, jti="j", uid="u", max=3, ip=["10.0.0.0/8", "2001:db8::/32"], cc=["de", "AT"],
            ref=["Example.org", "*.example.net"], dvr=False, aud=["v", "t"],
        )  # fmt: skip
        assert (claims.not_before, claims.issued_at, claims.jti, claims.uid, claims.viewers_max) == (
            1,
            2.5,
            "j",
            "u",
            3,
        )
        assert [str(network) for network in claims.networks] == ["10.0.0.0/8", "2001:db8::/32"]
        assert claims.countries == {"DE", "AT"}
        assert claims.referrers == ("example.org", "*.example.net")
        assert not claims.may_go_back
        assert claims.audience == Audience.VIDEO | Audience.THUMBNAIL

    def test_one_text_stands_for_a_list_of_one(self) -> None:
        claims = read(ip="192.0.2.0/24", cc="de", ref="example.org", aud="s")
        assert len(claims.networks) == 1
        assert claims.countries == {"DE"}
        assert claims.referrers == ("example.org",)
        assert claims.audience == Audience.STORYBOARD

    def test_a_claim_of_somebody_else_is_left_alone(self) -> None:
        assert read(scope="all", roles=[{}]) == read()

    def test_when_it_was_issued_is_not_before_it_was_good(self) -> None:
        assert read(nbf=7).issued_at == 7


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": "1700000000"}, {"exp": True}, {"exp": None}, {"exp": -1}, {"exp": NUMERIC_DATE_MAX + 1},
            {"exp": float("inf")}, {"exp": float("nan")}, {"exp": [1]}, {"exp": {}},
            {"nbf": "0"}, {"iat": "0"},
            {"sub": 7}, {"sub": ""}, {"sub": None}, {"sub": ["demo"]}, {"sub": "x" * (ID_CHARS_MAX + 1)},
            {"jti": 1}, {"jti": "a\nb"}, {"uid": {}}, {"uid": "u" * (ID_CHARS_MAX + 1)}, {"uid": "\x1b[2J"},
            {"max": 0}, {"max": -1}, {"max": "2"}, {"max": 2.0}, {"max": True}, {"max": VIEWERS_MAX + 1},
            {"ip": "here"}, {"ip": []}, {"ip": ["10.0.0.0/8"] * (NETWORKS_MAX + 1)}, {"ip": "10.0.0.1/8"}, {"ip": 7},
            {"ip": ["10.0.0.0/8", 1]}, {"ip": "fe80::1%eth0"},
            {"cc": "deu"}, {"cc": ["d1"]}, {"cc": []}, {"cc": 49},
            {"ref": "https://example.org"}, {"ref": "*"}, {"ref": "a b"}, {"ref": []}, {"ref": "*.*.org"},
            {"dvr": 0}, {"dvr": "false"}, {"dvr": None},
            {"aud": []}, {"aud": 7}, {"aud": ["v", 7]}, {"aud": None},
        ],
    )  # fmt: skip
    def test_a_claim_of_another_form(self, claims: dict[str, Any]) -> None:
        with pytest.raises(PlaybackRefusedError) as refused:
            read(**claims)
        assert (refused.value.status, refused.value.reason) == (403, "malformed")

    @pytest.mark.parametrize("name", ["sub", "exp"])
    def test_what_has_to_be_there(self, name: str) -> None:
        with pytest.raises(PlaybackRefusedError):
            read_claims({each: value for each, value in WHOLE.items() if each != name})

    def test_an_audience_that_is_none_of_ours(self) -> None:
        with pytest.raises(PlaybackRefusedError, match="kind of media"):
            read(aud="https://elsewhere.example.org")

    def test_another_issuer_and_none(self) -> None:
        assert read_claims(WHOLE | {"iss": "us"}, issuer="us").subject == "demo"
        for claims in ({"iss": "them"}, {}, {"iss": ["us"]}):
            with pytest.raises(PlaybackRefusedError, match="issuer"):
                read_claims(WHOLE | claims, issuer="us")

    def test_an_audience_that_is_asked_for_has_to_be_named(self) -> None:
        assert read_claims(WHOLE | {"aud": ["https://us"]}, audience="https://us").audience == Audience.VIDEO
        assert read_claims(WHOLE | {"aud": ["https://us", "t"]}, audience="https://us").audience == Audience.THUMBNAIL
        for claims in ({"aud": "v"}, {}):
            with pytest.raises(PlaybackRefusedError):
                read_claims(WHOLE | claims, audience="https://us")

    @given(
        st.dictionaries(
            st.sampled_from(["sub", "exp", "nbf", "iat", "aud", "jti", "uid", "max", "ip", "cc", "ref", "dvr"]), JSON
        )
    )
    def test_whatever_is_claimed_is_read_or_refused(self, claims: dict[str, Any]) -> None:
        try:
            found = read_claims(claims)
        except PlaybackRefusedError:
            return
        assert isinstance(found.subject, str)
        assert 0 <= found.expires_at <= NUMERIC_DATE_MAX
        assert 0 <= found.viewers_max <= VIEWERS_MAX


class TestReadObject:
    @pytest.mark.parametrize(
        "text",
        [
            b"", b"[]", b"7", b'"x"', b"null", b"{", b'{"exp": 1e400}x', b'{"exp": NaN}', b'{"exp": Infinity}',
            b'{"a": 1, "a": 2}', b"\xff{}", b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        ],
    )  # fmt: skip
    def test_no_object_with_one_meaning(self, text: bytes) -> None:
        with pytest.raises(PlaybackRefusedError):
            read_object(text)

    def test_1e400_is_no_date(self) -> None:
        with pytest.raises(PlaybackRefusedError):
            read_claims(read_object(b'{"sub": "demo", "exp": 1e400}'))

    @given(JSON)
    def test_any_json(self, value: Any) -> None:
        with contextlib.suppress(PlaybackRefusedError):
            assert isinstance(read_object(json.dumps(value).encode()), dict)


class TestAllowsHost:
    @pytest.mark.parametrize(
        ("host", "is_allowed"),
        [
            ("example.org", True), ("a.example.net", True), ("a.b.example.net", True), ("example.net", False),
            ("evilexample.org", False), ("example.org.evil.example", False), ("xexample.net", False), ("", False),
        ],
    )  # fmt: skip
    def test_names_whole_hosts(self, host: str, is_allowed: bool) -> None:
        assert allows_host(("example.org", "*.example.net"), host) is is_allowed

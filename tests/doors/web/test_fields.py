from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from streamd.doors import web
from streamd.doors.web.fields import COOKIES_MAX, cookies_named, media_type
from tests.support.work import count_calls


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("application/json", "application/json"),
        ("Application/JSON ; charset=utf-8", "application/json"),
        ("application/json;", "application/json"),
        ("application/jsonx", "application/jsonx"),
        ("text/plain;application/json", "text/plain"),
        (";;=", ""),
        ("", ""),
    ],
)
def test_a_media_type_is_what_stands_before_its_parameters(field: str, said: str) -> None:
    """RFC 9110 section 8.3.1."""
    assert media_type(make_mocked_request("POST", "/", {"Content-Type": field})) == said


def test_a_body_of_no_type_has_none() -> None:
    assert media_type(make_mocked_request("POST", "/")) == ""


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        ((), []),
        (("a=1",), ["1"]),
        (("a=1; b=2; a=3",), ["1", "3"]),
        (("b=2;a=1", "a=3"), ["1", "3"]),
        (("aa=1; a =2; a=3=4; a",), ["2", "3=4", ""]),
        (("a=x" + "; a=y" * 100,), ["x", *["y"] * (COOKIES_MAX - 1)]),
    ],
)
def test_cookies_are_found_by_name(fields: tuple[str, ...], values: list[str]) -> None:
    """RFC 6265 section 5.4."""
    headers = CIMultiDict([("Cookie", field) for field in fields])
    assert cookies_named(make_mocked_request("GET", "/", headers), "a") == values


def test_parameters_are_not_read_however_many() -> None:
    few, many = (
        make_mocked_request("POST", "/", {"Content-Type": "application/json" + ";b" * number}) for number in (1, 4000)
    )
    assert count_calls(lambda: media_type(few)) == count_calls(lambda: media_type(many))


def test_nothing_else_reads_what_aiohttp_reads_slowly() -> None:
    slow = re.compile(r"request\.(content_type|charset|cookies|post|json|text|multipart)\b")
    for path in Path(web.__file__).parent.rglob("*.py"):
        assert not slow.search(path.read_text("utf-8")), path.name

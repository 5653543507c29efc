"""Tickets in paths, as bytes of a request and as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.doors.delivery.ticket_path import cut_path, find_opening

TICKET = "0123abcd.1800000000.AAAA_-.BBBB"


def cut_request(data: bytes) -> tuple[bytes, str, int] | None:
    """A request without its ticket, the ticket, and how many bytes that is shorter."""
    opening = find_opening(data)
    if opening is None:
        return None
    assert data.startswith(opening.whole)
    return opening.cut(data), opening.ticket, opening.shorter_by


@pytest.mark.parametrize(
    ("path", "without"),
    [
        (f"/live/demo/~{TICKET}/main.m3u8", "/live/demo/main.m3u8"),
        (f"/live/demo/~{TICKET}/main/part1.m4s", "/live/demo/main/part1.m4s"),
        (f"/live/~{TICKET}/demo.flv", "/live/demo.flv"),
        (f"/vod/rec_01ABC/~{TICKET}/main/000001.m4s", "/vod/rec_01ABC/main/000001.m4s"),
    ],
)
def test_it_is_taken_out(path: str, without: str) -> None:
    assert cut_path(path) == (without, TICKET)
    if path.startswith("/live/"):
        whole = f"GET {path}?_HLS_msn=7 HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        assert cut_request(whole) == (
            f"GET {without}?_HLS_msn=7 HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
            TICKET,
            len(TICKET) + 2,
        )


@pytest.mark.parametrize(
    "path",
    [
        "/live/demo/main.m3u8", f"/live/demo/main.m3u8?/~{TICKET}/", f"/live/demo/main/~{TICKET}/part1.m4s",
        f"/api/v1/~{TICKET}/streams", f"/~{TICKET}/live/demo/main.m3u8", f"/live/demo/%7E{TICKET}/main.m3u8",
        f"/live/demo/~{TICKET}", "/live/demo/~/main.m3u8", f"/live/demo/~{'a' * 500}/main.m3u8",
        "/live/demo/~a b/main.m3u8", "/live/demo/~a%2Fb/main.m3u8",
        f"/watch/~{TICKET}/demo",
    ],
)  # fmt: skip
def test_what_is_no_ticket_stays(path: str) -> None:
    assert cut_path(path)[1] == ""
    assert cut_request(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()) is None


def test_one_of_two_is_taken_and_the_other_makes_no_path_of_ours() -> None:
    assert cut_path("/live/demo/~a/~b/main.m3u8") == ("/live/demo/~b/main.m3u8", "a")


def test_what_stands_before_a_ticket_is_one_object_for_all() -> None:
    first, second = (find_opening(f"GET /live/demo/~{ticket}/main.m3u8".encode()) for ticket in "ab")
    assert first is not None
    assert second is not None
    assert first.before is second.before


def test_a_head_that_is_not_whole() -> None:
    assert cut_request(b"GET /live/demo/~abc") is None
    assert cut_request(b"GET /live/demo/~abc/") == (b"GET /live/demo/", "abc", 5)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for each in (data, b"GET /live/demo/~" + data):
        found = cut_request(each)
        if found is not None:
            assert len(found[0]) + found[2] == len(each)


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    path, ticket = cut_path("/live/demo/~" + text)
    assert len(path) <= len(text) + 12
    assert "/" not in ticket
